"""How a config.json is recognised, and the limits and licences that follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genoslim.errors import GenoslimError
from genoslim.models.families import (
    FAMILIES,
    detect,
    family_name,
    licence,
    read_config,
    token_limit,
)

ConfigOf = Callable[[str], dict[str, Any]]


def test_official_layouts(family: str, config_of: ConfigOf) -> None:
    assert family_name(config_of(family)) == family


def test_our_own_model_types(family: str) -> None:
    config = {"model_type": FAMILIES[family].model_type}
    assert family_name(config) == family


def test_layouts_written_by_transformers(config_of: ConfigOf) -> None:
    """Saved through the original code, a config gains the model_type it was derived from."""
    assert family_name(config_of("dnabert2") | {"model_type": "bert"}) == "dnabert2"
    assert family_name(config_of("nt_v2") | {"model_type": "esm"}) == "nt_v2"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "bert"}, "hf:bert"),
        ({"model_type": "esm", "position_embedding_type": "rotary"}, "hf:esm"),
        ({"model_type": "esm", "emb_layer_norm_before": True}, "hf:esm"),
        ({"model_type": "roberta", "alibi_starting_size": 512}, "hf:roberta"),
    ],
)
def test_other_architectures(config: dict[str, Any], expected: str) -> None:
    assert detect(config) is None
    assert family_name(config) == expected


def test_unknown() -> None:
    with pytest.raises(GenoslimError, match="no known architecture: model_type is None"):
        family_name({"vocab_size": 3})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"alibi_starting_size": 512, "max_position_embeddings": 512}, None),
        ({"model_type": "esm", "max_position_embeddings": 1002, "pad_token_id": 1}, 1000),
        ({"add_bias_fnn": False, "max_position_embeddings": 2050, "pad_token_id": 1}, 2048),
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "bert"}, None),
    ],
)
def test_token_limit(config: dict[str, Any], expected: int | None) -> None:
    assert token_limit(config) == expected


def test_licence(tmp_path: Path, config_of: ConfigOf) -> None:
    for family, expected in {
        "dnabert2": "Apache-2.0",
        "nt_v1": "CC-BY-NC-SA-4.0",
        "nt_v2": "CC-BY-NC-SA-4.0",
    }.items():
        (tmp_path / "config.json").write_text(json.dumps(config_of(family)))
        assert licence(tmp_path) == expected
    (tmp_path / "genoslim.json").write_text('{"licence": "Apache-2.0"}')
    assert licence(tmp_path) == "Apache-2.0"
    (tmp_path / "genoslim.json").write_text("{}")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert licence(tmp_path) == "unknown"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match="no such folder"):
        read_config(tmp_path / "x")
