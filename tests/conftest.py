"""Fixtures shared by every room's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data and golden outputs, kept outside the project; skips without it."""
    folder = Path(os.environ.get("GENOSLIM_TEST_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder; set GENOSLIM_TEST_DATA to it")
    return folder
