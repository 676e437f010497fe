from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from genoslim.bundle.bundle import Bundle, is_bundle, write_manifest
from genoslim.bundle.manifest import seal
from genoslim.errors import GateError, GenoslimError
from genoslim.files import sha256, write_json


def edit(folder: Path, *, reseal: bool = False, **changes: object) -> None:
    """Change fields of a bundle's manifest, as an editor or (with `reseal`) a forger would."""
    path = folder / "bundle.json"
    content = json.loads(path.read_text()) | changes
    if reseal:
        content["seal"] = seal(content)
    write_json(path, content)


def test_an_intact_bundle_opens(bundle_folder, make_manifest):
    bundle = Bundle.open(bundle_folder)
    assert bundle.manifest.kept_layers == (0, 1, 5)
    assert bundle.digest == sha256(bundle_folder / "bundle.json")
    assert bundle.graph == bundle_folder / "model.onnx"
    assert set(bundle.manifest.files) == {p.name for p in bundle_folder.iterdir()} - {"bundle.json"}
    assert is_bundle(bundle_folder)


def test_the_same_files_give_the_same_digest(bundle_folder, make_manifest):
    first = Bundle.open(bundle_folder).digest
    assert write_manifest(bundle_folder, make_manifest()).digest == first


@pytest.mark.parametrize(
    "name", ["model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md"]
)
def test_one_changed_byte_in_any_file_is_refused(bundle_folder, name):
    path = bundle_folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(GateError, match=f"{name}: changed: SHA-256 is .* manifest says"):
        Bundle.open(bundle_folder)


def test_a_truncated_graph_is_refused(bundle_folder):
    path = bundle_folder / "model.onnx"
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(GateError, match=f"{size - 1} bytes, but .* says {size}"):
        Bundle.open(bundle_folder)


def test_a_swapped_tokenizer_is_refused(bundle_folder):
    path = bundle_folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"A": 5', '"A": 6').replace('"C": 6', '"C": 5'))
    with pytest.raises(GateError, match=r"tokenizer\.json: changed"):
        Bundle.open(bundle_folder)


def test_a_missing_file_is_refused(bundle_folder):
    (bundle_folder / "tokenizer.json").unlink()
    with pytest.raises(GateError, match=r"tokenizer\.json: missing"):
        Bundle.open(bundle_folder)


@pytest.mark.parametrize("name", ["model.onnx.data", "vocab.txt", "tokenizer.model"])
def test_a_file_that_is_not_listed_is_refused(bundle_folder, name):
    (bundle_folder / name).write_bytes(b"weights")
    with pytest.raises(GateError, match=f"{name}: not listed"):
        Bundle.open(bundle_folder)


def test_hidden_files_are_ignored(bundle_folder):
    (bundle_folder / ".gitattributes").write_text("*.onnx filter=lfs\n")
    (bundle_folder / ".cache").mkdir()
    assert Bundle.open(bundle_folder)


def test_links_to_files_are_followed_and_checked(bundle_folder, tmp_path):
    blob = tmp_path / "blob"
    (bundle_folder / "model.onnx").rename(blob)
    (bundle_folder / "model.onnx").symlink_to(blob)
    assert Bundle.open(bundle_folder)
    os.truncate(blob, 10)
    with pytest.raises(GateError, match=r"model\.onnx: 10 bytes"):
        Bundle.open(bundle_folder)


def test_an_edited_manifest_is_refused(bundle_folder):
    edit(bundle_folder, threshold=0.1)
    with pytest.raises(GateError, match="its seal does not fit"):
        Bundle.open(bundle_folder)


def test_a_truncated_manifest_is_refused(bundle_folder):
    os.truncate(bundle_folder / "bundle.json", 200)
    with pytest.raises(GateError, match=r"bundle\.json: not readable as JSON"):
        Bundle.open(bundle_folder)


@pytest.mark.parametrize("text", ["", "\xff", '{"threshold": NaN}', "[" * 100_000])
def test_a_manifest_that_is_no_json_is_refused(bundle_folder, text):
    (bundle_folder / "bundle.json").write_text(text, encoding="latin-1")
    with pytest.raises(GateError, match=r"bundle\.json: not readable as JSON"):
        Bundle.open(bundle_folder)


def test_a_manifest_that_is_no_object_is_refused(bundle_folder):
    (bundle_folder / "bundle.json").write_text("[]")
    with pytest.raises(GenoslimError, match="holds a list; expected an object"):
        Bundle.open(bundle_folder)


def test_a_newer_format_is_refused_as_such_and_not_as_damage(bundle_folder):
    edit(bundle_folder, format_version="2.0")
    with pytest.raises(GenoslimError, match=r"bundle\.json: .*upgrade genoslim") as caught:
        Bundle.open(bundle_folder)
    assert not isinstance(caught.value, GateError)


def test_a_newer_minor_format_opens(bundle_folder):
    edit(bundle_folder, reseal=True, format_version="1.9", novelty=True)
    assert Bundle.open(bundle_folder).manifest.format_version == "1.9"


def test_a_manifest_that_lists_too_little_is_refused(bundle_folder):
    files = json.loads((bundle_folder / "bundle.json").read_text())["files"]
    del files["tokenizer.json"]
    edit(bundle_folder, reseal=True, files=files)
    with pytest.raises(GateError, match=r"lists no tokenizer\.json"):
        Bundle.open(bundle_folder)


def test_a_manifest_that_names_a_file_outside_is_refused(bundle_folder):
    (bundle_folder.parent / "secret").write_text("x")
    files = json.loads((bundle_folder / "bundle.json").read_text())["files"]
    files["../secret"] = {"sha256": sha256(bundle_folder.parent / "secret"), "size": 1}
    edit(bundle_folder, reseal=True, files=files)
    with pytest.raises(GenoslimError, match="a plain name without folders"):
        Bundle.open(bundle_folder)


def test_what_is_no_bundle_is_refused_with_what_it_seems_to_be(tmp_path):
    with pytest.raises(GenoslimError, match="no such folder"):
        Bundle.open(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(GenoslimError, match="is a file; a bundle is a folder"):
        Bundle.open(tmp_path / "file")
    with pytest.raises(GenoslimError, match=r"not a bundle: it has no bundle\.json"):
        Bundle.open(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(GenoslimError, match="it is a checkpoint: `genoslim export`"):
        Bundle.open(tmp_path)
    (tmp_path / "run.json").touch()
    with pytest.raises(GenoslimError, match="it is a run folder"):
        Bundle.open(tmp_path)
    assert not is_bundle(tmp_path)
