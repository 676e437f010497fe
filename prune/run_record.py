"""What a run folder is: the typed content of `run.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..codec import check_format, decode, write_record
from ..data.metadata import DataMetadata
from ..errors import GenoslimError
from ..files import read_json
from ..models.record import TrainingEnvironment
from .numerics import Numerics
from .recipe import Recipe

RUN_FILE = "run.json"
RUN_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What must agree for a sweep to go on in a folder.

    Fingerprints are SHA-256; `seeds` and `layer_seeds` are counts, up from `seed`. An `adaptive`
    sweep gives further seeds only to the layers that are undecided.
    """

    model_fingerprint: str
    data_fingerprint: str
    recipe: Recipe
    seed: int
    seeds: int
    layer_seeds: int
    adaptive: bool = False


@dataclass(frozen=True, kw_only=True)
class RunLicences:
    """The licences of the weights and of the data that a run starts from."""

    model: str
    data: str


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A sweep: its identity, and what is there to be read.

    `model` and `data` say where the pretrained weights and the labelled windows were, `layers` how
    many the model has; `created` is a time in ISO 8601. `numerics` is what all of its trials are
    trained on and in (None in records of before that was noted).
    """

    format: int = RUN_FORMAT
    identity: RunIdentity
    model: str
    data: str
    family: str
    layers: int
    licences: RunLicences
    data_metadata: DataMetadata
    environment: TrainingEnvironment
    created: str
    numerics: Numerics | None = None


def read_run(folder: Path) -> RunRecord:
    """Read `run.json` of a run folder; GenoslimError if it is absent, broken or of another format.

    Unknown fields are refused: a sweep that goes on must not leave out what another version
    decided.
    """
    path = folder / RUN_FILE
    content = read_json(path)
    if content is None:
        raise GenoslimError(f"{folder} is not a run folder: it has no {RUN_FILE}")
    check_format(content, RUN_FORMAT, str(path))
    return decode(RunRecord, content, str(path), exact=True)


def write_run(folder: Path, record: RunRecord) -> None:
    """Write `run.json` of a run folder."""
    write_record(folder / RUN_FILE, record)
