from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genoslim.prune.notes import caveats, notes_on
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.search import SearchOptions
from genoslim.prune.slim_model import Pruned
from genoslim.prune.verdicts import Rules

NO_SEARCH = SearchOptions(trainings=0)


def test_caveats(finished: RunFolder) -> None:
    notes = " ".join(caveats(finished, Rules(split="test")))
    assert "selected on the test split" in notes
    assert "CC-BY-NC-SA-4.0: no commercial use" in notes
    assert "not pathogenicity" in notes
    assert "selected" not in " ".join(caveats(finished, Rules()))


def test_seeds_that_collapsed_are_named(finished: RunFolder, pruned: tuple[Path, Pruned]) -> None:
    base, second, third = pruned[1].models
    lost = [replace(seed, collapsed="stuck") for seed in second.seeds]
    one, every = (replace(second, seeds=(*lost[:count], *second.seeds[count:])) for count in (1, 3))
    judgement = pruned[1].judgement
    said = notes_on(finished, judgement, [base, one, third], None)
    assert "unfavourable_removed: seed 0 collapsed and does not count" in said
    every = replace(every, usable_seeds=0, best_seed=None)
    said = notes_on(finished, judgement, [base, every, third], None)
    assert any(note.startswith("unfavourable_removed: EVERY seed collapsed") for note in said)
    assert not any("collapsed" in note for note in pruned[1].notes)
    survivor = replace(one, usable_seeds=1, best_seed=None)
    said = notes_on(finished, judgement, [base, survivor, third], None)
    assert said[0].startswith("unfavourable_removed: only 1 of 3 seeds is usable: a survivor")


def test_a_model_worse_by_the_papers_bands_is_said_first_and_loudly(
    finished: RunFolder, pruned: tuple[Path, Pruned]
) -> None:
    base, second, third = pruned[1].models
    assert second.evidence is not None
    metrics = {**second.evidence.metrics, "auroc": 0.7123}
    evidence = replace(second.evidence, held=("f1",), worse=(), metrics=metrics)
    worse = replace(second, evidence=evidence)
    said = notes_on(finished, pruned[1].judgement, [base, worse, third], None)
    assert said[0].startswith("unfavourable_removed IS WORSE than the baseline by the paper's own")
    assert "1 of 4 metrics stay within one sd (AUROC 0.7123 against 0.8000" in said[0]
    unjudged = replace(pruned[1].judgement, unjudged="the baseline is at chance")
    said = notes_on(finished, unjudged, [base], None)
    assert said[0] == "NO LAYER IS JUDGED: the baseline is at chance"


def test_a_model_that_is_another_one_says_so_once(
    finished: RunFolder, pruned: tuple[Path, Pruned]
) -> None:
    base, second, third = pruned[1].models
    same = replace(third, same_as="unfavourable_removed", reason="by the rule `never empty`")
    said = notes_on(finished, pruned[1].judgement, [base, second, same], None)
    assert [note for note in said if "cornerstone_only" in note] == [
        "cornerstone_only is identical to unfavourable_removed: by the rule `never empty`"
    ]
