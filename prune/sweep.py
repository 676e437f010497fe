"""Plan the sweep, run its trials on any executor, go on after any interruption."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ..bundle.machine import usable_cores
from ..data.dataset import LabelledData
from ..errors import GenoslimError, UsageError
from ..models import load, resolve
from ..models.families import family_name, licence, read_config
from ..models.fingerprint import fingerprint_model
from .pool import Ended, InlinePool, Pool, ProcessPool, RayPool
from .progress import Monitor, ProgressCallback
from .recipe import Recipe
from .run_folder import RunFolder, TrialStore
from .run_record import RunIdentity, RunLicences, RunRecord
from .runner import (
    Setting,
    TrialRunner,
    describe_environment,
    resolve_devices,
    rows_of,
)
from .trial import RETRIES, Trial, TrialSpec, check_splits
from .trial_group import FEWEST_SEEDS

_log = logging.getLogger(__name__)

_BUSY_SECONDS = 1.0
_SMALL_BYTES = 80_000_000


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What a sweep is: the baseline over `seeds` seeds, each layer dropped over `layer_seeds`.

    Seeds count up from `seed`, so that a layer's trials share theirs with the baseline's.
    """

    model: str
    data: Path
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    seeds: int = 3
    layer_seeds: int = 2

    def __post_init__(self) -> None:
        for name in ("seeds", "layer_seeds"):
            if getattr(self, name) < 1:
                raise UsageError(f"sweep: {name} is {getattr(self, name)}, must be at least 1")
        if self.seed < 0:
            raise UsageError(f"sweep: seed is {self.seed}, must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Executor:
    """Where trials run side by side.

    By default there is a worker for each GPU. On a CPU a small model (weights below 80 MB) is
    trained fastest by one thread, so it gets a worker for each core; a larger one gets a single
    worker with all cores. `threads` are torch's, in each worker.
    """

    kind: Literal["local", "ray"] = "local"
    workers: int | None = None
    threads: int | None = None
    device: str = "auto"

    def settings(self, base: Setting, trials: int) -> list[Setting]:
        """Return one setting for each worker: never more of them than trials."""
        remote = self.kind == "ray" and self.device == "cuda"
        devices = ["cuda:0"] if remote else resolve_devices(self.device)
        small = devices == ["cpu"] and _weight_bytes(base.model) < _SMALL_BYTES
        workers = self.workers or (usable_cores() if small else len(devices))
        threads = self.threads or (1 if small else max(1, usable_cores() // workers))
        workers = min(workers, trials)
        return [
            replace(base, device=devices[index % len(devices)], threads=threads)
            for index in range(workers)
        ]

    def pool(self, settings: Sequence[Setting], monitor: Monitor) -> Pool:
        """Start the workers; one local worker is this process itself."""
        if self.kind == "ray":
            return RayPool(settings)
        if len(settings) == 1:
            return InlinePool(settings[0], monitor.stepped)
        return ProcessPool(settings, monitor.stepped)


def open_sweep(folder: Path, config: SweepConfig) -> RunFolder:
    """Make the run folder of a sweep, or open it to go on if it is of the same sweep."""
    source = resolve(config.model)
    data = LabelledData.read(config.data)
    rows = rows_of(data)
    check_splits(rows)
    layers = _depth(source)
    if layers < 2:
        raise GenoslimError(f"{config.model} has {layers} layer: there is nothing to drop")
    record = RunRecord(
        identity=RunIdentity(
            model_fingerprint=fingerprint_model(source),
            data_fingerprint=data.fingerprint,
            recipe=config.recipe,
            seed=config.seed,
            seeds=config.seeds,
            layer_seeds=config.layer_seeds,
        ),
        model=_absolute(config.model),
        data=str(Path(config.data).absolute()),
        family=family_name(read_config(source)),
        layers=layers,
        licences=RunLicences(model=licence(source), data=data.metadata.licence),
        data_metadata=data.metadata,
        environment=describe_environment(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return RunFolder.create(folder, record=record, rows=rows)


def config_of(run: RunFolder) -> SweepConfig:
    """Return the configuration a run folder was made with."""
    identity = run.record.identity
    return SweepConfig(
        model=run.record.model,
        data=Path(run.record.data),
        recipe=identity.recipe,
        seed=identity.seed,
        seeds=identity.seeds,
        layer_seeds=identity.layer_seeds,
    )


def plan(run: RunFolder) -> list[TrialSpec]:
    """Return the trials of a sweep: baseline seeds first, then layer after layer."""
    config = config_of(run)
    baseline = [spec_of(run, (), config.seed + index) for index in range(config.seeds)]
    layers = [
        spec_of(run, (layer,), config.seed + index)
        for layer in range(run.record.layers)
        for index in range(config.layer_seeds)
    ]
    return baseline + layers


def spec_of(run: RunFolder, dropped: Sequence[int], seed: int) -> TrialSpec:
    """Return the trial of a run's model, data and recipe without some layers."""
    identity = run.record.identity
    return TrialSpec(
        model=run.record.model,
        model_fingerprint=identity.model_fingerprint,
        data_fingerprint=identity.data_fingerprint,
        dropped=tuple(sorted(dropped)),
        seed=seed,
        recipe=identity.recipe,
    )


def sweep(run: RunFolder, *, executor: Executor, progress: ProgressCallback | None = None) -> None:
    """Run what is missing of a sweep; baseline trials keep their weights.

    Raises GenoslimError naming the trial and the cause if one fails, and as soon as too many seeds
    of the baseline have collapsed for any layer to be judged. An interrupt ends the trials that
    run, logs one line and goes on up: what is done stays done.
    """
    if reason := hopeless(run):
        raise GenoslimError(reason)
    if config_of(run).seeds < FEWEST_SEEDS:
        _log.warning("a single baseline seed has no spread: every layer will be undecided")
    run_trials(
        plan(run),
        store=run.trials,
        setting=setting_of(run),
        executor=executor,
        keeps=lambda spec: not spec.dropped,
        progress=progress,
        stop=lambda: hopeless(run),
    )


def hopeless(run: RunFolder) -> str:
    """Say why a sweep need not go on, if collapses left the baseline too few seeds."""
    tries = [attempts(run.trials, spec) for spec in plan(run) if not spec.dropped]
    lost = [seed for seed in tries if len(seed) > RETRIES and seed[-1].result.collapsed]
    if len(tries) - len(lost) >= min(FEWEST_SEEDS, len(tries)):
        return ""
    return (
        f"{len(lost)} of {len(tries)} seeds of the baseline collapsed"
        f" ({lost[0][-1].result.collapsed}) at each of {RETRIES + 1} attempts, so no layer can be"
        " judged: give another recipe (more --max-epochs, another --learning-rate) and a new -o"
    )


def run_one(run: RunFolder, trial_hash: str, *, executor: Executor) -> None:
    """Run one trial of the plan, or of its retries, in this process: for a cluster's job arrays."""
    known = {
        attempt.hash: attempt
        for spec in plan(run)
        for attempt in (spec.again(number) for number in range(RETRIES + 1))
    }
    if trial_hash not in known:
        raise UsageError(
            f"no trial {trial_hash!r} in {run.folder}; `genoslim sweep -o {run.folder} --dry-run`"
            " lists them"
        )
    spec = known[trial_hash]
    runner = TrialRunner(executor.settings(setting_of(run), 1)[0])
    try:
        outcome = runner.run(spec, keep_weights=not spec.dropped)
    except KeyboardInterrupt:
        _log.warning("interrupted: trial %s (%s) is not done", spec.hash, spec.name)
        raise
    _log.info("trial %s (%s): %s", spec.hash, spec.name, outcome)


def setting_of(run: RunFolder, *, trials: Path | None = None) -> Setting:
    """Return what trials of a run read, and where they are written (default: the run itself)."""
    return Setting(
        model=run.record.model,
        model_fingerprint=run.record.identity.model_fingerprint,
        data=Path(run.record.data),
        data_fingerprint=run.record.identity.data_fingerprint,
        trials=(trials or run.trials.folder).absolute(),
    )


def attempts(store: TrialStore, spec: TrialSpec) -> list[Trial]:
    """Return the finished attempts at a trial: one, and retries while they collapsed."""
    found: list[Trial] = []
    for number in range(RETRIES + 1):
        trial = store.read(spec.again(number))
        if trial is None:
            break
        found.append(trial)
        if not trial.result.collapsed:
            break
    return found


def next_attempt(store: TrialStore, spec: TrialSpec, *, keep_weights: bool) -> TrialSpec | None:
    """Return the attempt at a trial that is to be run now, None if the trial is settled."""
    for number in range(RETRIES + 1):
        attempt = spec.again(number)
        if not store.done(attempt, with_weights=keep_weights):
            return attempt
        trial = store.read(attempt)
        if trial is None or not trial.result.collapsed:
            return None
    return None


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
    settings = executor.settings(setting, len(driver.todo))
    monitor = Monitor(len(specs), len(specs) - len(driver.todo), len(settings), progress)
    driver.monitor = monitor
    try:
        with closing(executor.pool(settings, monitor)) as pool:
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
        if self.reason:
            raise GenoslimError(self.reason)
        if self.failed:
            causes = "; ".join(
                f"trial {ended.spec.hash} ({ended.spec.name}) failed: {ended.cause}"
                for ended in self.failed
            )
            raise GenoslimError(f"{causes}. What is done stays done: run the command again")

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
            _log.error("trial %s (%s) failed: %s", spec.hash, spec.name, cause)
            self.monitor.left(spec)
            self.failed.append(replace(ended, cause=cause))
            return
        self.monitor.ended(trial, here=ended.outcome == "done")
        if self._enqueue(self.origin[spec.hash]):
            self.monitor.retried()
        elif trial.result.collapsed:
            self.reason = self.stop()


def _depth(source: Path) -> int:
    """Return the number of layers; the model is loaded only if its config has its own word."""
    stated = read_config(source).get("num_hidden_layers")
    return stated if isinstance(stated, int) else len(load(source).blocks)


def _weight_bytes(model: str) -> int:
    files = resolve(model).iterdir()
    return sum(path.stat().st_size for path in files if path.suffix in (".safetensors", ".bin"))


def _absolute(source: str) -> str:
    return str(Path(source).absolute()) if Path(source).exists() else source
