"""Small random networks and tokenizers of every family, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import Classifier
from genoslim.models.tokenizer import SequenceTokenizer, nucleotide_transformer_tokenizer

NATIVE = ("dnabert2", "nt_v1", "nt_v2")

_SHAPE = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
}
_ESM = {"pad_token_id": 1, "mask_token_id": 2, "emb_layer_norm_before": False}

CONFIGS: dict[str, dict[str, Any]] = {
    "dnabert2": {
        **_SHAPE,
        "vocab_size": 18,
        "alibi_starting_size": 512,
        "max_position_embeddings": 512,
        "hidden_dropout_prob": 0.1,
        "type_vocab_size": 2,
        "auto_map": {"AutoConfig": "configuration_bert.BertConfig"},
    },
    "nt_v1": {
        **_SHAPE,
        **_ESM,
        "model_type": "esm",
        "vocab_size": 4105,
        "token_dropout": True,
        "max_position_embeddings": 66,
        "position_embedding_type": "absolute",
    },
    "nt_v2": {
        **_SHAPE,
        **_ESM,
        "vocab_size": 4107,
        "token_dropout": False,
        "add_bias_fnn": False,
        "max_position_embeddings": 66,
        "position_embedding_type": "rotary",
    },
}


def _bpe() -> Tokenizer:
    merges = [("A", "A"), ("T", "T"), ("T", "G"), ("C", "A"), ("C", "C"), ("AA", "A"), ("G", "CC")]
    tokens = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", *"ACGT", *map("".join, merges)]
    raw = Tokenizer(BPE({t: i for i, t in enumerate(tokens)}, merges, unk_token="[UNK]"))
    raw.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    raw.add_special_tokens(tokens[:5])
    return raw


def _vocabulary(family: str) -> list[str]:
    extra = ["<eos>", "<bos>"]
    specials = ["<unk>", "<pad>", "<mask>", "<cls>"] + (extra if family == "nt_v2" else [])
    return [*specials, *map("".join, product("ATCG", repeat=6)), *"ATCGN"]


@pytest.fixture(params=NATIVE)
def family(request: pytest.FixtureRequest) -> str:
    """Every family whose networks are written here, in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def config_of() -> Callable[[str], dict[str, Any]]:
    return lambda family: dict(CONFIGS[family])


@pytest.fixture(scope="session")
def tokenizer_of() -> Callable[[str], SequenceTokenizer]:
    @cache
    def build(family: str) -> SequenceTokenizer:
        if family == "dnabert2":
            return SequenceTokenizer(_bpe())
        raw = nucleotide_transformer_tokenizer(_vocabulary(family))
        return SequenceTokenizer(raw, max_tokens=64)

    return build


@pytest.fixture(scope="session")
def vocabulary_of() -> Callable[[str], list[str]]:
    return _vocabulary


@pytest.fixture
def model(family: str) -> Classifier:
    """A small network whose weights are large enough for every part of it to matter."""
    built = new_classifier(CONFIGS[family], num_labels=3, seed=5)
    generator = torch.Generator().manual_seed(6)
    for parameter in built.parameters():
        noise = torch.empty_like(parameter).normal_(0, 0.3, generator=generator)
        parameter.data += noise
    return built


@pytest.fixture
def tokenizer(family: str, tokenizer_of: Callable[[str], SequenceTokenizer]) -> SequenceTokenizer:
    return tokenizer_of(family)


@pytest.fixture
def batch(tokenizer: SequenceTokenizer) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of several lengths, N and a mask token among them: ids and attention mask."""
    rows = tokenizer.encode(["ACGTTGCAAGCTN" * 3, "TTGACA", "GATTACAGATTACA", "A"])
    rows[0][3] = tokenizer.mask_id
    ids, mask = tokenizer.pad(rows)
    return torch.from_numpy(ids), torch.from_numpy(mask)
