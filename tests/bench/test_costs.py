"""What models cost in use: throughput over shapes, cold starts, energy, projections."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genoslim.bench.cold_start import measure_cold_starts
from genoslim.bench.cost_table import training_speed_up
from genoslim.bench.costs import measure_costs, measure_energy
from genoslim.bench.curves import ThroughputCurves, ThroughputPoint, measure_curves
from genoslim.bench.energy import Counters, RaplPackage
from genoslim.bench.first_prediction import Asked
from genoslim.bench.latency import Range
from genoslim.bench.measure import Measurement, measure
from genoslim.bench.meter import Meter
from genoslim.bench.process import ModelProcess
from genoslim.bench.projection import project
from genoslim.bench.result import Settings
from genoslim.bench.rule import Machine
from genoslim.bench.subjects import open_subject
from genoslim.bench.workload import write_workload
from genoslim.data.dataset import LabelledData
from genoslim.errors import GenoslimError, UsageError
from genoslim.models.record import TrainingCost

RATES = Range(median=100.0, low=80.0, high=125.0, n=5)


def quiet(_: str) -> None:
    """Progress that nobody hears."""


def test_hours_and_cost_by_hand() -> None:
    million, genome = project(RATES, price_per_hour=0.36)
    assert million.variants == 1_000_000
    assert million.hours.median == pytest.approx(10_000 / 3600)
    assert (million.hours.low, million.hours.high) == (8_000 / 3600, 12_500 / 3600)
    assert million.cost is not None
    assert million.cost.median == pytest.approx(1.0)
    assert million.cost.n == 5
    assert genome.variants == 4_500_000
    assert genome.hours.median == pytest.approx(12.5)
    assert genome.cost is not None
    assert (genome.cost.low, genome.cost.high) == pytest.approx((3.6, 5.625))
    assert all(one.cost is None for one in project(RATES))


def test_a_price_must_be_one_and_a_currency_needs_one() -> None:
    with pytest.raises(UsageError, match="price-per-hour is 0; expected a number above 0"):
        Settings(price_per_hour=0.0)
    with pytest.raises(UsageError, match="currency is EUR, and there is no price"):
        Settings(currency="EUR")


def test_a_point_is_from_the_median_time_and_its_spread_from_the_rounds() -> None:
    rounds = [[0.1, 0.1, 0.4], [0.2], [0.4, 0.4]]
    found = ThroughputPoint.of(rounds, batch=8, window_length=60, tokens=12)
    assert found.windows_per_second == pytest.approx(8 / 0.3)
    assert (found.low, found.high, found.calls) == (pytest.approx(20), pytest.approx(80), 6)


@pytest.fixture(scope="module")
def process(
    bundle: Path, data: LabelledData, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ModelProcess]:
    folder = tmp_path_factory.mktemp("workload")
    write_workload(data.sequences, folder)
    subject = open_subject(bundle, "slim")
    with ModelProcess(subject, workload=folder, device="cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def measured(process: ModelProcess) -> Measurement:
    (found,) = measure([process], seconds=0.01, rounds=2, progress=quiet)
    return found


def curves(process: ModelProcess, measured: Measurement, seconds: float) -> ThroughputCurves:
    (found,) = measure_curves([process], [measured], seconds=seconds, progress=quiet)
    return found


def test_throughput_over_batches_and_window_lengths(
    process: ModelProcess, measured: Measurement
) -> None:
    found = curves(process, measured, seconds=3.0)
    assert [point.batch for point in found.by_batch] == [1, 8, 64, 256, 1024]
    assert {point.window_length for point in found.by_batch} == {60}
    assert [point.window_length for point in found.by_length] == [15, 30, 60, 120, 240]
    assert {point.batch for point in found.by_length} == {8}
    assert found.by_batch[1] == found.by_length[2]
    assert found.left_out == ()
    tokens = [point.tokens for point in found.by_length]
    assert tokens == sorted(tokens)
    assert tokens[-1] > 3 * tokens[2]
    for point in (*found.by_batch, *found.by_length):
        assert 0 < point.low <= point.windows_per_second <= point.high
        assert point.calls >= 2  # one a round
    assert found.by_batch[2].windows_per_second == pytest.approx(measured.throughput(64))


def test_points_too_slow_for_the_time_are_left_out_and_said(
    process: ModelProcess, measured: Measurement
) -> None:
    slow = replace(
        measured,
        rounds=tuple(replace(part, batches={8: (1.0,), 64: (8.0,)}) for part in measured.rounds),
    )
    found = curves(process, slow, seconds=1.0)
    assert [point.batch for point in found.by_batch] == [1, 8, 64]
    assert len(found.left_out) == 6
    assert found.left_out[0].startswith("batch 256 of 60 bp: would take about ")
    assert found.left_out[0].endswith("s, more than 0.05 s (--seconds raises that)")


def test_points_too_large_for_the_memory_are_left_out_and_said(
    process: ModelProcess, measured: Measurement
) -> None:
    memory = replace(measured.memory, loaded=0, peak=10**15)
    found = curves(process, replace(measured, memory=memory), seconds=1.0)
    assert len(found.by_batch) == 3
    assert "batch 256 of 60 bp: would need up to " in found.left_out[0]


def test_points_too_large_for_the_card_are_left_out_and_said(
    process: ModelProcess, measured: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genoslim.bench.curves.free_gpu_memory", lambda: 10**9)
    memory = replace(measured.memory, gpu=10**9 + process.subject.size)
    found = curves(process, replace(measured, memory=memory), seconds=3.0)
    assert len(found.by_batch) == 5  # a model on the CPU
    card = replace(measured, memory=memory, provider="CUDAExecutionProvider")
    found = curves(process, card, seconds=3.0)
    assert found.left_out[0].startswith("batch 256 of 60 bp: would need up to 4000 MB of the 1000")
    assert found.left_out[0].endswith(" that are free on the GPU")


class Mortal(ModelProcess):
    """A process that is killed, as for its memory, by some calls on large batches."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.spared = {256: 0, 1024: 2}  # while points are chosen, and in the second round
        super().__init__(*arguments, **named)

    def call(self, method: Any, *arguments: Any, **named: Any) -> Any:
        if method is Meter.throughput and (batch := named["batch"]) in self.spared:
            if not self.spared[batch]:
                os.kill(self._worker.pid, signal.SIGKILL)
            self.spared[batch] -= 1
        return super().call(method, *arguments, **named)


def test_a_process_that_dies_of_a_point_goes_on_without_it(
    bundle: Path, data: LabelledData, measured: Measurement, tmp_path: Path
) -> None:
    write_workload(data.sequences, tmp_path)
    subject = open_subject(bundle, "slim")
    with Mortal(subject, workload=tmp_path, device="cpu", threads=1) as process:
        found = curves(process, measured, seconds=3.0)
        assert process.call(Meter.describe).windows == measured.windows
    assert [point.batch for point in found.by_batch] == [1, 8, 64]
    assert len(found.by_length) == 5
    assert len(found.left_out) == 2
    for batch, told in zip((256, 1024), found.left_out, strict=True):
        assert told.startswith(f"batch {batch} of 60 bp: {bundle}: ")
        assert "SIGKILL" in told


def test_windows_the_network_cannot_take_are_left_out_and_said(
    bundle: Path, data: LabelledData, tmp_path: Path
) -> None:
    """The bundle's table of places ends at 2,048 tokens: 14,400 bp are 2,401."""
    write_workload([sequence * 60 for sequence in data.sequences[:10]], tmp_path)
    subject = open_subject(bundle, "slim")
    with ModelProcess(subject, workload=tmp_path, device="cpu", threads=1) as process:
        (measured,) = measure([process], seconds=0.01, rounds=1, progress=quiet)
        found = curves(process, measured, seconds=2.0)
    assert [point.window_length for point in found.by_length] == [900, 1800, 3600, 7200]
    assert found.left_out[-1].startswith("batch 8 of 14400 bp: ")
    assert "idx=2048 must be within" in found.left_out[-1]


def test_training_speed_is_compared_where_the_machine_was_the_same() -> None:
    cost = TrainingCost(
        epochs=4.0,
        best_epoch=3.0,
        converged_epoch=2.0,
        tolerance=0.01,
        sequences_per_second=50.0,
        device="cuda:1",
        threads=2,
        precision="bf16",
        processor="Some CPU",
        gpu="Some card",
    )
    same = replace(cost, sequences_per_second=25.0, device="cuda:0")
    assert training_speed_up(cost, same) == 2.0
    assert training_speed_up(cost, replace(same, device="cpu")) is None
    assert training_speed_up(cost, replace(same, threads=1)) is None
    assert training_speed_up(cost, replace(same, gpu="another")) is None
    assert training_speed_up(cost, replace(same, processor="another")) is None
    unknown = replace(cost, processor=None, gpu=None)
    assert training_speed_up(unknown, unknown) is None
    assert training_speed_up(cost, None) is None


def test_a_cold_start_has_its_parts(bundle: Path, checkpoint: Path, data: LabelledData) -> None:
    subjects = [open_subject(bundle, "slim"), open_subject(checkpoint, "full")]
    machine = Machine(device="cpu", backend="auto", threads=1)
    found = measure_cold_starts(
        subjects, [data.sequences[0]] * 2, machine, starts=1, progress=quiet
    )
    for start in found:
        parts = (start.interpreter, start.imports, start.load, start.first)
        assert all(0 < part.median == part.low == part.high for part in parts)
        assert start.total.median == pytest.approx(sum(part.median for part in parts))
        assert start.total.n == 1
    lean, full = found
    assert lean.imports.median < full.imports.median  # no torch for a bundle


def test_all_costs_of_a_model(
    process: ModelProcess, measured: Measurement, data: LabelledData
) -> None:
    machine = Machine(device="cpu", backend="auto", threads=1)
    (found,) = measure_costs(
        [process],
        [measured],
        data.sequences[:1],
        machine,
        seconds=0.01,
        starts=2,
        price_per_hour=2.0,
        progress=quiet,
    )
    assert found.cold_start is not None
    assert found.cold_start.total.n == 2
    assert (found.energy is None) == bool(found.energy_absent)
    million, genome = found.projections
    assert million.hours.median == pytest.approx(1e6 / 3600 / measured.end_to_end_by_round.median)
    assert genome.cost == genome.hours.times(2.0)


def test_a_start_that_fails_is_one_clear_line(bundle: Path, data: LabelledData) -> None:
    subject = open_subject(bundle, "slim")
    machine = Machine(device="tensorrt", backend="auto", threads=1)
    with pytest.raises(GenoslimError, match=r"slim: its cold start ended with 1: .*tensorrt"):
        measure_cold_starts([subject], data.sequences[:1], machine, starts=1, progress=quiet)


def test_a_start_that_hangs_is_ended(
    bundle: Path, data: LabelledData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genoslim.bench.cold_start._LIMIT", 0.01)
    machine = Machine(device="cpu", backend="auto", threads=1)
    with pytest.raises(GenoslimError, match=r"its cold start took more than 0\.01 s and was ended"):
        measure_cold_starts(
            [open_subject(bundle, "slim")], data.sequences[:1], machine, starts=1, progress=quiet
        )


def test_a_cold_start_of_openvino_reports_to_nobody(bundle: Path, data: LabelledData) -> None:
    asked = Asked(
        path=str(bundle),
        engine="openvino",
        device="cpu",
        threads=1,
        precision="fp32",
        window=data.sequences[0],
    )
    program = (
        "import sys; from genoslim.bench.first_prediction import main; main();"
        " sys.exit(sys.modules['openvino_telemetry'] is not None)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 4


def test_energy_is_metered_over_the_windows_that_were_scored(
    process: ModelProcess, measured: Measurement, tmp_path: Path
) -> None:
    (tmp_path / "energy_uj").write_text("7")

    class Rising(RaplPackage):
        """A package that counts 3 J between any two readings."""

        def read(self) -> int:
            now = super().read() + 3_000_000
            (self.folder / "energy_uj").write_text(str(now))
            return now

    counters = Counters((Rising(tmp_path, "RAPL package-0", 10**12),), "")
    (found,) = measure_energy([process], [measured], [counters], seconds=0.0, progress=quiet)
    assert found is not None
    assert found.sources == ("RAPL package-0",)
    assert found.joules.n == 2
    assert found.joules.median == pytest.approx(3.0 / measured.windows * 1000)
    none = Counters((), "no counter")
    assert measure_energy([process], [measured], [none], seconds=0.0, progress=quiet) == [None]
