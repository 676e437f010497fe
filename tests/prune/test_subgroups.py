"""What layers and slim models lose in subgroups, from planted predictions with a known answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import plotted
from judgements import judged

from genoslim.codec import decode
from genoslim.errors import GenoslimError
from genoslim.prune.execution import Executor
from genoslim.prune.frontier import Candidate
from genoslim.prune.judging import subgroups_without_layers
from genoslim.prune.measure import Rows, Split
from genoslim.prune.plan import attempts, plan, rows_with_subgroups
from genoslim.prune.run_folder import RunFolder, TrialStore
from genoslim.prune.search import SearchOptions, candidate_of
from genoslim.prune.slim import NO_SUBGROUPS, Pruned, build_slim_models
from genoslim.prune.smallest import smallest_noninferior
from genoslim.prune.subgroups import (
    Change,
    SubgroupChanges,
    changes,
    losses,
    lost_skills,
    subgroups_of,
)
from genoslim.prune.trainings import Trainings
from genoslim.prune.trial import Predictions, Trial, TrialSpec
from genoslim.prune.verbs import run_sweep
from genoslim.prune.verdicts import Rules
from genoslim.stats.ranks import auroc
from genoslim.stats.resampling import clustered_bootstrap

INLINE = Executor(workers=1, threads=1, device="cpu")
OLD = Path(__file__).parents[1] / "fixtures" / "old"

N = 600
KINDS = np.array(["broken"] * 300 + ["reversed"] * 120 + ["lone"] * 170 + ["rare"] * 10)
_NOISE = np.arange(N) % 25 == 0
LABELS = ((KINDS == "broken") != _NOISE).astype(np.int8)
SIDES = np.array(["left", "right"])[np.arange(N) // 2 % 2]
ROWS = Rows(
    LABELS,
    np.array([f"v{row}" for row in range(N)]),
    np.full(N, ""),
    {"kind": KINDS, "side": SIDES},
)


def _both(rows: Rows) -> dict[Split, Rows]:
    """Return rows as those of both splits, which so have all groups in common."""
    return {"validation": rows, "test": rows}


def _predicted(seed: int, *, blind: str = "") -> np.ndarray:
    """Return probabilities that tell the classes; rows of a `blind` kind pass for positive."""
    shared, own = (np.random.default_rng(s).normal(size=N) for s in (99, seed))
    signal = 2.0 * ((KINDS == "broken") | (blind == KINDS))
    margin = signal - 1 + shared + 0.3 * own
    found: np.ndarray = 1 / (1 + np.exp(-margin))
    return found


def _by_name(found: tuple[Change, ...]) -> dict[str, Change]:
    return {str(change.subgroup): change for change in found}


def test_a_kind_that_tells_the_class_is_held_against_all_of_the_other_class() -> None:
    found = {str(subgroup): (subgroup, mask) for subgroup, mask in subgroups_of(_both(ROWS))}
    subgroup, mask = found["kind reversed"]
    assert subgroup.whole == "positives"
    assert subgroup.positives == LABELS.sum()
    assert subgroup.negatives == np.sum((KINDS == "reversed") & (LABELS == 0))
    assert mask.sum() == subgroup.positives + subgroup.negatives
    assert found["kind broken"][0].whole == "negatives"
    side, mask = found["side left"]
    assert (side.whole, mask.tolist()) == ("", (SIDES == "left").tolist())
    assert [name for name, (one, _) in found.items() if not one.enough] == ["kind rare"]


def test_rare_positives_do_not_make_a_grouping_tell_the_class() -> None:
    labels = (np.arange(N) % 20 == 0).astype(np.int8)
    rows = replace(ROWS, labels=labels, subgroups={"side": SIDES})
    assert [one.whole for one, _ in subgroups_of(_both(rows))] == ["", "", ""]


def test_subgroups_are_in_the_order_of_their_numbers_and_recurring_variants_count_once() -> None:
    bins = np.array(["100 kb and more", "0-30 kb", "30-100 kb", ""])[np.arange(N) % 4]
    keys = np.array([f"v{row // 8}" for row in range(N)])
    rows = Rows(np.arange(N) // 4 % 2, keys, np.full(N, ""), {"distance": bins})
    everything, *others = (one for one, _ in subgroups_of(_both(rows)))
    assert [one.name for one in others] == ["0-30 kb", "30-100 kb", "100 kb and more"]
    assert everything.positives == len(set(keys))


def test_a_change_is_the_difference_of_the_mean_aurocs() -> None:
    full, slim = [_predicted(1), _predicted(2)], [_predicted(3, blind="reversed")]
    mask = (KINDS == "reversed") & (LABELS == 0) | (LABELS == 1)
    found = _by_name(changes(_both(ROWS), full, slim))["kind reversed"]
    means = [np.mean([auroc(LABELS[mask], p[mask]) for p in side]) for side in (full, slim)]
    assert (found.reference, found.auroc) == pytest.approx(tuple(means))
    assert found.difference == pytest.approx(means[1] - means[0])


def test_its_error_is_that_of_a_paired_bootstrap_over_variants() -> None:
    keys = np.array([f"v{row // 2}" for row in range(N)])
    full, slim = [_predicted(1), _predicted(2)], [_predicted(3, blind="lone"), _predicted(4)]
    mask = SIDES == "left"

    def difference(labels: np.ndarray, *columns: np.ndarray) -> float:
        first, second, third, fourth = (auroc(labels, column) for column in columns)
        return (third + fourth - first - second) / 2

    drawn = clustered_bootstrap(
        difference,
        LABELS[mask],
        *(one[mask] for one in (*full, *slim)),
        clusters=keys[mask],
        repeats=1000,
    )
    found = _by_name(changes(_both(replace(ROWS, keys=keys)), full, slim))["side left"]
    assert found.standard_error == pytest.approx(drawn.standard_error, rel=0.1)
    assert (found.low, found.high) == pytest.approx((drawn.low, drawn.high), abs=0.01)


def _in_loci(loci: np.ndarray) -> dict[Split, Rows]:
    """Return the rows in validation loci that the test split has none of."""
    here = replace(ROWS, groups=loci, subgroups={**ROWS.subgroups, "locus": loci})
    return {"validation": here, "test": replace(ROWS, groups=np.full(N, "elsewhere"))}


def test_groups_held_out_of_validation_are_the_sample() -> None:
    """Where seven of ten loci lose a skill and three gain, ten loci tell, not 600 variants."""
    loci = np.array([f"locus{row % 10}" for row in range(N)])
    losing = np.arange(N) % 10 < 7
    full, slim = _predicted(1), np.where(losing, _predicted(2, blind="reversed"), LABELS)
    by_locus = _by_name(changes(_in_loci(loci), [full], [slim]))
    by_variant = _by_name(changes(_both(ROWS), [full], [slim]))
    found, narrow = (one["kind reversed"] for one in (by_locus, by_variant))
    assert (found.subgroup.groups, found.degrees_of_freedom) == (10, 9)
    assert narrow.subgroup.groups is None
    assert found.difference == narrow.difference
    assert found.standard_error > narrow.standard_error
    mask = (KINDS == "reversed") & (LABELS == 0) | (LABELS == 1)

    def difference(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
        return auroc(labels, second) - auroc(labels, first)

    columns = (LABELS[mask], full[mask], slim[mask])
    drawn = clustered_bootstrap(difference, *columns, clusters=loci[mask], repeats=1000)
    assert found.standard_error == pytest.approx(drawn.standard_error, rel=0.1)


def test_within_one_group_the_sample_is_of_variants() -> None:
    loci = np.array([f"locus{row // 2 % 4}" for row in range(N)])
    found = _by_name(changes(_in_loci(loci), [_predicted(1)], [_predicted(2)]))
    assert found["locus locus0"].subgroup.groups is None
    rarer = min(np.bincount(LABELS[loci == "locus0"]))
    assert found["locus locus0"].degrees_of_freedom == rarer - 1
    assert found["all rows"].degrees_of_freedom == 3


def test_a_class_in_one_group_alone_has_no_interval() -> None:
    loci = np.where(LABELS == 1, "one", np.array(["one", "two"])[np.arange(N) % 2])
    left = [str(one) for one, _ in subgroups_of(_in_loci(loci)) if not one.enough]
    assert {"all rows", "kind reversed", "side left"} <= set(left)
    found = changes(_in_loci(loci), [_predicted(1)], [_predicted(1)])
    assert [str(one.subgroup) for one in found] == ["locus one"]  # the variants of one locus


def test_a_lost_skill_is_named_with_its_figures_though_the_average_hides_it() -> None:
    found = changes(_both(ROWS), [_predicted(1)], [_predicted(2, blind="reversed")])
    lost = losses(found, limit=0.05, alpha=0.05)
    worst = _by_name(found)["kind reversed"]
    assert lost[0] == worst
    assert worst.difference < -0.3 < _by_name(found)["all rows"].difference
    text = lost_skills(lost[:1])
    assert text.startswith("loses one skill: kind reversed: AUROC 0.5")
    assert f"({worst.difference:+.3f}, 95 % interval {worst.low:+.3f} to" in text
    assert lost_skills(()) == ""
    assert losses(found, limit=0.9, alpha=0.05) == ()


def test_a_model_against_itself_loses_nothing() -> None:
    found = changes(_both(ROWS), [_predicted(1)], [_predicted(1)])
    assert {(one.difference, one.standard_error) for one in found} == {(0.0, 0.0)}
    assert losses(found, limit=0.05, alpha=0.05) == ()


def _refused(losing: str, strength: float) -> float:
    """Return how often any subgroup is shown to lose more than the limit, of five with 240 rows.

    The full model separates the classes by 2 sd (an AUROC of 0.921), the slim one does too but in
    the subgroups `losing`, where it is `strength` sd.
    """
    generator = np.random.default_rng(5)
    size, repeats, refused = 1200, 200, 0
    labels, names = np.arange(size) % 2, np.array(list("abcde"))[np.arange(size) // 2 % 5]
    rows = Rows(labels, np.arange(size).astype(str), np.full(size, ""), {"part": names})
    strengths = np.where(np.isin(names, list(losing)), strength, 2.0)
    for _ in range(repeats):
        shared, own, other = generator.normal(size=(3, size))
        full = labels * 2.0 + 0.8 * shared + 0.6 * own
        slim = labels * strengths + 0.8 * shared + 0.6 * other
        refused += bool(losses(changes(_both(rows), [full], [slim]), limit=0.05, alpha=0.05))
    return refused / repeats


def test_the_gate_errs_as_stated_and_finds_a_lost_skill() -> None:
    """1.5999 sd are an AUROC of 0.871, just the limit less; 0.75 sd are 0.702; 0 sd are chance."""
    assert 0.005 <= _refused("abcde", 1.5999) <= 0.06
    assert _refused("a", 0.75) >= 0.9
    assert _refused("a", 0.0) == 1.0


def _plant(store: TrialStore, spec: TrialSpec, found: np.ndarray, pattern: Trial) -> None:
    """Write a finished trial with these predictions."""
    margin = np.log(found) - np.log1p(-found)
    logits = np.stack([np.zeros(N), margin], axis=1).astype(np.float32)
    if store.read(spec) is None:
        store.begin(spec)
    result = replace(pattern.result, hash=spec.hash, collapsed="")
    store.write_result(spec, result, Predictions(logits, logits))


@pytest.fixture
def planted(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the shared run with planted rows: without layer 1 `reversed` is not told."""
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    _write_rows(run.folder / "rows.npz", _both(ROWS))
    for spec in plan(run):
        blind = "reversed" if 1 in spec.dropped else ""
        for tried in attempts(run.trials, spec):
            seed = spec.seed + 10 * sum(layer + 1 for layer in spec.dropped)
            _plant(run.trials, tried.spec, _predicted(seed, blind=blind), tried)
    return run


def _write_rows(path: Path, rows: Mapping[str, Rows]) -> None:
    arrays: dict[str, np.ndarray] = {}
    for split, one in rows.items():
        arrays |= {f"{split}_{name}": getattr(one, name) for name in ("labels", "keys", "groups")}
        arrays |= {f"{split}_subgroup_{way}": names for way, names in one.subgroups.items()}
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def test_the_layer_that_carries_a_skill_is_found(planted: RunFolder) -> None:
    found = subgroups_without_layers(planted, planted.rows())
    assert [str(one) for one in found.left_out] == ["kind rare"]
    assert [one.seeds for one in found.layers] == [(0,)] * 3
    shown = {
        (layer.layer, str(one.subgroup))
        for layer in found.layers
        for one in losses(layer.changes, limit=0.05, alpha=0.05)
    }
    assert (1, "kind reversed") in shown
    assert {layer for layer, _ in shown} == {1}
    kinds = {name for _, name in shown if name.startswith("kind")}
    assert kinds <= {"kind reversed", "kind broken"}  # `broken`: against reversed ones too


def test_seeds_that_collapsed_are_not_compared(planted: RunFolder) -> None:
    spec = next(one for one in plan(planted) if one.dropped == (2,))
    for tried in attempts(planted.trials, spec):
        _plant(planted.trials, tried.spec, np.random.default_rng(1).uniform(0.4, 0.6, N), tried)
    found = subgroups_without_layers(planted, planted.rows())
    assert (found.layers[2].seeds, found.layers[2].changes) == ((), ())
    assert found.layers[1].changes


def test_a_run_keeps_the_subgroups_of_its_rows(finished: RunFolder) -> None:
    rows = finished.rows()
    for split in ("validation", "test"):
        assert set(rows[split].subgroups) == {"group", "gc"}
        assert {len(names) for names in rows[split].subgroups.values()} == {64}


def test_an_old_run_folder_takes_them_from_the_data_given() -> None:
    run = RunFolder(OLD / "run")
    rows = rows_with_subgroups(run, None)
    assert rows["validation"].subgroups == {}
    assert not subgroups_without_layers(run, rows).parted
    rows = rows_with_subgroups(run, OLD / "data.parquet")
    assert set(rows["validation"].subgroups) == {"gc"}
    found = subgroups_without_layers(run, rows)
    assert found.parted
    assert len(found.layers) == 2


def test_data_of_another_run_are_refused(data: Path) -> None:
    with pytest.raises(GenoslimError, match=r"data\.parquet: fingerprint .* the trials are for"):
        rows_with_subgroups(RunFolder(OLD / "run"), data)


def test_a_finished_sweep_leaves_them_in_its_folder_and_page(own_run: RunFolder) -> None:
    about = own_run.record
    run_sweep(
        about.model,
        about.data,
        output=own_run.folder,
        recipe=about.identity.recipe,
        executor=INLINE,
    )
    written = json.loads((own_run.folder / "subgroups.json").read_text())
    found = decode(SubgroupChanges, written, "subgroups.json", exact=True)
    assert found == subgroups_without_layers(own_run, own_run.rows())
    page = (own_run.folder / "report.html").read_text()
    assert "What each layer is for" in page
    cells = plotted(page, "layer-map")
    assert {cell["subgroup"].split()[0] for cell in cells} == {"all", "GC"}  # loci: too few
    assert "Left out, with fewer than 20 variants of a class" in page


def _kept(trainings: Trainings, kept: tuple[int, ...], *, blind: str) -> Candidate:
    """Plant the trials of a subset over all seeds and return the candidate it is."""
    pattern = trainings.find(trainings.spec((0, 1, 2), "pretrained", 0))
    for seed in trainings.seeds:
        spec = trainings.spec(kept, "pretrained", seed)
        found = _predicted(100 + seed, blind=blind)
        store = trainings.run.trials if trainings.run.trials.read(spec) else trainings.store
        _plant(store, spec, found, pattern)
    trial = trainings.find(trainings.spec(kept, "pretrained", 0))
    return candidate_of(trial, kept, "pretrained", ["test"], trainings.rows)


def test_the_smallest_model_may_not_have_lost_a_skill(planted: RunFolder, tmp_path: Path) -> None:
    """It is not inferior by the margin asked for on average, but blind in a subgroup."""
    trainings = Trainings(planted, tmp_path / "frontier", INLINE, start="baseline")
    full = _kept(trainings, (0, 1, 2), blind="")
    lost, sound = _kept(trainings, (0,), blind="reversed"), _kept(trainings, (0, 1), blind="")
    rules = Rules(margin=0.3)
    chosen, reason = smallest_noninferior(trainings, [lost, sound], [full], rules)
    assert chosen is not None
    assert chosen.kept == (0, 1)
    assert "; not taken: 1 layer (0), pretrained: AUROC -0." in reason
    assert "but it loses" in reason
    assert "kind reversed: AUROC 0.5" in reason
    chosen, reason = smallest_noninferior(trainings, [lost], [full], rules)
    assert chosen is None
    assert reason.startswith("no model that is as good on average may be taken; not taken: 1 layer")
    chosen, _ = smallest_noninferior(trainings, [lost], [full], rules, subgroup_limit=0.9)
    assert chosen is not None
    assert chosen.kept == (0,)


def test_a_class_in_one_group_alone_chooses_no_model(planted: RunFolder, tmp_path: Path) -> None:
    _write_rows(planted.folder / "rows.npz", _in_loci(np.where(LABELS == 1, "one", "two")))
    trainings = Trainings(planted, tmp_path / "frontier", INLINE, start="baseline")
    full, slim = (_kept(trainings, kept, blind="") for kept in ((0, 1, 2), (0, 1)))
    chosen, reason = smallest_noninferior(trainings, [slim], [full], Rules(margin=0.3))
    assert chosen is None
    assert reason.startswith("with a class in fewer than 2 validation groups no model can be")


def _built(planted: RunFolder, out: Path) -> Pruned:
    """Build the paper's models from planted trials: the cornerstone's is blind for a kind."""
    trainings = Trainings(planted, out, INLINE)
    baseline = trainings.find(trainings.spec((0, 1, 2), "pretrained", 0))
    for kept, blind in (((1, 2), ""), ((1,), "reversed")):
        for seed in trainings.seeds:
            spec = trainings.spec(kept, "pretrained", seed)
            _plant(trainings.store, spec, _predicted(100 + seed, blind=blind), baseline)
            weights = planted.trials.checkpoint(baseline.spec)
            shutil.copytree(weights, trainings.store.checkpoint(spec))
    verdicts = judged(("unfavourable", 0.8), ("cornerstone", 0.5), ("neutral", 0.75))
    search = SearchOptions(trainings=0)
    return build_slim_models(planted, verdicts, out, executor=INLINE, search=search)


def test_the_papers_models_say_which_skill_they_lost(planted: RunFolder, tmp_path: Path) -> None:
    lost = [note for note in _built(planted, tmp_path / "slim").notes if "skill" in note]
    assert len(lost) == 1
    assert lost[0].startswith("cornerstone_only loses ")
    assert "kind reversed: AUROC 0.5" in lost[0]
    assert lost[0].endswith(", on validation")


def test_an_old_run_says_that_skills_are_not_known(planted: RunFolder, tmp_path: Path) -> None:
    rows = replace(ROWS, subgroups={})
    _write_rows(planted.folder / "rows.npz", _both(rows))
    notes = _built(planted, tmp_path / "slim").notes
    assert notes[0] == NO_SUBGROUPS
    assert not any("loses" in note for note in notes)
