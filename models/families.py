"""The table of model families: how a `config.json` is recognised, its limits and its licence.

Facts only: nothing here imports torch or builds a network (`networks.py` does). A family is one row
of `FAMILIES`; every other encoder that transformers knows by itself is served by `hf_encoder.py`
under the name `hf:<model_type>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GenoslimError
from ..files import read_json
from .record import read_training

CONFIG_FILE = "config.json"

_APACHE = "Apache-2.0"
_NT_LICENCE = "CC-BY-NC-SA-4.0"
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "esm", "longformer", "mpnet"}
"""Model types whose position rows start after the padding row (as in RoBERTa)."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of network: how to recognise it, build it, and read its weights.

    `classifier` and `masked_lm` name the classes of the networks, as `module.Class` within this
    room: names and not the classes, so that this table needs no torch (`networks.py` imports
    them). `model_type` is what our checkpoints say in `config.json`, `nearest_type` the nearest
    architecture that transformers knows, which the `config.json` of a bundle names.
    `prefix` is the name of the backbone in the keys of the state dict. `heads` are the key prefixes
    that a pretrained checkpoint may lack, in the order in which they are applied; `ignored` are
    regular expressions of keys that official files carry and the network does not use. `logits` is
    the key of the last linear layer's weight: its rows are the labels of a saved head.
    """

    name: str
    title: str
    model_type: str
    detect: Callable[[Mapping[str, Any]], bool]
    nearest_type: str
    classifier: str
    masked_lm: str
    prefix: str
    heads: tuple[str, ...]
    logits: str
    lm_heads: tuple[str, ...]
    ignored: tuple[str, ...]
    licence: str
    limited: bool
    """Whether the number of tokens is bounded by the position embeddings of the config."""


def _is_dnabert2(config: Mapping[str, Any]) -> bool:
    """Only DNABERT-2 configs name `alibi_starting_size`; the official one has no `model_type`."""
    if config.get("model_type") == "genoslim_dnabert2":
        return True
    return config.get("model_type") in (None, "bert") and "alibi_starting_size" in config


def _is_nt_v2(config: Mapping[str, Any]) -> bool:
    """Only NT v2 configs name `add_bias_fnn`; the official ones have no `model_type`."""
    if config.get("model_type") == "genoslim_nt_v2":
        return True
    return config.get("model_type") in (None, "esm") and "add_bias_fnn" in config


def _is_nt_v1(config: Mapping[str, Any]) -> bool:
    """ESM as the NT v1 models use it: learned positions, no LayerNorm before the first block."""
    return (
        config.get("model_type") == "esm"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("emb_layer_norm_before")
        and not config.get("is_folding_model")
        and not _is_nt_v2(config)
    )


_NT_IGNORED = (
    r"esm\.embeddings\.position_ids",
    r"esm\.contact_head\..*",
)

FAMILIES: dict[str, Family] = {
    "dnabert2": Family(
        name="dnabert2",
        title="DNABERT-2",
        model_type="genoslim_dnabert2",
        nearest_type="bert",
        detect=_is_dnabert2,
        classifier="dnabert2.DnaBert2Classifier",
        masked_lm="masked_lm.DnaBert2MaskedLM",
        prefix="bert",
        heads=("bert.pooler.", "classifier."),
        logits="classifier.weight",
        lm_heads=("cls.",),
        ignored=(r"bert\.embeddings\.position_ids", r"cls\.predictions\.decoder\.weight"),
        licence=_APACHE,
        limited=False,
    ),
    "nt_v1": Family(
        name="nt_v1",
        title="Nucleotide Transformer v1",
        model_type="esm",
        nearest_type="esm",
        detect=_is_nt_v1,
        classifier="nucleotide_transformer.NucleotideTransformerClassifier",
        masked_lm="masked_lm.NucleotideTransformerMaskedLM",
        prefix="esm",
        heads=("classifier.",),
        logits="classifier.out_proj.weight",
        lm_heads=("lm_head.",),
        ignored=_NT_IGNORED,
        licence=_NT_LICENCE,
        limited=True,
    ),
    "nt_v2": Family(
        name="nt_v2",
        title="Nucleotide Transformer v2",
        model_type="genoslim_nt_v2",
        nearest_type="esm",
        detect=_is_nt_v2,
        classifier="nucleotide_transformer.NucleotideTransformerClassifier",
        masked_lm="masked_lm.NucleotideTransformerMaskedLM",
        prefix="esm",
        heads=("classifier.",),
        logits="classifier.out_proj.weight",
        lm_heads=("lm_head.",),
        ignored=(
            *_NT_IGNORED,
            r"esm\.embeddings\.position_embeddings\.weight",
            r"esm\.encoder\.layer\.\d+\.attention\.self\.rotary_embeddings\.inv_freq",
        ),
        licence=_NT_LICENCE,
        limited=True,
    ),
}


def detect(config: Mapping[str, Any]) -> Family | None:
    """Return the family whose networks are our own, or None for any other architecture."""
    return next((family for family in FAMILIES.values() if family.detect(config)), None)


def family_name(config: Mapping[str, Any]) -> str:
    """Return `dnabert2`, `nt_v1`, `nt_v2`, or `hf:<model_type>`; raises if there is no type."""
    family = detect(config)
    if family is not None:
        return family.name
    if not isinstance(config.get("model_type"), str):
        raise GenoslimError(
            f"{CONFIG_FILE}: no known architecture: model_type is {config.get('model_type')!r} and"
            " neither `alibi_starting_size` (DNABERT-2) nor `add_bias_fnn` (NT v2) is there"
        )
    return f"hf:{config['model_type']}"


def token_limit(config: Mapping[str, Any]) -> int | None:
    """Return the largest number of tokens (special ones included) a config allows, or None."""
    family = detect(config)
    rows = config.get("max_position_embeddings")
    if not isinstance(rows, int) or (family is not None and not family.limited):
        return None
    offset = family is not None or config.get("model_type") in _OFFSET_POSITIONS
    return rows - int(config.get("pad_token_id") or 0) - 1 if offset else rows


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a checkpoint folder; raises GenoslimError if it is absent or broken."""
    path = folder / CONFIG_FILE
    if not folder.is_dir():
        raise GenoslimError(f"{folder}: no such folder; a checkpoint is a folder with config.json")
    config = read_json(path)
    if config is None:
        raise GenoslimError(f"{folder}: no {CONFIG_FILE}; a checkpoint folder must hold one")
    return config


def licence(folder: Path) -> str:
    """Return the licence of a checkpoint's weights.

    What the folder's own record (`genoslim.json`, key `licence`) says wins; else it is that of the
    family's official weights; "unknown" for other architectures.
    """
    record = read_training(folder)
    if record is not None and record.licence is not None:
        return record.licence
    family = detect(read_config(folder))
    return family.licence if family is not None else "unknown"
