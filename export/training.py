"""Whether a data set fits what a checkpoint says about how it was trained."""

from __future__ import annotations

import logging
from pathlib import Path

from ..data.dataset import LabelledData
from ..data.fit import require_fit
from ..models.record import TrainingRecord

_LOG = logging.getLogger(__name__)


def check_data(record: TrainingRecord, data: LabelledData, checkpoint: Path) -> None:
    """Refuse a data set of another window length or assembly; warn of another fingerprint."""
    require_fit(
        checkpoint, data.metadata, window_length=record.window_length, assembly=record.assembly
    )
    if record.data_fingerprint != data.fingerprint:
        _LOG.warning(
            "evaluated on other data (%.12s) than trained on (%.12s): leakage cannot be"
            " excluded, so the metrics may flatter; the bundle says so",
            data.fingerprint,
            record.data_fingerprint or "unknown",
        )
