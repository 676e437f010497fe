"""What a graph is worth: calibrated, compared with torch, and run on the splits of its data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import (
    LossLimits,
    ParityReport,
    Precision,
    PrecisionLoss,
    SplitMetrics,
    Target,
)
from ..bundle.runner import GraphRunner
from ..bundle.sessions import Device
from ..data.dataset import LabelledData, SplitName
from ..models.classifier import Classifier
from ..models.tokenizer import SequenceTokenizer
from .evaluate import Calibration, calibrate, split_metrics
from .gate import LOSSY_PARITY, JudgedRows, measure_loss, require_kept, speed_ratio
from .precision import rehearse_half
from .verify import (
    EXACT,
    Tolerances,
    measure_parity,
    parity_windows,
    require_finite,
    require_parity,
)

_LOG = logging.getLogger(__name__)

StageCallback = Callable[[str], None]
"""Called with the name of each stage as it begins."""

_SPLITS: tuple[SplitName, ...] = ("validation", "test")


@dataclass(frozen=True)
class Assessment:
    """What was found out with one graph; logits [n, 2] are those of validation and of test.

    `speed_ratio` is how many times as fast as float32 an int8 graph is here.
    """

    graph: Path
    runner: GraphRunner
    calibration: Calibration
    parity: ParityReport
    logits: Sequence[NDArray[np.float32]]
    loss: PrecisionLoss | None = None
    speed_ratio: float | None = None


class Assessor:
    """Assesses graphs of one model on the validation and test splits of its data.

    Graphs for `cuda` run there if it is at hand, else on the CPU as all others.
    """

    def __init__(
        self,
        model: Classifier,
        tokenizer: SequenceTokenizer,
        data: LabelledData,
        *,
        target: Target,
        threads: int | None,
        begin: StageCallback,
    ) -> None:
        self._model, self._tokenizer, self._threads = model, tokenizer, threads
        self._device: Device = "auto" if target == "cuda" else "cpu"
        self._splits = [data.split(name) for name in _SPLITS]
        self._windows = [sequence for split in self._splits for sequence in split.sequences]
        self._begin = begin

    def assess_exact(self, graph: Path) -> Assessment:
        """Fit on validation, refuse a graph that differs from torch, then run the test split."""
        self._begin("calibrating")
        validation, test = self._splits
        runner = self._runner(graph)
        logits = runner.logits(validation.sequences)
        diverged = "the checkpoint diverged in training, or the graph is wrong"
        require_finite(logits, "the exported graph", diverged)
        fitted = calibrate(logits, validation.labels)
        self._begin("verifying")
        parity = self._parity(runner, fitted, EXACT)
        require_parity(parity)
        self._begin("evaluating")
        return Assessment(graph, runner, fitted, parity, (logits, runner.logits(test.sequences)))

    def assess_lossy(
        self, graph: Path, precision: Precision, exact: Assessment, limits: LossLimits
    ) -> Assessment:
        """Refuse a graph that is too far from the exact one, at the exact one's calibration.

        What fp16 costs is found with its rehearsal where it runs on a CPU, which does not round as
        CUDA does.
        """
        self._begin("judging")
        runner = judged = self._runner(graph)
        if precision == "fp16" and not runner.on_gpu:
            rehearsal = exact.graph.with_name("rehearsal.onnx")
            rehearse_half(exact.graph, rehearsal)
            judged = self._runner(rehearsal)
        logits = [judged.logits(split.sequences) for split in self._splits]
        beyond = f"the checkpoint's values are beyond what {precision} holds"
        require_finite(np.concatenate(logits), f"the {precision} graph", beyond)
        parity = self._parity(runner, exact.calibration, LOSSY_PARITY)
        loss = measure_loss(
            JudgedRows.of(self._splits),
            np.concatenate(exact.logits),
            np.concatenate(logits),
            exact.calibration,
            provider=runner.provider,
            graphs=(exact.graph, graph),
            exact_parity=exact.parity,
            limits=limits,
        )
        require_kept(precision, parity, loss)
        ratio = self._speed_ratio(exact.runner, runner) if precision == "int8" else None
        return Assessment(graph, runner, exact.calibration, parity, logits, loss, ratio)

    def metrics(self, found: Assessment) -> dict[str, SplitMetrics]:
        """Return the metrics of validation and test from a graph's logits."""
        return {
            name: split_metrics(split, logits, found.calibration)
            for name, split, logits in zip(_SPLITS, self._splits, found.logits, strict=True)
        }

    def _runner(self, graph: Path) -> GraphRunner:
        return GraphRunner(graph, self._tokenizer, device=self._device, threads=self._threads)

    def _parity(
        self, runner: GraphRunner, fitted: Calibration, tolerances: Tolerances
    ) -> ParityReport:
        return measure_parity(
            self._model,
            runner,
            parity_windows(self._windows),
            temperature=fitted.temperature,
            threshold=fitted.threshold,
            tolerances=tolerances,
        )

    def _speed_ratio(self, exact: GraphRunner, lossy: GraphRunner) -> float:
        ratio = speed_ratio(exact, lossy, self._windows)
        if ratio <= 1:
            _LOG.warning("not faster here: int8 has %.2f times the speed of fp32", ratio)
        return ratio
