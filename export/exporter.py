"""From a fine-tuned checkpoint to a verified bundle: trace, calibrate, verify, convert, seal."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from .. import __version__
from ..bundle.bundle import Bundle, write_manifest
from ..bundle.card import render_card
from ..bundle.manifest import (
    GRAPH,
    MANIFEST,
    REQUIRED_FILES,
    BundleManifest,
    DataRecord,
    FineTuning,
    Licences,
    LossLimits,
    Precision,
    Target,
    sealed,
)
from ..bundle.versions import installed_versions
from ..data.dataset import LabelledData, read_data
from ..errors import UsageError
from ..files import atomic_folder, refuse_foreign
from ..models import load, load_tokenizer, resolve
from ..models.classifier import Classifier
from ..models.families import licence
from ..models.fingerprint import fingerprint_model
from ..models.record import TrainingRecord, known_training
from ..models.tokenizer import SequenceTokenizer
from ..models.weight_files import require_trained_head, tensor_shapes
from .assess import Assessment, Assessor, StageCallback
from .companions import write_companions
from .gate import require_learnt
from .page import CARD_PAGE, render_page
from .precision import convert
from .trace import check_opset, trace
from .training import check_data
from .verify import parity_windows, require_same_tokens

__all__ = ["ExportSummary", "export_bundle"]

PARTS = {*REQUIRED_FILES, f"{GRAPH}.data", CARD_PAGE}
"""What a bundle holds beside its manifest."""

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tokenizers", "numpy")


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
            "manifest": sealed(self.bundle.manifest),
        }


def export_bundle(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    data: LabelledData | str | Path,
    precision: Precision = "fp32",
    target: Target = "cpu",
    margin: float = LossLimits.margin,
    opset: int = 20,
    threads: int | None = None,
    allow_chance: bool = False,
    progress: StageCallback | None = None,
) -> ExportSummary:
    """Export a fine-tuned checkpoint to a bundle, verified and measured on labelled windows.

    The temperature and the threshold are fitted on the validation split with the float32 graph;
    the metrics are those of validation and test with the graph of the bundle, as scoring runs it.

    Args:
        checkpoint: A folder that `genoslim prune` or fine-tuning made, with a trained head.
        folder: Where the bundle is written, whole or not at all; an older bundle is replaced.
        data: The labelled windows that the checkpoint was trained on, or their Parquet file.
        precision: `fp32` is exact. `fp16`, for CUDA, and `int8`, for CPUs, are made from the
            verified float32 graph and judged against it.
        target: What the graph is shaped for. `cuda` has attention as one operator of ONNX Runtime,
            and is verified there if a GPU is at hand, else on the CPU.
        margin: AUROC that a lossy precision may lose, between 0 and 1 (see docs/bundle.md).
        opset: Of ONNX, 18 to 22; 20 runs everywhere.
        threads: Of the CPU, for the graph; by default as many as the process may use.
        allow_chance: Also export a model that is not shown to beat chance; its card says so.
        progress: Called with the name of each stage as it begins.

    Returns:
        The bundle, opened, and the seconds that each stage took.

    Raises:
        GateError: the float32 graph's logits or tokens differ from the checkpoint's, the lossy
            precision costs more than it may, or the AUROC's interval on validation or test reaches
            0.5; nothing is written and an older bundle stays.
        UsageError: an unknown precision, target or opset, two that do not go together, or `folder`
            holds something else.
        GenoslimError: the checkpoint has no trained head, it and the data do not fit, or there is
            no graph for `cuda` of its network.

    Example:
        >>> from genoslim import export_bundle
        >>> summary = export_bundle("my-model", "my-bundle", data="data.parquet", threads=1)
        >>> summary.bundle.manifest.parity.passed
        True
    """
    folder = Path(folder)
    limits = _checked(precision, margin, opset, target)
    refuse_foreign(folder, "bundle", marker=MANIFEST, parts=PARTS)
    stages = _Stages(progress)
    stages.begin("reading")
    source = _Source.read(resolve(checkpoint), data)
    with atomic_folder(folder) as made:
        stages.begin("tracing")
        exact = made / GRAPH if precision == "fp32" else made / "exact" / GRAPH
        exact.parent.mkdir(exist_ok=True)
        trace(source.model, exact, opset=opset, target=target)
        tokenizer = _write_tokenizer(source, made)
        assessor = Assessor(
            source.model,
            tokenizer,
            source.data,
            target=target,
            threads=threads,
            begin=stages.begin,
        )
        found = assessor.assess_exact(exact)
        if precision != "fp32":
            stages.begin("converting")
            convert(exact, made / GRAPH, precision)
            found = assessor.assess_lossy(made / GRAPH, precision, found, limits)
            shutil.rmtree(exact.parent)
        stages.begin("sealing")
        manifest = _manifest(
            source, found, assessor, precision=precision, target=target, opset=opset
        )
        if not allow_chance:
            require_learnt(manifest.metrics)
        (made / "README.md").write_text(render_card(manifest), encoding="utf-8")
        (made / CARD_PAGE).write_text(render_page(manifest), encoding="utf-8")
        sealed = write_manifest(made, manifest)
    return ExportSummary(
        dataclasses.replace(sealed, folder=folder), stages.end(), found.speed_ratio
    )


@dataclass(frozen=True)
class _Source:
    """What a bundle is made from: a checkpoint with all that it says, and data that fit it."""

    checkpoint: Path
    record: TrainingRecord
    data: LabelledData
    model: Classifier
    tokenizer: SequenceTokenizer

    @classmethod
    def read(cls, checkpoint: Path, data: LabelledData | str | Path) -> _Source:
        record = known_training(checkpoint)
        labelled = data if isinstance(data, LabelledData) else read_data(Path(data))
        check_data(record, labelled, checkpoint)
        require_trained_head(checkpoint, tensor_shapes(checkpoint))
        return cls(checkpoint, record, labelled, load(checkpoint), load_tokenizer(checkpoint))


class _Stages:
    """Tells the caller which stage begins, and keeps the seconds that each took."""

    def __init__(self, progress: StageCallback | None) -> None:
        self._progress = progress
        self._seconds: dict[str, float] = {}
        self._name, self._since = "", time.perf_counter()

    def begin(self, name: str) -> None:
        self.end()
        self._name = name
        if self._progress is not None:
            self._progress(name)

    def end(self) -> Mapping[str, float]:
        now = time.perf_counter()
        if self._name:
            self._seconds[self._name] = round(now - self._since, 3)
        self._name, self._since = "", now
        return self._seconds


def _checked(precision: str, margin: float, opset: int, target: str) -> LossLimits:
    """Return the limits of a lossy precision; UsageError for what cannot be asked for."""
    if target not in get_args(Target):
        raise UsageError(f"target is {target!r}; expected {' or '.join(get_args(Target))}")
    if precision == "int8" and target == "cuda":
        raise UsageError("int8 is for the CPU: CUDA has no kernel for its products; for cuda: fp16")
    if precision not in get_args(Precision):
        raise UsageError(f"precision is {precision!r}; expected {', '.join(get_args(Precision))}")
    check_opset(opset)
    return LossLimits(margin=margin)


def _write_tokenizer(source: _Source, folder: Path) -> SequenceTokenizer:
    """Write what is beside the graph; returns the bundle's tokenizer, refused if it came out other.

    Compared on the windows that the graph is compared on.
    """
    write_companions(source.model, source.tokenizer, source.data, folder)
    written = SequenceTokenizer.from_folder(folder)
    require_same_tokens(source.tokenizer, written, parity_windows(source.data.sequences))
    return written


def _manifest(
    source: _Source,
    found: Assessment,
    assessor: Assessor,
    *,
    precision: Precision,
    target: Target,
    opset: int,
) -> BundleManifest:
    model, record, metadata = source.model, source.record, source.data.metadata
    kept = tuple(model.config.kept_layers)
    dropped = record.dropped_layers
    return BundleManifest(
        family=model.family,
        kept_layers=kept,
        base_layers=max(record.base_layers or 0, len(kept) + len(dropped), kept[-1] + 1),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        window_length=metadata.window_length,
        assembly=metadata.assembly,
        label_names=metadata.label_names,
        threshold=found.calibration.threshold,
        temperature=found.calibration.temperature,
        precision=precision,
        target=target,
        opset=opset,
        metrics=assessor.metrics(found),
        parity=found.parity,
        loss=found.loss,
        fine_tuning=FineTuning(
            base_model=record.base_name,
            base_model_fingerprint=record.base_model_fingerprint,
            seed=record.seed,
            seconds=record.fine_tune_seconds,
            dropped_layers=dropped,
            recipe=record.recipe,
            seed_aurocs=record.seed_aurocs,
            cost=record.cost,
            int8=record.int8,
            checkpoint=fingerprint_model(source.checkpoint),
        ),
        licences=Licences(base_model=licence(source.checkpoint), data=_data_licence(source)),
        data=DataRecord(
            fingerprint=source.data.fingerprint,
            source=metadata.source,
            trained_on=record.data_fingerprint,
            splits=source.data.split_counts,
        ),
        versions={
            "genoslim": __version__,
            "python": platform.python_version(),
            **installed_versions(_PACKAGES),
        },
    )


def _data_licence(source: _Source) -> str:
    """Return the licence of the data evaluated on, and that of the training data if another."""
    own = source.data.metadata.licence
    return " and ".join(dict.fromkeys([own, source.record.data_licence or own]))
