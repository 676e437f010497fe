from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from genoslim.codec import decode, plain
from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.metrics import Metrics, compute_metrics, macro_auroc
from genoslim.stats.ranks import auroc, auroc_of_ranks, dense_ranks

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 6).map(lambda k: k / 6)), min_size=2, max_size=40
).filter(lambda rows: len({label for label, _ in rows}) == 2)


def columns(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


@given(ROWS, st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_agrees_with_scikit_learn(rows: list[tuple[int, float]], threshold: float) -> None:
    labels, scores = columns(rows)
    called = scores >= threshold
    ours = compute_metrics(labels, scores, threshold=threshold)
    macro = compute_metrics(labels, scores, threshold=threshold, f1="macro")
    assert ours.accuracy == pytest.approx(reference.accuracy_score(labels, called))
    assert ours.auroc == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-12)
    assert ours.f1 == pytest.approx(reference.f1_score(labels, called, zero_division=0))
    assert macro.f1 == pytest.approx(
        reference.f1_score(labels, called, average="macro", labels=[0, 1], zero_division=0)
    )
    assert ours.true_positive_rate == pytest.approx(reference.recall_score(labels, called))
    tn, fp, fn, tp = reference.confusion_matrix(labels, called, labels=[0, 1]).ravel()
    assert (ours.tn, ours.fp, ours.fn, ours.tp, ours.n) == (tn, fp, fn, tp, len(rows))


@given(ROWS, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(rows: list[tuple[int, float]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert compute_metrics(*columns(rows)) == compute_metrics(*columns(shuffled))


@given(ROWS, st.data())
def test_auroc_of_a_draw_from_its_ranks(rows: list[tuple[int, float]], data: st.DataObject) -> None:
    labels, scores = columns(rows)
    drawn = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=40)))
    if len(set(labels[drawn])) == 2:
        ranks = dense_ranks(scores)
        expected = auroc(labels[drawn], scores[drawn])
        assert auroc_of_ranks(labels[drawn], ranks[drawn]) == pytest.approx(expected, abs=1e-12)


@given(ROWS)
def test_swapping_the_classes_mirrors_the_auroc(rows: list[tuple[int, float]]) -> None:
    labels, scores = columns(rows)
    there = compute_metrics(labels, scores).auroc
    assert compute_metrics(1 - labels, scores).auroc == pytest.approx(1 - there)


def test_round_trip_through_a_dict() -> None:
    metrics = compute_metrics([0, 1, 1], [0.2, 0.4, 0.9])
    assert decode(Metrics, plain(metrics) | {"further": 1}, "f") == metrics
    with pytest.raises(GenoslimError, match="f: auroc is missing"):
        decode(Metrics, {k: v for k, v in plain(metrics).items() if k != "auroc"}, "f")


def test_inconsistent_metrics_are_refused() -> None:
    metrics = compute_metrics([0, 1], [0.2, 0.4])
    with pytest.raises(GenoslimError, match="do not add up to n = 3"):
        replace(metrics, n=3)
    with pytest.raises(GenoslimError, match=r"auroc must lie in \[0, 1\], found nan"):
        replace(metrics, auroc=float("nan"))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1], [0.1, 0.2], "found 2 positive and 0 negative labels"),
        ([0, 0], [0.1, 0.2], "found 0 positive and 2 negative labels"),
        ([], [], "labels are empty"),
        ([0, 1], [0.5], "1 against 2"),
        ([0, 1], [0.5, float("nan")], "must be finite, found nan at index 1"),
        ([0, 1], [0.5, float("inf")], "must be finite, found inf at index 1"),
        ([0, 1], [0.5, 1.5], r"must lie in \[0, 1\], found 1.5 at index 1"),
        ([0, 2], [0.5, 0.5], "labels must be 0 or 1, found 2 at index 1"),
        ([[0, 1]], [0.5, 0.5], r"labels must be one-dimensional, found shape \(1, 2\)"),
        ([0, 1], ["a", "b"], "must be numbers"),
    ],
)
def test_bad_input_is_one_clear_line(labels: list, scores: list, message: str) -> None:
    with pytest.raises(GenoslimError, match=message) as error:
        compute_metrics(labels, scores)
    assert "\n" not in str(error.value)


def test_bad_options_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="f1 must be binary or macro, found micro"):
        compute_metrics([0, 1], [0, 1], f1="micro")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="threshold must be finite"):
        compute_metrics([0, 1], [0, 1], threshold=float("nan"))


def test_macro_auroc_is_the_mean_of_groups_and_names_the_skipped() -> None:
    labels = [0, 1, 0, 1, 1, 1]
    scores = [0.1, 0.9, 0.8, 0.2, 0.5, 0.6]
    grouped = macro_auroc(labels, scores, ["a", "a", "b", "b", "c", "c"])
    assert grouped.per_group == {"a": 1.0, "b": 0.0}
    assert grouped.macro_mean == 0.5
    assert grouped.skipped == ("c",)
    with pytest.raises(GenoslimError, match="no group has both classes: c"):
        macro_auroc(labels[4:], scores[4:], ["c", "c"])
    with pytest.raises(GenoslimError, match="as many groups as labels"):
        macro_auroc(labels, scores, ["a"])
