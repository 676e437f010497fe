from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, matthews_corrcoef

from genoslim.bench.decision import NonInferiority
from genoslim.bench.quality import (
    Scores,
    assess,
    calibrated,
    compare,
    require_sound,
)
from genoslim.bench.subjects import Subject
from genoslim.data.dataset import LabelledData
from genoslim.errors import GenoslimError
from genoslim.export.evaluate import Calibration
from genoslim.prune.measure import Split
from genoslim.stats.auroc import recurring
from genoslim.stats.delong import auroc_interval, paired_auroc
from genoslim.stats.thresholds import sensitivity_at_specificity

SUBJECT = Subject(
    name="m",
    path=Path("m"),
    backend="torch",
    digest="d",
    size=1,
    parameters=1,
    layers=1,
    base_layers=None,
    precision="fp32",
    window_length=None,
    assembly=None,
    fine_tune_seconds=None,
    trained_on=None,
    licences=(),
)

DECISIVE = NonInferiority(
    margin=0.01, level=0.95, lower_bound=-0.005, p_value=0.01, adjusted_p=0.02, passed=True
)


def logits_for(data: LabelledData, signal: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=len(data))
    margin = noise + signal * (2.0 * data.labels - 1)
    return np.stack([-margin, margin], axis=1).astype(np.float32)


def halves(data: LabelledData) -> dict[Split, LabelledData]:
    return {"validation": data.split("validation"), "test": data.split("test")}


def scores_for(data: LabelledData, signal: float, seed: int = 0) -> Scores:
    rows = halves(data)
    logits = {name: logits_for(part, signal, seed) for name, part in rows.items()}
    return calibrated(SUBJECT, rows["validation"], logits)


@pytest.fixture
def held_out(data: LabelledData) -> LabelledData:
    return data.split("test")


def test_a_bundle_brings_its_calibration_and_a_checkpoint_is_fitted(data: LabelledData) -> None:
    rows = data.split("validation")
    logits = {"validation": logits_for(rows, 1.0), "test": logits_for(rows, 1.0)}
    stored = replace(SUBJECT, temperature=2.0, threshold=0.3)
    assert calibrated(stored, rows, logits).fitted == Calibration(2.0, 0.3)
    fitted = calibrated(SUBJECT, rows, logits)
    assert fitted.fitted_by == "fitted on validation here"
    assert fitted.fitted.temperature != 1.0


def test_broken_logits_are_named(data: LabelledData) -> None:
    rows = data.split("validation")
    good = logits_for(rows, 1.0)
    bad = good.copy()
    bad[3, 0] = np.nan
    with pytest.raises(GenoslimError, match="m: 1 of 40 test rows have logits that are not finite"):
        require_sound(SUBJECT, "test", bad)
    with pytest.raises(GenoslimError, match=r"m: logits of shape \[40, 3\]; expected two labels"):
        require_sound(SUBJECT, "validation", np.zeros((40, 3), np.float32))
    require_sound(SUBJECT, "test", good)


def test_figures_are_those_of_the_statistics(data: LabelledData, held_out: LabelledData) -> None:
    scores = scores_for(data, 0.8)
    found = assess(halves(data), scores, prevalence=0.02)
    expected = auroc_interval(held_out.labels, scores.probabilities)
    assert (found.interval.low, found.interval.high) == (expected.low, expected.high)
    assert found.interval.method == "DeLong"
    assert found.metrics.auroc == expected.auroc
    assert found.metrics.threshold == scores.fitted.threshold
    assert found.by_group is not None
    assert set(found.by_group.per_group) == {"g0", "g1", "g2"}
    assert set(found.operating_points) == {"0.9", "0.95"}
    assert found.predictive is not None
    assert found.predictive.prevalence == 0.02
    assert found.predictive.ppv == found.estimates["ppv"].value


def test_without_a_prevalence_nothing_is_said_about_it(data: LabelledData) -> None:
    found = assess(halves(data), scores_for(data, 0.8))
    assert found.predictive is None
    assert not {"ppv", "npv"} & set(found.estimates)


def test_a_model_against_itself_is_no_different(data: LabelledData, held_out: LabelledData) -> None:
    scores = scores_for(data, 0.8)
    found = compare(held_out, scores, scores, decisive=DECISIVE)
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert found.flipped == 0
    assert found.noninferiority is DECISIVE
    assert found.macro_difference == 0.0


def test_a_worse_model_differs_as_delong_says(data: LabelledData, held_out: LabelledData) -> None:
    full, slim = scores_for(data, 2.0), scores_for(data, 0.0, seed=1)
    found = compare(held_out, full, slim, decisive=DECISIVE)
    delong = paired_auroc(held_out.labels, full.probabilities, slim.probabilities)
    assert (found.difference, found.p_value) == (delong.difference, delong.p_value)
    assert found.method == "DeLong"
    assert 0 < found.flipped_to_positive < found.flipped


def test_recurring_variants_are_drawn_together(make_data: Callable[..., Any]) -> None:
    data = make_data(recurring=True, groups=0)
    rows = data.split("test")
    assert recurring(rows.keys)
    # Both rows of a variant get one score: half of them carry no information of their own.
    full, slim = (
        replace(
            (own := scores_for(data, 0.5, seed)),
            logits={**own.logits, "test": np.repeat(own.logits["test"][::2], 2, axis=0)},
            fitted=Calibration(1.0, 0.5),
        )
        for seed in (1, 2)
    )
    found = compare(rows, full, slim, decisive=DECISIVE)
    assert found.method == "bootstrap by variant"
    assert found.high - found.low > found.delong.high - found.delong.low
    assert found.macro_difference is None
    quality = assess(halves(data), full)
    assert quality.interval.method == "bootstrap by variant"
    assert quality.unit == "variant"
    assert quality.by_group is None


def test_figures_are_scikit_learns_and_thresholds_are_those_of_validation(
    data: LabelledData,
) -> None:
    splits, scores = halves(data), scores_for(data, 0.8)
    found = assess(splits, scores, prevalence=0.02)
    labels, values = splits["test"].labels, scores.probabilities
    hit = found.metrics.true_positive_rate * 0.02
    known = {
        "mcc": matthews_corrcoef(labels, scores.calls),
        "average_precision": average_precision_score(labels, values),
        "brier": brier_score_loss(labels, values),
        "ppv": hit / (hit + (1 - found.metrics.specificity) * 0.98),
    }
    for name, value in known.items():
        assert found.estimates[name].value == pytest.approx(value)
        assert found.estimates[name].low < found.estimates[name].value < found.estimates[name].high
    validation = splits["validation"].labels
    for asked in (0.9, 0.95):
        point = found.operating_points[f"{asked:g}"]
        best = sensitivity_at_specificity(validation, scores.validation, specificity=asked)
        assert point.threshold == best.threshold
        called = values >= best.threshold
        assert point.sensitivity == pytest.approx(called[labels == 1].mean())
        assert point.specificity == pytest.approx(1 - called[labels == 0].mean())


def test_calibration_is_told_before_and_after(make_data: Callable[..., Any]) -> None:
    splits = halves(make_data(sizes={"train": 8, "validation": 300, "test": 600}))
    logits = {name: 5 * logits_for(part, 0.8) for name, part in splits.items()}
    found = assess(splits, calibrated(SUBJECT, splits["validation"], logits))
    assert found.uncalibrated.brier.value > found.calibrated.brier.high
    assert found.uncalibrated.debiased.low > 0
    assert found.calibrated.debiased.value < found.uncalibrated.debiased.value
    assert found.calibrated.brier.value == found.brier


def test_groups_held_out_are_the_unit(data: LabelledData) -> None:
    names = np.array(
        [f"{split}-{group}" for split, group in zip(data.splits, data.groups, strict=True)]
    )
    scores = scores_for(data, 0.8)
    by_group = assess(halves(replace(data, groups=names)), scores)
    assert by_group.unit == "group"
    alone = replace(data, groups=np.where(data.splits == "test", "one", "another"))
    assert assess(halves(alone), scores).unit == "variant"
    assert assess(halves(data), scores).unit == "row"
