"""`prune.json` is read back: an old one too, and what is wrong in one is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genoslim.errors import GenoslimError
from genoslim.prune.prune_record import read_pruned

OLD = Path(__file__).parents[1] / "fixtures" / "old" / "pruned"


def test_an_old_one_is_read() -> None:
    record = read_pruned(OLD)
    assert record.run == "run"
    assert [(model.name, model.kept) for model in record.models] == [
        ("baseline", (0, 1)),
        ("unfavourable_removed", (0,)),
        ("cornerstone_only", (0,)),
    ]
    assert record.models[0].test["auroc"].values == (1.0, 1.0)
    assert "baseline: seed 1, 1001 collapsed and does not count" in record.notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format is 2; this genoslim reads 1: upgrade"),
        ({"models": {}}, r"models is \{\}; expected a list"),
        ({"models": [{"name": "a", "kept": ["0"]}]}, r"models\[0\].kept\[0\] is '0'; expected a w"),
        ({"models": [{"name": "a"}]}, r"models\[0\].kept is missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    content = json.loads((OLD / "prune.json").read_text()) | change
    (tmp_path / "prune.json").write_text(json.dumps(content))
    with pytest.raises(GenoslimError, match=rf"prune\.json: {said}"):
        read_pruned(tmp_path)


def test_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match=r"prune\.json: no such file; `genoslim prune` writes"):
        read_pruned(tmp_path)
