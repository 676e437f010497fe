"""Models of several window lengths in one decision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genoslim.bench.benchmark import benchmark
from genoslim.bench.prepare import prepare
from genoslim.bundle.bundle import Bundle
from genoslim.bundle.manifest import DataRecord
from genoslim.bundle.runtime import Runtime
from genoslim.data.dataset import LabelledData
from genoslim.errors import GenoslimError


def trained_on(data: LabelledData) -> DataRecord:
    return DataRecord(
        fingerprint=data.fingerprint, source="a cut", trained_on=data.fingerprint, splits={}
    )


def test_models_of_two_lengths_are_scored_on_the_same_rows(
    make_bundle: Callable[..., Path], data: LabelledData, data_file: Path, tmp_path: Path
) -> None:
    cut = data.cut(24)
    full = make_bundle("full", data=trained_on(data))
    short = make_bundle("short", seed=8, window_length=24, data=trained_on(cut))
    result = benchmark(
        [full, short],
        data_file,
        output=tmp_path / "out",
        device="cpu",
        backend="onnxruntime",
        threads=1,
        seconds=0.01,
        quick=True,
        floors="none",
    )
    assert [model.measurement.window_length for model in result.models] == [60, 24]
    assert result.data.cuts == {"24": cut.fingerprint}
    assert result.plan.data_fingerprint == data.fingerprint
    assert not any("other data" in line for model in result.models for line in model.warnings)
    assert result.models[1].comparison is not None
    assert " windows of 60 or 24 bp" in (tmp_path / "out" / "report.md").read_text()
    with np.load(tmp_path / "out" / "predictions.npz") as kept:
        for place, (folder, rows) in enumerate(((full, data), (short, cut))):
            runtime = Runtime(Bundle.open(folder), backend="onnxruntime", threads=1)
            for split in ("validation", "test"):
                expected = runtime.logits(rows.split(split).sequences)
                assert np.allclose(kept[f"{split}_logits_{place}"], expected, atol=1e-4)
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    points = record["models"][1]["costs"]["throughput"]["by_length"]
    assert {point["window_length"] for point in points} >= {24}


@pytest.mark.parametrize("known", ["other rows", None])
def test_a_shorter_model_of_other_rows_is_refused(
    known: str | None, make_bundle: Callable[..., Path], data: LabelledData, data_file: Path
) -> None:
    record = DataRecord(fingerprint="f", source="s", trained_on=known, splits={})
    short = make_bundle("short", window_length=24, data=record)
    with pytest.raises(
        GenoslimError, match=r"short: made for windows of 24 bp, and not trained on"
    ):
        prepare([short], data_file, baseline=None, column=None, seeds={})
    longer = make_bundle("longer", window_length=61, data=trained_on(data))
    with pytest.raises(GenoslimError, match="made for windows of 61 bp, but the data set has"):
        prepare([longer], data_file, baseline=None, column=None, seeds={})
