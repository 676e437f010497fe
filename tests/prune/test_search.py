from __future__ import annotations

import runpy
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from genoslim.codec import write_record
from genoslim.errors import GenoslimError, UsageError
from genoslim.prune.execution import Executor
from genoslim.prune.frontier import Frontier
from genoslim.prune.plan import SweepConfig, open_sweep, spec_of
from genoslim.prune.progress import TrialProgress
from genoslim.prune.recipe import Recipe
from genoslim.prune.run_folder import RunFolder, TrialStore
from genoslim.prune.search import STRATEGIES, SearchOptions, candidate_of, search_frontier
from genoslim.prune.smallest import smallest_noninferior
from genoslim.prune.sweep import sweep
from genoslim.prune.trainings import Trainings
from genoslim.prune.trial import TrialSpec
from genoslim.prune.verdicts import Rules

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_sweep.py"))
INLINE = Executor(workers=1, threads=1, device="cpu")
LAYERS = 4
CARRIER = 2
LENIENT = Rules(margin=0.2)
EVERYTHING = SearchOptions(trainings=100, strategies=STRATEGIES, draws=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> RunFolder:
    """A finished sweep of a model in which one of four layers does all the work."""
    folder = tmp_path_factory.mktemp("planted")
    change = TINY["plant_identities"]("nt_v1", carrier=CARRIER, layers=LAYERS)
    model = TINY["write_model"](folder / "model", "nt_v1", layers=LAYERS, hidden=16, change=change)
    recipe = Recipe(epochs=3, learning_rate=1e-2, batch_size=16)
    made = open_sweep(folder / "run", SweepConfig(model=str(model), data=data, recipe=recipe))
    sweep(made, executor=INLINE)
    return made


def _trainings(run: RunFolder, folder: Path, **options: object) -> Trainings:
    return Trainings(run, folder, INLINE, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def searched(
    run: RunFolder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trainings, Frontier]:
    """A search with every strategy until none has more to ask."""
    trainings = _trainings(run, tmp_path_factory.mktemp("frontier") / "frontier")
    return trainings, search_frontier(trainings, EVERYTHING, LENIENT)


def _timeless(frontier: Frontier) -> Frontier:
    def still(candidates: Sequence[object]) -> tuple[object, ...]:
        return tuple(replace(one, fine_tune_seconds=0.0, milliseconds=0.0) for one in candidates)  # type: ignore[type-var]

    return replace(
        frontier,
        full=still(frontier.full),
        candidates=still(frontier.candidates),
        seconds=0.0,
        probe_seconds=0.0,
    )  # type: ignore[arg-type]


def test_the_layer_that_works_is_all_that_is_kept(searched: tuple[Trainings, Frontier]) -> None:
    _, frontier = searched
    assert frontier.smallest is not None
    assert frontier.smallest.kept == (CARRIER,)
    assert frontier.smallest.p_inferior <= 0.05
    assert frontier.smallest.seeds == (0, 1, 2)
    assert "1 layer (2)" in frontier.reason
    found = frontier.best(1)
    assert found is not None
    assert found.kept == (CARRIER,)
    assert {"sleb", "beam", "supernet"} <= set(found.found_by)
    assert frontier.ended == "the strategies had no more to ask"


def test_both_trainings_are_measured_at_every_size(searched: tuple[Trainings, Frontier]) -> None:
    trainings, frontier = searched
    assert frontier.sizes == (1, 2, 3)
    for size in frontier.sizes:
        healed, pretrained = (frontier.best(size, how) for how in ("healed", "pretrained"))
        assert healed is not None
        assert pretrained is not None
        twins = [one for one in frontier.candidates if one.training == "pretrained"]
        assert healed.kept in {one.kept for one in twins}
    assert [one.training for one in frontier.full] == ["pretrained", "healed"]
    done = {path.parent.name for path in trainings.store.folder.glob("*/result.json")}
    assert {one.trial for one in frontier.candidates if "sweep" not in one.found_by} <= done


def test_controls_are_always_among_the_candidates(searched: tuple[Trainings, Frontier]) -> None:
    names = {name for one in searched[1].candidates for name in one.found_by}
    assert names >= {"first", "last", "alternate", "random", "greedy", "supernet", "runs"}


def test_nothing_is_trained_twice(
    searched: tuple[Trainings, Frontier], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings, frontier = searched

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a model was trained again")

    monkeypatch.setattr("genoslim.prune.runner.fine_tune_tokens", refuse)
    again = Trainings(trainings.run, trainings.folder, INLINE)
    assert search_frontier(again, EVERYTHING, LENIENT) == frontier


def test_the_weights_of_the_best_are_kept_and_others_are_not(
    searched: tuple[Trainings, Frontier],
) -> None:
    trainings, frontier = searched
    kept = {path.parent.name for path in trainings.store.folder.glob("*/checkpoint")}
    for one in frontier.candidates:
        if (trainings.store.folder / one.trial).exists():
            best = frontier.best(one.layers, one.training)
            assert best is not None
            assert (one.trial in kept) == (one.trial == best.trial)


@pytest.mark.parametrize("stop_after", [1, 4, 9])
def test_resumed_is_uninterrupted(
    searched: tuple[Trainings, Frontier], tmp_path: Path, stop_after: int
) -> None:
    class StopError(Exception):
        pass

    started: set[str] = set()

    def stop(status: TrialProgress) -> None:
        started.update(name.rpartition(" ")[0] for name in status.running)
        if len(started) > stop_after:
            raise StopError

    trainings, frontier = searched
    with pytest.raises(StopError):
        search_frontier(_trainings(trainings.run, tmp_path, progress=stop), EVERYTHING, LENIENT)
    assert 0 < len(list(tmp_path.glob("trials/*/result.json"))) <= stop_after + 1
    resumed = search_frontier(_trainings(trainings.run, tmp_path), EVERYTHING, LENIENT)
    assert _timeless(resumed) == _timeless(frontier)


@pytest.mark.parametrize(("most", "spent"), [(3, 0), (4, 4), (9, 8)])
def test_the_budget_holds_and_pays_for_both_trainings(
    run: RunFolder, tmp_path: Path, most: int, spent: int
) -> None:
    options = SearchOptions(trainings=most, strategies=("sleb", "random"))
    frontier = search_frontier(_trainings(run, tmp_path), options, Rules(margin=0.001))
    assert frontier.trainings == spent  # the size that the sweep trained costs one instead of two
    searched = [one for one in frontier.candidates if one.found_by != ("sweep",)]
    healed = {one.layers for one in searched if one.training == "healed"}
    assert {one.layers for one in searched if one.training == "pretrained"} >= healed - {3}
    names = "the budget was spent", "fewer than 4 trainings: nothing was searched"
    assert frontier.ended == names[most < 4]


def test_minutes_end_a_search(run: RunFolder, tmp_path: Path) -> None:
    frontier = search_frontier(
        _trainings(run, tmp_path), SearchOptions(minutes=0.0), Rules(margin=0.001)
    )
    assert frontier.trainings == 2  # the supernet and the control come first
    assert {one.found_by for one in frontier.candidates} == {("sweep",)}


def test_judged_subsets_are_candidates_and_can_be_healed(run: RunFolder, tmp_path: Path) -> None:
    trainings = _trainings(run, tmp_path / "first")
    kept = (1, CARRIER)
    trainings.settle([trainings.spec(kept, "pretrained", seed) for seed in trainings.seeds])
    here = _trainings(run, tmp_path / "second", others=(trainings.store,), start="baseline")
    options = SearchOptions(trainings=2, strategies=("verdicts",))
    frontier = search_frontier(here, options, LENIENT, judged={"unfavourable_removed": kept})
    assert [one.training for one in frontier.candidates if one.kept == kept] == ["pretrained"]
    options = replace(options, trainings=5)
    frontier = search_frontier(here, options, LENIENT, judged={"unfavourable_removed": kept})
    found = {one.training: one for one in frontier.candidates if one.kept == kept}
    assert found["healed"].found_by == ("verdicts",)
    assert found["pretrained"].found_by == ("unfavourable_removed", "verdicts")
    assert frontier.trainings == 2  # the control, and one to heal


def test_none_is_chosen_where_none_keeps_up(run: RunFolder, tmp_path: Path) -> None:
    trainings = _trainings(run, tmp_path)
    full = search_frontier(trainings, SearchOptions(trainings=0), LENIENT).full
    assert [one.training for one in full] == ["pretrained"]
    without = trainings.spec((0, 1, 3), "pretrained", 0)
    lost = candidate_of(trainings.find(without), (0, 1, 3), "pretrained", ["x"], run.rows())
    found = smallest_noninferior(trainings, [lost], full, Rules(margin=0.01))
    assert found == (None, "no model found comes within 0.01 of the full one's AUROC")
    unlike = replace(lost, auroc=full[0].auroc)
    chosen, reason = smallest_noninferior(trainings, [unlike], full, Rules(margin=0.01))
    assert chosen is None
    assert reason.startswith("no model could be shown to lose less than 0.01; the largest tried, 3")


def test_healed_models_start_from_what_was_asked_for(run: RunFolder, tmp_path: Path) -> None:
    one, other = (
        _trainings(run, tmp_path, start=start, seed=1) for start in ("baseline", "supernet")
    )
    assert one.source == one.teacher
    assert one.teacher.spec.seed == 1
    assert other.source.spec.supernet is not None
    assert other.source.spec.supernet.teacher == one.teacher.spec.hash
    for trainings in (one, other):
        healing = trainings.spec((CARRIER,), "healed", 2).healing
        assert healing is not None
        assert healing.teacher == trainings.source.spec.hash


def test_record_round_trip(searched: tuple[Trainings, Frontier], tmp_path: Path) -> None:
    path = tmp_path / "frontier.json"
    write_record(path, searched[1])
    assert Frontier.read(path) == searched[1]
    with pytest.raises(GenoslimError, match="there is no such file"):
        Frontier.read(tmp_path / "other.json")
    write_record(path, replace(searched[1], format=9))
    with pytest.raises(GenoslimError, match=r"frontier\.json: format is 9; this genoslim reads 1"):
        Frontier.read(path)


def test_a_run_whose_baseline_weights_are_gone_is_told_how_to_get_them(
    run: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    for weights in (tmp_path / "run").glob("trials/*/checkpoint"):
        shutil.rmtree(weights)
    trainings = _trainings(RunFolder(tmp_path / "run"), tmp_path / "out")
    with pytest.raises(GenoslimError, match="makes those of the baseline again"):
        search_frontier(trainings, SearchOptions(trainings=4), LENIENT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategies": ("sleb", "luck")}, "no strategy luck; there are verdicts, sleb"),
        ({"trainings": -1}, "trainings is -1"),
        ({"minutes": -0.5}, "minutes is -0.5"),
        ({"draws": 0}, "draws is 0"),
        ({"start": "scratch"}, "start is 'scratch', must be one of auto"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SearchOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("auroc", "better"), [(0.95, True), (0.85, False)])
def test_healed_models_start_from_the_better_of_the_two(
    auroc: float, better: bool, run: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    here = RunFolder(tmp_path / "run")
    _say_auroc(here.trials, spec_of(here, (), 0), 0.9)
    one = _trainings(here, tmp_path / "frontier", seed=0)
    one.settle([one.supernet])
    _say_auroc(one.store, one.supernet, auroc)
    assert one.source.spec == (one.supernet if better else one.teacher.spec)


def _say_auroc(store: TrialStore, spec: TrialSpec, auroc: float) -> None:
    """Rewrite what the result of a trial says of it on validation."""
    trial = store.read(spec)
    assert trial is not None
    said = replace(trial.result, validation=replace(trial.result.validation, auroc=auroc))
    write_record(store.path(spec) / "result.json", said)


def test_a_damaged_supernet_is_trained_again(run: RunFolder, tmp_path: Path) -> None:
    whole = _trainings(run, tmp_path).trained_supernet
    weights = tmp_path / "trials" / whole.spec.hash / "checkpoint" / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    again = _trainings(run, tmp_path).trained_supernet
    assert weights.read_bytes() == good
    assert again.predictions.test.tobytes() == whole.predictions.test.tobytes()
