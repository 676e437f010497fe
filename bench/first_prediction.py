"""What a fresh process runs to measure a cold start: load a model, predict once, tell the times.

It goes the way that scoring goes, and imports the standard library alone before the clock is read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from ..models.precision import Precision


class Asked(TypedDict):
    """What to load, with what, and the window to predict on."""

    path: str
    engine: str
    device: str
    threads: int | None
    precision: Precision
    window: str


def main() -> None:
    """Print when this program began, had imported, had loaded and had predicted, as JSON.

    The argument is the JSON of an `Asked`. Times are of `time.monotonic`, one clock for all
    processes of a machine.
    """
    begun = time.monotonic()
    asked: Asked = json.loads(sys.argv[1])
    steps = _checkpoint(asked) if asked["engine"] == "torch" else _bundle(asked)
    times = [begun, *(time.monotonic() for _ in steps)]
    sys.stdout.write(json.dumps(times) + "\n")


def _bundle(asked: Asked) -> Iterator[None]:
    """Yield after the imports, after loading with the hashes checked, and after predicting."""
    from ..bundle.bundle import Bundle
    from ..bundle.onnx_runtime import import_onnxruntime
    from ..bundle.runner import GraphRunner
    from ..bundle.sessions import import_openvino
    from ..models.tokenizer import SequenceTokenizer

    (import_openvino if asked["engine"] == "openvino" else import_onnxruntime)()
    yield
    bundle = Bundle.open(Path(asked["path"]))
    runner = GraphRunner(
        bundle.graph,
        SequenceTokenizer.from_folder(bundle.folder),
        device=asked["device"],
        threads=asked["threads"],
        backend=asked["engine"],
        tf32=asked["precision"] == "tf32" and bundle.manifest.precision == "fp32",
    )
    yield
    runner.logits([asked["window"]])
    yield


def _checkpoint(asked: Asked) -> Iterator[None]:
    """Yield after the imports, after loading and after predicting."""
    import_module("torch")
    import_module("genoslim.models")
    from .backends import TorchRunner

    yield
    runner = TorchRunner(
        Path(asked["path"]),
        device=asked["device"],
        threads=asked["threads"],
        precision=asked["precision"],
    )
    yield
    runner.logits([asked["window"]])
    yield
