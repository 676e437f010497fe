"""What the scripts here share: random networks, interleaved repeats, a table. Run one of those."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch

from genoslim.bench.environment import processor_name, usable_cores
from genoslim.bench.latency import paired_ratio, summarise, time_call
from genoslim.bench.measure import rotation
from genoslim.bundle.versions import installed_versions
from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import Classifier

VOCABULARY = 4096


def arguments(
    description: str,
    extend: Callable[[argparse.ArgumentParser], object] | None = None,
    **numbers: Sequence[int],
) -> argparse.Namespace:
    """Parse `--smoke`, `--threads`, `--repeats` and one list of numbers for each keyword.

    `extend` adds what else a script takes.
    """
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, seconds only")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=7)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, nargs="+", default=list(default))
    if extend:
        extend(parser)
    found = parser.parse_args()
    if found.smoke:
        found.repeats = min(found.repeats, 2)
    torch.set_num_threads(found.threads)
    return found


def random_classifier(*, width: int, layers: int) -> Classifier:
    """Return a DNABERT-2 of random weights; speed does not depend on their values."""
    return new_classifier(
        {
            "alibi_starting_size": 512,
            "vocab_size": VOCABULARY,
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": max(1, width // 64),
            "intermediate_size": 4 * width,
            "type_vocab_size": 2,
        }
    ).eval()


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    warm: bool = False,
    before: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Time every call `repeats` times, each first in its turn.

    Unless the calls are `warm`, one untimed call each comes first. `before` each timed call, that
    is called.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in () if warm else calls.values():
        call()
    names = list(calls)
    for number in range(repeats):
        for place in rotation(len(names), number):
            if before:
                before()
            times[names[place]].append(time_call(calls[names[place]]))
    return times


def compared(times: Mapping[str, Sequence[float]], items: int, unit: str) -> list[list[str]]:
    """Return a row a call: median and spread of its times, items a second, ratio to the first."""
    first = next(iter(times.values()))
    rows = []
    for name, own in times.items():
        ratio = paired_ratio(first, own)
        rows.append(
            [
                name,
                f"{median(own) * 1000:.4g} ms",
                f"{summarise(own).spread:.0%}",
                f"{_rounded(items / median(own))} {unit}/s",
                f"{ratio.median:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})",
            ]
        )
    return rows


def _rounded(rate: float) -> str:
    return f"{rate:.3g}" if rate < 100 else f"{rate:,.0f}"


HEADER = ["", "median", "IQR/median", "rate", "against the first (range)"]


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in columns."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in [header, *rows]:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def show_machine(threads: int) -> None:
    """Print what the figures depend on."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123
            name = processor_name(stream.read())
    except OSError:
        name = None
    packages = ("torch", "onnxruntime", "onnxruntime-gpu", "tokenizers")
    versions = [f"{name} {found}" for name, found in installed_versions(packages).items()]
    busy = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(", ".join([name or platform.processor(), f"{threads} threads", busy, *versions]))
