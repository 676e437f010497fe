"""What the headers of weight files say: shapes, and whether there is a trained head."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from genoslim.errors import GenoslimError
from genoslim.models import shipped
from genoslim.models.checkpoint import save
from genoslim.models.classifier import Classifier
from genoslim.models.tokenizer import SequenceTokenizer
from genoslim.models.weight_files import require_trained_head, tensor_shapes
from genoslim.models.weights import read_weights


@pytest.fixture
def folder(model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path) -> Path:
    """A checkpoint of each family with a classification head."""
    save(model, tokenizer, tmp_path / "tuned")
    return tmp_path / "tuned"


@pytest.mark.parametrize("layout", ["safetensors", "bin", "shards"])
def test_shapes_are_those_of_the_weights(layout: str, folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    if layout != "safetensors":
        path.unlink()
    if layout == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    if layout == "shards":
        names = {key: f"model-{place % 3}.safetensors" for place, key in enumerate(weights)}
        for name in set(names.values()):
            save_file({key: weights[key] for key in names if names[key] == name}, folder / name)
        index = {"weight_map": names}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    read = read_weights(folder)
    assert tensor_shapes(folder) == {key: tuple(tensor.shape) for key, tensor in read.items()}


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    "content", [b"", b"abc", (99).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"]
)
def test_a_damaged_file_is_one_clear_line(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GenoslimError, match=f"{name} .* not a readable weight file") as error:
        tensor_shapes(tmp_path)
    assert "\n" not in str(error.value)


def test_headers_of_safetensors_need_no_torch(folder: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from genoslim.models.weight_files import tensor_shapes\n"
        f"print(len(tensor_shapes(Path({str(folder)!r}))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(read_weights(folder))


def test_what_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(GenoslimError, match="reading a checkpoint needs safetensors: pip install"):
        tensor_shapes(folder)


def test_a_head_is_trained_if_every_part_of_it_is_there(folder: Path, family: str) -> None:
    shapes = tensor_shapes(folder)
    require_trained_head(folder, shapes)
    lost = ["classifier."] + (["bert.pooler."] if family == "dnabert2" else [])
    for head in lost:
        rest = [key for key in shapes if not key.startswith(head)]
        with pytest.raises(GenoslimError, match=f"not fine-tuned: it has no weights {head}"):
            require_trained_head(folder, rest)


def test_pretrained_models_have_no_trained_head() -> None:
    for folder in shipped().values():
        with pytest.raises(GenoslimError, match="not fine-tuned"):
            require_trained_head(folder, tensor_shapes(folder))


@pytest.mark.parametrize(
    ("kind", "trained"), [("SequenceClassification", True), ("MaskedLM", False)]
)
def test_networks_of_transformers(kind: str, trained: bool, tmp_path: Path) -> None:
    import transformers

    shape: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    network: Callable[..., Any] = getattr(transformers, f"BertFor{kind}")
    network(transformers.BertConfig(**shape, vocab_size=9, intermediate_size=8)).save_pretrained(
        tmp_path
    )
    if kind == "SequenceClassification":
        require_trained_head(tmp_path, tensor_shapes(tmp_path))
        return
    with pytest.raises(GenoslimError, match=r"it has no weights classifier\.\*"):
        require_trained_head(tmp_path, tensor_shapes(tmp_path))
