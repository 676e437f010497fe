"""Which model a folder holds: one hash of all that determines what it computes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..files import sha256

_NAMES = {"config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
_WEIGHTS = (".safetensors", ".bin", ".index.json")


def fingerprint_model(folder: Path) -> str:
    """Return the SHA-256 over the names and hashes of what determines a checkpoint's output.

    These are its configuration, weights and tokenizer; cards and records are left out. Run folders
    hold this value: it must not change.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name in _NAMES or path.name.endswith(_WEIGHTS):
            digest.update(f"{path.name} {sha256(path)}\n".encode())
    return digest.hexdigest()
