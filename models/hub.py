"""Checkpoints from the Hugging Face hub: only the files that are needed, never code."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import GenoslimError, needs_extra

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_VOCABULARIES = ("vocab.txt", "genoslim.json")
_SAFE = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
_BIN = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")


def is_repository(name: str) -> bool:
    """Whether `name` has the form `owner/repository`."""
    return _REPOSITORY.fullmatch(name) is not None


def download(repository: str, *, revision: str | None = None, offline: bool = False) -> Path:
    """Return a local folder with the config, tokenizer and weights of a repository.

    The weights in safetensors if there are any, else the `.bin` ones. What is in the local cache is
    not downloaded again, and nothing is when `offline`. Raises GenoslimError if the hub or the
    repository cannot be reached, or is not in the cache.
    """
    folder = _snapshot(repository, revision, (*_SMALL, *_VOCABULARIES, *_SAFE), offline)
    if not any(folder.glob("*.safetensors")):
        folder = _snapshot(repository, revision, (*_SMALL, *_VOCABULARIES, *_BIN), offline)
    return folder


def _snapshot(
    repository: str, revision: str | None, patterns: tuple[str, ...], offline: bool
) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        what = f"{repository}: no such folder, and reading it from the Hugging Face hub"
        raise needs_extra(what, "huggingface_hub", "train") from error
    try:
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=patterns, local_files_only=offline
            )
        )
    except Exception as error:  # the hub library raises kinds of three HTTP libraries
        reason = (str(error).strip().splitlines() or [""])[0].split(". ")[0]
        at = f" at revision {revision}" if revision else ""
        raise GenoslimError(
            f"{repository}{at}: no such folder, and not to be had from the Hugging Face hub"
            f" ({type(error).__name__}: {reason})"
        ) from error
