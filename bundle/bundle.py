"""A bundle on disk: written sealed, opened only if every byte is what the manifest says.

The seals find accidents and careless edits, not a forger, who could write new ones: compare
`Bundle.digest` with one obtained from whoever made the bundle to know it is theirs. Needs no torch.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..codec import decode
from ..errors import GateError, GenoslimError
from ..files import sha256, write_json
from .manifest import (
    GRAPH,
    MANIFEST,
    REQUIRED_FILES,
    BundleManifest,
    FileRecord,
    check_version,
    seal,
    sealed,
)

__all__ = ["Bundle", "BundleManifest", "is_bundle", "write_manifest"]

_OTHER_FOLDERS = {
    "run.json": "it is a run folder: `genoslim prune` turns it into checkpoints",
    "prune.json": "it is the result of `genoslim prune`: export one of the checkpoints in it",
    "model.safetensors": "it is a checkpoint: `genoslim export` turns it into a bundle",
    "pytorch_model.bin": "it is a checkpoint: `genoslim export` turns it into a bundle",
    GRAPH: "it holds an ONNX graph that genoslim did not export",
}


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are all present, listed and unchanged.

    `digest` is the SHA-256 of `bundle.json`, and so identifies the whole bundle.
    """

    folder: Path
    manifest: BundleManifest
    digest: str

    @classmethod
    def open(cls, folder: str | Path) -> Bundle:
        """Open a bundle after checking the hash of every file.

        GateError: a file is missing, changed, cut short or not listed, or the manifest was edited.
        GenoslimError: not a bundle, or of a format version that this genoslim does not read.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            _refuse_other(folder)
        manifest = _read_manifest(path)
        _check_files(folder, manifest)
        return cls(folder, manifest, sha256(path))

    def __repr__(self) -> str:
        return f"<Bundle {self.folder}: {self.manifest.family}, digest {self.digest[:12]}>"

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.folder / GRAPH


def is_bundle(folder: Path) -> bool:
    """Say whether `folder` has a bundle's manifest (nothing is checked)."""
    return (folder / MANIFEST).is_file()


def write_manifest(folder: Path, manifest: BundleManifest) -> Bundle:
    """Write `bundle.json` with the hash of every file in `folder`, then open the result."""
    files = {
        path.name: FileRecord(sha256=sha256(path), size=path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    write_json(folder / MANIFEST, sealed(dataclasses.replace(manifest, files=files)))
    return Bundle.open(folder)


def _read_manifest(path: Path) -> BundleManifest:
    """Read `bundle.json`: its version first, then its seal, then every field."""
    content = _read_object(path)
    try:
        check_version(content.get("format_version"))
    except GenoslimError as error:
        raise GenoslimError(f"{path}: {error}") from None
    if content.get("seal") != seal(content):
        raise GateError(f"{path}: changed since it was written: its seal does not fit its content")
    return decode(BundleManifest, content, str(path))


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise GateError(f"{path}: not readable as JSON ({error}): cut short or damaged") from None
    if not isinstance(content, dict):
        raise GenoslimError(f"{path}: holds a {type(content).__name__}; expected an object")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse_other(folder: Path) -> NoReturn:
    """Say what `folder` is instead of a bundle, if that can be told."""
    if not folder.exists():
        raise GenoslimError(
            f"{folder}: no such folder; expected a bundle made by `genoslim export`"
        )
    if not folder.is_dir():
        raise GenoslimError(f"{folder}: is a file; a bundle is a folder with a {MANIFEST}")
    for name, explanation in _OTHER_FOLDERS.items():
        if (folder / name).is_file():
            raise GenoslimError(f"{folder}: not a bundle (no {MANIFEST}): {explanation}")
    raise GenoslimError(f"{folder}: not a bundle: it has no {MANIFEST}")


def _check_files(folder: Path, manifest: BundleManifest) -> None:
    """Refuse what is missing, then what is not listed, then what differs in size or hash.

    Hidden files (`.gitattributes` and the like) are nobody's input and are ignored.
    """
    for name in REQUIRED_FILES:
        if name not in manifest.files:
            raise GateError(f"{folder / MANIFEST}: lists no {name}; every bundle has one")
    for name in manifest.files:
        if not (folder / name).is_file():
            raise GateError(f"{folder / name}: missing; the bundle's manifest lists it")
    for path in sorted(folder.iterdir()):
        if path.name not in manifest.files and path.name != MANIFEST and path.name[0] != ".":
            raise GateError(f"{path}: not listed in the bundle's manifest: not part of this bundle")
    for name, record in manifest.files.items():
        _check_file(folder / name, record)


def _check_file(path: Path, record: FileRecord) -> None:
    size = path.stat().st_size
    if size != record.size:
        raise GateError(f"{path}: {size} bytes, but the bundle's manifest says {record.size}")
    digest = sha256(path)
    if digest != record.sha256:
        raise GateError(
            f"{path}: changed: SHA-256 is {digest}, but the bundle's manifest says {record.sha256}"
        )
