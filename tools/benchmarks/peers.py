"""Our bundles beside every other exact way to run the same models, in one run and one process.

python tools/benchmarks/peers.py [--smoke] [--models dnabert2_12 dnabert2_6 dnabert2_3 nt_v2_50m]
                           [--batches 1 8 64] [--windows N] [--repeats N] [--threads N]
                           [--vcf IN.vcf.gz --fasta REF.fa] [--official DIR] [--json FILE]
                           [--only NAME...] [--profile]

Models of full size and random weights score windows of 512 bp around the SNVs of a VCF, spread
evenly over it (simulated ones without `--vcf`), made into tokens by the published tokenizers of
`--official` (the shipped ones without). Float32 everywhere; tokens are made beforehand for all.

A cell is a model and a batch size. Everybody scores the same windows, at most so many at once:
peers in the order of the file, padded to the longest of each batch; ours as users call it, which
makes its own batches (`same batches` is ours on the peers' batches: what the graph alone wins).
Logits are first compared with the model's in torch, window by window: who differs by more than
1e-4, or than 1 % of what windows differ by, is not timed, and the exit code is 1.
OpenVINO as a peer gets the fastest of two hints and two numbers of streams, in each cell.
`--windows` is for every batch size alike; else 4 at batch 1, 16 at batch 8, 64 at batch 64 (which
is one batch for the peers: `--windows 128` lets OpenVINO use two streams there).

`GFLOP/s` is the useful arithmetic (see _arithmetic.py) by the median time; `share` is that of the
machine's best rate of matrix products at the model's shapes, before and after its cells.
`--profile` says where the rest goes.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from _cells import Cell, measure_cell
from _common import arguments, show_machine
from _contenders import Setting, contenders
from _networks import MODELS, export_plain, random_model
from _products import ROWS, Rate, best_by_library, product_rates
from _profile import show_profile
from _verdict import show_cell, show_targets
from _windows import Workload, spread, tokenizer_of, windows_of

from genoslim.bench.environment import describe_environment
from genoslim.bundle.versions import installed_versions
from genoslim.export.trace import trace

_WINDOWS = {1: 4, 8: 16, 64: 64}
_LENGTH = 512
_PACKAGES = ("onnx", "onnxscript", "openvino", "optimum", "optimum-onnx")


def main() -> int:
    """Measure every model at every batch size; return 1 if somebody was not exact."""
    options = _options()
    show_machine(options.threads)
    windows = windows_of(options.vcf, options.fasta, length=options.length, count=_count(options))
    cells: list[Cell] = []
    rates: dict[str, list[Rate]] = {}
    for name in options.models:
        cells += _measure_model(name, windows, options, rates)
        if options.json:
            _write(options, cells, rates)
        torch._dynamo.reset()
        gc.collect()
    show_targets(cells, {name: found[0].operations for name, found in rates.items()})
    return int(any(cell.inexact for cell in cells))


def _options() -> argparse.Namespace:
    options = arguments(__doc__ or "", _extend, batches=(1, 8, 64))
    if bool(options.vcf) != bool(options.fasta):
        sys.exit("--vcf and --fasta go together")
    options.length, options.rows = _LENGTH, ROWS
    if options.smoke:
        options.models, options.batches = ["dnabert2_3", "nt_v2_50m"], [1, 4]
        options.length, options.windows, options.rows, options.profile = 96, 8, (64,), True
    return options


def _extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--windows", type=int, help="windows of a cell, for every batch size")
    parser.add_argument("--vcf", type=Path)
    parser.add_argument("--fasta", type=Path)
    parser.add_argument("--official", type=Path, help="folder with the official tokenizer files")
    parser.add_argument("--json", type=Path, help="file for all raw times and the environment")
    parser.add_argument("--only", nargs="+", default=[], help="parts of the contenders' names")
    parser.add_argument("--profile", action="store_true", help="say where our time goes")
    parser.set_defaults(repeats=5)


def _count(options: argparse.Namespace, batch: int | None = None) -> int:
    """Return how many windows a cell has; without `batch`, the largest cell."""
    if options.windows:
        return int(options.windows)
    if batch is None:
        return max(_count(options, each) for each in options.batches)
    return _WINDOWS.get(batch, max(8, batch))


def _measure_model(
    name: str, windows: Sequence[str], options: argparse.Namespace, rates: dict[str, list[Rate]]
) -> list[Cell]:
    """Export a model, measure its cells, print them."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        setting = _setting(name, Path(folder), options)
        _tell(started, f"{name}: exported")
        found, skipped = contenders(setting, options.only)
        for who, reason in skipped.items():
            print(f"skipped: {who}: {reason}")
        _tell(started, f"{name}: loaded")
        work = [
            Workload(spread(windows, _count(options, batch)), setting.tokenizer, batch)
            for batch in options.batches
        ]
        rates[name] = product_rates(setting.model.config, options.rows, options.threads)
        cells = []
        for each in work:
            cells.append(measure_cell(setting, found, each, options.repeats))
            _tell(started, f"{name}: batch {each.batch}")
        del found
        again = product_rates(setting.model.config, options.rows, options.threads)
        print(f"\n{name}: best matrix product before {rates[name][0]}, after {again[0]}")
        print("; ".join(str(rate) for rate in best_by_library(rates[name]).values()))
        rates[name] = sorted([*rates[name], *again], key=lambda rate: -rate.operations)
        for cell in cells:
            show_cell(cell, rates[name][0].operations)
        if options.profile:
            show_profile(setting, work[-1], rates[name][0].operations)
        sys.stdout.flush()
    return cells


def _setting(name: str, folder: Path, options: argparse.Namespace) -> Setting:
    model = random_model(name, small=options.smoke)
    origin = export_plain(model, folder / "plain")
    print(f"\n{name}: the plain graph is that of {origin}")
    trace(model, folder / "model.onnx")
    return Setting(
        name=name,
        model=model,
        small=options.smoke,
        tokenizer=tokenizer_of(model.family, options.official),
        plain=folder / "plain",
        exported=folder / "model.onnx",
        threads=options.threads,
    )


def _tell(started: float, what: str) -> None:
    print(f" {what}, {time.perf_counter() - started:.0f} s", file=sys.stderr)


def _write(
    options: argparse.Namespace, cells: Sequence[Cell], rates: dict[str, list[Rate]]
) -> None:
    content = {
        "options": {key: value for key, value in vars(options).items() if key != "json"},
        "environment": dataclasses.asdict(describe_environment()),
        "versions": installed_versions(_PACKAGES),
        "cells": [dataclasses.asdict(cell) for cell in cells],
        "products": {
            name: [dataclasses.asdict(rate) for rate in found] for name, found in rates.items()
        },
    }
    options.json.write_text(json.dumps(content, default=str, indent=1))


if __name__ == "__main__":
    sys.exit(main())
