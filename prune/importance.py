"""Cheap estimates of which layers matter, to be held against what a sweep found.

Every method gives each block a score: the higher, the more the block matters. X_i is the hidden
state that enters block i. DNABERT-2 re-normalises after each block and the Nucleotide
Transformer does not, so scores by cosine do not compare across the two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data.dataset import LabelledData
from ..errors import UsageError
from ..models.classifier import Classifier
from ..models.layers import only_layers
from ..models.tokenizer import SequenceTokenizer
from .finetune import Labelled, evaluation_tokens
from .micro_batch import memory_told
from .subsets import children, complement
from .verdicts import Judgement

Method = Literal[
    "block_influence",
    "angular",
    "cka",
    "frozen",
    "sleb",
    "window_shapley",
    "taylor",
    "fisher",
    "random",
    "last",
    "alternate",
]
METHODS: tuple[Method, ...] = get_args(Method)
NEEDS_TRAINED_HEAD: frozenset[Method] = frozenset(
    {"frozen", "sleb", "window_shapley", "taylor", "fisher"}
)
"""Methods that look at the loss, which means nothing with a head drawn at random."""
_WINDOW = 4
"""Blocks in the longest window of `window_shapley`: 43 evaluations for 12 blocks."""


@dataclass(frozen=True)
class Estimate:
    """The scores of one method, a block each, what it took, and who it is from.

    `passes` are those over all rows that it made, `backward` ones included and counted apart too.
    """

    method: Method
    scores: tuple[float, ...]
    seconds: float
    source: str
    passes: int
    backward: int

    @property
    def order(self) -> tuple[int, ...]:
        """The blocks from the least to the most important."""
        return tuple(int(i) for i in np.argsort(self.scores, kind="stable"))


def estimate(
    model: Classifier,
    tokenizer: SequenceTokenizer,
    data: LabelledData,
    method: Method,
    *,
    seed: int = 0,
    device: torch.device | None = None,
) -> Estimate:
    """Score every block of `model` on the rows of `data` (all of them: take a subset before).

    `frozen`, `taylor` and `fisher` use the labels and want a fine-tuned model. Raises UsageError
    for an unknown method.
    """
    if method not in _METHODS:
        raise UsageError(f"method {method!r} is not one of {', '.join(METHODS)}")
    target = torch.device("cpu") if device is None else device
    model.to(target).eval()
    rows = Labelled.encode(tokenizer, data, device=target)
    how = _METHODS[method]
    started = time.perf_counter()
    with memory_told(f"estimating by {method}", advice="use a device with more memory"):
        scores = how.function(model, rows, seed)
    seconds = time.perf_counter() - started
    return Estimate(
        method=method,
        scores=tuple(map(float, scores)),
        seconds=seconds,
        source=how.source,
        passes=how.passes(len(model.blocks)),
        backward=how.backward,
    )


def block_influence(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """1 - mean over tokens of cos(X_i, X_i+1): ShortGPT, arXiv 2403.03853."""
    totals = torch.zeros(len(model.blocks), dtype=torch.float64)
    count = 0
    for states, mask in _states(model, rows):
        kept = mask.bool()
        count += int(kept.sum())
        for i, (before, after) in enumerate(pairwise(states)):
            totals[i] += (
                functional.cosine_similarity(before, after, dim=-1)[kept].double().sum().cpu()
            )
    return [float(1 - total / count) for total in totals]


def angular(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """arccos(cos(X_i, X_i+1)) / pi at `<cls>`, mean over rows: arXiv 2403.17887, runs of one."""
    totals = torch.zeros(len(model.blocks), dtype=torch.float64)
    for states, _ in _states(model, rows):
        for i, (before, after) in enumerate(pairwise(states)):
            cosine = functional.cosine_similarity(
                before[:, 0].double(), after[:, 0].double(), dim=-1
            )
            totals[i] += (torch.arccos(cosine.clamp(-1, 1)) / math.pi).sum().cpu()
    return [float(total / len(rows.labels)) for total in totals]


def cka(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """1 - linear CKA of X_i and X_i+1 at `<cls>`, features centred over rows: arXiv 1905.00414."""
    pooled: list[list[Tensor]] = []
    for states, _ in _states(model, rows):
        pooled.append([state[:, 0].double().cpu() for state in states])
    features = [torch.cat(parts) for parts in zip(*pooled, strict=True)]
    centred = [feature - feature.mean(0) for feature in features]
    return [1 - linear_cka(before, after) for before, after in pairwise(centred)]


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Return |Y'X|^2 / (|X'X| |Y'Y|) of centred features [n, H]; 1 if both are constant."""
    scale = torch.linalg.norm(first.T @ first) * torch.linalg.norm(second.T @ second)
    return float(torch.linalg.norm(second.T @ first) ** 2 / scale) if scale > 0 else 1.0


def frozen(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """Return the rise of the loss without block i and without any training: arXiv 2402.02834."""
    everything = tuple(range(len(model.blocks)))
    whole = _loss(model, rows, everything)
    return [_loss(model, rows, kept) - whole for kept in children(everything)]


def sleb(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """Rank by the round in which SLEB removes a block: arXiv 2402.09025.

    Each round removes the block without which the loss is lowest, given those that are gone. The
    score is the number of rounds that a block survived; the last one left has L - 1.
    """
    scores = [float(len(model.blocks) - 1)] * len(model.blocks)
    kept = tuple(range(len(model.blocks)))
    for survived in range(len(model.blocks) - 1):
        rest = min(children(kept), key=lambda left: _loss(model, rows, left))
        (removed,) = set(kept) - set(rest)
        scores[removed] = float(survived)
        kept = rest
    return scores


def window_shapley(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """Mean marginal rise of the loss over contiguous windows: ACL 2024.blackboxnlp-1.29.

    For a window of at most 4 neighbouring blocks that begins or ends with block i: the loss without
    the window, less the loss without the window but for block i; the mean over these windows.
    """
    depth = len(model.blocks)
    loss = {
        (start, start + length): _loss(model, rows, complement(range(start, start + length), depth))
        for length in range(1, min(_WINDOW, depth - 1) + 1)
        for start in range(depth - length + 1)
    }
    whole = _loss(model, rows, range(depth))
    scores = []
    for i in range(depth):
        first = [loss[a, b] - loss.get((a + 1, b), whole) for a, b in loss if a == i]
        last = [loss[a, b] - loss.get((a, b - 1), whole) for a, b in loss if b == i + 1 > a + 1]
        scores.append(float(np.mean([*first, *last])))
    return scores


def taylor(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """Sum over a block's weights of |W dL/dW|, L the mean loss over the rows: arXiv 2402.02834."""
    model.zero_grad(set_to_none=True)
    for batch in _batches(rows):
        loss = functional.cross_entropy(
            model(*rows.tokens.batch(batch)), _labels(rows, batch), reduction="sum"
        )
        (loss / len(rows.labels)).backward()  # type: ignore[no-untyped-call]
    scores = [
        sum(
            float((p.detach() * p.grad).abs().sum())
            for p in block.parameters()
            if p.grad is not None
        )
        for block in model.blocks
    ]
    model.zero_grad(set_to_none=True)
    return scores


def fisher(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """Sum over a block's weights of the mean over rows of (W dL/dW)^2, L the loss of a row."""
    scores = [0.0] * len(model.blocks)
    for batch in rows.tokens.by_length(1):
        model.zero_grad(set_to_none=True)
        logits = model(*rows.tokens.batch(batch))
        functional.cross_entropy(logits, _labels(rows, batch)).backward()  # type: ignore[no-untyped-call]
        for i, block in enumerate(model.blocks):
            for p in block.parameters():
                if p.grad is not None:
                    scores[i] += float((p.detach() * p.grad).square().sum())
    model.zero_grad(set_to_none=True)
    return [score / len(rows.labels) for score in scores]


def random_order(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """Rank at random from the seed: a control."""
    return [float(rank) for rank in np.random.default_rng(seed).permutation(len(model.blocks))]


def last_first(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """Rank so that the last k blocks are dropped: a control, arXiv 2004.03844."""
    return [float(len(model.blocks) - i) for i in range(len(model.blocks))]


def alternate(model: Classifier, rows: Labelled, seed: int = 0) -> list[float]:
    """Rank so that every other block is dropped, late ones first: a control, arXiv 2004.03844."""
    depth = len(model.blocks)
    return [float((i % 2 == 0) * depth + depth - i) for i in range(depth)]


def importance_in(judgement: Judgement) -> list[float]:
    """Return how much AUROC each layer's removal cost in a sweep, on the split that selects."""
    mean = judgement.baseline["auroc"].mean
    return [mean - verdict.evidence.metrics["auroc"] for verdict in judgement.verdicts]


@torch.no_grad()
def _loss(model: Classifier, rows: Labelled, kept: Sequence[int]) -> float:
    """Return the mean cross-entropy (nats) of the model with these of its blocks."""
    with only_layers(model, kept):
        total = sum(
            float(
                functional.cross_entropy(
                    model(*rows.tokens.batch(batch)), _labels(rows, batch), reduction="sum"
                )
            )
            for batch in _batches(rows)
        )
    return total / len(rows.labels)


def _states(model: Classifier, rows: Labelled) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Yield the L + 1 hidden states [B, T, H] and the mask [B, T] of each batch."""
    for batch in _batches(rows):
        with torch.no_grad():
            ids, mask = rows.tokens.batch(batch)
            yield model.hidden_states(ids, mask), mask.expand_as(ids)


def _batches(rows: Labelled) -> list[Tensor]:
    return rows.tokens.by_length(evaluation_tokens(rows.labels.device))


def _labels(rows: Labelled, batch: Tensor) -> Tensor:
    return rows.labels[batch.to(rows.labels.device)]


def _windows(depth: int) -> int:
    longest = min(_WINDOW, depth - 1)
    return 1 + sum(depth - length + 1 for length in range(1, longest + 1))


@dataclass(frozen=True)
class _How:
    """A method: its function, its source, its passes over the rows for a number of blocks."""

    function: Callable[[Classifier, Labelled, int], list[float]]
    source: str
    passes: Callable[[int], int]
    backward: int = 0


_METHODS: dict[Method, _How] = {
    "block_influence": _How(block_influence, "ShortGPT, arXiv 2403.03853", lambda depth: 1),
    "angular": _How(angular, "arXiv 2403.17887", lambda depth: 1),
    "cka": _How(cka, "arXiv 1905.00414", lambda depth: 1),
    "frozen": _How(frozen, "Shortened LLaMA, arXiv 2402.02834", lambda depth: depth + 1),
    "sleb": _How(sleb, "SLEB, arXiv 2402.09025", lambda depth: depth * (depth + 1) // 2 - 1),
    "window_shapley": _How(window_shapley, "ACL 2024.blackboxnlp-1.29", _windows),
    "taylor": _How(taylor, "Shortened LLaMA, arXiv 2402.02834", lambda depth: 2, backward=1),
    "fisher": _How(fisher, "Fisher information of a row's loss", lambda depth: 2, backward=1),
    "random": _How(random_order, "control", lambda depth: 0),
    "last": _How(last_first, "control, arXiv 2004.03844", lambda depth: 0),
    "alternate": _How(alternate, "control, arXiv 2004.03844", lambda depth: 0),
}
