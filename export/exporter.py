"""From a fine-tuned checkpoint to a verified bundle: trace, calibrate, verify, convert, seal."""

from __future__ import annotations

import dataclasses
import logging
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..bundle.bundle import Bundle, write_manifest
from ..bundle.card import render_card
from ..bundle.manifest import (
    GRAPH,
    MANIFEST,
    PRECISIONS,
    REQUIRED_FILES,
    BundleManifest,
    DataRecord,
    FineTuning,
    Licences,
    LossLimits,
    ParityReport,
    PrecisionLoss,
)
from ..bundle.runner import GraphRunner
from ..bundle.versions import installed_versions
from ..data.dataset import LabelledData, SplitName
from ..errors import UsageError
from ..files import atomic_folder, refuse_foreign, write_json
from ..models import load, load_tokenizer, resolve
from ..models.classifier import Classifier
from ..models.families import FAMILIES, licence
from ..models.record import TrainingRecord, known_training
from ..models.tokenizer import SequenceTokenizer
from ..models.weight_files import require_trained_head, tensor_shapes
from .evaluate import Calibration, calibrate, split_metrics
from .gate import LOSSY_PARITY, JudgedRows, measure_loss, require_kept, speed_ratio
from .precision import convert, rehearse_half
from .trace import check_opset, trace
from .training import check_data
from .verify import (
    EXACT,
    Tolerances,
    measure_parity,
    parity_windows,
    require_finite,
    require_parity,
    require_same_tokens,
)

_LOG = logging.getLogger(__name__)

Progress = Callable[[str], None]
"""Called with the name of each stage as it begins."""

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tokenizers", "numpy")
_JUDGED: tuple[SplitName, ...] = ("validation", "test")
_FOREIGN_KEYS = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")


@dataclass(frozen=True)
class ExportSummary:
    """The bundle that was made, and how many seconds each stage of making it took.

    `speed_ratio` says how many times as fast as float32 an int8 bundle is on this machine: a figure
    of the machine and the moment, and so not in the bundle, whose bytes it would change.
    """

    bundle: Bundle
    seconds: Mapping[str, float]
    speed_ratio: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: folder, digest, the stages' seconds, speed and manifest."""
        return {
            "bundle": str(self.bundle.folder),
            "digest": self.bundle.digest,
            "seconds": dict(self.seconds),
            "speed_ratio": self.speed_ratio,
            "manifest": self.bundle.manifest.to_dict(),
        }


def export_checkpoint(
    checkpoint: Path,
    data: Path,
    bundle: Path,
    *,
    precision: str = "fp32",
    margin: float = LossLimits.margin,
    opset: int = 20,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Export a fine-tuned `checkpoint` to the folder `bundle`, verified and measured on `data`.

    `data` is the Parquet file of labelled windows that the checkpoint was trained on: the
    temperature and the threshold are fitted on its validation split with the float32 graph, the
    metrics computed on validation and test with the graph of the bundle as scoring will run it.
    A lossy `precision`, fp16 or int8, may lose `margin` of AUROC and little else: see `gate.py`.

    GateError if the float32 graph's logits or tokens differ from the checkpoint's, or if a lossy
    precision costs more than it may; then nothing is written and an older bundle stays.
    GenoslimError if checkpoint and data do not fit; UsageError for an unknown precision or opset,
    or where `bundle` is a folder with something else in it.
    """
    stages = _Stages(progress)
    if precision not in PRECISIONS:
        raise UsageError(f"precision is {precision!r}; expected {', '.join(PRECISIONS)}")
    limits = LossLimits(margin=margin)
    check_opset(opset)
    refuse_foreign(bundle, "bundle", marker=MANIFEST, parts={*REQUIRED_FILES, f"{GRAPH}.data"})
    stages.begin("reading")
    checkpoint = resolve(checkpoint)
    record = known_training(checkpoint)
    labelled = LabelledData.read(data)
    check_data(record, labelled, checkpoint)
    require_trained_head(checkpoint, tensor_shapes(checkpoint))
    model = load(checkpoint)
    with atomic_folder(bundle) as folder:
        stages.begin("tracing")
        exact = folder / GRAPH if precision == "fp32" else folder / "exact" / GRAPH
        exact.parent.mkdir(exist_ok=True)
        trace(model, exact, opset=opset)
        trained = load_tokenizer(str(checkpoint))
        _write_companions(model, trained, labelled, folder)
        tokenizer = SequenceTokenizer.from_folder(folder)
        require_same_tokens(trained, tokenizer, parity_windows(labelled.sequences))
        bench = _Bench(model, tokenizer, labelled, threads, stages)
        measured = bench.measure_exact(exact)
        if precision != "fp32":
            stages.begin("converting")
            convert(exact, folder / GRAPH, precision)
            measured = bench.measure_lossy(folder / GRAPH, precision, measured, limits)
            shutil.rmtree(exact.parent)
        stages.begin("sealing")
        manifest = BundleManifest(
            **_model_facts(model, record),
            **_data_facts(labelled, record),
            licences=Licences(base_model=licence(checkpoint), data=_data_licence(labelled, record)),
            precision=precision,
            opset=opset,
            threshold=measured.fitted.threshold,
            temperature=measured.fitted.temperature,
            metrics={
                split: split_metrics(labelled.split(split), logits, measured.fitted)
                for split, logits in zip(_JUDGED, measured.logits, strict=True)
            },
            parity=measured.parity,
            loss=measured.loss,
            versions=_versions(),
        )
        (folder / "README.md").write_text(render_card(manifest), encoding="utf-8")
        sealed = write_manifest(folder, manifest)
    sealed = dataclasses.replace(sealed, folder=bundle)
    return ExportSummary(sealed, stages.end(), measured.speed_ratio)


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


@dataclass(frozen=True)
class _Measured:
    """What was found out with one graph; logits [n, 2] are those of each split in `_JUDGED`."""

    graph: Path
    runner: GraphRunner
    fitted: Calibration
    parity: ParityReport
    logits: Sequence[NDArray[np.float32]]
    loss: PrecisionLoss | None = None
    speed_ratio: float | None = None


class _Bench:
    """Measures graphs of one model on the judged splits of its data."""

    def __init__(
        self,
        model: Classifier,
        tokenizer: SequenceTokenizer,
        data: LabelledData,
        threads: int | None,
        stages: _Stages,
    ) -> None:
        self._model, self._tokenizer, self._threads = model, tokenizer, threads
        self._splits = [data.split(name) for name in _JUDGED]
        self._windows = [sequence for split in self._splits for sequence in split.sequences]
        self._stages = stages

    def measure_exact(self, graph: Path) -> _Measured:
        """Fit on validation, refuse a graph that differs from torch, then run the test split."""
        self._stages.begin("calibrating")
        validation, test = self._splits
        runner = self._runner(graph)
        logits = runner.logits(validation.sequences)
        diverged = "the checkpoint diverged in training, or the graph is wrong"
        require_finite(logits, "the exported graph", diverged)
        fitted = calibrate(logits, validation.labels)
        self._stages.begin("verifying")
        parity = self._parity(runner, fitted, EXACT)
        require_parity(parity)
        self._stages.begin("evaluating")
        return _Measured(graph, runner, fitted, parity, (logits, runner.logits(test.sequences)))

    def measure_lossy(
        self, graph: Path, precision: str, exact: _Measured, limits: LossLimits
    ) -> _Measured:
        """Refuse a graph that is too far from the exact one, at the exact one's calibration.

        What fp16 costs is found with its rehearsal, since a CPU does not round as CUDA does.
        """
        self._stages.begin("judging")
        runner = judged = self._runner(graph)
        if precision == "fp16":
            rehearsal = exact.graph.with_name("rehearsal.onnx")
            rehearse_half(exact.graph, rehearsal)
            judged = self._runner(rehearsal)
        logits = [judged.logits(split.sequences) for split in self._splits]
        beyond = f"the checkpoint's values are beyond what {precision} holds"
        require_finite(np.concatenate(logits), f"the {precision} graph", beyond)
        parity = self._parity(runner, exact.fitted, LOSSY_PARITY)
        loss = measure_loss(
            JudgedRows.of(self._splits),
            np.concatenate(exact.logits),
            np.concatenate(logits),
            exact.fitted,
            provider=runner.provider,
            graphs=(exact.graph, graph),
            exact_parity=exact.parity,
            limits=limits,
        )
        require_kept(precision, parity, loss)
        ratio = self._speed_ratio(exact.runner, runner) if precision == "int8" else None
        return _Measured(graph, runner, exact.fitted, parity, logits, loss, ratio)

    def _runner(self, graph: Path) -> GraphRunner:
        return GraphRunner(graph, self._tokenizer, device="cpu", threads=self._threads)

    def _parity(
        self, runner: GraphRunner, fitted: Calibration, tolerances: Tolerances
    ) -> ParityReport:
        return measure_parity(
            self._model,
            runner,
            parity_windows(self._windows),
            temperature=fitted.temperature,
            threshold=fitted.threshold,
            tolerances=tolerances,
        )

    def _speed_ratio(self, exact: GraphRunner, lossy: GraphRunner) -> float:
        ratio = speed_ratio(exact, lossy, self._windows)
        if ratio <= 1:
            _LOG.warning("not faster here: int8 has %.2f times the speed of fp32", ratio)
        return ratio


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
    if model.family in FAMILIES:
        model_type = FAMILIES[model.family].nearest_type
        config |= {
            "model_type": model_type,
            "architectures": [f"{model_type.title()}ForSequenceClassification"],
        }
    write_json(folder / "config.json", config)
    tokenizer.save(folder)


def _model_facts(model: Classifier, record: TrainingRecord) -> dict[str, Any]:
    kept = tuple(model.config.kept_layers)
    return {
        "family": model.family,
        "kept_layers": kept,
        "base_layers": max(
            record.base_layers or 0, len(kept) + len(record.dropped_layers), kept[-1] + 1
        ),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "fine_tuning": FineTuning(
            base_model=record.base_name,
            seed=record.seed,
            seconds=record.fine_tune_seconds,
            dropped_layers=record.dropped_layers,
            recipe=record.recipe,
        ),
    }


def _data_facts(data: LabelledData, record: TrainingRecord) -> dict[str, Any]:
    metadata = data.metadata
    return {
        "window_length": metadata.window_length,
        "assembly": metadata.assembly,
        "label_names": metadata.label_names,
        "data": DataRecord(
            fingerprint=data.fingerprint,
            source=metadata.source,
            trained_on=record.data_fingerprint,
            splits=data.split_counts,
        ),
    }


def _data_licence(data: LabelledData, record: TrainingRecord) -> str:
    """Return the licence of the data evaluated on, and that of the training data if another."""
    names = dict.fromkeys([data.metadata.licence, record.data_licence or data.metadata.licence])
    return " and ".join(names)


def _versions() -> dict[str, str]:
    packages = installed_versions(_PACKAGES)
    return {"genoslim": __version__, "python": platform.python_version(), **packages}
