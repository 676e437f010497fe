"""Whether a data set fits what a checkpoint says about how it was trained."""

from __future__ import annotations

import logging
from pathlib import Path

from ..data.dataset import LabelledData
from ..errors import GenoslimError
from ..models.record import TrainingRecord

_LOG = logging.getLogger(__name__)


def check_data(record: TrainingRecord, data: LabelledData, checkpoint: Path) -> None:
    """Refuse a data set of another window length or assembly; warn of another fingerprint."""
    metadata = data.metadata
    if record.window_length not in (None, metadata.window_length):
        raise GenoslimError(
            f"{checkpoint}: trained on windows of {record.window_length} bp, but the data set has"
            f" windows of {metadata.window_length} bp: give the data it was trained on"
        )
    if record.assembly not in (None, metadata.assembly):
        raise GenoslimError(
            f"{checkpoint}: trained on assembly {record.assembly}, but the data set is of"
            f" {metadata.assembly}: give the data it was trained on"
        )
    if record.data_fingerprint != data.fingerprint:
        _LOG.warning(
            "evaluated on other data (%.12s) than trained on (%.12s): leakage cannot be"
            " excluded, so the metrics may flatter; the bundle says so",
            data.fingerprint,
            record.data_fingerprint or "unknown",
        )
