from __future__ import annotations

import numpy as np
import pytest

from genoslim.models.batches import batches, padded_length

LENGTHS = np.random.default_rng(5).integers(3, 200, 400).tolist()


@pytest.mark.parametrize(
    ("longest", "multiple", "limit", "expected"),
    [
        (25, 1, None, 25),
        (25, 16, None, 32),
        (32, 16, None, 32),
        (33, 16, 40, 40),
        (33, 16, 48, 48),
        (0, 16, None, 0),
        (41, 16, 40, 41),  # what is too long already is not cut
    ],
)
def test_lengths_are_rounded_within_what_the_model_takes(
    longest: int, multiple: int, limit: int | None, expected: int
) -> None:
    assert padded_length(longest, multiple=multiple, limit=limit) == expected


@pytest.mark.parametrize("multiple", [1, 16])
@pytest.mark.parametrize("tokens", [1, 200, 1024, 100_000])
def test_each_row_comes_once_and_the_budget_is_kept(tokens: int, multiple: int) -> None:
    found = list(batches(LENGTHS, tokens=tokens, multiple=multiple))
    assert sorted(place for batch in found for place in batch) == list(range(len(LENGTHS)))
    for batch in found:
        width = padded_length(max(LENGTHS[place] for place in batch), multiple=multiple)
        shortest = padded_length(min(LENGTHS[place] for place in batch), multiple=multiple)
        assert len(batch) == 1 or (len(batch) * width <= tokens and width <= 1.25 * shortest)


def test_a_batch_is_as_full_as_the_budget_allows() -> None:
    assert [len(batch) for batch in batches([10] * 7, tokens=30)] == [3, 3, 1]
    assert [len(batch) for batch in batches([10] * 7, tokens=30, multiple=16)] == [1] * 7
    assert [len(batch) for batch in batches([10] * 7, tokens=1000, rows=4)] == [4, 3]


def test_no_rows_no_batches() -> None:
    assert list(batches([], tokens=10)) == []
