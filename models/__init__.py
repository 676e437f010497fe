"""The networks, their tokenizers, the family table, depth surgery and the shipped small models.

Importing this needs neither torch nor transformers: `load` imports them when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GenoslimError, needs_extra

if TYPE_CHECKING:
    from .classifier import Classifier
    from .tokenizer import SequenceTokenizer

__all__ = ["load", "load_tokenizer", "resolve", "shipped"]

_SHIPPED = "shipped:"


def load(
    source: str | Path,
    *,
    num_labels: int | None = None,
    seed: int = 0,
    fresh_head: bool = False,
    revision: str | None = None,
) -> Classifier:
    """Load a classifier on the CPU, in float32 and evaluation mode.

    `source` is a checkpoint folder, the id of a repository on the Hugging Face hub (`revision`
    optional), or `shipped:NAME`. A saved classification head is loaded; a pretrained checkpoint
    gets a fresh one of `num_labels` (default 2) labels from `seed`, and with `fresh_head` so does
    any other. Raises GenoslimError, one line, for whatever cannot be loaded, a saved head of
    another number of labels included.
    """
    folder = resolve(source, revision=revision)
    try:
        from .checkpoint import load_classifier
    except ModuleNotFoundError as error:
        raise needs_extra("loading a model", str(error.name), "train") from error
    return load_classifier(folder, num_labels=num_labels, seed=seed, fresh_head=fresh_head)


def load_tokenizer(source: str | Path, *, revision: str | None = None) -> SequenceTokenizer:
    """Load the tokenizer of a checkpoint; `source` as for `load`. Needs no torch."""
    from .tokenizer import SequenceTokenizer

    return SequenceTokenizer.from_folder(resolve(source, revision=revision))


def shipped() -> dict[str, Path]:
    """Return the folders of the small models that come with genoslim, by name."""
    root = Path(__file__).parent / "shipped"
    return {path.parent.name: path.parent for path in sorted(root.glob("*/config.json"))}


def resolve(source: str | Path, *, revision: str | None = None, offline: bool = False) -> Path:
    """Return the folder that `source` names, downloading from the hub only if it must.

    `offline` it must not: what is not on this machine raises GenoslimError.
    """
    name = str(source)
    if name.startswith(_SHIPPED):
        folder = shipped().get(name.removeprefix(_SHIPPED))
        if folder is None:
            known = ", ".join(_SHIPPED + known for known in shipped()) or "none"
            raise GenoslimError(f"{name}: no such shipped model; there are: {known}")
        return folder
    if Path(name).is_dir():
        return Path(name)
    from .hub import download, is_repository

    if isinstance(source, Path) or not is_repository(name):
        raise GenoslimError(f"{name}: no such folder, and not an id on the Hugging Face hub")
    return download(name, revision=revision, offline=offline)
