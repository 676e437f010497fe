"""Measure fine-tuning and inference on a GPU, all in one run of less than nine minutes.

    python tools/benchmarks/gpu.py --prepare gpu-data.pt       # with the extras cpu and train
    python tools/benchmarks/gpu.py --data gpu-data.pt -o gpu.json --page gpu.md    # on the GPU
    python tools/benchmarks/gpu.py -o gpu.json --page gpu.md                       # the page alone

The second command needs torch with CUDA and this checkout, which need not be installed, and no
network; what else is missing it leaves out, and says so. The JSON is written after every row, so a
run that is cut short counts as far as it came. `--steps` names some of the steps, `--seconds` how
long all of them may take. `--smoke` does both, tiny, on the CPU, in a process in which what a GPU
machine may lack is not installed.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _gpu.context import Context
    from _gpu.record import Results, Row

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 480.0
OPTIONAL = (
    *("tokenizers", "pysam", "msgspec", "loky", "platformdirs", "click", "rich"),
    *("transformers", "safetensors", "sklearn", "scipy", "pyarrow", "jinja2"),
    *("onnx", "onnxscript", "onnx_ir", "openvino"),
)
"""Modules that a machine with torch and CUDA may lack."""


@dataclass(frozen=True)
class Step:
    """A part of the benchmark: what it yields, and the seconds it may take."""

    seconds: float
    measure: Callable[[Context], Iterator[Row]]


def steps() -> dict[str, Step]:
    """Return the steps in their order: what depends on nothing, and what matters most, first."""
    from _gpu import (
        accuracy,
        attention,
        frontier,
        inference,
        machine,
        runtimes,
        side_by_side,
        training,
    )

    return {
        "machine": Step(20, machine.measure),
        "evaluation": Step(15, accuracy.evaluations),
        "training": Step(120, training.measure),
        "inference": Step(110, inference.measure),
        "accuracy": Step(75, accuracy.trainings),
        "attention": Step(45, attention.measure),
        "side_by_side": Step(45, side_by_side.measure),
        "frontier": Step(30, frontier.measure),
        "runtimes": Step(20, runtimes.measure),
    }


def main() -> None:
    """Prepare the data, measure, or make a page of what was measured."""
    options = _options()
    for name in options.without:
        sys.modules[name] = None  # type: ignore[assignment]
    _find_package()
    if options.smoke:
        _smoke()
    elif options.prepare:
        from _gpu.prepared import prepare

        prepare(options.prepare, small=options.small)
        print(f"{options.prepare}: {options.prepare.stat().st_size / 1e6:.1f} MB")
    else:
        if options.data:
            _measure(options)
        if options.page:
            _write_page(options.output, options.page)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
    )
    parser.add_argument("--prepare", type=Path, metavar="FILE", help="write models and tokens")
    parser.add_argument("--data", type=Path, metavar="FILE", help="what --prepare wrote: measure")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="the results")
    parser.add_argument("--page", type=Path, metavar="FILE", help="make a Markdown page of them")
    parser.add_argument("--steps", default="", help="some of them, with commas; default: all")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all steps together")
    parser.add_argument("--device", default="", help="of torch; default: cuda, else cpu")
    parser.add_argument("--smoke", action="store_true", help="everything, tiny, on the CPU")
    parser.add_argument("--small", action="store_true", help="the sizes of --smoke")
    parser.add_argument(
        "--without", type=lambda text: text.split(","), default=[], help="modules to do without"
    )
    found = parser.parse_args()
    if not (found.smoke or found.prepare or found.output):
        parser.error("one of --prepare FILE, --data FILE -o JSON, -o JSON --page FILE, --smoke")
    return found


def _find_package() -> None:
    """Let `genoslim` be imported from this checkout, its root, where it is not installed."""
    if find_spec("genoslim") is not None:
        return
    folder = tempfile.TemporaryDirectory(prefix="genoslim-")
    atexit.register(folder.cleanup)
    (Path(folder.name) / "genoslim").symlink_to(ROOT, target_is_directory=True)
    sys.path.insert(0, folder.name)


def _measure(options: argparse.Namespace) -> None:
    """Run the steps, each within its own time and that of all."""
    import torch
    from _gpu.context import SMALL, Context, Sizes
    from _gpu.prepared import Prepared
    from _gpu.record import Budget, Results

    from genoslim import __version__

    known = steps()
    chosen = [name for name in options.steps.split(",") if name] or list(known)
    if unknown := [name for name in chosen if name not in known]:
        sys.exit(f"no step {', '.join(unknown)}; there are {', '.join(known)}")
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    sizes = SMALL if options.small else Sizes()
    context = Context(device, sizes, Prepared.read(options.data), options.data.absolute())
    results = Results(
        options.output,
        {
            "genoslim": __version__,
            "command": shlex.join(["gpu.py", *sys.argv[1:]]),
            "begun": datetime.now(UTC).isoformat(timespec="seconds"),
            "small": options.small,
        },
    )
    whole = Budget(options.seconds)
    _end_after(options.seconds + 5, results)
    more = max(1.0, options.seconds / sum(known[name].seconds for name in chosen))
    for name in chosen:
        budget = Budget(min(more * known[name].seconds, whole.left))
        state = results.take(name, known[name].measure(context), budget)
        step = results.content["steps"][name]
        print(f"{name}: {state}; {len(step['rows'])} rows, {step['seconds']:.1f} s", flush=True)


def _end_after(seconds: float, results: Results) -> None:
    """End the process once all time is spent, should a call to the GPU never come back."""

    def end() -> None:
        print(f"ended after {seconds:.0f} s; {results.path} has what was done", file=sys.stderr)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _write_page(results: Path, path: Path) -> None:
    from _gpu.page import page

    path.write_text(page(json.loads(results.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"{path}: written")


def _smoke() -> None:
    """Prepare tiny data here; measure it, and make the page, in a process that has torch alone."""
    from _gpu.prepared import prepare

    with tempfile.TemporaryDirectory() as folder:
        data, results, page = (Path(folder) / name for name in ("data.pt", "gpu.json", "gpu.md"))
        prepare(data, small=True)
        command = [sys.executable, __file__, "--small", "--device", "cpu", "--data", str(data)]
        command += ["-o", str(results), "--page", str(page), "--without", ",".join(OPTIONAL)]
        subprocess.run(command, check=True)
        _check(json.loads(results.read_text(encoding="utf-8"))["steps"])


def _check(found: dict[str, dict[str, object]]) -> None:
    """Exit with what went wrong in a run that should have had all of its steps."""
    wrong = [f"{name}: {step['state']}" for name, step in found.items() if step["state"] != "done"]
    wrong += [
        f"{name}: {row['error']}"
        for name, step in found.items()
        for row in _rows(step)
        if "error" in row
    ]
    if wrong:
        sys.exit("\n".join(wrong))


def _rows(step: dict[str, object]) -> Sequence[dict[str, object]]:
    rows = step["rows"]
    assert isinstance(rows, list)
    return rows


if __name__ == "__main__":
    main()
