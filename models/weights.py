"""Weight files: safetensors or `.bin`, whole or in shards, read safely and fitted to a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import GenoslimError, listed
from .weight_files import find_weights, unreadable

Weights = dict[str, Tensor]

DEFAULT_LABELS = 2
_LAYER_NORM = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def read_weights(folder: Path) -> Weights:
    """Read every tensor of a checkpoint folder, as float32 where it is a float.

    Raises GenoslimError, naming the file, for one that is absent, truncated or not what it says.
    """
    files, promised = find_weights(folder)
    weights: Weights = {}
    for path in files:
        weights |= _read_file(path)
    if lacking := sorted(set(promised) - set(weights)):
        raise GenoslimError(f"{folder}: {len(lacking)} tensors are in no shard: {listed(lacking)}")
    return weights


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
            f"{len(names)} {fault} ({listed(names)})" for fault, names in faults.items() if names
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


def _read_file(path: Path) -> Weights:
    safe = path.suffix == ".safetensors"
    read: Callable[[Path], Weights] = _read_safetensors if safe else _read_bin
    try:
        return read(path)
    except GenoslimError:
        raise
    except Exception as error:  # both libraries raise many kinds, bare Exception too
        raise unreadable(path, error) from error


def _read_safetensors(path: Path) -> Weights:
    """Copy out of the mapped file: what is read stays, aligned, whatever becomes of the file."""
    from safetensors import safe_open

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
        raise GenoslimError(f"{path}: {len(strange)} entries are not tensors: {listed(strange)}")
    return {key: _owned(tensor) for key, tensor in content.items()}


def _owned(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=True).contiguous()


def _shape(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "a scalar"
