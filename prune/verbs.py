"""The verbs `run_sweep` and `prune_layers`, each from its inputs to the page that tells the result.

What the command line's sweep does besides, listing its trials and running a single one, is here
too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..codec import write_record
from ..errors import UsageError
from .execution import Executor
from .judging import judge_run, subgroups_without_layers
from .notes import notes_on
from .plan import (
    PlannedTrial,
    SweepConfig,
    open_sweep,
    planned_sweep,
    progress_of,
    rows_with_subgroups,
    seeds_a_layer,
)
from .progress import ProgressCallback
from .recipe import Recipe
from .report import write_report
from .run_folder import LAYERS_FILE, REPORT_FILE, RunFolder, alone_in
from .run_record import RUN_FILE
from .search import SearchOptions
from .slim import SEARCH_FOLDER, build_slim_models
from .slim_folder import refuse_other_models
from .slim_model import Pruned
from .subgroups import SUBGROUPS_FILE
from .sweep import run_one, sweep
from .verdicts import Judgement, Rules


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """A finished sweep: its run folder, how many trials it planned, and what they say.

    `judgement` is by the published rule on validation; `judge_layers` judges by other rules.
    `report` is an HTML page in the folder.
    """

    folder: Path
    report: Path
    trials: int
    judgement: Judgement


def run_sweep(
    model: str | Path,
    data: str | Path,
    *,
    output: str | Path,
    recipe: Recipe | None = None,
    seed: int = SweepConfig.seed,
    seeds: int = SweepConfig.seeds,
    layer_seeds: int | None = None,
    adaptive: bool = False,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> SweepResult:
    """Fine-tune a model whole and without each of its layers, and judge the layers.

    The same call goes on where an earlier one stopped: finished trials are not trained again.

    Args:
        model: The pretrained model: a folder, hub id or `shipped:NAME`.
        data: Labelled windows (Parquet) with the splits train, validation and test.
        output: The run folder, made if it is not there.
        recipe: How each trial is fine-tuned; None: `Recipe()`.
        seed: The first seed; others count up from it.
        seeds: How many seeds the whole model is fine-tuned with.
        layer_seeds: How many seeds each layer is dropped with; None: as many as the run in `output`
            has, or two.
        adaptive: Whether a layer gets its further seeds only while tests leave it undecided.
        executor: Where trials run side by side; None: processes of this machine, as many as suit.
        progress: Called with a `TrialProgress` at every change.

    Returns:
        The run folder and the verdict on every layer.

    Raises:
        UsageError: an argument makes no sense, or `output` holds something else than a run.
        GenoslimError: `output` holds a run of another model, data, recipe or seeds; a split lacks a
            class; a trial failed; its trials were trained on another kind of device or in another
            precision; or so many seeds of the whole model collapsed that no layer can be judged.
        KeyboardInterrupt: passed on, after one line in the log. What is done stays done.

    Example:
        >>> from genoslim import Executor, Recipe, run_sweep
        >>> result = run_sweep(
        ...     "small-model",
        ...     "windows.parquet",
        ...     output="run",
        ...     recipe=Recipe(epochs=3, learning_rate=1e-2, batch_size=16),
        ...     executor=Executor(workers=1, threads=1, device="cpu"),
        ... )
        >>> result.trials, len(result.judgement.verdicts), result.report.name
        (9, 3, 'report.html')
    """
    config = SweepConfig(
        model=str(model),
        data=Path(data),
        recipe=recipe or Recipe(),
        seed=seed,
        seeds=seeds,
        layer_seeds=seeds_a_layer(Path(output)) if layer_seeds is None else layer_seeds,
        adaptive=adaptive,
    )
    where = executor or Executor()
    run = _opened(Path(output), config, where)
    sweep(run, executor=where, progress=progress)
    return _concluded(run, config.data)


def _concluded(run: RunFolder, data: Path) -> SweepResult:
    """Judge a finished sweep, and leave what was found and a report of it in its folder."""
    rules = Rules()
    judgement = judge_run(run, rules)
    subgroups = subgroups_without_layers(run, rows_with_subgroups(run, data))
    report = run.folder / REPORT_FILE
    write_record(run.folder / LAYERS_FILE, judgement)
    write_record(run.folder / SUBGROUPS_FILE, subgroups)
    notes = notes_on(run, judgement, (), None)
    write_report(report, run, judgement, notes=notes, subgroups=subgroups)
    trials = len(progress_of(run))
    return SweepResult(folder=run.folder, report=report, trials=trials, judgement=judgement)


def plan_sweep(config: SweepConfig, output: Path) -> tuple[PlannedTrial, ...]:
    """Return the trials of a sweep and how far each is, without writing anything to `output`.

    Raises as `run_sweep` for a folder of another sweep.
    """
    return progress_of(planned_sweep(output, config))


def run_trial(config: SweepConfig, output: Path, trial: str, *, executor: Executor) -> None:
    """Run one trial of a sweep, named by its hash, in this process: for a cluster's job arrays.

    Several may run at once, on machines that share the folder. Raises as `run_sweep`, and
    UsageError if the sweep has no such trial.
    """
    run_one(_opened(output, config, executor), trial, executor=executor)


def _opened(folder: Path, config: SweepConfig, executor: Executor) -> RunFolder:
    """Return the run folder of a sweep; a new one notes what its trials are trained on and in."""
    begun = (folder / RUN_FILE).exists()
    numerics = None if begun else executor.numerics(config.recipe)
    return open_sweep(folder, config, numerics=numerics)


def prune_layers(
    run: str | Path,
    *,
    output: str | Path,
    rules: Rules | None = None,
    search: SearchOptions | None = None,
    executor: Executor | None = None,
    data: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Pruned:
    """Judge the layers of a finished sweep, search the frontier, and build the slim models.

    These are the two that the verdicts speak for and the smallest that is not inferior on
    validation. The baseline is the sweep's own; each slim model is fine-tuned over the same seeds,
    and the best on validation saved as a checkpoint in `output`. The same call goes on where an
    earlier one stopped, and trains nothing twice.

    Args:
        run: The run folder of a finished sweep.
        output: The folder for the models, made if it is not there.
        rules: How to judge; None: the published rule with the documented defaults.
        search: What the search looks at, and for how long; None: `SearchOptions()`. With
            `trainings=0` there is none, and no third model.
        executor: Where trials run side by side; None: processes of this machine, as many as suit.
        data: The run's data, if the file has moved.
        progress: Called with a `TrialProgress` at every change.

    Returns:
        The judgement, what was built (for each model its layers, metrics over the seeds, times) and
        the frontier: the best subset of layers of each size.

    Raises:
        UsageError: `output` holds models of another run or of other rules, or something else.
        GenoslimError: `run` is no run folder or is not finished, its weights are gone, the data
            changed, or a trial failed.
        KeyboardInterrupt: passed on, after one line in the log. What is done stays done.

    Example:
        >>> from genoslim import Executor, SearchOptions, prune_layers
        >>> one = Executor(workers=1, threads=1, device="cpu")
        >>> none = SearchOptions(trainings=0)
        >>> pruned = prune_layers("my-run", output="slim", search=none, executor=one)
        >>> [model.name for model in pruned.models]
        ['baseline', 'unfavourable_removed', 'cornerstone_only']
        >>> pruned.checkpoint("cornerstone_only").name
        'cornerstone_only'
    """
    folder, home, chosen = RunFolder(Path(run)), Path(output), rules or Rules()
    moved = None if data is None else Path(data)
    if home.resolve() == (folder.folder / SEARCH_FOLDER).resolve():
        raise UsageError(f"{home}: searches of the run are kept there; give another folder with -o")
    refuse_other_models(home, folder, chosen)
    judgement = judge_run(folder, chosen)
    home.mkdir(parents=True, exist_ok=True)
    with alone_in(home):
        refuse_other_models(home, folder, chosen)  # again: another prune may have ended just now
        pruned = build_slim_models(
            folder,
            judgement,
            home,
            search=search,
            executor=executor or Executor(),
            data=moved,
            progress=progress,
        )
        write_report(
            pruned.report,
            folder,
            pruned.judgement,
            notes=pruned.notes,
            models=pruned.models,
            frontier=pruned.frontier,
            subgroups=subgroups_without_layers(folder, rows_with_subgroups(folder, moved)),
        )
    return pruned
