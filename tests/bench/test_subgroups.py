from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genoslim.bench.quality import Scores
from genoslim.bench.subgroups import SubgroupAurocs, in_subgroups, subgroup_rows
from genoslim.data.dataset import LabelledData
from genoslim.export.evaluate import Calibration
from genoslim.stats.ranks import auroc


@pytest.fixture(scope="module")
def parted(make_data: Callable[..., Any]) -> LabelledData:
    data: LabelledData = make_data(sizes={"train": 8, "validation": 200, "test": 800}, groups=0)
    kinds = np.array(["near", "far"])[np.arange(len(data)) // 4 % 2]
    return replace(data, subgroups={"kind": kinds})


def scores(data: LabelledData, signal: dict[str, float]) -> Scores:
    logits = {}
    for split in ("validation", "test"):
        rows = data.split(split)  # type: ignore[arg-type]
        strength = np.array([signal[kind] for kind in rows.subgroups["kind"]])
        noise = np.random.default_rng(5).normal(size=len(rows))
        margin = (noise + strength * (2.0 * rows.labels - 1)).astype(np.float32)
        logits[split] = np.stack([-margin, margin], axis=1)
    return Scores(logits=logits, fitted=Calibration(1.0, 0.5), fitted_by="")  # type: ignore[arg-type]


def found(data: LabelledData, near: float, far: float, limit: float = 0.05) -> SubgroupAurocs:
    full = scores(data, {"near": 1.0, "far": 1.0})
    return in_subgroups(
        subgroup_rows(data), scores(data, {"near": near, "far": far}), full, limit=limit
    )


def test_a_model_that_loses_one_subgroup_is_objected_to(parted: LabelledData) -> None:
    lost = found(parted, 1.6, 0.1)
    names = [str(change.subgroup) for change in lost.lost]
    assert names[0] == "kind far"
    assert "kind near" not in names
    assert "kind far: AUROC 0." in lost.objection
    assert lost.warning == ""


def test_a_loss_within_the_limit_is_a_warning(parted: LabelledData) -> None:
    behind = found(parted, 1.0, 0.6, limit=0.5)
    assert behind.objection == ""
    assert behind.warning.startswith("falls behind the baseline, within the limit: kind far")
    same = found(parted, 1.0, 1.0)
    assert (same.objection, same.warning) == ("", "")


def test_every_subgroup_has_its_auroc_and_interval(parted: LabelledData) -> None:
    own = scores(parted, {"near": 1.0, "far": 0.5})
    measured = in_subgroups(subgroup_rows(parted), own, None, limit=0.05)
    assert measured.changes is None
    test = parted.split("test")
    by_name = {str(subgroup): estimate for subgroup, estimate in measured.aurocs}
    assert set(by_name) >= {"all rows", "kind near", "kind far"}
    far = test.subgroups["kind"] == "far"
    estimate = by_name["kind far"]
    assert estimate.value == pytest.approx(auroc(test.labels[far], own.probabilities[far]))
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < estimate.value < estimate.high
