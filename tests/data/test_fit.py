from __future__ import annotations

from pathlib import Path

import pytest

from genoslim.data.fit import require_fit
from genoslim.data.metadata import DataMetadata
from genoslim.errors import GenoslimError

MODEL = Path("model")


def metadata(assembly: str = "GRCh38") -> DataMetadata:
    return DataMetadata(window_length=60, assembly=assembly, source="made up", licence="CC0-1.0")


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("GRCh38", "GRCh38"),
        ("hg38", "GRCh38"),
        ("GRCh38.p14", "hg38"),
        (None, "GRCh38"),
        ("unknown", "GRCh38"),
        ("GRCh38", "unknown"),
        ("my assembly", "my assembly"),
    ],
)
def test_one_assembly_goes_by_many_names(model: str | None, data: str) -> None:
    require_fit(MODEL, metadata(data), window_length=None, assembly=model)


@pytest.mark.parametrize(("model", "data"), [("GRCh37", "GRCh38"), ("mine", "yours")])
def test_another_assembly_is_refused(model: str, data: str) -> None:
    with pytest.raises(GenoslimError, match=f"made for assembly {model}, .* is of {data}"):
        require_fit(MODEL, metadata(data), window_length=60, assembly=model)


def test_another_window_length_is_refused() -> None:
    with pytest.raises(GenoslimError, match=r"made for windows of 512 bp, .* windows of 60 bp"):
        require_fit(MODEL, metadata(), window_length=512, assembly=None)
