"""Frozen embeddings of a base model: what its pretraining gives before any fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import LabelledData
from ..data.variant import Variant
from ..errors import GenoslimError
from ..models import resolve
from ..models.batches import batch_limits, batches
from ..models.fingerprint import fingerprint_model
from ..models.weight_files import find_weights

Embeddings = NDArray[np.float32]

_BASES_A_TOKEN = 4
"""Fewer than any tokenizer here packs on average, so that the work is not underrated."""

_BYTES = 4
"""Of a parameter in float32."""


def find_base(name: str, fingerprint: str | None) -> Path:
    """Return the folder of a base model that is on this machine; nothing is downloaded.

    Raises GenoslimError if there is none, or if it is not the one with that `fingerprint`.
    """
    folder = resolve(name, offline=True)
    if fingerprint is not None and fingerprint_model(folder) != fingerprint:
        raise GenoslimError(f"{name}: is not the model that was fine-tuned: its files differ")
    return folder


def embedding_work(folder: Path, sequences: Sequence[str]) -> float:
    """Return about how many multiplications and additions embedding some sequences takes."""
    parameters = sum(path.stat().st_size for path in find_weights(folder)[0]) / _BYTES
    return 2 * parameters * sum(map(len, sequences)) / _BASES_A_TOKEN


def reference_windows(data: LabelledData) -> list[str]:
    """Return the window of each row with the reference allele in place of the alternate one.

    It ends where the alternate window does in the genome, so after an insertion it is shorter, and
    after a deletion the bases that have left the window are missing.
    """
    pairs = zip(data.sequences, data.variants, strict=True)
    return [_with_reference(sequence, variant) for sequence, variant in pairs]


def _with_reference(sequence: str, variant: Variant) -> str:
    start = len(sequence) // 2
    after = sequence[start + len(variant.alternate) :]
    return (sequence[:start] + variant.reference + after)[: len(sequence)]


def embed(
    folder: Path, sequences: Sequence[str], depths: Sequence[int], *, cuda: bool, threads: int
) -> Embeddings:
    """Return the mean over tokens of the states after the first k layers: [n, depths, H].

    One pass through the base model gives all `depths` k. A final LayerNorm is not applied, and the
    mean is over special tokens too. Meant for a process of its own.
    """
    import torch

    from ..models import load, load_tokenizer

    torch.set_num_threads(threads)
    device = torch.device("cuda" if cuda else "cpu")
    model, tokenizer = load(folder).eval().to(device), load_tokenizer(folder)
    rows = tokenizer.encode(sequences)
    tokens, multiple = batch_limits(gpu=cuda)
    order, parts = [], []
    for batch in batches([len(row) for row in rows], tokens=tokens, multiple=multiple):
        padded = tokenizer.pad([rows[place] for place in batch], multiple=multiple)
        ids, mask = (torch.from_numpy(part).to(device) for part in padded)
        with torch.inference_mode():
            states = model.hidden_states(ids, mask)
            weights = mask[:, :, None] / mask.sum(1)[:, None, None]
            means = torch.stack([(states[k] * weights).sum(1) for k in depths], dim=1)
        parts.append(means.float().cpu().numpy())
        order += batch
    found = np.empty((len(rows), *parts[0].shape[1:]), np.float32)
    found[order] = np.concatenate(parts)
    return found


def distinct(sequences: Iterable[str]) -> tuple[list[str], NDArray[np.intp]]:
    """Return each sequence once, and where each of those given is among them."""
    places: dict[str, int] = {}
    index = [places.setdefault(sequence, len(places)) for sequence in sequences]
    return list(places), np.array(index, np.intp)
