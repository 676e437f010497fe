"""Who runs a model, peers and ourselves, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _networks import eagerly, plain_network, random_model
from _openvino import OpenVinoPeer
from _windows import Tokenised, Workload

from genoslim.bundle.runner import GraphRunner
from genoslim.models.classifier import NativeClassifier
from genoslim.models.tokenizer import SequenceTokenizer

Call = Callable[[], np.ndarray]
"""Scores one workload: logits [windows, labels] in the order of the windows."""

PEER, OURS, CONTROL, OTHER = "peer", "ours", "control", "other model"
"""A peer; what users of ours call; ours on the peers' batches; another model, for its time."""

EAGER = "torch eager"
SLIM, FULL = "dnabert2_3", "dnabert2_12"


class Skipped(Exception):  # noqa: N818
    """A contender that cannot run here, and why."""


@dataclass(frozen=True)
class Contender:
    """A name, what it counts as, and how it makes itself ready for a workload (or is `Skipped`)."""

    name: str
    role: str
    prepare: Callable[[Workload], Call]


@dataclass(frozen=True)
class Setting:
    """What contenders are made from: the model, its two graphs, and the machine's threads."""

    name: str
    model: NativeClassifier
    small: bool
    tokenizer: SequenceTokenizer
    plain: Path
    exported: Path
    threads: int
    notes: dict[str, str] = field(default_factory=dict)
    """Choices that were made for a contender, by its name."""


def contenders(setting: Setting, only: Sequence[str]) -> tuple[list[Contender], dict[str, str]]:
    """Return who can run, and why others cannot, by name; `only` keeps names that contain one."""
    found, skipped = [], {}
    for name, (role, make) in _makers(setting).items():
        if only and not any(word.lower() in name.lower() for word in only):
            continue
        try:
            found.append(Contender(name, role, make()))
        except Skipped as reason:
            skipped[name] = str(reason)
    return found, skipped


def _makers(setting: Setting) -> dict[str, tuple[str, Callable[[], Callable[[Workload], Call]]]]:
    makers: dict[str, tuple[str, Callable[[], Callable[[Workload], Call]]]] = {
        EAGER: (PEER, partial(_torch, setting.model, "eager")),
        "torch SDPA": (PEER, partial(_torch, setting.model, "sdpa")),
        "torch.compile": (PEER, partial(_compiled, setting)),
        "ONNX Runtime": (PEER, partial(_onnxruntime, setting)),
        "optimum ORTModel": (PEER, partial(_optimum, setting)),
        "OpenVINO": (PEER, partial(_openvino, setting)),
    }
    for label, backend in (("ONNX Runtime", "onnxruntime"), ("OpenVINO", "openvino")):
        ours = _Ours(setting, backend)
        makers[f"ours, {label}"] = OURS, ours.as_called
        makers[f"ours, {label}, same batches"] = CONTROL, ours.as_batched
    if setting.name == SLIM:
        full = random_model(FULL, small=setting.small)
        makers[f"{FULL}, {EAGER}"] = OTHER, partial(_torch, full, "eager")
    return makers


def _by_batch(run: Callable[[Any, Any], np.ndarray], workload: Workload) -> Call:
    """Return a call that runs the batches one after the other, as they are."""
    batches = workload.in_order
    return lambda: np.concatenate([run(*batch) for batch in batches])


def _torch(model: NativeClassifier, attention: str) -> Callable[[Workload], Call]:
    network = plain_network(model, attention)
    written_out = attention == "eager" and model.family == "dnabert2"

    @torch.inference_mode()
    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with eagerly() if written_out else nullcontext():
            logits: np.ndarray = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        return logits

    return partial(_by_batch, run)


def _compiled(setting: Setting) -> Callable[[Workload], Call]:
    network = plain_network(setting.model, "sdpa")
    compiled = torch.compile(network, dynamic=True)
    if setting.small and setting.name != SLIM:
        raise Skipped("compiling one small model shows that it works")

    @torch.inference_mode()
    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        logits: np.ndarray = compiled(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        return logits

    def prepare(workload: Workload) -> Call:
        try:
            run(*workload.in_order[0])
        except Exception as error:  # no compiler, no headers: inductor raises what it pleases
            raise Skipped(_first_line(error)) from None
        return _by_batch(run, workload)

    return prepare


def _session_options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return options


def _onnxruntime(setting: Setting) -> Callable[[Workload], Call]:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        setting.plain / "model.onnx",
        _session_options(setting.threads),
        providers=["CPUExecutionProvider"],
    )

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        logits: np.ndarray = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return logits

    return partial(_by_batch, run)


def _optimum(setting: Setting) -> Callable[[Workload], Call]:
    if not find_spec("optimum"):
        raise Skipped("optimum is not installed (extra `optimum`)")
    try:
        from optimum.onnxruntime import ORTModelForSequenceClassification
    except ImportError as error:
        raise Skipped(_first_line(error)) from None
    model = ORTModelForSequenceClassification.from_pretrained(
        setting.plain, session_options=_session_options(setting.threads), local_files_only=True
    )

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        logits: np.ndarray = model(**inputs).logits.numpy()
        return logits

    return partial(_by_batch, run)


def _openvino(setting: Setting) -> Callable[[Workload], Call]:
    if not find_spec("openvino"):
        raise Skipped("openvino is not installed (extra `openvino`)")
    peer = OpenVinoPeer(setting.plain / "model.onnx", setting.threads)

    def prepare(workload: Workload) -> Call:
        best, chosen = peer.best(workload.in_order)
        setting.notes["OpenVINO"] = chosen
        return best

    return prepare


class _Ours:
    """Our runtime on our graph, opened when first asked for."""

    def __init__(self, setting: Setting, backend: str) -> None:
        self._setting, self._backend = setting, backend

    @cached_property
    def _runner(self) -> GraphRunner:
        if self._backend == "openvino" and not find_spec("openvino"):
            raise Skipped("openvino is not installed (extra `openvino`)")
        return GraphRunner(
            self._setting.exported,
            self._setting.tokenizer,
            device="cpu",
            threads=self._setting.threads,
            backend=self._backend,
        )

    def as_called(self) -> Callable[[Workload], Call]:
        """Make calls of `GraphRunner.logits`, which makes its own batches."""
        runner = self._runner

        def prepare(workload: Workload) -> Call:
            tokenised = Tokenised(workload)

            def call() -> np.ndarray:
                runner.tokenizer = tokenised
                return runner.logits(workload.windows, batch_size=workload.batch)

            return call

        return prepare

    def as_batched(self) -> Callable[[Workload], Call]:
        """Make calls that run the peers' batches, as they are."""
        return partial(_by_batch, self._runner.run)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
