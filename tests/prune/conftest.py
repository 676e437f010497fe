"""Tiny models and data, and one finished sweep shared by the tests that read it."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from judgements import judged

from genoslim.prune.execution import Executor
from genoslim.prune.plan import SweepConfig, open_sweep
from genoslim.prune.recipe import Recipe
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.search import SearchOptions
from genoslim.prune.slim import build_slim_models
from genoslim.prune.slim_model import Pruned
from genoslim.prune.sweep import sweep

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_sweep.py"))
QUICK = Recipe(epochs=3, learning_rate=1e-2, batch_size=16)
NO_SEARCH = SearchOptions(trainings=0)
INLINE = Executor(workers=1, threads=1, device="cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A post-LayerNorm model of three layers, with dropout."""
    folder: Path = TINY["write_model"](
        tmp_path_factory.mktemp("model") / "dnabert2", "dnabert2", hidden=16, dropout=0.1
    )
    return folder


@pytest.fixture(scope="session")
def nt_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-LayerNorm model of three layers."""
    folder: Path = TINY["write_model"](tmp_path_factory.mktemp("model") / "nt", "nt_v1", hidden=16)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 training, 64 validation and 64 test windows in four groups."""
    path: Path = TINY["write_data"](
        tmp_path_factory.mktemp("data") / "data.parquet", groups=4, source="simulated eQTL"
    )
    return path


@pytest.fixture(scope="session")
def config(nt_model: Path, data: Path) -> SweepConfig:
    return SweepConfig(model=str(nt_model), data=data, recipe=QUICK, layer_seeds=1)


@pytest.fixture(scope="session")
def finished(config: SweepConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished sweep; read it, do not change it."""
    run = open_sweep(tmp_path_factory.mktemp("run") / "run", config)
    sweep(run, executor=INLINE)
    return run


@pytest.fixture(scope="session")
def pruned(finished: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pruned]:
    """Slim models of the shared sweep, by roles set by hand: 0 unfavourable, 1 cornerstone."""
    out = tmp_path_factory.mktemp("slim") / "out"
    verdicts = judged(("unfavourable", 0.8), ("cornerstone", 0.5), ("neutral", 0.75))
    return out, build_slim_models(finished, verdicts, out, executor=INLINE, search=NO_SEARCH)


@pytest.fixture
def own_run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the finished sweep, to be changed."""
    return RunFolder(shutil.copytree(finished.folder, tmp_path / "own-run"))
