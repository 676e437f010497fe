"""The page that is made of the results: for each step what it comes to, and all that it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

_TITLES = {
    "machine": "Device and versions",
    "attention": "Attention by length, bias and kernel, forward and backward",
    "training": "Fine-tuning",
    "frontier": "Rows of a training step that fit into memory",
    "inference": "Inference",
    "accuracy": "Accuracy by the precision of training",
    "evaluation": "One model evaluated in each precision, against float32 on the CPU",
    "side_by_side": "Trials side by side on one device",
    "runtimes": "Exported graphs",
}


@dataclass(frozen=True)
class _Pivot:
    """A table of means: a row for each value of `rows`, a column for each of `columns`."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    value: str
    title: str

    def lines(self, found: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the lines of the table; none where nothing has the value."""
        cells: dict[tuple[str, ...], dict[str, list[float]]] = {}
        for row in found:
            if row.get(self.value) is not None:
                key = tuple(str(row[name]) for name in self.rows)
                column = ", ".join(str(row[name]) for name in self.columns)
                cells.setdefault(key, {}).setdefault(column, []).append(row[self.value])
        means = [
            dict(zip(self.rows, key, strict=True)) | {name: fmean(own[name]) for name in own}
            for key, own in cells.items()
        ]
        return [f"{self.title}:", "", *_table(means), ""] if means else []


_PIVOTS = {
    "training": [
        _Pivot(
            ("network", "tokens", "layers"),
            ("precision",),
            "sequences_per_second",
            "Sequences a second",
        )
    ],
    "inference": [
        _Pivot(
            ("layers", "what"), ("network", "precision", "weights"), "p50_ms", "Median time in ms"
        ),
        _Pivot(
            ("layers",),
            ("network", "precision", "weights"),
            "joules_per_1000_windows",
            "Joules for 1,000 windows",
        ),
    ],
    "accuracy": [
        _Pivot(("family",), ("precision",), "test_auroc", "AUROC on test, mean over seeds"),
        _Pivot(("family",), ("precision",), "seconds", "Seconds of a training, mean over seeds"),
    ],
    "attention": [_Pivot(("tokens", "type", "kernel"), ("bias",), "ms", "Time in ms")],
}


def page(content: Mapping[str, Any]) -> str:
    """Return the results as Markdown."""
    facts = (content["steps"].get("machine", {}).get("rows") or [{}])[0]
    lines = [
        f"# Measured on {facts.get('device', 'an unknown device')}",
        "",
        f"{content['command']}, begun {content['begun']}, genoslim {content['genoslim']}.",
    ]
    if content["small"]:
        lines += ["", "**Made with `--smoke` sizes: the figures mean nothing.**"]
    for name, step in content["steps"].items():
        lines += ["", f"## {_TITLES.get(name, name)}", "", _account(step), ""]
        if name == "machine":
            lines += _facts(facts)
            continue
        for pivot in _PIVOTS.get(name, []):
            lines += pivot.lines(step["rows"])
        lines += _details(_table([_flat(row) for row in step["rows"]]), name in _PIVOTS)
    return "\n".join(lines) + "\n"


def _details(lines: list[str], folded: bool) -> list[str]:
    """Return lines that a reader unfolds, where a table of means stands above them."""
    return (
        ["<details><summary>all rows</summary>", "", *lines, "", "</details>"] if folded else lines
    )


def _account(step: Mapping[str, Any]) -> str:
    return f"{step['state']}; {len(step['rows'])} rows in {step['seconds']:.1f} s"


def _facts(row: Mapping[str, Any]) -> list[str]:
    return [f"- {name.replace('_', ' ')}: {_shown(value)}" for name, value in row.items()]


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a row without nested ones: their names are joined."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name} ")
        else:
            found[prefix + name] = value
    return found


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table with a column for every name that any row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        return []
    heads = [name.replace("_", " ") for name in names]
    lines = [_line(heads), _line(["---"] * len(names))]
    return lines + [_line([_shown(row.get(name)) for name in names]) for row in rows]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(value: Any) -> str:
    """Return a value for a reader: bytes and long numbers with separators, floats in 4 digits."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.0f}" if abs(value) >= 10000 else f"{value:.4g}"
        case Mapping():
            return ", ".join(_pairs(value)) or "none"
        case list():
            return ", ".join(map(str, value)) or "none"
    return str(value).replace("|", "\\|")


def _pairs(mapping: Mapping[str, Any]) -> Iterator[str]:
    return (f"{name} {_shown(value)}" for name, value in mapping.items())
