"""When a model counts as the baseline in another form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from genoslim.bench.answer import answer
from genoslim.bench.benchmark import benchmark
from genoslim.bench.quality import Scores
from genoslim.bench.sameness import TOLERANCE, sameness
from genoslim.bench.subjects import open_subject
from genoslim.bundle.bundle import Bundle
from genoslim.bundle.manifest import FineTuning
from genoslim.bundle.runtime import Runtime
from genoslim.data.dataset import LabelledData
from genoslim.export.evaluate import Calibration

LOGITS = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)


def scores(logits: np.ndarray, threshold: float = 0.5) -> Scores:
    return Scores(
        logits={"validation": logits[:10], "test": logits[10:]},
        fitted=Calibration(1.0, threshold),
        fitted_by="hand",
    )


def test_the_same_weights_and_scores_are_the_same_model(bundle: Path) -> None:
    first = replace(open_subject(bundle, "full"), weights="abc")
    moved = LOGITS.copy()
    margins = np.abs(LOGITS[:, 1] - LOGITS[:, 0])
    moved[margins.argmax()] += np.float32([0.0, 0.009])
    found = sameness(first, replace(first, name="half"), scores(LOGITS), scores(moved))
    assert found is not None
    assert found.same
    assert (found.rows, found.flipped) == (30, 0)
    assert 0.0089 < found.max_logit_difference < TOLERANCE == 0.01
    assert "on 30 validation and test rows logits differ by 0.009 at most" in str(found)


def test_a_flipped_call_or_a_logit_too_far_is_another_model(bundle: Path) -> None:
    first = replace(open_subject(bundle, "full"), weights="abc")
    for split in (0, 20):  # one row of validation, one of test
        far = LOGITS.copy()
        far[split] += np.float32([0.0, 0.02])
        found = sameness(first, first, scores(LOGITS), scores(far))
        assert found is not None
        assert not found.same
    found = sameness(first, first, scores(LOGITS), scores(LOGITS, threshold=0.9))
    assert found is not None
    assert found.max_logit_difference == 0
    assert found.flipped_beyond > 0
    assert not found.same


def test_a_call_that_lies_at_the_threshold_may_flip(bundle: Path) -> None:
    first = replace(open_subject(bundle, "full"), weights="abc")
    near = LOGITS.copy()
    near[3] = [0.4, 0.405]
    moved = near.copy()
    moved[3] += np.float32([0.0, -0.009])
    found = sameness(first, first, scores(near), scores(moved))
    assert found is not None
    assert (found.flipped, found.flipped_beyond, found.same) == (1, 0, True)
    assert "calls that flip: 1, none beyond 0.02 of the threshold" in str(found)


def test_weights_that_are_others_or_not_known_are_never_the_same(bundle: Path) -> None:
    unknown = open_subject(bundle, "full")
    assert unknown.weights is None  # a bundle of before its checkpoint was noted
    known = replace(unknown, weights="abc")
    other = replace(unknown, weights="def")
    for one, two in ((unknown, unknown), (known, unknown), (unknown, known), (known, other)):
        assert sameness(one, two, scores(LOGITS), scores(LOGITS)) is None


def test_a_bundle_of_the_baseline_s_weights_is_deployed_where_nothing_can_be_decided(
    make_bundle: Callable[..., Path],
    make_data: Callable[..., LabelledData],
    tmp_path: Path,
) -> None:
    """Two bundles of one graph, the one said to be fp16, on three groups."""
    data = make_data()
    fine_tuning = FineTuning(checkpoint="c" * 64)
    full = make_bundle("full", fine_tuning=fine_tuning)
    half = make_bundle("half", fine_tuning=fine_tuning, precision="fp16")
    margins = np.diff(Runtime(Bundle.open(full), threads=1).logits(data.sequences))[:, 0]
    learnt = replace(data, labels=(margins > np.median(margins)).astype(np.int8))
    learnt.write(tmp_path / "data.parquet")
    result = benchmark(
        [full, half],
        tmp_path / "data.parquet",
        output=tmp_path / "out",
        device="cpu",
        backend="onnxruntime",
        threads=1,
        seconds=0.01,
        quick=True,
        floors="none",
    )
    found = result.models[1]
    assert found.sameness is not None
    assert (found.same, found.verdict) == (True, "same model")
    assert found.sameness.rows == 100
    assert result.basis.refusal  # of others nothing could be decided
    assert result.decision.tests["half"].adjusted_p is None
    assert "not chosen: slower" in result.decision.reasons["half"] or (
        result.decision.deploy == "half"
    )
    assert result.decision.passed == (result.decision.deploy == "half")  # the faster of equals
    told = answer(replace(result, decision=replace(result.decision, deploy="half")))
    assert any("the baseline's own weights and its scores" in line for line in told.confidence)
    assert not any(line.startswith("A margin below") for line in told.changes)
