from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genoslim.data.dataset import DataMetadata, LabelledData, VariantColumns
from genoslim.data.shortcuts import central_bases, fit_logistic, fit_shortcuts, kmer_counts
from genoslim.data.variant import Variant
from genoslim.errors import GenoslimError
from genoslim.stats.ranks import auroc


def dataset(sequences: list[str], labels: list[int]) -> LabelledData:
    n = len(sequences)
    return LabelledData(
        sequences=sequences,
        labels=np.array(labels, dtype=np.int8),
        splits=np.array(["train", "test"] * (n // 2)),
        variants=VariantColumns.of([Variant("c", 100 * i + 1, "A", "C") for i in range(n)]),
        groups=np.array([""] * n),
        metadata=DataMetadata(
            window_length=len(sequences[0]), assembly="a", source="s", licence="l"
        ),
    )


def test_central_bases_are_those_around_the_variant() -> None:
    found = central_bases(["AACGTN"], 4).reshape(4, 4)
    assert found.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    wide = central_bases(["ACG", "NNT"], 6).reshape(2, 6, 4)
    assert wide.argmax(axis=2)[0, 2:5].tolist() == [0, 1, 2]
    assert wide.sum(axis=(1, 2)).tolist() == [3, 1]


def test_kmer_counts_count_overlapping_ones() -> None:
    counts = kmer_counts(["AAAC", "CAAA"], 2).toarray()
    assert sorted(counts[0].tolist()) == [0, 1, 2]
    assert sorted(counts[1].tolist()) == [0, 1, 2]
    assert counts.shape == (2, 3)
    placed = kmer_counts(["AAAC", "CAAA"], 2, bin_width=2).toarray()
    assert placed.shape == (2, 4)
    assert sorted(placed[0].tolist()) == [0, 0, 1, 2]


def test_each_shortcut_finds_what_it_reads_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 800).tolist()
    windows = ["".join(row) for row in generator.choice(list("ACGT"), (800, 60)).tolist()]
    by_place = [w[:30] + "AC"[y] + w[31:] for w, y in zip(windows, labels, strict=True)]
    places = generator.integers(0, 18, 800).tolist()
    far = [
        w[:p] + ["GATTAC", "CATTAG"][y] + w[p + 6 :]
        for w, y, p in zip(windows, labels, places, strict=True)
    ]
    for sequences, sees, blind in ((by_place, 0, 1), (far, 1, 0)):
        data = dataset(sequences, labels)
        test = data.splits == "test"
        aurocs = [auroc(data.labels[test], s.scores[test]) for s in fit_shortcuts(data)]
        assert aurocs[sees] > 0.9
        assert aurocs[blind] < 0.7


def test_the_penalty_is_the_one_that_is_best_on_validation() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200).tolist()
    data = dataset(["ACGTACGT"] * 200, labels)
    data = replace(data, splits=np.array(["train", "validation"] * 100))
    features = generator.normal(size=(200, 40))
    features[:, 0] += labels
    each = {c: fit_logistic(data, features, strengths=[c])[0] for c in (0.001, 10.0)}
    rows = data.splits == "validation"
    best = max(each, key=lambda c: auroc(data.labels[rows], each[c][rows]))
    scores, chosen = fit_logistic(data, features, strengths=list(each))
    assert chosen == best
    np.testing.assert_allclose(scores, each[best], rtol=1e-3, atol=1e-3)
    _, other = fit_logistic(
        data, features, strengths=list(each), judge=lambda s: -auroc(data.labels[rows], s[rows])
    )
    assert other != best


def test_a_single_class_has_no_shortcut() -> None:
    with pytest.raises(GenoslimError, match="the train split has a single class"):
        fit_shortcuts(dataset(["ACGTACGT"] * 4, [0, 1, 0, 1]))
