"""From a fine-tuned checkpoint to a verified bundle: trace, calibrate, verify, evaluate, seal."""

from __future__ import annotations

import dataclasses
import logging
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..data.dataset import LabelledData
from ..errors import GenoslimError, UsageError
from ..files import atomic_folder, write_json
from ..models import load, load_tokenizer, resolve
from ..models.classifier import Classifier
from ..models.families import licence
from ..models.tokenizer import SequenceTokenizer
from .bundle import Bundle, is_bundle, write_manifest
from .card import render_card
from .evaluate import Calibration, calibrate, evaluate, split_metrics
from .manifest import (
    GRAPH,
    MANIFEST,
    REQUIRED_FILES,
    BundleManifest,
    DataRecord,
    FineTuning,
    Licences,
    ParityReport,
    SplitMetrics,
)
from .runtime import GraphRunner
from .trace import check_opset, trace
from .training import TrainingFacts
from .verify import (
    measure_parity,
    parity_windows,
    require_finite,
    require_parity,
    require_same_tokens,
)
from .versions import installed_versions

_LOG = logging.getLogger(__name__)

Progress = Callable[[str], None]
"""Called with the name of each stage as it begins."""

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tokenizers", "numpy")
_MODEL_TYPES = {"dnabert2": "bert", "nt_v1": "esm", "nt_v2": "esm"}
_FOREIGN_KEYS = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")


@dataclass(frozen=True)
class ExportSummary:
    """The bundle that was made, and how many seconds each stage of making it took."""

    bundle: Bundle
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: the folder, its digest, the stages' seconds and the manifest."""
        return {
            "bundle": str(self.bundle.folder),
            "digest": self.bundle.digest,
            "seconds": dict(self.seconds),
            "manifest": self.bundle.manifest.to_dict(),
        }


@dataclass(frozen=True)
class _Measured:
    """All that was found out with the exported graph."""

    fitted: Calibration
    parity: ParityReport
    metrics: Mapping[str, SplitMetrics]


def export_checkpoint(
    checkpoint: Path,
    data: Path,
    bundle: Path,
    *,
    precision: str = "fp32",
    opset: int = 20,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Export a fine-tuned `checkpoint` to the folder `bundle`, verified and measured on `data`.

    `data` is the Parquet file of labelled windows that the checkpoint was trained on: the
    temperature and the threshold are fitted on its validation split, the metrics computed on
    validation and test, all with the exported graph as scoring will run it.

    GateError if the bundle's logits or tokens differ from the checkpoint's; then nothing is written
    and an older bundle stays.
    GenoslimError if checkpoint and data do not fit; UsageError for an unknown precision or opset,
    or where `bundle` is a folder with something else in it.
    """
    stages = _Stages(progress)
    if precision != "fp32":
        raise UsageError(f"precision is {precision!r}; this version exports fp32")
    check_opset(opset)
    _check_output(bundle)
    stages.begin("reading")
    checkpoint = resolve(checkpoint)
    facts = TrainingFacts.read(checkpoint)
    labelled = LabelledData.read(data)
    facts.check(checkpoint, labelled)
    model = _load_trained(checkpoint)
    with atomic_folder(bundle) as folder:
        stages.begin("tracing")
        trace(model, folder / GRAPH, opset=opset)
        trained = load_tokenizer(str(checkpoint))
        _write_companions(model, trained, labelled, folder)
        tokenizer = SequenceTokenizer.from_folder(folder)
        require_same_tokens(trained, tokenizer, parity_windows(labelled.sequences))
        runner = GraphRunner(folder / GRAPH, tokenizer, device="cpu", threads=threads)
        measured = _measure(model, runner, labelled, stages)
        stages.begin("sealing")
        manifest = BundleManifest(
            **_model_facts(model, facts),
            **_data_facts(labelled, facts),
            licences=Licences(base_model=licence(checkpoint), data=_data_licence(labelled, facts)),
            precision=precision,
            opset=opset,
            threshold=measured.fitted.threshold,
            temperature=measured.fitted.temperature,
            metrics=measured.metrics,
            parity=measured.parity,
            versions=_versions(),
        )
        (folder / "README.md").write_text(render_card(manifest), encoding="utf-8")
        sealed = write_manifest(folder, manifest)
    return ExportSummary(dataclasses.replace(sealed, folder=bundle), stages.end())


class _Stages:
    """Tells the caller which stage begins, and keeps the seconds that each took."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._seconds: dict[str, float] = {}
        self._name = ""
        self._since = time.perf_counter()

    def begin(self, name: str) -> None:
        self.end()
        self._name = name
        if self._progress:
            self._progress(name)

    def end(self) -> Mapping[str, float]:
        now = time.perf_counter()
        if self._name:
            self._seconds[self._name] = round(now - self._since, 3)
        self._name, self._since = "", now
        return self._seconds


def _check_output(bundle: Path) -> None:
    """Refuse to replace anything but an older bundle, with nothing else in it, or nothing."""
    if not bundle.exists() or (bundle.is_dir() and not any(bundle.iterdir())):
        return
    if not is_bundle(bundle):
        raise UsageError(f"{bundle}: exists and is not a bundle: choose another name")
    ours = {*REQUIRED_FILES, MANIFEST, f"{GRAPH}.data"}
    if foreign := sorted({path.name for path in bundle.iterdir()} - ours):
        raise UsageError(
            f"{bundle}: holds {', '.join(foreign[:3])}, no part of a bundle, which would be lost:"
            " choose another name"
        )


def _load_trained(checkpoint: Path) -> Classifier:
    """Load a classifier none of whose weights is drawn at random, or say which are.

    A pretrained checkpoint gets a random head from its seed: two seeds give it away.
    """
    model, other = (load(str(checkpoint), seed=seed).eval() for seed in (0, 1))
    again = other.state_dict()
    drawn = [key for key, value in model.state_dict().items() if not torch.equal(value, again[key])]
    if drawn:
        raise GenoslimError(
            f"{checkpoint}: not fine-tuned: it has no {', '.join(drawn)};"
            " export a checkpoint that `genoslim prune` or fine-tuning made"
        )
    return model


def _measure(
    model: Classifier, runner: GraphRunner, data: LabelledData, stages: _Stages
) -> _Measured:
    """Fit on validation, refuse a graph that differs from torch, then judge the test split."""
    validation, test = data.split("validation"), data.split("test")
    stages.begin("calibrating")
    logits = runner.logits(validation.sequences)
    require_finite(logits)
    fitted = calibrate(logits, validation.labels)
    stages.begin("verifying")
    parity = measure_parity(
        model,
        runner,
        parity_windows(validation.sequences + test.sequences),
        temperature=fitted.temperature,
        threshold=fitted.threshold,
    )
    require_parity(parity)
    stages.begin("evaluating")
    metrics = {
        "validation": split_metrics(validation, logits, fitted),
        "test": evaluate(runner, test, fitted),
    }
    return _Measured(fitted, parity, metrics)


def _write_companions(
    model: Classifier, tokenizer: SequenceTokenizer, data: LabelledData, folder: Path
) -> None:
    """Write the tokenizer's files and a `config.json` that transformers reads without genoslim."""
    names = dict(enumerate(data.metadata.label_names))
    config = model.config.to_dict()
    for key in _FOREIGN_KEYS:
        config.pop(key, None)
    config |= {
        "id2label": {str(label): name for label, name in names.items()},
        "label2id": {name: label for label, name in names.items()},
        "pad_token_id": tokenizer.pad_id,
        "problem_type": "single_label_classification",
    }
    if model.family in _MODEL_TYPES:
        model_type = _MODEL_TYPES[model.family]
        config |= {
            "model_type": model_type,
            "architectures": [f"{model_type.title()}ForSequenceClassification"],
        }
    write_json(folder / "config.json", config)
    tokenizer.save(folder)


def _model_facts(model: Classifier, facts: TrainingFacts) -> dict[str, Any]:
    kept = tuple(model.config.kept_layers)
    return {
        "family": model.family,
        "kept_layers": kept,
        "base_layers": max(
            facts.base_layers or 0, len(kept) + len(facts.dropped_layers), kept[-1] + 1
        ),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "fine_tuning": FineTuning(
            base_model=facts.base_model,
            seed=facts.seed,
            seconds=facts.seconds,
            dropped_layers=facts.dropped_layers,
            recipe=facts.recipe,
        ),
    }


def _data_facts(data: LabelledData, facts: TrainingFacts) -> dict[str, Any]:
    metadata = data.metadata
    return {
        "window_length": metadata.window_length,
        "assembly": metadata.assembly,
        "label_names": metadata.label_names,
        "data": DataRecord(
            fingerprint=data.fingerprint,
            source=metadata.source,
            trained_on=facts.data_fingerprint,
            splits=data.split_counts,
        ),
    }


def _data_licence(data: LabelledData, facts: TrainingFacts) -> str:
    """Return the licence of the data evaluated on, and that of the training data if another."""
    names = dict.fromkeys([data.metadata.licence, facts.data_licence or data.metadata.licence])
    return " and ".join(names)


def _versions() -> dict[str, str]:
    packages = installed_versions(_PACKAGES)
    return {"genoslim": __version__, "python": platform.python_version(), **packages}
