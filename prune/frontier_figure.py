"""The picture of a frontier: validation AUROC against layers, and against milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from .frontier import Candidate, Frontier
from .trainings import TRAININGS, Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRONTIER_PICTURE = "frontier.png"

_COLOURS: dict[Training, str] = {"healed": "#1b7837", "pretrained": "#2c6fbb"}
_FULL, _FAINT, _CHOSEN = "#333333", "#bbbbbb", "#b2402d"


def draw(frontier: Frontier) -> bytes:
    """Return a PNG of two panels that share the AUROC axis.

    The best candidate of each size and training has its 95 % interval; the others, random draws
    among them, are faint. The band reaches from the fine-tuned full model down by the margin.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10.0, 4.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, frontier, lambda one: float(one.layers))
    _panel(right, frontier, lambda one: one.milliseconds)
    left.set(xlabel="layers kept", ylabel="validation AUROC (that chose: optimistic)")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(frameon=False, fontsize=8, loc="lower right")
    right.set(xlabel="ms a window, batches of the trial, torch", xlim=(0, None))
    title = f"The frontier on {frontier.validation_rows} validation rows, seed {frontier.seed}"
    figure.suptitle(title, fontsize=11)
    picture = BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _panel(axes: Axes, frontier: Frontier, place: Callable[[Candidate], float]) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    full = frontier.full[0].auroc
    axes.axhspan(full - frontier.margin, full, color="#e4e4e4", lw=0, zorder=0)
    best = {how: _best(frontier, how) for how in TRAININGS}
    shown = {one.trial for found in best.values() for one in found}
    rest = [one for one in frontier.candidates if one.trial not in shown and not one.collapsed]
    axes.plot([place(one) for one in rest], [one.auroc for one in rest], ".", color=_FAINT, ms=5)
    for how, found in best.items():
        _line(axes, found, place, _COLOURS[how], f"best {how}")
    _line(axes, frontier.full, place, _FULL, "full model", style="D")
    chosen = frontier.smallest
    for one in frontier.candidates:
        if chosen and (one.kept, one.training) == (chosen.kept, chosen.training):
            axes.plot(
                place(one), one.auroc, "o", ms=15, mfc="none", mec=_CHOSEN, label="not inferior"
            )


def _best(frontier: Frontier, training: Training) -> list[Candidate]:
    found = (frontier.best(size, training) for size in frontier.sizes)
    return [one for one in found if one is not None]


def _line(
    axes: Axes,
    candidates: Sequence[Candidate],
    place: Callable[[Candidate], float],
    colour: str,
    label: str,
    style: str = "o-",
) -> None:
    """Plot candidates with their intervals, in the order of their places."""
    ordered = sorted(candidates, key=place)
    axes.errorbar(
        [place(one) for one in ordered],
        [one.auroc for one in ordered],
        yerr=[
            [max(0.0, one.auroc - one.low) for one in ordered],
            [max(0.0, one.high - one.auroc) for one in ordered],
        ],
        fmt=style,
        color=colour,
        ms=5,
        lw=1.2,
        capsize=2,
        label=label,
    )
