"""Small pretrained-looking models and small data sets, made in seconds from nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from genoslim.data.dataset import DataMetadata, LabelledData, VariantColumns
from genoslim.models.checkpoint import new_masked_lm, save
from genoslim.models.tokenizer import SequenceTokenizer, nucleotide_transformer_tokenizer
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from torch import Tensor

WINDOW = 48
MOTIF = "ACGTGA"


def _bpe() -> SequenceTokenizer:
    """All pairs and no more: DNABERT-2's tokenizer in miniature."""
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    pairs = list(product("ACGT", repeat=2))
    tokens = [*specials, *"ACGT", *("".join(pair) for pair in pairs)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    raw = Tokenizer(BPE(vocab=vocabulary, merges=pairs, unk_token="[UNK]"))
    raw.add_special_tokens(specials)
    raw.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return SequenceTokenizer(raw)


def _kmers() -> SequenceTokenizer:
    specials = ["<unk>", "<pad>", "<mask>", "<cls>"]
    kmers = ["".join(letters) for letters in product("ATCG", repeat=6)]
    return SequenceTokenizer(nucleotide_transformer_tokenizer([*specials, *kmers, *"ATCGN"]))


def write_model(
    folder: Path,
    family: str,
    *,
    layers: int = 3,
    hidden: int = 32,
    dropout: float = 0.0,
    seed: int = 0,
    change: Callable[[dict[str, Tensor]], None] | None = None,
) -> Path:
    """Write a masked language model with random weights, after `change` of its state dict."""
    tokenizer = _bpe() if family == "dnabert2" else _kmers()
    config: dict[str, object] = {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_attention_heads": 2,
        "num_hidden_layers": layers,
        "vocab_size": tokenizer.vocab_size,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": 1e-12,
    }
    if family == "dnabert2":
        config |= {"alibi_starting_size": 64, "type_vocab_size": 2}
    else:
        config |= {
            "model_type": "esm",
            "position_embedding_type": "absolute",
            "max_position_embeddings": 102,
            "pad_token_id": 1,
            "mask_token_id": 2,
            "token_dropout": True,
            "emb_layer_norm_before": False,
        }
    model = new_masked_lm(config, seed=seed)
    if change is not None:
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        change(state)
        model.load_state_dict(state)
    save(model, tokenizer, folder)
    return folder


def write_data(
    path: Path,
    *,
    train: int = 128,
    held_out: int = 64,
    seed: int = 0,
    groups: int = 0,
    source: str = "simulated",
) -> Path:
    """Write windows of 48 bases of which the positive half is rich in G: easy to learn."""
    generator = np.random.default_rng(seed)
    splits = np.repeat(["train", "validation", "test"], [train, held_out, held_out])
    labels = np.tile([0, 1], len(splits) // 2).astype(np.int8)
    shares = {0: (0.35, 0.25, 0.05, 0.35), 1: (0.15, 0.25, 0.45, 0.15)}
    sequences = [
        "".join(generator.choice(list("ACGT"), size=WINDOW, p=shares[int(label)]))
        for label in labels
    ]
    reference = ["A" if sequence[WINDOW // 2] != "A" else "C" for sequence in sequences]
    columns = VariantColumns(
        np.array(["chr1"] * len(splits)),
        np.arange(1000, 1000 + len(splits), dtype=np.int64),
        np.array(reference),
        np.array([sequence[WINDOW // 2] for sequence in sequences]),
    )
    names = [f"locus{index // 2 % groups}" if groups else "" for index in range(len(splits))]
    LabelledData(
        sequences=sequences,
        labels=labels,
        splits=splits.astype(np.str_),
        variants=columns,
        groups=np.array(names, dtype=np.str_),
        metadata=DataMetadata(
            window_length=WINDOW, assembly="none", source=source, licence="CC0-1.0"
        ),
    ).write(path)
    return path


def plant_identities(
    family: str, *, carrier: int, layers: int
) -> Callable[[dict[str, Tensor]], None]:
    """Return a change that leaves one ordinary layer and makes the others do nothing.

    Value and output projections and both matrices of the MLP are zero: an exact saddle, so no
    gradient ever reaches them.
    """

    def change(state: dict[str, Tensor]) -> None:
        for layer in set(range(layers)) - {carrier}:
            for name, tensor in state.items():
                if f".layer.{layer}." not in name or "LayerNorm" in name or "layernorm" in name:
                    continue
                if name.endswith("Wqkv.weight") or name.endswith("Wqkv.bias"):
                    tensor[2 * tensor.shape[0] // 3 :] = 0
                elif ".query." not in name and ".key." not in name:
                    tensor.zero_()

    with torch.no_grad():
        return change
