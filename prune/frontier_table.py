"""The frontier as a table, for a terminal and for a page."""

from __future__ import annotations

from ..tables import table
from .frontier import Candidate, Frontier


def frontier_text(frontier: Frontier) -> str:
    """Return one line a size: its best subset, what found it, and AUROC of either training.

    The figures are of validation, which chose: they rank, and are no model's quality.
    """
    title = "the frontier, AUROC on validation, which chose (test figures below):"
    return f"{title}\n{frontier_table(frontier)}"


FRONTIER_HEADS = ("layers", "best", "healed", "pretrained", "random", "ms", "kept", "found by")


def frontier_table(frontier: Frontier) -> str:
    """Return the rows of the frontier, from the full model down, under their heads."""
    return table(FRONTIER_HEADS, frontier_rows(frontier))


def frontier_rows(frontier: Frontier) -> list[list[str]]:
    """Return a row for the full model in either training, and one for the best of each size."""
    rows = [
        [
            str(one.layers),
            one.training,
            _auroc(one if one.training == "healed" else None),
            _auroc(one if one.training == "pretrained" else None),
            "",
            f"{one.milliseconds:.2f}",
            "all",
            "",
        ]
        for one in frontier.full
    ]
    for size in reversed(frontier.sizes):
        healed, pretrained = (frontier.best(size, how) for how in ("healed", "pretrained"))
        best = frontier.best(size)
        if best is not None:
            rows.append(
                [
                    str(size),
                    best.training,
                    _auroc(healed),
                    _auroc(pretrained),
                    _random(frontier, size),
                    f"{best.milliseconds:.2f}",
                    " ".join(map(str, best.kept)),
                    ", ".join(best.found_by).replace("_", " "),
                ]
            )
    return rows


def random_mean(frontier: Frontier, size: int) -> float | None:
    """Return the mean AUROC of the healed random draws of a size, None without any."""
    drawn = [
        one.auroc
        for one in frontier.candidates
        if one.layers == size and "random" in one.found_by and one.training == "healed"
    ]
    return sum(drawn) / len(drawn) if drawn else None


def _random(frontier: Frontier, size: int) -> str:
    mean = random_mean(frontier, size)
    return "" if mean is None else f"{mean:.4f}"


def _auroc(candidate: Candidate | None) -> str:
    return "" if candidate is None else f"{candidate.auroc:.4f}"
