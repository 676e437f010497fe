"""Build the slim models a judgement asks for, fine-tune them, and keep the best seed of each."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ..codec import plain, write_record
from ..files import atomic_path, write_json
from ..models import load, load_tokenizer
from ..models.checkpoint import save
from ..models.record import SeedRecord, TrainingRecord, read_training
from ..pages.plots import png
from .choice import Choice, ModelName, choose
from .execution import Executor
from .frontier import FRONTIER_FILE, Frontier
from .frontier_plots import FRONTIER_PICTURE, frontier_plots
from .judgement import judge_trials
from .measure import MEASURES, Measured, Split
from .notes import notes_on
from .progress import ProgressCallback
from .provenance import seed_record, training_record
from .prune_record import PRUNE_FILE, PRUNE_FORMAT
from .run_folder import RunFolder, TrialStore, alone_in
from .search import SearchOptions, search_frontier
from .slim_model import Pruned, SlimModel
from .subgroups import changes, losses, lost_skills, on_validation
from .subsets import Subset, complement
from .trainings import Start, Training, Trainings
from .trial import Trial, TrialSpec
from .trial_group import TrialGroup
from .verdicts import Judgement, Rules, Spread

SEARCH_FOLDER = "frontier"
"""In a run folder: what was trained and probed to find slim models."""

NO_SUBGROUPS = (
    "What models lose in subgroups is not known: the run was made before rows.npz held them; its"
    " data set tells them: give it with --data"
)


def build_slim_models(
    run: RunFolder,
    judgement: Judgement,
    out: Path,
    *,
    executor: Executor,
    search: SearchOptions | None = None,
    data: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Pruned:
    """Fine-tune the models a judgement speaks for over the run's seeds, and save the best of each.

    Trials are kept in `out/trials`, those of the search in the run's `frontier/trials`; they go on
    after an interruption. The baseline is taken from the run, where the sweep kept its weights.
    `search` says how long slim models are searched (default: see `SearchOptions`; no trainings: no
    search). `data` replaces the run's data path if the file has moved; its fingerprint must be the
    same.
    """
    options = search or SearchOptions()
    paper, searching = _places(run, out, executor, progress, data, options.start)
    builder = _Builder(paper, judgement)
    choices = [Choice("baseline", (), "the model as it was")]
    builder.save(builder.models(choices)[0], out)  # first: lost weights are told before training
    choices += choose(judgement)
    builder.train(choices)
    skills = builder.lost_skills(choices, options.subgroup_limit)
    frontier = None
    with ExitStack() as stack:
        if options.trainings != 0 and searching.taught:
            searching.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(searching.folder))  # a search takes weights away
            frontier = _searched(searching, options, judgement.rules, choices)
            choices += _smallest(frontier, paper.depth)
            builder.train(choices)
        models = builder.judged(choices)
        for model in models:
            builder.save(model, out)
    notes = (*skills, *notes_on(run, judgement, models, frontier))
    pruned = Pruned(
        folder=out,
        run=run.folder.absolute(),
        judgement=judgement,
        models=models,
        notes=notes,
        frontier=frontier,
    )
    _write(pruned)
    return pruned


def _places(
    run: RunFolder,
    out: Path,
    executor: Executor,
    progress: ProgressCallback | None,
    data: Path | None,
    start: Start,
) -> tuple[Trainings, Trainings]:
    """Return the trainings of the paper's models, kept in `out`, and of the search, in the run.

    Each finds the other's trials.
    """
    folders = (out, run.folder / SEARCH_FOLDER)
    first, second = (
        Trainings(
            run,
            mine,
            executor,
            start=start,
            progress=progress,
            data=data,
            others=(TrialStore(other / "trials"),),
        )
        for mine, other in (folders, folders[::-1])
    )
    return first, second


def _searched(
    trainings: Trainings, options: SearchOptions, rules: Rules, choices: Sequence[Choice]
) -> Frontier:
    judged: dict[str, Subset] = {
        choice.name: complement(choice.dropped, trainings.depth)
        for choice in choices
        if choice.dropped
    }
    return search_frontier(trainings, options, rules, judged=judged)


def _smallest(frontier: Frontier, depth: int) -> list[Choice]:
    """Return the third model to build, if the search found one."""
    found = frontier.smallest
    if found is None:
        return []
    dropped = complement(found.kept, depth)
    return [Choice("smallest_noninferior", dropped, frontier.reason, found.training)]


def _write(pruned: Pruned) -> None:
    """Write `prune.json`, and the frontier as a record and a picture, or take away an old one."""
    if pruned.frontier is None:
        for name in (FRONTIER_FILE, FRONTIER_PICTURE):
            (pruned.folder / name).unlink(missing_ok=True)
    else:
        write_record(pruned.folder / FRONTIER_FILE, pruned.frontier)
        with atomic_path(pruned.folder / FRONTIER_PICTURE) as temporary:
            temporary.write_bytes(png(*frontier_plots(pruned.frontier)))
    content = plain(pruned)
    for name in ("folder", "frontier"):
        del content[name]
    write_json(pruned.folder / PRUNE_FILE, {"format": PRUNE_FORMAT, **content})


class _Builder:
    """Knows where each model's trials are, and turns them into lines and checkpoints."""

    def __init__(self, trainings: Trainings, judgement: Judgement) -> None:
        self.trainings = trainings
        self.run = trainings.run
        self.judgement = judgement
        self.rows = trainings.rows

    def specs(self, choice: Choice) -> list[TrialSpec]:
        """Return the trials of a model, one a seed."""
        kept = complement(choice.dropped, self.trainings.depth)
        return [self.trainings.spec(kept, choice.training, seed) for seed in self.trainings.seeds]

    def train(self, choices: Sequence[Choice]) -> None:
        """Train what is missing of every model but the baseline, and the weights of what is not."""
        slim = [choice for choice in choices if choice.dropped]
        specs = dict.fromkeys(spec for choice in slim for spec in self.specs(choice))
        self.trainings.settle(list(specs), with_weights=True)

    def models(self, choices: Sequence[Choice]) -> tuple[SlimModel, ...]:
        """Return the line of each model; one that equals an earlier one says so."""
        first: dict[tuple[tuple[int, ...], Training], ModelName] = {}
        found = []
        for choice in choices:
            same = first.setdefault((choice.dropped, choice.training), choice.name)
            found.append(self._model(choice, None if same == choice.name else same))
        return tuple(found)

    def judged(self, choices: Sequence[Choice]) -> tuple[SlimModel, ...]:
        """Return the lines, slim models' with what the run's rules find of them on validation."""
        slim = {number: choice for number, choice in enumerate(choices) if choice.dropped}
        rules = replace(self.judgement.rules, split="validation")
        attempts = {number: self._attempts(choice) for number, choice in slim.items()}
        found = judge_trials(self._attempts(choices[0]), attempts, self.rows, rules)
        lines = list(self.models(choices))
        for verdict in found.verdicts:
            line = lines[verdict.layer]
            lines[verdict.layer] = replace(line, role=verdict.role, evidence=verdict.evidence)
        return tuple(lines)

    def _model(self, choice: Choice, same_as: ModelName | None) -> SlimModel:
        group = self._group(choice)
        whole = group.usable == group.planned
        results = [trial.result for trial in group.trials]
        return SlimModel(
            name=choice.name,
            reason=choice.reason,
            kept=complement(choice.dropped, self.trainings.depth),
            dropped=choice.dropped,
            training=choice.training,
            same_as=same_as,
            parameters=results[0].parameters,
            validation=_spreads(group.measured, "validation", whole=whole),
            test=_spreads(group.measured, "test", whole=whole),
            fine_tune_seconds=_spread([r.fine_tune_seconds for r in results], whole=whole),
            evaluation_seconds=_spread([r.evaluation_seconds for r in results], whole=whole),
            seeds=tuple(self._seed_record(trial) for trial in self._trials(choice)),
            planned_seeds=group.planned,
            usable_seeds=group.usable,
            best_seed=_best_seed(group),
        )

    def _seed_record(self, trial: Trial) -> SeedRecord:
        measured = trial.measured(self.rows, self.judgement.rules.measuring)
        record = seed_record(trial.spec, trial.result, measured)
        return replace(record, collapsed=trial.collapsed(self.rows))

    def _group(self, choice: Choice) -> TrialGroup:
        measuring = self.judgement.rules.measuring
        return TrialGroup.of(choice.name, self._attempts(choice), self.rows, measuring)

    def _attempts(self, choice: Choice) -> list[list[Trial]]:
        return [self.trainings.attempts(spec) for spec in self.specs(choice)]

    def _trials(self, choice: Choice) -> list[Trial]:
        return [trial for attempts in self._attempts(choice) for trial in attempts]

    def lost_skills(self, choices: Sequence[Choice], limit: float) -> list[str]:
        """Say which models, after the baseline, are shown to lose more than `limit` in a subgroup.

        The mean of each over its seeds is held against that of the baseline over its own.
        """
        rows, alpha = self.rows, self.judgement.rules.alpha
        if not rows["validation"].subgroups:
            return [NO_SUBGROUPS]
        tried = [[on_validation(t) for t in self._group(choice).trials] for choice in choices]
        told = [losses(changes(rows, tried[0], m), limit=limit, alpha=alpha) for m in tried[1:]]
        return [
            f"{choice.name} {lost_skills(lost)}, on validation"
            for choice, lost in zip(choices[1:], told, strict=True)
            if lost
        ]

    def save(self, model: SlimModel, out: Path) -> None:
        """Write the checkpoint of the best seed, or a link to that of an identical model.

        A model of which too few seeds are usable has none, and an older one is taken away.
        """
        folder = out / model.name
        if model.best_seed is None:
            _remove(folder)
            return
        if model.same_as is not None:
            _remove(folder)
            folder.symlink_to(model.same_as, target_is_directory=True)
            return
        spec = self._best(model)
        record = self._record(model, spec)
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists() and read_training(folder) == record:
            return
        source = self.trainings.weights(spec)
        save(load(source), load_tokenizer(source), folder, training=record)

    def _best(self, model: SlimModel) -> TrialSpec:
        """Return the trial whose weights are kept, which may be a retry with another seed."""
        choice = Choice(model.name, model.dropped, model.reason, model.training)
        return next(t.spec for t in self._trials(choice) if t.spec.seed == model.best_seed)

    def _record(self, model: SlimModel, spec: TrialSpec) -> TrainingRecord:
        """Return what `genoslim.json` of a checkpoint says about how it was made."""
        about = self.run.record
        record = training_record(
            spec,
            next(seed for seed in model.seeds if seed.seed == model.best_seed),
            parameters=model.parameters,
            base_layers=about.layers,
            licence=about.licences.model,
            data=about.data_metadata,
            environment=about.environment,
        )
        return replace(record, model=model.name, chosen_because=model.reason, seeds=model.seeds)


def _best_seed(group: TrialGroup) -> int | None:
    """Return the seed that is best on validation, None where too few are usable to choose."""
    if not group.decides:
        return None
    aurocs = group.values("auroc", "validation")
    return max(zip(aurocs, (-seed for seed in group.seeds), strict=True))[1] * -1


def _spreads(measured: Sequence[Measured], split: Split, *, whole: bool) -> dict[str, Spread]:
    found = {
        name: _spread([getattr(m.on(split), name) for m in measured], whole=whole)
        for name in MEASURES
    }
    macro = [value for m in measured if (value := m.macro_auroc[split]) is not None]
    return {**found, "macro_auroc": _spread(macro, whole=whole)} if macro else found


def _spread(values: Sequence[float], *, whole: bool) -> Spread:
    """Return mean and sd over seeds; without sd where some are lost."""
    spread = Spread.of(values)
    return spread if whole else replace(spread, sd=None)


def _remove(folder: Path) -> None:
    """Take away a checkpoint, or a link to one."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
