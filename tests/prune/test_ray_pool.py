"""Trials on a local Ray cluster of two cores, and the rules by which actors are placed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweeps import assert_same_results

from genoslim.errors import GenoslimError
from genoslim.prune import ray_pool
from genoslim.prune.execution import Executor
from genoslim.prune.plan import SweepConfig, open_sweep, plan, setting_of
from genoslim.prune.ray_pool import Needs, RayPool, RayWorker, Versions
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.runner import Setting
from genoslim.prune.sweep import sweep

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:ray", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of one node with two cores, of this machine."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def setting(finished: RunFolder, tmp_path: Path) -> Setting:
    return setting_of(finished, trials=tmp_path / "trials")


@pytest.mark.parametrize(
    ("needs", "nodes", "places"),
    [
        (Needs(1, 0), [{"CPU": 2.0}, {"CPU": 4.0}], 6),
        (Needs(3, 0), [{"CPU": 2.0}, {"CPU": 4.0}], 1),
        (Needs(8, 0), [{"CPU": 4.0}, {"CPU": 4.0}], 0),
        (Needs(1, 1), [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}], 2),
        (Needs(1, 4), [{"CPU": 16.0, "GPU": 2.0}], 8),
        (Needs(4, 4), [{"CPU": 16.0, "GPU": 2.0}], 4),
        (Needs(1, 1), [], 0),
    ],
)
def test_places_for_actors(needs: Needs, nodes: list[dict[str, float]], places: int) -> None:
    assert needs.places(nodes) == places


def test_what_an_actor_takes_in_words() -> None:
    assert [str(Needs(*one)) for one in ((1, 0), (8, 1), (1, 4))] == [
        "1 core",
        "8 cores and 1 of a GPU",
        "1 core and 0.25 of a GPU",
    ]


def test_ray_finds_what_one_process_finds(
    cluster: Any, finished: RunFolder, config: SweepConfig, tmp_path: Path
) -> None:
    run = open_sweep(tmp_path / "run", config)
    sweep(run, executor=Executor(kind="ray", threads=1, device="cpu"))  # two of six at once
    assert_same_results(finished, run)
    assert cluster.is_initialized()  # it was not ours to end


def test_a_worker_that_fits_on_no_node_is_refused_with_what_there_is(
    cluster: Any, setting: Setting
) -> None:
    with pytest.raises(
        GenoslimError, match=r"no node has place for a worker, which takes 3 cores: 2 cores, 0 GPUs"
    ):
        RayPool([replace(setting, threads=3)])
    with pytest.raises(GenoslimError, match=r"takes 1 core and 0\.25 of a GPU: 2 cores, 0 GPUs"):
        RayPool([replace(setting, threads=1, device="cuda:0")], trials_a_gpu=4)


def test_workers_that_do_not_come_up_in_time_are_told_with_the_reason(
    cluster: Any, setting: Setting
) -> None:
    class Other:
        pass

    other = cluster.remote(num_cpus=2)(Other).remote()
    cluster.get(other.__ray_ready__.remote())
    with pytest.raises(
        GenoslimError,
        match=r"no worker of 1 is ready: not ready within 0\.5 s: each takes 1 core, free now: 0 c",
    ):
        RayPool([replace(setting, threads=1)], ready_seconds=0.5)
    cluster.kill(other)


def test_other_versions_on_a_node_are_refused(
    cluster: Any, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Versions.here()
    monkeypatch.setattr(ray_pool.Versions, "here", lambda: replace(here, torch="1.0"))
    with pytest.raises(GenoslimError, match=r"a worker has genoslim .* and torch 2.*torch 1\.0"):
        RayPool([replace(setting, threads=1)])


def test_the_drivers_torch_may_be_built_for_another_device() -> None:
    driver, workers = Versions("2.0", "2.13.0+cpu"), Versions("2.0", "2.13.0+cu130")
    driver.require_same([workers, workers])
    with pytest.raises(
        GenoslimError, match=r"torch 2\.13\.0\+cpu, another genoslim .*\+cu130: the"
    ):
        driver.require_same([workers, driver])
    for other in (replace(workers, torch="2.12.0+cu130"), replace(workers, genoslim="1.0")):
        with pytest.raises(GenoslimError, match=r"here are genoslim 2\.0 and torch 2\.13\.0\+cpu"):
            driver.require_same([workers, other])


def test_a_worker_tells_what_went_wrong(finished: RunFolder, setting: Setting) -> None:
    worker = RayWorker(replace(setting, threads=1))
    spec = replace(plan(finished)[3], dropped=(7,))
    ended = worker.run(spec, keep_weights=False)
    assert (ended.spec, ended.outcome) == (spec, "failed")
    assert "7" in ended.cause


def test_without_ray_the_extra_is_named(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(GenoslimError, match=r"needs ray: pip install '\.\[ray\]' in a checkout"):
        RayPool([setting])
