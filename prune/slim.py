"""Build the slim models a judgement asks for, fine-tune them, and keep the best seed of each."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from ..codec import plain, write_record
from ..errors import UsageError
from ..files import atomic_path, refuse_foreign, write_json
from ..models import load, load_tokenizer
from ..models.checkpoint import save
from ..models.licences import is_non_commercial
from ..models.record import SeedRecord, TrainingRecord, read_training
from .execution import Executor
from .frontier import FRONTIER_FILE, Frontier
from .frontier_figure import FRONTIER_PICTURE, draw
from .measure import MEASURES, Measured, Split
from .progress import ProgressCallback
from .provenance import seed_record, training_record
from .prune_record import PRUNE_FILE, PRUNE_FORMAT, PruneRecord, read_pruned
from .run_folder import REPORT_FILE, RunFolder, TrialStore, differences
from .run_record import RUN_FILE
from .search import SearchOptions, search_frontier
from .subgroups import changes, losses, lost_skills, on_validation
from .subsets import Subset, complement
from .trainings import Start, Training, Trainings
from .trial import Trial, TrialSpec
from .verdicts import Judgement, Rules, Spread

SEARCH_FOLDER = "frontier"
"""In a run folder: what was trained and probed to find slim models."""

NO_SUBGROUPS = (
    "What models lose in subgroups is not known: the run was made before rows.npz held them; its"
    " data set tells them: give it with --data"
)

ModelName = Literal["baseline", "unfavourable_removed", "cornerstone_only", "smallest_noninferior"]


@dataclass(frozen=True)
class Choice:
    """One model to build: the layers to drop, in words why these, and how it is trained."""

    name: ModelName
    dropped: tuple[int, ...]
    reason: str
    training: Training = "pretrained"


@dataclass(frozen=True)
class SlimModel:
    """One line of the table: what was built, how it did over its seeds, where the best one is.

    Spreads are over the seeds that did not collapse (all, if every one did). `training` says where
    training started: a `healed` model's time comes after that of the baseline it started from.
    `same_as` names the model this one is identical to, with which it shares trials and checkpoint.
    """

    name: ModelName
    reason: str
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    training: Training
    same_as: ModelName | None
    parameters: int
    validation: dict[str, Spread]
    test: dict[str, Spread]
    fine_tune_seconds: Spread
    evaluation_seconds: Spread
    seeds: tuple[SeedRecord, ...]
    best_seed: int


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """The slim models of a run, in `folder`: how they were chosen, and how good they are.

    `models` are in the order of the table, the baseline first; `notes` say what a reader must know
    besides the figures.
    """

    folder: Path
    run: Path
    judgement: Judgement
    models: tuple[SlimModel, ...]
    notes: tuple[str, ...]
    frontier: Frontier | None = None

    @property
    def report(self) -> Path:
        """The HTML page of the models and the judgement."""
        return self.folder / REPORT_FILE

    def checkpoint(self, name: ModelName) -> Path:
        """Return the folder of a model's best seed."""
        return self.folder / name


def choose(judgement: Judgement) -> tuple[Choice, Choice]:
    """Return the unfavourable-removed and the cornerstone-only model; neither is ever empty.

    Every layer unfavourable: the one whose removal leaves the lowest AUROC (the dearest) is kept.
    No layer cornerstone: that same layer is the one kept. A layer without enough usable seeds is
    never the dearest; where the baseline judges no layer, or none has them, nothing is removed.
    """
    layers = tuple(verdict.layer for verdict in judgement.verdicts)
    judged = [verdict for verdict in judgement.verdicts if verdict.evidence.decides]
    if judgement.unjudged or not judged:
        cause = judgement.unjudged or "training collapsed without each of them"
        reason = f"no layer is judged: nothing is removed ({cause})"
        return Choice("unfavourable_removed", (), reason), Choice("cornerstone_only", (), reason)
    dearest = min(judged, key=lambda v: (v.evidence.metrics["auroc"], v.layer)).layer
    return _unfavourable_removed(judgement, layers, dearest), _cornerstone_only(
        judgement, layers, dearest
    )


def _unfavourable_removed(judgement: Judgement, layers: tuple[int, ...], dearest: int) -> Choice:
    unfavourable = judgement.layers("unfavourable")
    reason = "all unfavourable layers removed"
    if not unfavourable:
        reason = "no layer is unfavourable: nothing is removed"
    elif unfavourable == layers:
        unfavourable = tuple(layer for layer in layers if layer != dearest)
        reason = (
            "every layer is unfavourable; by the rule `never empty` the layer is kept without"
            f" which AUROC is lowest ({dearest})"
        )
    return Choice("unfavourable_removed", unfavourable, reason)


def _cornerstone_only(judgement: Judgement, layers: tuple[int, ...], dearest: int) -> Choice:
    cornerstone = judgement.layers("cornerstone")
    reason = "all layers removed but the cornerstones"
    if not cornerstone:
        cornerstone = (dearest,)
        reason = (
            "no layer is a cornerstone; by the rule `dearest layer` the one is kept without which"
            f" AUROC is lowest ({dearest})"
        )
    dropped = tuple(layer for layer in layers if layer not in cornerstone)
    return Choice("cornerstone_only", dropped, reason)


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
    if options.trainings != 0 and searching.taught:
        frontier = _searched(searching, options, judgement.rules, choices)
        choices += _smallest(frontier, paper.depth)
        builder.train(choices)
    models = builder.models(choices)
    for model in models:
        builder.save(model, out)
    notes = (*skills, *_notes(run, judgement, models, frontier))
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
            temporary.write_bytes(draw(pruned.frontier))
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

    def _model(self, choice: Choice, same_as: ModelName | None) -> SlimModel:
        trials = self._trials(choice)
        how = self.judgement.rules.measuring
        measured = {trial.spec.seed: trial.measured(self.rows, how) for trial in trials}
        counted = _counted(trials)
        best = max(counted, key=lambda t: (measured[t.spec.seed].validation.auroc, -t.spec.seed))
        return SlimModel(
            name=choice.name,
            reason=choice.reason,
            kept=complement(choice.dropped, self.trainings.depth),
            dropped=choice.dropped,
            training=choice.training,
            same_as=same_as,
            parameters=best.result.parameters,
            validation=_spreads([measured[t.spec.seed] for t in counted], "validation"),
            test=_spreads([measured[t.spec.seed] for t in counted], "test"),
            fine_tune_seconds=Spread.of([t.result.fine_tune_seconds for t in counted]),
            evaluation_seconds=Spread.of([t.result.evaluation_seconds for t in counted]),
            seeds=tuple(seed_record(t.spec, t.result, measured[t.spec.seed]) for t in trials),
            best_seed=best.spec.seed,
        )

    def _trials(self, choice: Choice) -> list[Trial]:
        return [t for spec in self.specs(choice) for t in self.trainings.attempts(spec)]

    def lost_skills(self, choices: Sequence[Choice], limit: float) -> list[str]:
        """Say which models, after the baseline, are shown to lose more than `limit` in a subgroup.

        The mean of each over its seeds is held against that of the baseline over its own.
        """
        rows, alpha = self.rows["validation"], self.judgement.rules.alpha
        if not rows.subgroups:
            return [NO_SUBGROUPS]
        tried = [[on_validation(trial) for trial in _counted(self._trials(c))] for c in choices]
        told = [losses(changes(rows, tried[0], m), limit=limit, alpha=alpha) for m in tried[1:]]
        return [
            f"{choice.name} {lost_skills(lost)}, on validation"
            for choice, lost in zip(choices[1:], told, strict=True)
            if lost
        ]

    def save(self, model: SlimModel, out: Path) -> None:
        """Write the checkpoint of the best seed, or a link to that of an identical model."""
        folder = out / model.name
        if model.same_as is not None:
            _link(folder, model.same_as)
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


def _counted(trials: list[Trial]) -> list[Trial]:
    """Return the trials that figures rest on: those that did not collapse, if there are any."""
    return [trial for trial in trials if not trial.result.collapsed] or trials


def _spreads(measured: Sequence[Measured], split: Split) -> dict[str, Spread]:
    found = {name: Spread.of([getattr(m.on(split), name) for m in measured]) for name in MEASURES}
    macro = [value for m in measured if (value := m.macro_auroc[split]) is not None]
    return {**found, "macro_auroc": Spread.of(macro)} if macro else found


def refuse_other_models(out: Path, run: RunFolder, rules: Rules) -> None:
    """Raise UsageError where `out` holds something else than models of this run by these rules."""
    if (out / RUN_FILE).exists():
        raise UsageError(f"{out} is a run folder: give another one for the slim models with -o")
    names = get_args(ModelName)
    begun = (*names, "trials", FRONTIER_FILE, FRONTIER_PICTURE)
    refuse_foreign(out, "folder of slim models", marker=PRUNE_FILE, begun=begun)
    for folder in (out / name for name in names):
        if folder.exists() and read_training(folder) is None:
            raise UsageError(
                f"{folder} is no checkpoint of `genoslim prune` and would be replaced: move it, or"
                " give another folder with -o"
            )
    if not (out / PRUNE_FILE).exists():
        return
    found = read_pruned(out)
    if others := [*_other_run(found, run), *_other_rules(found, rules)]:
        raise UsageError(
            f"{out} holds other slim models: {'; '.join(others)}. Ask for the same, or give another"
            " folder with -o"
        )


def _other_run(found: PruneRecord, run: RunFolder) -> list[str]:
    """Say of which other run the models are; one that is not there any more was moved."""
    there = Path(found.run)
    if not there.exists() or there.samefile(run.folder):
        return []
    return [f"run is {there} there and {run.folder.absolute()} here"]


def _other_rules(found: PruneRecord, rules: Rules) -> list[str]:
    return differences(plain(found.judgement.rules), plain(rules))


def _link(folder: Path, target: str) -> None:
    """Make `folder` a relative link to its neighbour `target`."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    folder.symlink_to(target, target_is_directory=True)


def _notes(
    run: RunFolder,
    judgement: Judgement,
    models: Sequence[SlimModel],
    frontier: Frontier | None,
) -> tuple[str, ...]:
    """Return what a reader must know besides the figures."""
    notes = [f"{m.name} is identical to {m.same_as}: {m.reason}" for m in models if m.same_as]
    notes += [f"{m.name}: {m.reason}" for m in models if " rule `" in m.reason and not m.same_as]
    for model in models:
        lost = [str(seed.seed) for seed in model.seeds if seed.collapsed]
        if len(lost) == len(model.seeds):
            notes.append(f"{model.name}: EVERY seed collapsed: its figures are those of chance")
        elif lost:
            notes.append(f"{model.name}: seed {', '.join(lost)} collapsed and does not count")
    told = any(m.name == "smallest_noninferior" and m.same_as for m in models)
    if frontier is not None and not told:
        notes.append(f"smallest_noninferior: {frontier.reason}")
    return (*notes, *caveats(run, judgement.rules))


def caveats(run: RunFolder, rules: Rules) -> tuple[str, ...]:
    """Return the warnings that come with a run: selection on test, licences, what eQTLs say."""
    found = []
    if rules.split == "test":
        found.append(
            "Layers were selected on the test split: figures on test are optimistic for the models"
            " chosen by it"
        )
    for what, licence in plain(run.record.licences).items():
        if is_non_commercial(licence):
            found.append(f"The licence of the {what} is {licence}: no commercial use")
        elif licence in ("", "unknown"):
            found.append(f"The licence of the {what} is not known: find out before use")
    if "eqtl" in run.record.data_metadata.source.lower():
        found.append(
            "The labels say whether a variant causes a change of expression (eQTL). That is not"
            " pathogenicity, and a score is no evidence for PP3 or BP4"
        )
    return tuple(found)
