"""Where models come from: folders, shipped ones, the hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genoslim import models
from genoslim.errors import GenoslimError
from genoslim.models.checkpoint import save
from genoslim.models.classifier import Classifier
from genoslim.models.tokenizer import SequenceTokenizer

huggingface_hub = pytest.importorskip("huggingface_hub")


def test_folder(model: Classifier, tokenizer: SequenceTokenizer, tmp_path: Path) -> None:
    save(model, tokenizer, tmp_path / "x")
    assert models.resolve(str(tmp_path / "x")) == tmp_path / "x"
    assert models.load(str(tmp_path / "x")).family == model.family
    assert models.load_tokenizer(str(tmp_path / "x")).vocab_size == tokenizer.vocab_size


@pytest.mark.parametrize("source", ["./absent", "/no/such/folder", "absent", "a/b/c"])
def test_no_such_folder(source: str) -> None:
    with pytest.raises(GenoslimError, match=f"^{source}: no such folder, and not an id"):
        models.load(source)


def test_a_path_is_never_looked_up_on_the_hub() -> None:
    with pytest.raises(GenoslimError, match="no such folder, and not an id"):
        models.resolve(Path("owner/name"))


def test_unknown_shipped_model() -> None:
    with pytest.raises(GenoslimError, match="shipped:nothing: no such shipped model; there are"):
        models.load("shipped:nothing")


def test_shipped() -> None:
    for name in models.shipped():
        model, tokenizer = models.load(f"shipped:{name}"), models.load_tokenizer(f"shipped:{name}")
        assert model.family == {"nt": "nt_v1"}.get(name, name)
        assert tokenizer.vocab_size <= model.config.vocab_size


def _fake_hub(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[tuple[str, ...]], str]
) -> list[tuple[str, ...]]:
    asked: list[tuple[str, ...]] = []

    def download(
        repository: str, *, revision: str, allow_patterns: tuple[str, ...], local_files_only: bool
    ) -> str:
        assert (repository, revision, local_files_only) == ("owner/name", "abc", False)
        asked.append(allow_patterns)
        return answer(allow_patterns)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


@pytest.mark.parametrize(("file", "rounds"), [("model.safetensors", 1), ("pytorch_model.bin", 2)])
def test_hub_takes_one_kind_of_weights_and_no_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, rounds: int
) -> None:
    (tmp_path / file).touch()
    asked = _fake_hub(monkeypatch, lambda _: str(tmp_path))
    assert models.resolve("owner/name", revision="abc") == tmp_path
    assert len(asked) == rounds
    assert not any("py" in Path(pattern).suffix for round_ in asked for pattern in round_)
    assert not any(pattern.endswith(".bin") for pattern in asked[0])


@pytest.mark.parametrize(
    ("blocked", "source", "message"),
    [
        ("torch", "folder", "loading a model needs torch: pip install '..train.' in a"),
        ("huggingface_hub", "owner/name", "needs huggingface_hub: pip install '..train.' in a"),
    ],
)
def test_without_the_extra(tmp_path: Path, blocked: str, source: str, message: str) -> None:
    """In a process of its own, where the module cannot be imported."""
    (tmp_path / "folder").mkdir()
    code = (
        f"import sys; sys.modules[{blocked!r}] = None\n"
        "from genoslim import models\n"
        "from genoslim.errors import GenoslimError\n"
        f"try: models.load({source!r})\n"
        "except GenoslimError as error: print(error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert re.search(message, told.stdout)


def test_offline_nothing_is_downloaded(tmp_path: Path) -> None:
    """In a process of its own, with an empty cache and a hub that answers nobody."""
    code = (
        "from genoslim import models\n"
        "from genoslim.errors import GenoslimError\n"
        "try: models.resolve('owner/name', offline=True)\n"
        "except GenoslimError as error: print(error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"},
    )
    assert "owner/name: no such folder" in told.stdout
    assert "LocalEntryNotFoundError" in told.stdout


def test_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: tuple[str, ...]) -> str:
        raise ConnectionError("cannot reach the hub\nlong story")

    _fake_hub(monkeypatch, fail)
    message = (
        r"^owner/name at revision abc: no such folder, and not to be had from the Hugging Face hub"
        r" \(ConnectionError: cannot reach the hub\)$"
    )
    with pytest.raises(GenoslimError, match=message):
        models.load("owner/name", revision="abc")
