"""What a checkpoint says about how it was made: the typed content of `genoslim.json`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..codec import check_format, decode, plain
from ..files import read_json, write_json
from ..stats.metrics import Metrics

RECORD_FILE = "genoslim.json"
RECORD_FORMAT = 2
"""Records without a format are of genoslim 0.1.0 or by hand; `_of_trial` knows their odd one."""

_Split = Literal["validation", "test"]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingEnvironment:
    """The versions and the machine that something was trained with."""

    genoslim: str
    python: str
    torch: str
    numpy: str
    platform: str
    processor: str
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """What a fine-tuning took, beside its seconds.

    Epochs are passes over the training rows; one may end, and be looked at, within a pass. The
    validation loss was lowest after `best_epoch`, and after `converged_epoch` for the first time
    within `tolerance` (a share of the lowest); None where no loss was a number.
    `sequences_per_second` counts training rows, over all of the fine-tuning, its looks at the
    validation loss included. `threads` are torch's. `processor` is None in records of before it
    was noted, `gpu` the name of the card that trained, None on a CPU.
    """

    epochs: float
    best_epoch: float | None
    converged_epoch: float | None
    tolerance: float
    sequences_per_second: float
    device: str
    threads: int
    precision: str
    processor: str | None = None
    gpu: str | None = None


@dataclass(frozen=True, kw_only=True)
class Int8Tuning:
    """Further fine-tuning with int8 rounding in the loop; what `tune_int8` found.

    It went on from the weights of `checkpoint` (its fingerprint). AUROCs are on validation: `exact`
    of those in float32, `plain` of those in int8, `tuned` in int8 after the tuning, and `longer` in
    int8 after as much fine-tuning without the rounding, which is what the tuning has to be held
    against; None where that diverged.
    """

    checkpoint: str
    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    seconds: float
    exact: float
    plain: float
    tuned: float
    longer: float | None


@dataclass(frozen=True, kw_only=True)
class SeedRecord:
    """One fine-tuned seed of a model.

    `trial` is the hash of its spec; `collapsed` says why it is held to have learnt nothing, and is
    empty for a sound one; `macro_auroc` is by split, None where the data has no groups. `cost` is
    None in records of before it was noted.
    """

    seed: int
    trial: str
    collapsed: str
    validation: Metrics
    test: Metrics
    macro_auroc: Mapping[_Split, float | None]
    fine_tune_seconds: float
    evaluation_seconds: float
    steps: int
    cost: TrainingCost | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """How a checkpoint came to be, as far as it is known; None or empty where it is not.

    `base_layers` is the depth of the model it was made from, `kept_layers` and `dropped_layers` are
    indices in that. `licence` is that of the weights. `seed`, `trial` (hash of the spec), the
    seconds, `cost`, metrics and `macro_auroc` (by split) are those of the seed whose weights these
    are; `seeds` are all that were trained. `recipe`, and `healing` or `supernet`, hold the settings
    of the training by name, `int8` what was gained by tuning it for that precision. `model` and
    `chosen_because` say which of the models of `genoslim prune` this is and why its layers were
    dropped.
    """

    format: int = RECORD_FORMAT
    base_model: str | None = None
    base_model_fingerprint: str | None = None
    base_layers: int | None = None
    kept_layers: tuple[int, ...] = ()
    dropped_layers: tuple[int, ...] = ()
    model: str | None = None
    chosen_because: str | None = None
    licence: str | None = None
    data_licence: str | None = None
    data_source: str | None = None
    data_fingerprint: str | None = None
    window_length: int | None = None
    assembly: str | None = None
    label_names: tuple[str, ...] = ()
    seed: int | None = None
    trial: str | None = None
    recipe: Mapping[str, float | str | Mapping[str, int | tuple[str, ...]] | None] = field(
        default_factory=dict
    )
    healing: Mapping[str, float | str] | None = None
    supernet: Mapping[str, float | str] | None = None
    int8: Int8Tuning | None = None
    fine_tune_seconds: float | None = None
    evaluation_seconds: float | None = None
    cost: TrainingCost | None = None
    parameters: int | None = None
    validation: Metrics | None = None
    test: Metrics | None = None
    macro_auroc: Mapping[_Split, float | None] = field(default_factory=dict)
    seeds: tuple[SeedRecord, ...] = ()
    environment: TrainingEnvironment | None = None

    @property
    def fine_tuned(self) -> bool:
        """Whether the classification head was trained here."""
        return self.fine_tune_seconds is not None

    @property
    def seed_aurocs(self) -> tuple[float, ...]:
        """The test AUROC of every seed that has learnt something."""
        return tuple(seed.test.auroc for seed in self.seeds if not seed.collapsed)

    @property
    def base_name(self) -> str | None:
        """The name of the base model, without the folders of the machine it was trained on."""
        if self.base_model is None or not Path(self.base_model).is_absolute():
            return self.base_model
        return Path(self.base_model).name


def read_training(folder: Path) -> TrainingRecord | None:
    """Return the training record of a checkpoint folder, or None if it holds none.

    Raises GenoslimError naming the file and the field for anything else than a record.
    """
    path = folder / RECORD_FILE
    content = read_json(path)
    if content is None:
        return None
    if "format" in content:
        check_format(content, RECORD_FORMAT, str(path))
    elif all(isinstance(content.get(name), dict) for name in ("trial", "result")):
        content = _of_trial(content)
    return decode(TrainingRecord, content, str(path))


def is_fine_tuned(folder: Path) -> bool:
    """Whether the record of a checkpoint folder says that its head was trained here."""
    record = read_training(folder)
    return record is not None and record.fine_tuned


def known_training(folder: Path) -> TrainingRecord:
    """Return the training record of a checkpoint folder; an empty one, with a warning, if none."""
    record = read_training(folder)
    if record is None:
        path = folder / RECORD_FILE
        _LOG.warning("%s: no such file: how this checkpoint was trained is unknown", path)
    return record or TrainingRecord()


def write_training(folder: Path, record: TrainingRecord) -> None:
    """Write the training record of a checkpoint folder; what is not known is left out."""
    known = {name: value for name, value in plain(record).items() if value is not None}
    write_json(folder / RECORD_FILE, known)


def _of_trial(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return today's form of what genoslim 0.1.0 wrote beside the weights of a trial."""
    spec, result = content["trial"], content["result"]
    taken = {name: result[name] for name in _OF_RESULT if name in result}
    taken |= {name: spec[name] for name in _OF_SPEC if name in spec}
    return {
        **content,
        **taken,
        "trial": result.get("hash"),
        "base_model_fingerprint": spec.get("model_fingerprint"),
    }


_OF_SPEC = ("seed", "recipe", "data_fingerprint")
_OF_RESULT = (
    "validation",
    "test",
    "macro_auroc",
    "fine_tune_seconds",
    "evaluation_seconds",
    "parameters",
)
