from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from genoslim.bundle.manifest import LossLimits, ParityReport, PrecisionLoss
from genoslim.bundle.runtime import to_probabilities
from genoslim.errors import GateError
from genoslim.export.evaluate import Calibration
from genoslim.export.gate import JudgedRows, measure_loss, require_kept, speed_ratio
from genoslim.stats.ranks import auroc


@pytest.fixture
def parity(make_manifest) -> ParityReport:
    return dataclasses.replace(make_manifest().parity, batch_difference=1e-6)


def logits(rows: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, rows).astype(np.int8)
    found = draw.normal(0, 1, (rows, 2)).astype(np.float32)
    found[:, 1] += 2 * labels
    return labels, found


@pytest.fixture
def measure(parity, tmp_path) -> Callable[..., PrecisionLoss]:
    """Measure the loss of logits against others on rows with or without recurring variants."""
    exact, lossy = tmp_path / "exact.onnx", tmp_path / "lossy.onnx"
    exact.write_bytes(b"x" * 90)
    exact.with_name("exact.onnx.data").write_bytes(b"x" * 10)
    lossy.write_bytes(b"x" * 40)

    def run(labels, before, after, keys=None) -> PrecisionLoss:
        names = np.arange(len(labels)).astype(str) if keys is None else keys
        return measure_loss(
            JudgedRows(labels, names),
            before,
            after,
            Calibration(temperature=2.0, threshold=0.6),
            provider="CPUExecutionProvider",
            graphs=(exact, lossy),
            exact_parity=parity,
            limits=LossLimits(),
        )

    return run


def test_the_same_logits_lose_nothing(measure):
    labels, exact = logits(200)
    found = measure(labels, exact, exact)
    assert found.kept
    assert found.max_logit_difference == found.mean_logit_difference == found.flipped == 0
    assert found.auroc_change == found.auroc_interval.low == found.auroc_interval.high == 0
    assert found.brier_change == found.calibration_error_change == 0
    assert (found.bytes, found.exact_bytes) == (40, 100)


def test_figures_are_those_of_the_rows(measure):
    labels, exact = logits(200)
    noise = np.random.default_rng(1).normal(0, 0.5, exact.shape).astype(np.float32)
    found = measure(labels, exact, exact + noise)
    before, after = (to_probabilities(values, 2.0) for values in (exact, exact + noise))
    assert found.max_logit_difference == pytest.approx(np.abs(noise).max(), rel=1e-5)
    assert found.mean_logit_difference == pytest.approx(np.abs(noise).mean(), rel=1e-5)
    assert found.flipped == ((before >= 0.6) != (after >= 0.6)).sum() > 2
    assert found.auroc_change == pytest.approx(auroc(labels, after) - auroc(labels, before))
    assert found.auroc_interval.method == "DeLong"
    assert found.brier_change == pytest.approx(
        ((after - labels) ** 2).mean() - ((before - labels) ** 2).mean()
    )
    assert not found.kept


def test_recurring_variants_are_drawn_as_one(measure):
    labels, exact = logits(200)
    noise = np.random.default_rng(1).normal(0, 0.5, exact.shape).astype(np.float32)
    once = measure(labels, exact, exact + noise)
    thrice = [np.concatenate([values] * 3) for values in (labels, exact, exact + noise)]
    keys = np.tile(np.arange(200).astype(str), 3)
    found = measure(*thrice, keys=keys)
    assert found.auroc_interval.method == "bootstrap by variant"
    assert found.auroc_change == pytest.approx(once.auroc_change)
    width, expected = (i.high - i.low for i in (found.auroc_interval, once.auroc_interval))
    assert width == pytest.approx(expected, rel=0.15)  # and not narrower by the root of 3


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"flipped": 11}, 1e-6),
        ({"calibration_error_change": 0.02}, 1e-6),
        ({}, 0.02),
        ({}, math.nan),
    ],
)
def test_a_refusal_gives_every_figure(make_loss, parity, changes, moved):
    loss = make_loss(**changes)
    with pytest.raises(GateError) as refusal:
        require_kept("int8", dataclasses.replace(parity, batch_difference=moved), loss)
    for figure in (
        "int8 costs more than it may, so nothing was written",
        "1000 windows (CPUExecutionProvider)",
        "AUROC change +0.0005, 90% interval -0.0010 to +0.0020 (allowed above -0.01)",
        f"flipped calls {loss.flipped}, {loss.flipped / 1000:.2%} (allowed 1.00%)",
        f"calibration error change {loss.calibration_error_change:+.4f} (allowed +0.01)",
        "Brier score change +0.0001",
        "logit difference mean 0.01, largest 0.1",
        f"in other batches {moved:.3g} (allowed 0.01)",
        "against torch on 96 cut windows",
        "4,000,000 bytes against 10,000,000",
    ):
        assert figure in str(refusal.value)


def test_a_graph_far_from_torch_is_refused(make_loss, parity):
    case = dataclasses.replace(parity.cases[0], max_probability_difference=0.2)
    with pytest.raises(GateError, match=r"probability 0\.2 \(allowed 0\.0001\)"):
        require_kept("fp16", dataclasses.replace(parity, cases=(case,)), make_loss())


def test_within_its_limits_it_passes(make_loss, parity):
    require_kept("int8", parity, make_loss())


def test_the_two_graphs_take_turns_and_the_first_passes_do_not_count():
    class Runner:
        def __init__(self) -> None:
            self.batches: list[int] = []

        def logits(self, sequences) -> None:
            turns.append(self)
            self.batches.append(len(sequences))

    turns: list[Runner] = []
    exact, lossy = Runner(), Runner()
    assert speed_ratio(exact, lossy, [*"ACGTACGT" * 40]) > 0
    assert turns[2:] == [exact, lossy] * 6
    assert set(exact.batches) == set(lossy.batches) == {4}  # distinct windows only
