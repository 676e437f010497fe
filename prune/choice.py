"""Which slim models a judgement speaks for: the layers each is without, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .trainings import Training
from .verdicts import Judgement

ModelName = Literal["baseline", "unfavourable_removed", "cornerstone_only", "smallest_noninferior"]


@dataclass(frozen=True)
class Choice:
    """One model to build: the layers to drop, in words why these, and how it is trained."""

    name: ModelName
    dropped: tuple[int, ...]
    reason: str
    training: Training = "pretrained"


def choose(judgement: Judgement) -> tuple[Choice, Choice]:
    """Return the unfavourable-removed and the cornerstone-only model; neither is ever empty.

    Every layer unfavourable: the one whose removal leaves the lowest AUROC (the dearest) is kept.
    No layer cornerstone: that same layer is the one kept. A layer without enough usable seeds is
    never the dearest; where the baseline judges no layer, or none has them, nothing is removed.
    """
    layers = tuple(verdict.layer for verdict in judgement.verdicts)
    judged = [verdict for verdict in judgement.verdicts if verdict.evidence.decides]
    if judgement.unjudged or not judged:
        cause = judgement.unjudged or "training collapsed without each of them"
        reason = f"no layer is judged: nothing is removed ({cause})"
        return Choice("unfavourable_removed", (), reason), Choice("cornerstone_only", (), reason)
    dearest = min(judged, key=lambda v: (v.evidence.metrics["auroc"], v.layer)).layer
    return _unfavourable_removed(judgement, layers, dearest), _cornerstone_only(
        judgement, layers, dearest
    )


def _unfavourable_removed(judgement: Judgement, layers: tuple[int, ...], dearest: int) -> Choice:
    unfavourable = judgement.layers("unfavourable")
    reason = "all unfavourable layers removed"
    if not unfavourable:
        reason = "no layer is unfavourable: nothing is removed"
    elif unfavourable == layers:
        unfavourable = tuple(layer for layer in layers if layer != dearest)
        reason = (
            "every layer is unfavourable; by the rule `never empty` the layer is kept without"
            f" which AUROC is lowest ({dearest})"
        )
    return Choice("unfavourable_removed", unfavourable, reason)


def _cornerstone_only(judgement: Judgement, layers: tuple[int, ...], dearest: int) -> Choice:
    cornerstone = judgement.layers("cornerstone")
    reason = "all layers removed but the cornerstones"
    if not cornerstone:
        cornerstone = (dearest,)
        reason = (
            "no layer is a cornerstone; by the rule `dearest layer` the one is kept without which"
            f" AUROC is lowest ({dearest})"
        )
    dropped = tuple(layer for layer in layers if layer not in cornerstone)
    return Choice("cornerstone_only", dropped, reason)
