"""Token ids, normalisation, padding, limits, and the files of a tokenizer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from genoslim.errors import GenoslimError
from genoslim.models.tokenizer import (
    SequenceTokenizer,
    normalise,
    nucleotide_transformer_tokenizer,
)

TokenizerOf = Callable[[str], SequenceTokenizer]


def _by_the_rule(text: str, vocabulary: list[str]) -> list[int]:
    """The Nucleotide Transformer's rule, one character at a time."""
    ids = {token: i for i, token in enumerate(vocabulary)}
    found, at, unknown = [ids["<cls>"]], 0, False
    while at < len(text):
        word = text[at : at + 6]
        if len(word) == 6 and set(word) <= set("ACGT"):
            token, at, unknown = word, at + 6, False
        elif text[at] in "ACGTN":
            token, at, unknown = text[at], at + 1, False
        else:
            fresh = not text[at].isspace() and not unknown
            token, unknown, at = "<unk>" if fresh else "", not text[at].isspace(), at + 1
        if token:
            found.append(ids[token])
    return found


@given(st.text())
def test_normalise_keeps_length_and_leaves_only_acgtn(text: str) -> None:
    normalised = normalise(text)
    assert len(normalised) == len(text)
    assert set(normalised) <= set("ACGTN")
    assert normalise(normalised) == normalised


def test_normalise() -> None:
    assert normalise("acgtACGTnNryU-*é ") == "ACGTACGTNNNNNNNNN"


@pytest.mark.parametrize("family", ["nt_v1", "nt_v2"])
@given(text=st.text(alphabet="ACGTACGTACGTNacRU-. ", max_size=60))
def test_nucleotide_transformer_rule(
    family: str, text: str, tokenizer_of: TokenizerOf, vocabulary_of: Callable[[str], list[str]]
) -> None:
    assert tokenizer_of(family).raw.encode(text).ids == _by_the_rule(text, vocabulary_of(family))


def test_nucleotide_transformer_ids(tokenizer_of: TokenizerOf) -> None:
    (first,) = tokenizer_of("nt_v1").encode(["ACGTACNAC"])
    (second,) = tokenizer_of("nt_v2").encode(["acgtacrac"])
    assert first.tolist() == [3, 726, 4104, 4100, 4102]
    assert second.tolist() == [3, 728, 4106, 4102, 4104]


def test_bpe_is_normalised_first(tokenizer_of: TokenizerOf) -> None:
    upper, lower = tokenizer_of("dnabert2").encode(["AATGNCA", "aatgrca"])
    assert upper.tolist() == lower.tolist() == [1, 9, 11, 0, 12, 2]
    assert upper.dtype == np.int64


def test_pad(tokenizer: SequenceTokenizer) -> None:
    rows = tokenizer.encode(["ACGTTGCA" * 3, "AC"])
    ids, mask = tokenizer.pad(rows)
    assert ids.dtype == mask.dtype == np.int64
    assert ids.shape == mask.shape == (2, len(rows[0]))
    assert mask.sum(1).tolist() == [len(row) for row in rows]
    assert ids[1, : len(rows[1])].tolist() == rows[1].tolist()
    assert set(ids[1, len(rows[1]) :]) == {tokenizer.pad_id}


def test_nothing_to_encode_or_pad(tokenizer: SequenceTokenizer) -> None:
    assert tokenizer.encode([]) == []
    assert [part.shape for part in tokenizer.pad([])] == [(0, 0), (0, 0)]


def test_special_ids(tokenizer_of: TokenizerOf) -> None:
    assert tokenizer_of("dnabert2").special_ids == {0, 1, 2, 3, 4}
    assert tokenizer_of("nt_v1").special_ids == {0, 1, 2, 3}
    assert tokenizer_of("nt_v2").special_ids == {0, 1, 2, 3, 4, 5}
    assert [tokenizer_of("dnabert2").mask_id, tokenizer_of("dnabert2").pad_id] == [4, 3]
    assert tokenizer_of("nt_v2").vocab_size == 4107


def test_too_long_is_an_error_not_a_truncation(tokenizer_of: TokenizerOf) -> None:
    tokenizer = tokenizer_of("nt_v1")
    assert len(tokenizer.encode(["ACGTAC" * 63])[0]) == tokenizer.max_tokens == 64
    with pytest.raises(
        GenoslimError, match=r"sequence 1 \(384 bases\) makes 65 tokens.*at most 64"
    ):
        tokenizer.encode(["A", "ACGTAC" * 64])


def test_saved_tokenizer_gives_the_same_ids(tokenizer: SequenceTokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    sequences = ["ACGTNACGTTGCAAC", "N", "", "GATTACAGATTACA"]
    tokenizer.save(tmp_path)
    again = SequenceTokenizer.from_folder(tmp_path)
    plain = AutoTokenizer.from_pretrained(tmp_path)
    expected = [row.tolist() for row in tokenizer.encode(sequences)]
    assert [row.tolist() for row in again.encode(sequences)] == expected
    assert plain(sequences)["input_ids"] == expected
    assert again.max_tokens == tokenizer.max_tokens
    assert (again.special_ids, again.pad_id) == (tokenizer.special_ids, plain.pad_token_id)
    assert plain.mask_token_id == tokenizer.mask_id


def test_vocabulary_file(tmp_path: Path, vocabulary_of: Callable[[str], list[str]]) -> None:
    """The official v1 file ends with two tokens that the model has no rows for."""
    (tmp_path / "vocab.txt").write_text("\n".join([*vocabulary_of("nt_v1"), "<eos>", "<bos>"]))
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "model_type": "esm",
                "vocab_size": 4105,
                "max_position_embeddings": 1002,
                "pad_token_id": 1,
            }
        )
    )
    tokenizer = SequenceTokenizer.from_folder(tmp_path)
    assert (tokenizer.vocab_size, tokenizer.max_tokens) == (4105, 1000)


@pytest.mark.parametrize(
    ("stated", "rows", "expected"),
    [(64, 1002, 64), (1e30, 1002, 1000), (2048, 102, 100), (None, 1002, 1000), (1e30, None, None)],
)
def test_limit_is_the_smaller_one(
    tmp_path: Path,
    tokenizer_of: TokenizerOf,
    stated: float | None,
    rows: int | None,
    expected: int | None,
) -> None:
    tokenizer_of("nt_v1").save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": stated}))
    config = {"model_type": "esm", "max_position_embeddings": rows, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert SequenceTokenizer.from_folder(tmp_path).max_tokens == expected


def test_absent_or_broken_files(tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match=r"no tokenizer: neither tokenizer.json nor vocab.txt"):
        SequenceTokenizer.from_folder(tmp_path)
    with pytest.raises(GenoslimError, match=r"no such file"):
        SequenceTokenizer.from_file(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(GenoslimError, match=r"not a readable tokenizer.json"):
        SequenceTokenizer.from_folder(tmp_path)


def test_wrong_vocabulary() -> None:
    with pytest.raises(GenoslimError, match=r"lacks <unk>.*first entries: \[PAD\], the"):
        nucleotide_transformer_tokenizer(["[PAD]", "the"])
    with pytest.raises(GenoslimError, match=r"lacks all 6-mers"):
        nucleotide_transformer_tokenizer(["<unk>", "<pad>", "<cls>", *"ATCGN"])


def test_roles_that_are_not_there() -> None:
    bare = Tokenizer(WordLevel({"<pad>": 0, "A": 1}, unk_token="<unk>"))
    with pytest.raises(GenoslimError, match=r"no mask token"):
        _ = SequenceTokenizer(bare).mask_id
    with pytest.raises(GenoslimError, match=r"no pad token"):
        SequenceTokenizer(Tokenizer(WordLevel({"A": 1}, unk_token="<unk>")))


def test_needs_no_torch() -> None:
    code = (
        "import sys, genoslim.models, genoslim.models.tokenizer, genoslim.models.families;"
        "print(sorted({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "[]"
