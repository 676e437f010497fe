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
    said = notes_on(finished, judgement, [base, every, third], None)
    assert any(note.startswith("unfavourable_removed: EVERY seed collapsed") for note in said)
    assert not any("collapsed" in note for note in pruned[1].notes)


def test_a_model_that_is_another_one_says_so_once(
    finished: RunFolder, pruned: tuple[Path, Pruned]
) -> None:
    base, second, third = pruned[1].models
    same = replace(third, same_as="unfavourable_removed", reason="by the rule `never empty`")
    said = notes_on(finished, pruned[1].judgement, [base, second, same], None)
    assert [note for note in said if "cornerstone_only" in note] == [
        "cornerstone_only is identical to unfavourable_removed: by the rule `never empty`"
    ]
