"""Search the slim models of a finished sweep.

Strategies propose subsets of the layers, which are trained healed, with the seed whose baseline is
the best on validation. The best subset of each size is then trained by the paper's protocol too,
from the pretrained weights. The smallest model that keeps up is trained over all seeds of the run
and tested against the full one. Everything trained is a trial on disk, so a search that was
interrupted goes on where it ended.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

from ..errors import UsageError
from ..stats.delong import auroc_interval
from .frontier import FRONTIER_FORMAT, Candidate, Frontier
from .measure import Rows, Split
from .probe import LayerProbe
from .run_folder import CHECKPOINT
from .smallest import smallest_noninferior
from .strategies import Greedy, Listed, Probe, Strategy, beam, best_runs, ladder
from .subgroups import SUBGROUP_LIMIT
from .subsets import Subset, alternate, by_turns, children, draws, first, last
from .trainings import TRAININGS, Start, Training, Trainings
from .trial import Trial
from .verdicts import Rules

StrategyName = Literal[
    "verdicts",
    "sleb",
    "beam",
    "runs",
    "supernet",
    "greedy",
    "first",
    "last",
    "alternate",
    "random",
]
STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)
DEFAULT_STRATEGIES: tuple[StrategyName, ...] = ("supernet", "first", "random", "verdicts")
_FEWEST = 4
"""Trainings that a search needs: a supernet, the control, one subset in both ways."""
_BEAM = 4
"""Subsets of each size that a wide beam keeps."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What a search looks at, and for how long.

    It ends when every strategy has asked for all it wanted, or at the first limit: `trainings`
    (None: two for each layer of the model; 0: no search) or `minutes` of training, added up over
    workers. What the sweep has trained counts for neither, nor do the last models over all seeds.
    `strategies` are asked in turns, those of `DEFAULT_STRATEGIES` if none is named. `start` is what
    healed models start from. `draws` subsets of each size are drawn at random. A model that is
    shown to lose more than `subgroup_limit` of AUROC in a subgroup of the validation rows is not
    chosen. A value that makes no sense raises UsageError quoting it.
    """

    trainings: int | None = None
    minutes: float | None = None
    strategies: tuple[StrategyName, ...] = ()
    start: Start = "auto"
    draws: int = 3
    subgroup_limit: float = SUBGROUP_LIMIT

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.strategies) - set(STRATEGIES)):
            known = ", ".join(STRATEGIES)
            raise UsageError(f"search: no strategy {', '.join(unknown)}; there are {known}")
        for name in ("trainings", "minutes"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"search: {name} is {value}, must be at least 0")
        if self.start not in get_args(Start):
            known = ", ".join(get_args(Start))
            raise UsageError(f"search: start is {self.start!r}, must be one of {known}")
        if not 0 < self.subgroup_limit < 1:
            raise UsageError(
                f"search: subgroup_limit is {self.subgroup_limit}, must be above 0 and below 1"
            )
        if self.draws < 1:
            raise UsageError(f"search: draws is {self.draws}, must be at least 1")


def search_frontier(
    trainings: Trainings,
    options: SearchOptions,
    rules: Rules,
    *,
    judged: Mapping[str, Subset] | None = None,
) -> Frontier:
    """Search slim models and choose the smallest that is not inferior at the margin of `rules`.

    Subsets are compared by their AUROC on validation, whatever `rules` judges layers by. `judged`
    are the subsets that the verdicts ask for, by name, trained from pretrained already: they are
    candidates too, and what the strategy `verdicts` proposes to heal.
    """
    search = _Search(trainings, options, judged or {})
    ended = search.run()
    full = search.full()
    smallest, reason = smallest_noninferior(
        trainings,
        search.best_by_size(),
        full,
        rules,
        subgroup_limit=options.subgroup_limit,
    )
    frontier = Frontier(
        format=FRONTIER_FORMAT,
        run=str(trainings.run.folder.absolute()),
        seed=search.seed,
        start=search.start,
        margin=rules.margin,
        validation_rows=len(search.rows["validation"].labels),
        full=full,
        candidates=search.ranked(),
        smallest=smallest,
        reason=reason,
        ended=ended,
        trainings=len(search.seconds_of),
        seconds=search.seconds,
        passes=sum(probe.passes for probe in search.probes.values()),
        probe_seconds=sum(probe.seconds for probe in search.probes.values()),
    )
    _forget_weights(trainings, frontier)
    return frontier


class _Search:
    """The rounds of a search, within its budget."""

    def __init__(
        self, trainings: Trainings, options: SearchOptions, judged: Mapping[str, Subset]
    ) -> None:
        self.trainings = trainings
        self.judged = {name: kept for name, kept in judged.items() if kept != trainings.full}
        self.options = options
        self.seed = trainings.teacher_seed
        self.most = 2 * trainings.depth if options.trainings is None else options.trainings
        self.rows = trainings.rows
        self.start: Literal["", "supernet", "baseline"] = ""
        self.seconds_of: dict[str, float] = {}
        self.candidates: dict[tuple[Subset, Training], Candidate] = {}
        self.probes: dict[str, LayerProbe] = {}

    def run(self) -> str:
        """Train what the strategies ask for; return in words why the search ended."""
        self._take_in_what_is_known()
        if self.most < _FEWEST:
            return f"fewer than {_FEWEST} trainings: nothing was searched"
        if self.trainings.start != "baseline":
            self._trained_supernet()
        self.start = "baseline" if self.trainings.source.spec.supernet is None else "supernet"
        self._train({self.trainings.full: ["control"]}, "healed")
        strategies = [
            self._strategy(name) for name in self.options.strategies or DEFAULT_STRATEGIES
        ]
        while batch := self._round(strategies):
            self._train(batch, "healed")
        more = any(one.propose(self._found()) is not None for one in strategies)
        best = map(self._best, self._sizes())
        self._train({one.kept: one.found_by for one in best}, "pretrained")
        return "the budget was spent" if more else "the strategies had no more to ask"

    def full(self) -> tuple[Candidate, ...]:
        """Return the full model as the sweep fine-tuned it, and healed from what all healed are."""
        return tuple(one for one in self.candidates.values() if one.kept == self.trainings.full)

    @property
    def seconds(self) -> float:
        """Training time of all that was asked for."""
        return sum(self.seconds_of.values())

    def ranked(self) -> tuple[Candidate, ...]:
        """Return the slim candidates, from few layers to many, the best of a size first."""
        slim = (one for one in self.candidates.values() if one.kept != self.trainings.full)
        return tuple(sorted(slim, key=_rank))

    def best_by_size(self) -> list[Candidate]:
        """Return the best sound candidate of each size, from few layers to many."""
        sound = [one for one in self.ranked() if not one.collapsed]
        return [next(group) for _, group in groupby(sound, key=lambda one: one.layers)]

    def _take_in_what_is_known(self) -> None:
        """Count what was trained for the verdicts as candidates: it costs nothing here."""
        full = self.trainings.full
        self.candidates[full, "pretrained"] = candidate_of(
            self.trainings.teacher, full, "pretrained", ["sweep"], self.rows
        )
        known = [*(("sweep", kept) for kept in children(full)), *self.judged.items()]
        for name, kept in known:
            if self.trainings.home(self.trainings.spec(kept, "pretrained", self.seed)):
                self._add(kept, "pretrained", [name])

    def _round(self, strategies: Sequence[Strategy]) -> dict[Subset, list[str]]:
        """Return what each strategy wants next, as far as the budget goes, with their names."""
        found = self._found()
        batch: dict[Subset, list[str]] = {}
        for strategy in strategies:
            subset = strategy.propose(found)
            if subset in batch:
                batch[subset].append(strategy.name)
            elif subset is not None and self._affords([*batch, subset]):
                batch[subset] = [strategy.name]
        return batch

    def _affords(self, batch: Sequence[Subset]) -> bool:
        """Whether the budget pays for a batch, and then for one from pretrained of each size."""
        sizes = {*self._sizes(), *map(len, batch)}
        if len(self.seconds_of) + len(batch) + len(sizes) > self.most:
            return False
        if self.options.minutes is None:
            return True
        reserved = sum(self._best(size).fine_tune_seconds for size in self._sizes())
        return self.seconds + reserved < 60 * self.options.minutes

    def _found(self) -> dict[Subset, float]:
        """Return the scores that strategies see: of all that was healed, the full model first."""
        healed = (one for one in self.candidates.values() if one.training == "healed")
        return {one.kept: -math.inf if one.collapsed else one.auroc for one in healed}

    def _healed(self) -> list[Candidate]:
        return [one for one in self.ranked() if one.training == "healed"]

    def _sizes(self) -> list[int]:
        return sorted({one.layers for one in self._healed()})

    def _best(self, size: int) -> Candidate:
        """Return the best healed candidate of a size."""
        return next(one for one in self._healed() if one.layers == size)

    def _train(self, batch: Mapping[Subset, Sequence[str]], training: Training) -> None:
        specs = [self.trainings.spec(kept, training, self.seed) for kept in batch]
        self.trainings.settle(specs)
        for spec, (kept, names) in zip(specs, batch.items(), strict=True):
            trial = self._add(kept, training, names)
            if self.trainings.is_new(spec):
                self.seconds_of[spec.hash] = trial.result.fine_tune_seconds

    def _add(self, kept: Subset, training: Training, names: Sequence[str]) -> Trial:
        """Take a finished trial in as a candidate, or add who else found it."""
        trial = self.trainings.find(self.trainings.spec(kept, training, self.seed))
        known = self.candidates.get((kept, training))
        by = dict.fromkeys([*(known.found_by if known else ()), *names])
        self.candidates[kept, training] = candidate_of(trial, kept, training, by, self.rows)
        return trial

    def _strategy(self, name: StrategyName) -> Strategy:
        depth, sizes = self.trainings.depth, ladder(self.trainings.depth)
        rules = {"first": first, "last": last, "alternate": alternate}
        if name in rules:
            return Listed(name, tuple(rules[name](depth, size) for size in sizes))
        if name == "random":
            drawn = (draws(depth, size, self.options.draws, self.seed) for size in sizes)
            return Listed(name, tuple(by_turns(drawn)))
        if name == "verdicts":
            return Listed(name, tuple(self.judged.values()))
        if name == "greedy":
            return Greedy(name, depth, self._probe_of)
        if name == "runs":
            path = best_runs(depth, self._frozen())
        elif name == "supernet":
            path = beam(depth, self._supernet())
        else:
            path = beam(depth, self._frozen(), width=_BEAM if name == "beam" else 1)
        return Listed(name, tuple(path[size] for size in sizes))

    def _frozen(self) -> Probe:
        """Return the probe on the fine-tuned full model."""
        return self._probing(self.trainings.teacher, self.trainings.full)

    def _supernet(self) -> Probe:
        """Return the probe on the supernet, which is trained first."""
        return self._probing(self._trained_supernet(), self.trainings.full)

    def _trained_supernet(self) -> Trial:
        """Train the supernet, which counts as a training."""
        trial = self.trainings.trained_supernet
        self.seconds_of[trial.spec.hash] = trial.result.fine_tune_seconds
        return trial

    def _probe_of(self, kept: Subset) -> Probe:
        """Return the probe on the model that was healed with these layers."""
        return self._probing(
            self.trainings.find(self.trainings.spec(kept, "healed", self.seed)), kept
        )

    def _probing(self, trial: Trial, kept: Subset) -> LayerProbe:
        return self.probes.setdefault(trial.spec.hash, self.trainings.probe(trial, kept))


def _rank(one: Candidate) -> tuple[int, bool, float, str, str]:
    return one.layers, bool(one.collapsed), -one.auroc, one.training, one.trial


def candidate_of(
    trial: Trial,
    kept: Subset,
    training: Training,
    found_by: Iterable[str],
    rows: Mapping[Split, Rows],
) -> Candidate:
    """Return what the frontier records of a trial."""
    labels = rows["validation"].labels
    interval = auroc_interval(labels, trial.predictions.probabilities()["validation"])
    return Candidate(
        kept=kept,
        training=training,
        found_by=tuple(found_by),
        trial=trial.spec.hash,
        seed=trial.spec.seed,
        collapsed=trial.collapsed(rows),
        auroc=interval.auroc,
        low=interval.low,
        high=interval.high,
        parameters=trial.result.parameters,
        fine_tune_seconds=trial.result.fine_tune_seconds,
        milliseconds=1000 * trial.result.evaluation_seconds / len(rows["test"].labels),
    )


def _forget_weights(trainings: Trainings, frontier: Frontier) -> None:
    """Delete the weights that the search kept of candidates that are not the best of their size."""
    best = {
        one.trial
        for size in frontier.sizes
        for training in TRAININGS
        if (one := frontier.best(size, training))
    }
    for candidate in frontier.candidates:
        weights = trainings.store.folder / candidate.trial / CHECKPOINT
        if candidate.trial not in best and weights.is_dir():
            shutil.rmtree(weights)
