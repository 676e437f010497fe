from __future__ import annotations

from pathlib import Path

from genoslim.models.fingerprint import fingerprint_model


def test_the_fingerprint_is_that_of_what_determines_the_output(tmp_path: Path) -> None:
    """The value is in run folders: an older run goes on only as long as it stays the same."""
    content = {
        "config.json": "{}",
        "tokenizer.json": "[]",
        "tokenizer_config.json": "{}",
        "vocab.txt": "A",
        "model.safetensors": "w",
        "model-1.bin": "x",
        "pytorch_model.bin.index.json": "i",
    }
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    found = fingerprint_model(tmp_path)
    assert found == "1deeda1ac7666eece05bacae272244d746a8b95ca17fac15da3dd80cc9a49c87"
    for name in ("README.md", "genoslim.json", "training.txt"):
        (tmp_path / name).write_text("anything")
    assert fingerprint_model(tmp_path) == found
    for name in content:
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text("changed")
        assert fingerprint_model(tmp_path) != found
        (tmp_path / name).write_text(before)
