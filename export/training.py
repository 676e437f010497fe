"""What a checkpoint's own record says about how it was trained, and whether a data set fits it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.dataset import LabelledData
from ..errors import GenoslimError
from ..models.families import RECORD_FILE, read_json

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """The part of a checkpoint's record that its bundle repeats; None where it does not say."""

    base_model: str | None = None
    base_layers: int | None = None
    seed: int | None = None
    seconds: float | None = None
    dropped_layers: tuple[int, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    window_length: int | None = None
    assembly: str | None = None
    data_fingerprint: str | None = None
    data_licence: str | None = None

    @classmethod
    def read(cls, checkpoint: Path) -> TrainingFacts:
        """Read `genoslim.json` of a checkpoint; all unknown if there is none (with a warning)."""
        path = checkpoint / RECORD_FILE
        record = read_json(path)
        if record is None:
            _LOG.warning("%s: no such file: how this checkpoint was trained is unknown", path)
            return cls()
        try:
            return cls._of(record)
        except (TypeError, ValueError) as error:
            raise GenoslimError(f"{path}: not a training record ({error})") from None

    @classmethod
    def _of(cls, record: Mapping[str, Any]) -> TrainingFacts:
        return cls(
            base_model=_or_none(_public_name, record.get("base_model")),
            base_layers=_or_none(int, record.get("base_layers")),
            seed=_or_none(int, record.get("seed")),
            seconds=_or_none(float, record.get("fine_tune_seconds")),
            dropped_layers=tuple(int(layer) for layer in record.get("dropped_layers") or ()),
            recipe=dict(record.get("recipe") or {}),
            window_length=_or_none(int, record.get("window_length")),
            assembly=_or_none(str, record.get("assembly")),
            data_fingerprint=_or_none(str, record.get("data_fingerprint")),
            data_licence=_or_none(str, record.get("data_licence")),
        )

    def check(self, checkpoint: Path, data: LabelledData) -> None:
        """Refuse a data set of another window length or assembly; warn of another fingerprint."""
        metadata = data.metadata
        if self.window_length not in (None, metadata.window_length):
            raise GenoslimError(
                f"{checkpoint}: trained on windows of {self.window_length} bp, but the data set has"
                f" windows of {metadata.window_length} bp: give the data it was trained on"
            )
        if self.assembly not in (None, metadata.assembly):
            raise GenoslimError(
                f"{checkpoint}: trained on assembly {self.assembly}, but the data set is of"
                f" {metadata.assembly}: give the data it was trained on"
            )
        if self.data_fingerprint != data.fingerprint:
            _LOG.warning(
                "evaluated on other data (%.12s) than trained on (%.12s): leakage cannot be"
                " excluded, so the metrics may flatter; the bundle says so",
                data.fingerprint,
                self.data_fingerprint or "unknown",
            )


def _public_name(source: Any) -> str:
    """Return a model's name without the folders of the machine it was trained on."""
    name = str(source)
    return Path(name).name if Path(name).is_absolute() else name


def _or_none(kind: Any, value: Any) -> Any:
    return None if value is None else kind(value)
