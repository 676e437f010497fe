from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from judgements import judged

from genoslim.prune.choice import choose
from genoslim.prune.search import SearchOptions
from genoslim.prune.verdicts import Judgement, Role

NO_SEARCH = SearchOptions(trainings=0)


@pytest.mark.parametrize(
    ("roles", "aurocs", "removed", "others", "word"),
    [
        ("uncu", (0.8, 0.7, 0.5, 0.8), (0, 3), (0, 1, 3), ""),
        ("nnnn", (0.8, 0.7, 0.6, 0.8), (), (0, 1, 3), "`dearest layer`"),
        ("uuuu", (0.8, 0.9, 0.7, 0.8), (0, 1, 3), (0, 1, 3), "`never empty`"),
        ("cccc", (0.5, 0.5, 0.5, 0.5), (), (), "nothing is removed"),
        ("?c?u", (0.8, 0.5, 0.8, 0.8), (3,), (0, 2, 3), ""),
    ],
)
def test_choice_of_layers(
    roles: str, aurocs: Sequence[float], removed: object, others: object, word: str
) -> None:
    names: dict[str, Role] = {
        "u": "unfavourable",
        "n": "neutral",
        "c": "cornerstone",
        "?": "undecided",
    }
    verdicts = judged(*((names[r], a) for r, a in zip(roles, aurocs, strict=True)))
    first, second = choose(verdicts)
    assert (first.dropped, second.dropped) == (removed, others)
    assert word in first.reason + second.reason


def _lost(judgement: Judgement, *layers: int) -> Judgement:
    """The same, where every attempt without some layers collapsed at an AUROC of 0.1."""
    verdicts = []
    for verdict in judgement.verdicts:
        if verdict.layer in layers:
            evidence = replace(
                verdict.evidence,
                metrics=dict.fromkeys(verdict.evidence.metrics, 0.1),
                collapsed_seeds=(0,),
            )
            verdict = replace(verdict, role="undecided", evidence=evidence)
        verdicts.append(verdict)
    return replace(judgement, verdicts=tuple(verdicts))


def test_a_layer_that_collapsed_is_never_the_dearest() -> None:
    none = judged(("neutral", 0.8), ("neutral", 0.6), ("neutral", 0.7))
    for first, second in (choose(_lost(none, 0)), choose(_lost(none, 2))):
        assert (first.dropped, second.dropped) == ((), (0, 2))
    unfavourable = judged(("unfavourable", 0.8), ("unfavourable", 0.6))
    assert choose(unfavourable)[0].dropped == (0,)


def test_nothing_is_removed_where_nothing_is_judged() -> None:
    none = judged(("neutral", 0.8), ("neutral", 0.6))
    for choice in choose(replace(none, unjudged="the baseline is at chance")):
        assert choice.dropped == ()
        assert "(the baseline is at chance)" in choice.reason
    for choice in choose(_lost(none, 0, 1)):
        assert choice.dropped == ()
        assert "collapsed without each" in choice.reason
