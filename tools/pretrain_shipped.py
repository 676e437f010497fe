"""Make the small models in `models/shipped/`: masked-token pretraining on simulated sequence.

    python tools/pretrain_shipped.py dnabert2    # or nt, nt_v2; about ten minutes, one thread

Nothing is downloaded. The result is a function of the constants below and of torch's version.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from genoslim import __version__
from genoslim.data.simulate import simulated_sequences
from genoslim.models.checkpoint import new_masked_lm
from genoslim.models.checkpoint import save as save_masked_lm
from genoslim.models.pretrain import PretrainingRecipe, pretrain
from genoslim.models.record import TrainingRecord
from genoslim.models.tokenizer import SequenceTokenizer, nucleotide_transformer_tokenizer

SHIPPED = Path(__file__).resolve().parents[1] / "models" / "shipped"
WINDOWS, WINDOW_LENGTH, GENOME_SEED = 100_000, 96, 20_240
RECIPE = PretrainingRecipe(steps=2500, batch_size=64, learning_rate=2e-3, warmup_steps=200, seed=1)
BPE_VOCABULARY = 256

_COMMON: dict[str, Any] = {
    "attention_probs_dropout_prob": 0.0,
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "layer_norm_eps": 1e-12,
    "num_attention_heads": 4,
    "num_hidden_layers": 12,
}
_NT: dict[str, Any] = {
    **_COMMON,
    "emb_layer_norm_before": False,
    "hidden_dropout_prob": 0.0,
    "is_folding_model": False,
    "mask_token_id": 2,
    "pad_token_id": 1,
    "tie_word_embeddings": False,
    "use_cache": False,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "dnabert2": {
        **_COMMON,
        "alibi_starting_size": 512,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "vocab_size": BPE_VOCABULARY,
    },
    "nt": {
        **_NT,
        "max_position_embeddings": 1002,
        "model_type": "esm",
        "position_embedding_type": "absolute",
        "token_dropout": True,
        "vocab_size": 4105,
    },
    "nt_v2": {
        **_NT,
        "add_bias_fnn": False,
        "max_position_embeddings": 2050,
        "position_embedding_type": "rotary",
        "token_dropout": False,
        "vocab_size": 4107,
    },
}
CARD = """---
license: apache-2.0
---
# genoslim shipped model: {name}

A small {name} (12 layers, 64 wide) for the demo, tests and trying things out. It has the official
layout of its family and was pretrained by masked tokens on simulated sequence with planted motifs
({windows} windows of {length} bp, {steps} steps of {batch}; final loss {loss:.2f} nats a token).
It has seen no real genome and says nothing about real variants by itself.

Made by `python tools/pretrain_shipped.py {name}` of genoslim {version} with torch {torch}.
"""


def bpe_tokenizer(sequences: list[str]) -> SequenceTokenizer:
    """Train DNABERT-2's kind of tokenizer: byte-pair merges over A, C, G, T; `[CLS] seq [SEP]`."""
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    raw = Tokenizer(BPE(unk_token="[UNK]"))
    raw.pre_tokenizer = Whitespace()
    trainer = BpeTrainer(
        vocab_size=BPE_VOCABULARY,
        special_tokens=specials,
        initial_alphabet=list("ACGT"),
        show_progress=False,
    )
    raw.train_from_iterator(sequences, trainer)
    raw.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair=None, special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return SequenceTokenizer(raw)


def nt_tokenizer(name: str) -> SequenceTokenizer:
    """Build the Nucleotide Transformer's tokenizer from its vocabulary rule."""
    kmers = [""]
    for _ in range(6):
        kmers = [kmer + base for kmer in kmers for base in "ATCG"]
    more = ["<eos>", "<bos>"] if name == "nt_v2" else []
    vocabulary = ["<unk>", "<pad>", "<mask>", "<cls>", *more, *kmers, *"ATCGN"]
    limit = CONFIGS[name]["max_position_embeddings"] - 2
    return SequenceTokenizer(nucleotide_transformer_tokenizer(vocabulary), max_tokens=limit)


def main() -> None:
    """Pretrain one family and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(CONFIGS))
    parser.add_argument("-o", "--out", type=Path, help="folder to write (default: models/shipped)")
    arguments = parser.parse_args()
    name = arguments.name
    torch.set_num_threads(1)
    sequences = simulated_sequences(WINDOWS, WINDOW_LENGTH, GENOME_SEED)
    tokenizer = bpe_tokenizer(sequences) if name == "dnabert2" else nt_tokenizer(name)
    model = new_masked_lm(CONFIGS[name], seed=RECIPE.seed)
    started = time.perf_counter()

    def progress(step: int, loss: float) -> None:
        if step % 200 == 0:
            print(f"step {step} loss {loss:.3f} {time.perf_counter() - started:.0f} s", flush=True)

    losses = pretrain(model, tokenizer, sequences, RECIPE, progress=progress)
    card = CARD.format(
        name=name,
        windows=WINDOWS,
        length=WINDOW_LENGTH,
        steps=RECIPE.steps,
        batch=RECIPE.batch_size,
        loss=sum(losses[-100:]) / 100,
        version=__version__,
        torch=torch.__version__.split("+")[0],
    )
    folder = arguments.out or SHIPPED / name
    record = TrainingRecord(licence="Apache-2.0")
    save_masked_lm(model, tokenizer, folder, training=record, card=card)


if __name__ == "__main__":
    main()
