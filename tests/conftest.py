"""Fixtures shared by every room's tests."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

# Before torch is loaded: the processes of a run share the cores.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

pytest_plugins = [
    "browser",
    "bundles",
    "examples",
]  # in tests/fixtures, by `pythonpath` in pyproject.toml

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """Keep what is remembered out of the user's own folders, child processes too."""
    folder = tempfile.TemporaryDirectory(prefix="genoslim-tests-")
    os.environ["GENOSLIM_CACHE"] = folder.name
    os.environ["GENOSLIM_LEDGER"] = folder.name
    config.add_cleanup(folder.cleanup)


@pytest.fixture(autouse=True)
def _no_test_knows_what_another_opened(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give each test a ledger of its own; models and data are shared by many."""
    name = f"ledger-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]}"
    monkeypatch.setenv("GENOSLIM_LEDGER", str(Path(os.environ["GENOSLIM_CACHE"]) / name))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data and golden outputs, kept outside the project; skips without it."""
    folder = Path(os.environ.get("GENOSLIM_TEST_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder; set GENOSLIM_TEST_DATA to it")
    return folder
