"""The weight files of a checkpoint, and what their headers say: no weight is read.

Needs safetensors for `.safetensors` files and torch only for `.bin` ones.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..errors import GenoslimError, listed, needs_extra
from ..files import read_json
from .families import detect, read_config

Shapes = dict[str, tuple[int, ...]]

_LAYOUTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_OTHER_HEADS = ("classifier.", "pre_classifier.", "score.", "classification_head.", "logits_proj.")
"""What networks of transformers call what they have behind the encoder to classify."""


def find_weights(folder: Path) -> tuple[list[Path], Collection[str]]:
    """Return the files that hold a checkpoint's weights, and the names that their index promises.

    Looks for `model.safetensors`, its index, `pytorch_model.bin`, its index, in this order; a file
    without an index promises no names. Raises GenoslimError where there is none of them, or the
    index is wrong or names what is not there.
    """
    for name in _LAYOUTS:
        path = folder / name
        if path.is_file():
            return _indexed(path) if name.endswith(".index.json") else ([path], ())
    raise GenoslimError(
        f"{folder}: no weights; one of these should be there: {', '.join(_LAYOUTS)}"
    )


def tensor_shapes(folder: Path) -> Shapes:
    """Return the shape of every tensor of a checkpoint, by its name in the file.

    Raises GenoslimError, naming the file, for one that is absent, truncated or not what it says.
    """
    shapes: Shapes = {}
    for path in find_weights(folder)[0]:
        try:
            shapes |= _of_safetensors(path) if path.suffix == ".safetensors" else _of_bin(path)
        except ModuleNotFoundError as error:
            what = f"{path}: reading a checkpoint"
            raise needs_extra(what, str(error.name), "train") from None
        except Exception as error:  # both libraries raise many kinds, bare Exception too
            raise unreadable(path, error) from error
    return shapes


def require_trained_head(folder: Path, keys: Collection[str]) -> None:
    """Raise GenoslimError unless a checkpoint with tensors of these names has a trained head.

    A pretrained checkpoint lacks its classification head, or a part of it, which `load` draws at
    random. A network of transformers has one if a layer of it is called as heads are.
    """
    family = detect(read_config(folder))
    groups = [_OTHER_HEADS] if family is None else [(head,) for head in family.heads]
    missing = [names[0] for names in groups if not any(key.startswith(names) for key in keys)]
    if missing:
        raise GenoslimError(
            f"{folder}: not fine-tuned: it has no weights {' and '.join(f'{m}*' for m in missing)},"
            " so its calls would be those of a random head; fine-tune it first (`genoslim sweep`,"
            " `genoslim prune`)"
        )


def unreadable(path: Path, error: Exception) -> GenoslimError:
    """Return what to say of a weight file that a library could not read."""
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return GenoslimError(
        f"{path} ({path.stat().st_size} bytes): not a readable weight file, truncated or"
        f" corrupt ({reason[0]})"
    )


def _indexed(index: Path) -> tuple[list[Path], Collection[str]]:
    names = (read_json(index) or {}).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise GenoslimError(f"{index}: no `weight_map` from tensor names to file names")
    shards = sorted({str(name) for name in names.values()})
    absent = [
        name for name in shards if Path(name).name != name or not (index.parent / name).is_file()
    ]
    if absent:
        raise GenoslimError(
            f"{index}: {len(absent)} of {len(shards)} shards absent: {listed(absent)}"
        )
    return [index.parent / name for name in shards], names.keys()


def _of_safetensors(path: Path) -> Shapes:
    from safetensors import safe_open

    with safe_open(str(path), framework="np") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def _of_bin(path: Path) -> Shapes:
    import torch

    tensors = torch.load(path, map_location="meta", weights_only=True)
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}
