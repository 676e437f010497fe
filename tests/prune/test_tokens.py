from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from genoslim.models import load_tokenizer
from genoslim.prune.tokens import TokenTable


def _table(model: Path, count: int = 200) -> tuple[TokenTable, list[str]]:
    generator = np.random.default_rng(1)
    sequences = ["".join(generator.choice(list("ACGT"), size=n)) for n in range(5, 5 + count)]
    generator.shuffle(sequences)
    return TokenTable.encode(load_tokenizer(model), sequences), sequences


def test_batches_hold_the_tokenizers_ids_and_mask(model: Path) -> None:
    table, sequences = _table(model)
    rows = torch.tensor([7, 3, 150])
    ids, mask = table.batch(rows)
    tokenizer = load_tokenizer(model)
    expected_ids, expected_mask = tokenizer.pad(tokenizer.encode([sequences[i] for i in rows]))
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(mask, expected_mask)
    assert ids.dtype == mask.dtype == torch.int64
    assert table.ids.dtype == torch.int16


def test_rows_of_one_length_share_their_mask(model: Path) -> None:
    table = TokenTable.encode(load_tokenizer(model), ["ACGTTGCA", "GGGTTGCA", "AC"])
    ids, mask = table.batch(torch.tensor([0, 0]))
    assert (len(ids), mask.tolist()) == (2, [[1] * ids.shape[1]])
    ids, mask = table.batch(torch.tensor([0, 2]))
    assert mask.shape == ids.shape


def test_on_a_gpu_lengths_are_multiples_within_what_the_model_takes(model: Path) -> None:
    _, sequences = _table(model)
    tokenizer = load_tokenizer(model)
    limit = tokenizer.max_tokens = max(map(len, tokenizer.encode(sequences))) + 1
    assert limit % 16
    table = replace(TokenTable.encode(tokenizer, sequences), multiple=16)  # as `to` CUDA has it
    widths = set()
    for rows in table.by_length(2000):
        ids, mask = table.batch(rows)
        longest = int(table.lengths[rows].max())
        assert ids.shape[1] == min(-(-longest // 16) * 16, limit)
        assert mask.sum() == (table.lengths[rows].sum() if len(mask) > 1 else longest)
        widths.add(ids.shape[1])
    assert table.widest == max(widths) == limit


def test_batches_by_length_keep_the_budget(model: Path) -> None:
    table, _ = _table(model)
    batches = table.by_length(500)
    assert sorted(torch.cat(batches).tolist()) == list(range(len(table)))
    assert all(len(rows) * table.width(rows) <= 500 for rows in batches)
    assert all(len(rows) == 1 for rows in table.by_length(1))


def test_an_epoch_holds_each_row_once_in_an_order_of_the_seed(model: Path) -> None:
    table, _ = _table(model)

    def epoch(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return torch.cat(list(table.shuffled(16, generator))).tolist()

    assert sorted(epoch(0)) == list(range(len(table)))
    assert epoch(0) == epoch(0) != epoch(1)


def test_length_buckets_waste_little(model: Path) -> None:
    table, _ = _table(model)
    batches = list(table.shuffled(8, torch.Generator().manual_seed(0)))
    padded = sum(len(rows) * int(table.lengths[rows].max()) for rows in batches)
    assert padded < 1.05 * int(table.lengths.sum())


def test_empty(model: Path) -> None:
    table = TokenTable.encode(load_tokenizer(model), [])
    assert (len(table), table.widest, table.by_length(10)) == (0, 1, [])
