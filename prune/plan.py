"""What a sweep is made of: its configuration, its run folder, its trials and their retries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ..data.dataset import read_data
from ..errors import GenoslimError, UsageError
from ..models import load, resolve
from ..models.families import family_name, licence, read_config
from ..models.fingerprint import fingerprint_model
from .adaptive import undecided_layers
from .measure import Rows, Split
from .numerics import Numerics
from .recipe import Recipe, RecipeOptions
from .run_folder import RunFolder, TrialStore
from .run_record import RUN_FILE, RunIdentity, RunLicences, RunRecord
from .runner import Setting, describe_environment, read_same, require_data, rows_of
from .trial import RETRIES, Trial, TrialSpec, check_splits

_FIRST_ROUNDS = 2
"""Seeds of every layer in an adaptive sweep: with one, tests that pair by seed show nothing."""


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What a sweep is: the baseline over `seeds` seeds, each layer dropped over `layer_seeds`.

    Seeds count up from `seed`, so that a layer's trials share theirs with the baseline's. With
    `adaptive` every layer is dropped with the first two seeds, and with each further one only if
    tests of what is there leave it undecided.
    """

    model: str
    data: Path
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0
    seeds: int = 3
    layer_seeds: int = 2
    adaptive: bool = False

    def __post_init__(self) -> None:
        for name in ("seeds", "layer_seeds"):
            if getattr(self, name) < 1:
                raise UsageError(f"sweep: {name} is {getattr(self, name)}, must be at least 1")
        if self.seed < 0:
            raise UsageError(f"sweep: seed is {self.seed}, must be at least 0")


def requested_sweep(
    folder: Path,
    *,
    model: str | None,
    data: Path | None,
    seed: int | None,
    seeds: int | None,
    layer_seeds: int | None,
    adaptive: bool | None,
    recipe: RecipeOptions,
) -> SweepConfig:
    """Return the sweep that the options of a command line ask for; None: not given.

    Without a model it is that of the run in `folder`, with what was given changed; `data` is then
    where the run's data set is now.
    """
    if model is not None and data is not None:
        base = SweepConfig(model=model, data=data)
    elif model is not None:
        raise UsageError("sweep: give both -m and -d, or neither to go on with a run folder")
    elif (folder / RUN_FILE).exists():
        base = config_of(RunFolder(folder))
        base = replace(base, data=data or base.data)
        require_data(base.data)
    else:
        raise UsageError(f"sweep: {folder} is no run folder yet: -m MODEL and -d DATA are needed")
    return replace(
        base,
        recipe=base.recipe.changed(recipe),
        seed=base.seed if seed is None else seed,
        seeds=base.seeds if seeds is None else seeds,
        layer_seeds=seeds_a_layer(folder) if layer_seeds is None else layer_seeds,
        adaptive=base.adaptive if adaptive is None else adaptive,
    )


def seeds_a_layer(folder: Path) -> int:
    """Return the seeds of each layer of the run that is in a folder, or the default's."""
    begun = (folder / RUN_FILE).exists()
    return config_of(RunFolder(folder)).layer_seeds if begun else SweepConfig.layer_seeds


def open_sweep(folder: Path, config: SweepConfig, *, numerics: Numerics | None = None) -> RunFolder:
    """Make the run folder of a sweep, or open it to go on if it is of the same sweep.

    `numerics` is what a new one is noted to be trained on and in; None leaves that to its trials.
    """
    record, rows = _described(config)
    return RunFolder.create(folder, replace(record, numerics=numerics), rows)


def planned_sweep(folder: Path, config: SweepConfig) -> RunFolder:
    """Return the run folder of a sweep as `open_sweep` does, but write nothing."""
    record, _ = _described(config)
    return RunFolder.planned(folder, record)


def _described(config: SweepConfig) -> tuple[RunRecord, dict[Split, Rows]]:
    """Return what a run folder of the sweep holds."""
    source = resolve(config.model)
    data = read_data(config.data)
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
            adaptive=config.adaptive,
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
    return record, rows


def rows_with_subgroups(run: RunFolder, data: Path | None) -> dict[Split, Rows]:
    """Return a run's rows; a folder made before there were subgroups takes them from `data`.

    Raises GenoslimError if `data` is not the run's.
    """
    rows = run.rows()
    if rows["validation"].subgroups or data is None:
        return rows
    return rows_of(read_same(data, run.record.identity.data_fingerprint))


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
        adaptive=identity.adaptive,
    )


def plan(run: RunFolder) -> list[TrialSpec]:
    """Return the trials of a sweep: baseline seeds first, then layer after layer.

    Of an adaptive sweep these are the trials that are known to be needed so far: there may be more
    when they are done.
    """
    config = config_of(run)
    baseline = [spec_of(run, (), config.seed + index) for index in range(config.seeds)]
    rounds = _adaptive_rounds(run, baseline) if config.adaptive else _all_rounds(run)
    layers = sorted(spec for found in rounds for spec in found)
    return baseline + [spec_of(run, (layer,), seed) for layer, seed in layers]


def _all_rounds(run: RunFolder) -> list[list[tuple[int, int]]]:
    """Return (layer, seed) for every layer in every round."""
    config = config_of(run)
    seeds = range(config.seed, config.seed + config.layer_seeds)
    return [[(layer, seed) for layer in range(run.record.layers)] for seed in seeds]


def _adaptive_rounds(run: RunFolder, baseline: Sequence[TrialSpec]) -> list[list[tuple[int, int]]]:
    """Return the rounds as far as they are known; after the first they have undecided layers."""
    everything = _all_rounds(run)
    rounds = everything[:_FIRST_ROUNDS]
    while len(rounds) < len(everything):
        specs = [spec_of(run, (layer,), seed) for found in rounds for layer, seed in found]
        if any(next_attempt(run.trials, one, keep_weights=False) for one in (*baseline, *specs)):
            break
        tried: dict[int, list[list[Trial]]] = {}
        for spec in specs:
            tried.setdefault(spec.dropped[0], []).append(attempts(run.trials, spec))
        whole = [attempts(run.trials, spec) for spec in baseline]
        looks = len(everything) - _FIRST_ROUNDS
        left = undecided_layers(whole, tried, run.rows(), looks=looks)
        rounds.append([one for one in everything[len(rounds)] if one[0] in left])
    return rounds


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


def setting_of(run: RunFolder, *, trials: Path | None = None) -> Setting:
    """Return what trials of a run read, and where they are written (default: the run itself)."""
    return Setting(
        model=run.record.model,
        model_fingerprint=run.record.identity.model_fingerprint,
        data=Path(run.record.data),
        data_fingerprint=run.record.identity.data_fingerprint,
        trials=(trials or run.trials.folder).absolute(),
        numerics=run.numerics(),
    )


@dataclass(frozen=True)
class PlannedTrial:
    """A trial of a sweep, or its next retry, and how far it is."""

    spec: TrialSpec
    state: Literal["to do", "done", "collapsed"]


def progress_of(run: RunFolder) -> tuple[PlannedTrial, ...]:
    """Return every trial of a sweep with its state, in the order of the plan."""
    return tuple(_planned(run.trials, spec) for spec in plan(run))


def _planned(store: TrialStore, spec: TrialSpec) -> PlannedTrial:
    if attempt := next_attempt(store, spec, keep_weights=not spec.dropped):
        return PlannedTrial(attempt, "to do")
    last = attempts(store, spec)[-1]
    return PlannedTrial(last.spec, "collapsed" if last.result.collapsed else "done")


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


def _depth(source: Path) -> int:
    """Return the number of layers; the model is loaded only if its config has its own word."""
    stated = read_config(source).get("num_hidden_layers")
    return stated if isinstance(stated, int) else len(load(source).blocks)


def _absolute(source: str) -> str:
    return str(Path(source).absolute()) if Path(source).exists() else source
