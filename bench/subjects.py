"""What is benchmarked: a checkpoint (run by torch) or a bundle (by ONNX Runtime or OpenVINO).

Everything here is read from small files and headers: no weights are loaded and no torch is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..bundle.bundle import Bundle, is_bundle
from ..bundle.manifest import PrecisionLoss
from ..codec import plain
from ..data.dataset import LabelledData
from ..data.fit import require_fit
from ..errors import GenoslimError, UsageError
from ..models.families import CONFIG_FILE, licence, read_config
from ..models.fingerprint import fingerprint_model
from ..models.licences import is_non_commercial
from ..models.record import TrainingCost, known_training
from ..models.weight_files import require_trained_head, tensor_shapes

Engine = Literal["torch", "onnxruntime", "openvino"]
"""What runs a model."""

WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One model as it lies on disk.

    `backend` is what runs it (ONNX Runtime for a bundle, unless OpenVINO is chosen); `digest`
    identifies its content (SHA-256); `size` is in bytes over all its files; `temperature`
    and `threshold` are those of a bundle, None for a checkpoint (they are then fitted on
    validation); `base_model` is what it was fine-tuned from, a folder, a hub id or `shipped:NAME`;
    `seed_aurocs` are the test AUROCs on record of all seeds of the model, of which this is `seed`;
    what a record does not say is None or empty. `training` is what its fine-tuning took beside the
    seconds, `weights` the digest of the checkpoint that it is or was made from, and `loss` what the
    precision of a bundle was found to cost at export. `bundle` is the bundle as it was opened, so
    with its files' hashes checked, None for a checkpoint.
    """

    name: str
    path: Path
    backend: Engine
    digest: str
    size: int
    parameters: int
    layers: int
    base_layers: int | None
    precision: str
    window_length: int | None
    assembly: str | None
    fine_tune_seconds: float | None
    trained_on: str | None
    licences: tuple[str, ...]
    base_model: str | None = None
    base_fingerprint: str | None = None
    seed: int | None = None
    seed_aurocs: tuple[float, ...] = ()
    temperature: float | None = None
    threshold: float | None = None
    training: TrainingCost | None = None
    weights: str | None = None
    loss: PrecisionLoss | None = None
    bundle: Bundle | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what a record keeps of it, for JSON."""
        kept = plain(replace(self, bundle=None))
        del kept["bundle"]
        return kept | {"non_commercial": self.non_commercial}

    def check_fits(self, data: LabelledData) -> None:
        """Raise GenoslimError if the model was made for another window length or assembly."""
        require_fit(
            self.path,
            data.metadata,
            window_length=self.window_length,
            assembly=self.assembly,
        )

    def seeds_on(self, fingerprint: str) -> tuple[float, ...]:
        """Return the test AUROCs of the model's seeds on a data set; empty if not on record."""
        return self.seed_aurocs if self.trained_on == fingerprint else ()

    @property
    def form(self) -> str:
        """Its format and precision: "checkpoint, fp32", "bundle, int8"."""
        return f"{'checkpoint' if self.backend == 'torch' else 'bundle'}, {self.precision}"

    @property
    def non_commercial(self) -> bool:
        """Whether a licence of the weights or the data forbids commercial use."""
        return any(map(is_non_commercial, self.licences))


def open_subjects(paths: Sequence[Path]) -> list[Subject]:
    """Open each path; names are folder names, with as much of the path as tells them apart.

    Raises UsageError for no path or one named twice, GenoslimError (or GateError, for a damaged
    bundle) for what cannot be benchmarked.
    """
    if not paths:
        raise UsageError("no model to benchmark: name one bundle or checkpoint at least")
    resolved = [path.resolve() for path in paths]
    for index, path in enumerate(resolved):
        if path in resolved[:index]:
            raise UsageError(f"{paths[index]}: named twice; name each model once")
    return [
        open_subject(path, name) for path, name in zip(paths, distinct_names(resolved), strict=True)
    ]


def open_subject(path: Path, name: str) -> Subject:
    """Read what a bundle or a checkpoint says about itself, and that it is whole."""
    if is_bundle(path):
        return _from_bundle(Bundle.open(path), name)
    if (path / CONFIG_FILE).is_file() and (path / WEIGHTS).is_file():
        return _from_checkpoint(path, name)
    return _refuse(path)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest tail of each path, of one depth for all, that tells them apart."""
    deepest = max(len(path.parts) for path in paths)
    for depth in range(1, deepest + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _from_bundle(bundle: Bundle, name: str) -> Subject:
    manifest = bundle.manifest
    return Subject(
        name=name,
        path=bundle.folder,
        backend="onnxruntime",
        digest=bundle.digest,
        size=_size(bundle.folder),
        parameters=manifest.parameters,
        layers=len(manifest.kept_layers),
        base_layers=manifest.base_layers,
        precision=manifest.precision,
        window_length=manifest.window_length,
        assembly=manifest.assembly,
        fine_tune_seconds=manifest.fine_tuning.seconds,
        trained_on=manifest.data.trained_on,
        licences=_distinct(manifest.licences.base_model, manifest.licences.data),
        base_model=manifest.fine_tuning.base_model,
        base_fingerprint=manifest.fine_tuning.base_model_fingerprint,
        seed=manifest.fine_tuning.seed,
        seed_aurocs=manifest.fine_tuning.seed_aurocs,
        temperature=manifest.temperature,
        threshold=manifest.threshold,
        training=manifest.fine_tuning.cost,
        weights=manifest.fine_tuning.checkpoint,
        loss=manifest.loss,
        bundle=bundle,
    )


def _from_checkpoint(path: Path, name: str) -> Subject:
    shapes = tensor_shapes(path)
    require_trained_head(path, shapes)
    record = known_training(path)
    digest = fingerprint_model(path)
    return Subject(
        name=name,
        path=path,
        backend="torch",
        digest=digest,
        size=_size(path),
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        layers=_layers(path),
        base_layers=record.base_layers,
        precision="fp32",
        window_length=record.window_length,
        assembly=record.assembly,
        fine_tune_seconds=record.fine_tune_seconds,
        trained_on=record.data_fingerprint,
        licences=_distinct(licence(path), record.data_licence),
        base_model=record.base_model,
        base_fingerprint=record.base_model_fingerprint,
        seed=record.seed,
        seed_aurocs=record.seed_aurocs,
        training=record.cost,
        weights=digest,
    )


def _refuse(path: Path) -> Subject:
    if not path.exists():
        raise GenoslimError(f"{path}: no such folder; expected a bundle or a checkpoint")
    if not path.is_dir():
        raise GenoslimError(f"{path}: is a file; a bundle and a checkpoint are folders")
    hints = {
        "bench.json": "it is the result of `genoslim bench`",
        "prune.json": "it is the result of `genoslim prune`: name the checkpoints in it",
        "run.json": "it is a run folder: `genoslim prune` turns it into checkpoints",
    }
    found = next((hint for name, hint in hints.items() if (path / name).is_file()), None)
    wanted = f"neither a bundle (bundle.json) nor a checkpoint ({CONFIG_FILE} and {WEIGHTS})"
    raise GenoslimError(f"{path}: {wanted}" + (f": {found}" if found else ""))


def _layers(path: Path) -> int:
    layers = read_config(path).get("num_hidden_layers")
    if not isinstance(layers, int) or layers < 1:
        raise GenoslimError(
            f"{path / CONFIG_FILE}: num_hidden_layers is {layers!r}; expected 1 or more"
        )
    return layers


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _distinct(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))
