"""Weight files: safetensors or `.bin`, whole or in shards, read safely and fitted to a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from ..errors import GenoslimError
from .families import read_json

Weights = dict[str, Tensor]

DEFAULT_LABELS = 2
_LAYOUTS = ("model.safetensors", "model.safetensors.index.json")
_BIN_LAYOUTS = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_LAYER_NORM = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_SHOWN = 3


def read_weights(folder: Path) -> Weights:
    """Read every tensor of a checkpoint folder, as float32 where it is a float.

    Looks for `model.safetensors`, its index, `pytorch_model.bin`, its index, in this order.
    Raises GenoslimError, naming the file, for one that is absent, truncated or not what it says.
    """
    for name in (*_LAYOUTS, *_BIN_LAYOUTS):
        path = folder / name
        if path.is_file():
            return _read_shards(path) if name.endswith(".index.json") else _read_file(path)
    wanted = ", ".join((*_LAYOUTS, *_BIN_LAYOUTS))
    raise GenoslimError(f"{folder}: no weights; one of these should be there: {wanted}")


def fit(
    weights: Mapping[str, Tensor],
    shapes: Mapping[str, torch.Size],
    *,
    prefix: str,
    ignored: Iterable[str],
    optional: Iterable[str],
    source: str,
) -> Weights:
    """Return the tensors that a network of these `shapes` takes from a checkpoint.

    Keys that match a pattern of `ignored` are left out if the network has none of this name. A
    group of keys that start with an entry of `optional` may be absent as a whole. Keys of a bare
    backbone get `prefix`. Anything else that is missing, unexpected or of another shape is a
    GenoslimError with counts and names.
    """
    spare = re.compile("|".join(f"(?:{pattern})" for pattern in ignored) or r"(?!)").fullmatch
    named = _renamed(weights, prefix).items()
    used = {key: tensor for key, tensor in named if key in shapes or not spare(key)}
    absent = tuple(group for group in optional if not any(key.startswith(group) for key in used))
    missing = [key for key in shapes if key not in used and not key.startswith(absent)]
    unexpected = [key for key in used if key not in shapes]
    misshapen = [
        f"{key} is {_shape(used[key].shape)}, should be {_shape(shape)}"
        for key, shape in shapes.items()
        if key in used and used[key].shape != shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "misshapen": misshapen}
    if any(faults.values()):
        told = "; ".join(
            f"{len(names)} {fault} ({_some(names)})" for fault, names in faults.items() if names
        )
        raise GenoslimError(f"{source}: the weights do not fit config.json: {told}")
    return used


def initialise(shapes: Mapping[str, torch.Size], *, seed: int, deviation: float) -> Weights:
    """Return fresh float32 tensors: matrices N(0, deviation^2), LayerNorm weights 1, biases 0.

    Drawn in the order of `shapes` from a generator of its own: the global one is not touched.
    """
    generator = torch.Generator().manual_seed(seed)
    fresh: Weights = {}
    for key, shape in shapes.items():
        if len(shape) > 1:
            fresh[key] = torch.normal(0.0, deviation, tuple(shape), generator=generator)
        else:
            fresh[key] = torch.full(shape, 0.0 if key.endswith("bias") else 1.0)
    return fresh


def without(weights: Mapping[str, Tensor], heads: Iterable[str]) -> Weights:
    """Return the tensors whose keys start with none of `heads`."""
    return {key: tensor for key, tensor in weights.items() if not key.startswith(tuple(heads))}


def agreed_labels(saved: int | None, asked: int | None, folder: Path) -> int:
    """Return the number of labels: the saved head's, else the one asked for, else 2."""
    if saved is not None and asked is not None and saved != asked:
        raise GenoslimError(
            f"{folder}: the saved classification head has {saved} labels, {asked} were asked for;"
            f" load it with num_labels={saved} or leave num_labels out"
        )
    return saved or asked or DEFAULT_LABELS


def _renamed(weights: Mapping[str, Tensor], prefix: str) -> Weights:
    """Give keys their present names.

    A bare backbone (`embeddings...`) is named as in a whole model; `gamma` and `beta` of a
    LayerNorm (old BERT files, and ESM as transformers 5 writes it) become `weight` and `bias`.
    """
    whole = any(key.startswith(f"{prefix}.") for key in weights)
    bare = () if whole else ("embeddings.", "encoder.", "pooler.", "contact_head.")
    return {
        _modern(f"{prefix}.{key}" if key.startswith(bare) else key): tensor
        for key, tensor in weights.items()
    }


def _modern(key: str) -> str:
    for old, new in _LAYER_NORM.items():
        if key.endswith(old):
            return key.removesuffix(old) + new
    return key


def _read_shards(index: Path) -> Weights:
    names = (read_json(index) or {}).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise GenoslimError(f"{index}: no `weight_map` from tensor names to file names")
    shards = sorted({str(name) for name in names.values()})
    absent = [
        name for name in shards if Path(name).name != name or not (index.parent / name).is_file()
    ]
    if absent:
        raise GenoslimError(
            f"{index}: {len(absent)} of {len(shards)} shards absent: {_some(absent)}"
        )
    weights: Weights = {}
    for name in shards:
        weights |= _read_file(index.parent / name)
    lacking = sorted(set(names) - set(weights))
    if lacking:
        raise GenoslimError(f"{index}: {len(lacking)} tensors are in no shard: {_some(lacking)}")
    return weights


def _read_file(path: Path) -> Weights:
    safe = path.suffix == ".safetensors"
    read: Callable[[Path], Weights] = _read_safetensors if safe else _read_bin
    try:
        return read(path)
    except GenoslimError:
        raise
    except Exception as error:  # both libraries raise many kinds, bare Exception too
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise GenoslimError(
            f"{path} ({path.stat().st_size} bytes): not a readable weight file, truncated or"
            f" corrupt ({reason[0]})"
        ) from error


def _read_safetensors(path: Path) -> Weights:
    """Copy out of the mapped file: what is read stays, aligned, whatever becomes of the file."""
    with safe_open(str(path), framework="pt") as stream:
        return {key: _owned(stream.get_tensor(key)) for key in stream.keys()}  # noqa: SIM118


def _read_bin(path: Path) -> Weights:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise GenoslimError(
            f"{path}: holds a {type(content).__name__}; it should map names to tensors"
        )
    strange = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise GenoslimError(f"{path}: {len(strange)} entries are not tensors: {_some(strange)}")
    return {key: _owned(tensor) for key, tensor in content.items()}


def _owned(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=True).contiguous()


def _shape(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
