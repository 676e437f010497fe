"""Run trials side by side on any executor, whatever ends or kills some of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

import torch

from ..bundle.machine import usable_cores
from ..errors import GenoslimError, UsageError, listed
from ..models import resolve
from .lora import require_peft
from .numerics import Numerics, numerics_on, require_same
from .plan import next_attempt
from .pool import Ended, InlinePool, Pool, ProcessPool
from .progress import Monitor, ProgressCallback
from .ray_pool import RayPool
from .recipe import Recipe
from .run_folder import TrialStore
from .runner import Setting, resolve_devices
from .trial import TrialSpec

_log = logging.getLogger(__name__)

_BUSY_SECONDS = 1.0
_SMALL_BYTES = 80_000_000
_TRIALS_A_GPU = 4


@dataclass(frozen=True, kw_only=True)
class Executor:
    """Where trials run side by side.

    By default there is a worker for each GPU, and four for a small model (weights below 80 MB),
    which leaves most of a GPU idle, if there are cores for them. On a CPU a small model is trained
    fastest by one thread, so it gets a worker for each core; a larger one gets a single worker with
    all cores. On Ray there are as many as the cluster has place for. `threads` are torch's, in each
    worker.
    """

    kind: Literal["local", "ray"] = "local"
    workers: int | None = None
    threads: int | None = None
    device: str = "auto"

    def settings(self, base: Setting, trials: int, recipe: Recipe) -> list[Setting]:
        """Return one setting for each worker: never more of them than trials.

        Of unlike GPUs those have workers that compute the recipe as the first one does.
        """
        devices = self._alike(recipe)
        remote, on_cpu = self.kind == "ray", devices == ["cpu"]
        small = _is_small(base.model)
        workers = self.workers or _workers(len(devices), on_cpu=on_cpu, small=small)
        alone = small if on_cpu else remote
        threads = self.threads or (1 if alone else max(1, usable_cores() // workers))
        workers = min(self.workers or trials if remote else workers, trials)
        return [
            replace(base, device=devices[index % len(devices)], threads=threads)
            for index in range(workers)
        ]

    def numerics(self, recipe: Recipe, known: Numerics | None = None) -> Numerics:
        """Return what trials of a recipe are trained on and in.

        `known` is what trials of the run were: a cluster's workers see whether theirs is the same.
        UsageError for a precision that the device has not, or that is only known on a cluster.
        """
        device = torch.device(self._devices()[0])
        if device.type == "cuda" and recipe.precision == "auto" and not torch.cuda.is_available():
            if known is not None:
                return Numerics("cuda", known.precision)
            raise UsageError(
                "precision auto: no GPU here tells what the cluster's can; give --precision"
                " bf16 (from compute capability 8.0 on), fp16 or fp32"
            )
        return numerics_on(device, recipe)

    def _devices(self) -> list[str]:
        """Return torch's names of the devices; on a cluster's node Ray shows a worker one GPU."""
        remote = self.kind == "ray" and self.device == "cuda"
        return ["cuda:0"] if remote else resolve_devices(self.device)

    def _alike(self, recipe: Recipe) -> list[str]:
        """Return the devices that compute a recipe as the first one does; a line names others."""
        first, *others = self._devices()
        if not others:
            return [first]
        numerics = numerics_on(torch.device(first), recipe)
        alike = [device for device in others if _computes(device, recipe, numerics)]
        if left := [device for device in others if device not in alike]:
            _log.warning("%s left out: not in %s, as %s", listed(left), numerics.precision, first)
        return [first, *alike]

    def pool(self, settings: Sequence[Setting], monitor: Monitor) -> Pool:
        """Start the workers; one local worker is this process itself."""
        if self.kind == "ray":
            shared = _TRIALS_A_GPU if _is_small(settings[0].model) else 1
            return RayPool(settings, trials_a_gpu=shared)
        if len(settings) == 1:
            return InlinePool(settings[0], monitor.stepped)
        return ProcessPool(settings, monitor.stepped)


def _computes(device: str, recipe: Recipe, numerics: Numerics) -> bool:
    try:
        return numerics_on(torch.device(device), recipe) == numerics
    except UsageError:  # it has not the precision
        return False


def _workers(devices: int, *, on_cpu: bool, small: bool) -> int:
    """Return how many workers there are by default on this machine."""
    if not small:
        return devices
    cores = usable_cores()
    return cores if on_cpu else max(devices, min(devices * _TRIALS_A_GPU, cores))


def run_trials(
    specs: Sequence[TrialSpec],
    *,
    store: TrialStore,
    setting: Setting,
    executor: Executor,
    keeps: Callable[[TrialSpec], bool],
    progress: ProgressCallback | None = None,
    stop: Callable[[], str] = str,
) -> None:
    """Run all trials that are not done, and at once those again that collapse.

    `keeps` tells which trials keep their weights. After a failure, or when `stop` (asked after a
    collapse) gives a reason, no new trial starts, those that run are finished, and GenoslimError
    says why.
    """
    driver = _Driver(specs, store, keeps, stop)
    if not driver.todo:
        return
    if any(spec.recipe.lora for spec in specs):
        require_peft()
    recipe = driver.todo[0][1].recipe
    require_same(setting.numerics, executor.numerics(recipe, setting.numerics))
    settings = executor.settings(setting, len(driver.todo), recipe)
    monitor = Monitor(len(specs), len(specs) - len(driver.todo), len(settings), progress)
    driver.monitor = monitor
    try:
        with closing(executor.pool(settings, monitor)) as pool:
            monitor.slots = pool.slots
            driver.drive(pool)
    except KeyboardInterrupt:
        left = [s for s in specs if next_attempt(store, s, keep_weights=keeps(s)) is not None]
        _log.warning(
            "interrupted with %d of %d trials done; the same command goes on from here",
            len(specs) - len(left),
            len(specs),
        )
        raise


class _Driver:
    """The loop that fills free slots and takes in what ended."""

    monitor: Monitor

    def __init__(
        self,
        specs: Sequence[TrialSpec],
        store: TrialStore,
        keeps: Callable[[TrialSpec], bool],
        stop: Callable[[], str],
    ) -> None:
        self.store = store
        self.keeps = keeps
        self.stop = stop
        self.reason = ""
        self.origin: dict[str, TrialSpec] = {}
        self.todo: list[tuple[float, TrialSpec]] = []
        self.running: set[str] = set()
        self.failed: list[Ended] = []
        for spec in reversed(specs):
            self._enqueue(spec)

    def _enqueue(self, origin: TrialSpec) -> bool:
        """Put the next attempt at a trial first in line, if it needs one."""
        attempt = next_attempt(self.store, origin, keep_weights=self.keeps(origin))
        if attempt is None:
            return False
        self.origin[attempt.hash] = origin
        self.todo.insert(0, (0.0, attempt))
        return True

    def drive(self, pool: Pool) -> None:
        """Run until nothing is left to do or a failure has let the running trials end."""
        while self.running or (self.todo and not self._ending):
            self._fill(pool)
            if not self.running:
                time.sleep(_BUSY_SECONDS)
            for ended in pool.wait():
                self.running.discard(ended.spec.hash)
                self._take(ended)
        if self.failed:
            causes = [*self._causes(), *filter(None, [self.reason])]
            raise GenoslimError(
                f"{'; '.join(causes)}. What is done stays done: run the command again"
            )
        if self.reason:
            raise GenoslimError(self.reason)

    def _causes(self) -> Iterator[str]:
        """Say which trials failed of what; what is true of several is said once."""
        by_cause: dict[str, list[str]] = {}
        for ended in self.failed:
            name = f"{ended.spec.hash} ({ended.spec.name})"
            by_cause.setdefault(ended.cause, []).append(name)
        for cause, names in by_cause.items():
            yield f"trial{'s' * (len(names) > 1)} {listed(names)} failed: {cause}"

    @property
    def _ending(self) -> bool:
        return bool(self.failed or self.reason)

    def _fill(self, pool: Pool) -> None:
        while not self._ending and len(self.running) < pool.slots:
            ready = [item for item in self.todo if item[0] <= time.monotonic()]
            if not ready:
                return
            self.todo.remove(ready[0])
            spec = ready[0][1]
            self.running.add(spec.hash)
            self.monitor.started(spec)
            pool.submit(spec, keep_weights=self.keeps(spec))

    def _take(self, ended: Ended) -> None:
        spec = ended.spec
        if ended.outcome == "busy":
            self.monitor.left(spec)
            self.todo.append((time.monotonic() + _BUSY_SECONDS, spec))
            return
        trial = self.store.read(spec)
        if ended.outcome == "failed" or trial is None:
            cause = ended.cause or "its result does not read back"
            if self.running:
                _log.error(
                    "trial %s (%s) failed, those that run are let end: %s",
                    spec.hash,
                    spec.name,
                    cause,
                )
            self.monitor.left(spec)
            self.failed.append(replace(ended, cause=cause))
            return
        self.monitor.ended(trial, here=ended.outcome == "done")
        if self._enqueue(self.origin[spec.hash]):
            self.monitor.retried()
        elif trial.result.collapsed:
            self.reason = self.stop()


def _is_small(model: str) -> bool:
    """Whether a model's weights are so few that one trial leaves most of a device idle."""
    files = (path for path in resolve(model).iterdir() if path.suffix in (".safetensors", ".bin"))
    return sum(path.stat().st_size for path in files) < _SMALL_BYTES
