"""The colours of pages and plots: each text colour is readable (WCAG AA) on each paper."""

from __future__ import annotations

PAPER, SHADE = "#ffffff", "#f4f5f6"
INK, QUIET, LINE = "#1f2328", "#57606a", "#d0d7de"
GOOD, BAD, DOUBT, BLUE = "#14703c", "#b3261e", "#805200", "#1f5fa8"

CSS = {
    "paper": PAPER,
    "shade": SHADE,
    "ink": INK,
    "quiet": QUIET,
    "line": LINE,
    "good": GOOD,
    "bad": BAD,
    "doubt": DOUBT,
    "blue": BLUE,
    "good-paper": "#edf6f0",
    "bad-paper": "#fcf0ee",
    "doubt-paper": "#fff6dd",
}
"""What the style calls them."""

SERIES = (BLUE, "#b3261e", "#14703c", "#805200", "#7b3fa0", "#0b7285", "#a8326e", "#57606a")
"""One after the other for things that are told apart by colour, and by shape beside it."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
