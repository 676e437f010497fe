"""Whether a data set is one that a model was made for."""

from __future__ import annotations

from pathlib import Path

from ..errors import GenoslimError
from .assembly import same
from .metadata import DataMetadata


def require_fit(
    model: Path, metadata: DataMetadata, *, window_length: int | None, assembly: str | None
) -> None:
    """Raise GenoslimError, naming the model, if it was made for other windows than these.

    `window_length` (base pairs) and `assembly` are the model's; None where it does not say. An
    assembly goes by many names, and one that is not stated is no other than any.
    """
    if window_length not in (None, metadata.window_length):
        raise GenoslimError(
            f"{model}: made for windows of {window_length} bp, but the data set has windows of"
            f" {metadata.window_length} bp: give the data it is for"
        )
    if not same(assembly, metadata.assembly):
        raise GenoslimError(
            f"{model}: made for assembly {assembly}, but the data set is of {metadata.assembly}:"
            " give the data it is for"
        )
