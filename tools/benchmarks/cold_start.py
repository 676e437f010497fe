"""From nothing to the first probability: what `genoslim score` costs before the model works.

python tools/benchmarks/cold_start.py [--smoke] [--layers 3 12] [--records 1 200] [--repeats 5]

Exports DNABERT-2 networks of random weights, 768 wide, and scores simulated variants with each in
fresh processes that watch themselves from outside of the functions: when the first batch is done,
how long loading the session and checking the hashes took, and the peak memory (VmHWM). The files
are in the page cache: the speed of the disk is not measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from genoslim.bundle.machine import available_threads

WINDOW = 512
START, MEMORY_FACTOR, MEMORY_REST = 1.5, 1.3, 150e6

WATCHED = """
import json, sys, time

started, report = float(sys.argv[1]), sys.argv[2]
from genoslim.bench.memory import memory_use
from genoslim.bundle import bundle, runtime

seconds, ends = {}, {}

def watch(owner, name):
    function = getattr(owner, name)
    def watched(*arguments, **options):
        begun = time.monotonic()
        try:
            return function(*arguments, **options)
        finally:
            ends.setdefault(name, time.monotonic() - started)
            seconds.setdefault(name, time.monotonic() - begun)
    setattr(owner, name, watched)

watch(bundle, "_check_files")
import onnxruntime
watch(onnxruntime.InferenceSession, "__init__")
watch(runtime.GraphRunner, "run")
from genoslim.cli import main
main(sys.argv[3:], prog_name="genoslim", standalone_mode=False)
found = {"first": ends["run"], "load": seconds["__init__"], "hashes": seconds["_check_files"]}
with open(report, "w") as stream:
    json.dump(found | {"run": seconds["run"], "peak": memory_use().peak}, stream)
"""
HEADER = [
    "model",
    "records",
    "first probability less load",
    "of which hashes",
    "first batch",
    "load",
    "peak memory",
    "model file",
]


def main() -> None:
    """Export, score, print."""
    options = _parse()
    from _common import show, show_machine

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for layers in options.layers:
            bundle = _export(folder, layers, small=options.smoke)
            rows += [_row(folder, bundle, layers, count, options) for count in options.records]
    show_machine(options.threads)
    show(f"random weights, {WINDOW} bp; targets in brackets", HEADER, rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--smoke", action="store_true", help="a tiny network, seconds only")
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 12])
    parser.add_argument("--records", type=int, nargs="+", default=[1, 200])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_threads())
    found = parser.parse_args()
    if found.smoke:
        found.layers, found.repeats = [1], 1
    return found


def _export(folder: Path, layers: int, *, small: bool) -> Path:
    """Export a network of random weights."""
    from full_size import CONFIGS, SMALL

    from genoslim.data.simulate import simulate_data
    from genoslim.export.exporter import export_bundle
    from genoslim.models import load_tokenizer
    from genoslim.models.checkpoint import new_classifier, save
    from genoslim.models.record import TrainingRecord

    if not (folder / "data").is_dir():
        simulate_data(folder / "data", variants=400, window=WINDOW)
    config = CONFIGS["dnabert2"] | (SMALL if small else {}) | {"num_hidden_layers": layers}
    checkpoint, bundle = folder / f"checkpoint-{layers}", folder / f"bundle-{layers}"
    training = TrainingRecord(window_length=WINDOW, assembly="simulated")
    tokenizer = load_tokenizer("shipped:dnabert2")
    save(new_classifier(config).eval(), tokenizer, checkpoint, training=training)
    export_bundle(checkpoint, bundle, data=folder / "data" / "dataset.parquet", allow_chance=True)
    return bundle


def _row(
    folder: Path, bundle: Path, layers: int, records: int, options: argparse.Namespace
) -> list[str]:
    """Score some records in fresh processes; return the medians and the targets."""
    vcf = folder / f"{records}.vcf"
    _head(folder / "data" / "variants.vcf", vcf, records)
    runs = [_run(folder, bundle, vcf, options.threads) for _ in range(options.repeats)]
    found = {key: median(run[key] for run in runs) for key in runs[0]}
    size = sum(path.stat().st_size for path in bundle.glob("model.onnx*"))
    limit = (MEMORY_FACTOR * size + MEMORY_REST) / 1e6
    return [
        f"{layers} layers",
        str(records),
        f"{found['first'] - found['load']:.2f} s ({START} s)",
        f"{found['hashes']:.2f} s",
        f"{found['run']:.2f} s",
        f"{found['load']:.2f} s",
        f"{found['peak'] / 1e6:.0f} MB ({limit:.0f} MB)",
        f"{size / 1e6:.0f} MB",
    ]


def _head(source: Path, target: Path, records: int) -> None:
    """Copy the header and the first records."""
    lines = source.read_text().splitlines(keepends=True)
    header = sum(line.startswith("#") for line in lines)
    target.write_text("".join(lines[: header + records]))


def _run(folder: Path, bundle: Path, vcf: Path, threads: int) -> dict[str, float]:
    """Score once; `time.monotonic` is one clock for all processes."""
    report, program = folder / "report.json", [sys.executable, "-c", WATCHED]
    arguments = [
        *("score", "-m", str(bundle), "-f", str(folder / "data" / "genome.fa")),
        *("-i", str(vcf), "-o", str(folder / "out.vcf"), "--backend", "onnxruntime"),
        *("--threads", str(threads)),
    ]
    command = [*program, str(time.monotonic()), str(report), *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}\n{done.stderr}")
    found: dict[str, float] = json.loads(report.read_text())
    return found


if __name__ == "__main__":
    main()
