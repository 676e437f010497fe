from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from genoslim.bench.benchmark import _warnings, benchmark
from genoslim.bench.cost_table import cost_table
from genoslim.bench.result import BenchResult
from genoslim.bench.table import summary_table, values
from genoslim.bundle.runtime import to_probabilities
from genoslim.cli import main
from genoslim.data.dataset import LabelledData
from genoslim.errors import GenoslimError, UsageError
from genoslim.stats.metrics import compute_metrics
from genoslim.stats.thresholds import sensitivity_at_specificity

FILES = {
    *("bench.json", "bench.tsv", "latency_auroc.png", "plan.json", "predictions.npz"),
    *("flipped.tsv", "report.html", "report.md"),
}


@pytest.fixture(scope="module")
def result(
    checkpoint: Path,
    bundle: Path,
    data_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> BenchResult:
    return benchmark(
        [checkpoint, bundle],
        data_file,
        output=tmp_path_factory.mktemp("bench") / "out",
        device="cpu",
        backend="onnxruntime",
        threads=1,
        seconds=0.05,
        quick=True,
        prevalence=0.02,
        price_per_hour=0.5,
        currency="EUR",
    )


def test_all_files_are_there_and_nothing_beside_them(result: BenchResult) -> None:
    assert {path.name for path in result.folder.iterdir()} == FILES
    assert [path.name for path in result.folder.parent.iterdir()] == ["out"]
    picture = (result.folder / "latency_auroc.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_the_json_holds_raw_times_environment_and_decision(result: BenchResult) -> None:
    record = json.loads((result.folder / "bench.json").read_text())
    assert record["baseline"] == "full"
    assert record["settings"]["margin"] == 0.01
    assert record["environment"]["cores"] >= 1
    first, second = record["models"]
    assert [model["subject"]["backend"] for model in (first, second)] == ["torch", "onnxruntime"]
    assert first["comparison"] is None
    assert second["comparison"]["noninferiority"]["margin"] == 0.01
    for model in (first, second):
        rounds = model["measurement"]["rounds"]
        assert len(rounds) == 3
        assert model["summary"]["latency"]["n"] == sum(len(part["whole"]) for part in rounds) >= 20
        assert set(rounds[0]["batches"]) == {"8", "64"}
        assert model["measurement"]["memory"]["peak"] > 1e6
    assert first["subject"]["fine_tune_seconds"] == 12.5
    assert first["summary"]["speed_up"] == {"median": 1.0, "low": 1.0, "high": 1.0, "rounds": 3}
    # Random models know nothing, and are not recommended, however fast.
    assert record["decision"]["deploy"] is None
    assert all("better than chance" in why for why in record["decision"]["reasons"].values())


def test_the_json_and_the_table_hold_what_models_cost(result: BenchResult) -> None:
    record = json.loads((result.folder / "bench.json").read_text())
    with (result.folder / "bench.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert record["settings"]["price_per_hour"] == 0.5
    for model, row in zip(record["models"], rows, strict=True):
        costs = model["costs"]
        points = costs["throughput"]["by_batch"]
        assert [point["batch"] for point in points][:3] == [1, 8, 64]
        assert float(row["windows_per_s_batch_1"]) == pytest.approx(points[0]["windows_per_second"])
        assert (costs["cold_start"], row["cold_start_s"]) == (None, "")  # with --quick
        million, genome = costs["projections"]
        rate = model["summary"]["end_to_end"]
        assert (million["variants"], genome["variants"]) == (1_000_000, 4_500_000)
        assert million["hours"]["low"] <= 1e6 / rate / 3600 <= million["hours"]["high"]
        assert genome["cost"]["median"] == pytest.approx(0.5 * genome["hours"]["median"])
        assert float(row["cost_genome"]) == pytest.approx(genome["cost"]["median"])
        assert row["currency"] == "EUR"
    assert rows[0]["form"] == "checkpoint, fp32"
    assert rows[1]["form"] == "bundle, fp32"
    assert record["models"][1]["sameness"] is None  # of other weights
    page = (result.folder / "report.html").read_text()
    for words in ("EUR for a genome (4.5 million variants)", "hours for a million variants"):
        assert words in page
    assert max(map(len, cost_table(result).splitlines())) <= 80


def test_every_figure_can_be_computed_from_the_kept_predictions(
    result: BenchResult, data: LabelledData
) -> None:
    with np.load(result.folder / "predictions.npz") as kept:
        assert kept["models"].tolist() == ["full", "slim"]
        for split in ("validation", "test"):
            rows = data.split(split)
            assert kept[f"{split}_labels"].tolist() == rows.labels.tolist()
            assert kept[f"{split}_keys"].tolist() == rows.keys.tolist()
            assert kept[f"{split}_groups"].tolist() == rows.groups.tolist()
        for place, model in enumerate(result.models):
            metrics = compute_metrics(
                kept["test_labels"],
                to_probabilities(kept[f"test_logits_{place}"], kept["temperatures"][place]),
                threshold=kept["thresholds"][place],
            )
            assert model.quality.metrics == metrics
            point = sensitivity_at_specificity(
                kept["validation_labels"],
                to_probabilities(kept[f"validation_logits_{place}"], kept["temperatures"][place]),
            )
            assert model.quality.operating_points["0.9"].threshold == point.threshold


def test_the_calls_that_change_are_listed(result: BenchResult, data: LabelledData) -> None:
    with (result.folder / "flipped.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    found = result.models[1].comparison
    assert found is not None
    assert len(rows) == found.flipped > 0
    assert sum(row["call"] == "1" for row in rows) == found.flipped_to_positive
    labels = dict(zip(data.keys.tolist(), data.labels.tolist(), strict=True))
    for row in rows:
        key = ":".join(row[name] for name in ("contig", "position", "reference", "alternate"))
        assert row["model"] == "slim"
        assert int(row["label"]) == labels[key]
        assert (row["now"] == "right") == (row["call"] == row["label"])
        assert row["baseline_call"] != row["call"]


def test_both_backends_are_measured_each_in_a_lean_process(result: BenchResult) -> None:
    torch_model, onnx_model = (model.measurement for model in result.models)
    assert torch_model.provider == "cpu"
    assert onnx_model.provider == "CPUExecutionProvider"
    assert onnx_model.memory.peak < torch_model.memory.peak  # no torch in the bundle's process


def test_a_processor_against_a_graphics_card_is_told(result: BenchResult) -> None:
    subject, cpu = result.models[1].subject, result.models[1].measurement
    gpu = replace(cpu, provider="CUDAExecutionProvider")
    for own, baseline, told in ((gpu, cpu, True), (cpu, gpu, True), (gpu, gpu, False)):
        found = _warnings(subject, own, baseline, result.data.fingerprint)
        assert any("one of devices too" in line for line in found) == told
    assert not any("devices" in line for model in result.models for line in model.warnings)


def test_the_table_has_one_row_a_model(result: BenchResult) -> None:
    with (result.folder / "bench.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["model"] for row in rows] == ["full", "slim"]
    assert rows[0]["auroc_difference"] == ""
    assert float(rows[1]["auroc"]) == pytest.approx(result.models[1].quality.metrics.auroc)
    assert rows[0]["p99_ms"] == ""
    assert int(rows[0]["p99_runs_missing"]) == 1000 - int(rows[0]["runs"])
    assert list(rows[0]) == list(values(result.models[0], result))
    lines = summary_table(result).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["full", "slim"]
    named = replace(result.models[1].subject, name="a/long/name/" * 9)
    wide = replace(result, models=(result.models[0], replace(result.models[1], subject=named)))
    assert max(map(len, summary_table(wide).splitlines())) <= 80


def test_a_result_is_shown_in_one_line(result: BenchResult) -> None:
    assert repr(result) == f"<BenchResult in {result.folder}: {result.decision.summary}>"


def test_one_path_is_no_list_of_models(bundle: Path, data_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="models is one path"):
        benchmark(bundle, data_file, output=tmp_path / "out")  # type: ignore[arg-type]


def test_an_output_that_cannot_be_written_is_found_first(data_file: Path, tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match="/proc/out: cannot be written"):
        benchmark([tmp_path / "no-model"], data_file, output="/proc/out")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words += data


def test_the_report_needs_no_other_file_and_escapes(result: BenchResult) -> None:
    text = (result.folder / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.sources == []
    assert "random &lt;windows&gt;" in text
    assert "<windows>" not in text
    for words in (
        "Causality is not pathogenicity",
        "not for commercial use: full (CC-BY-NC-SA-4.0, CC0-1.0)",
        "Intended use",
        "Independence of the test data",
        "Subgroups",
        "Uncertainty",
        "Versions and hashes",
        result.data.fingerprint,
        "more runs",
    ):
        assert words in text
    assert not re.search(r"\b[PB][PVSAM]\d\b", page.words)  # no ACMG code


def test_a_second_run_replaces_the_first_and_nothing_else(
    bundle: Path, data_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match=r"and is no benchmark \(no bench.json\)"):
        benchmark([bundle], data_file, output=out, quick=True)
    (out / "bench.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds mine.txt, no part of a benchmark"):
        benchmark([bundle], data_file, output=out, quick=True)
    assert (out / "mine.txt").read_text() == "precious"
    (out / "mine.txt").unlink()
    found = benchmark([bundle], data_file, output=out, quick=True, seconds=0.01, threads=1)
    assert {path.name for path in out.iterdir()} == FILES
    assert (found.decision.deploy, found.decision.passed) == (None, False)


def test_a_package_of_the_report_is_missed_before_anything_is_timed(
    bundle: Path, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genoslim.bench.report.find_spec", lambda _: None)
    with pytest.raises(GenoslimError, match="the report needs vl_convert"):
        benchmark([bundle], data_file, output=tmp_path / "out", progress=pytest.fail)


def test_a_failed_run_leaves_the_former_one(
    bundle: Path, make_bundle: Callable[..., Path], data_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "bench.json").write_text("former")
    with pytest.raises(GenoslimError, match="windows of 61 bp"):
        benchmark([bundle, make_bundle("long", window_length=61)], data_file, output=out)
    assert (out / "bench.json").read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0.0}, "margin is 0; expected a number above 0 and below 1"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"max_p95_ms": -1.0}, "max-p95-ms is -1; expected a number above 0"),
        ({"prevalence": 1.0}, "prevalence is 1; expected a number above 0 and below 1"),
        ({"seconds": 0.0}, "seconds is 0"),
        ({"floors": "some"}, "floors is 'some'; expected one of auto, all, kmer, none"),
        ({"baseline_column": "phylop"}, "no column of numbers 'phylop' in the data set"),
        ({"subgroup_limit": 0.0}, "subgroup-limit is 0; expected a number above 0 and below 1"),
        ({"threads": 0}, "threads is 0; expected 1 or more"),
    ],
)
def test_bad_options_are_usage_errors(
    options: dict[str, object], message: str, bundle: Path, data_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        benchmark([bundle], data_file, output=tmp_path / "out", **options)  # type: ignore[arg-type]


def test_data_without_test_rows_or_with_one_class_is_refused(
    bundle: Path, make_data: Callable[..., LabelledData], tmp_path: Path
) -> None:
    path = tmp_path / "data.parquet"
    make_data(sizes={"train": 8, "validation": 8}).write(path)
    with pytest.raises(GenoslimError, match=r"data\.parquet: no row in split 'test'"):
        benchmark([bundle], path, output=tmp_path / "out")
    make_data(sizes={"train": 8, "validation": 8, "test": 2}).write(path)
    with pytest.raises(GenoslimError, match=r"split test has . positive and . negative rows"):
        benchmark([bundle], path, output=tmp_path / "out")


def test_the_command_ends_with_3_when_the_gate_says_no(
    checkpoint: Path, bundle: Path, data_file: Path, tmp_path: Path
) -> None:
    arguments = [
        *("bench", str(bundle), "--baseline", str(checkpoint), "-d", str(data_file)),
        *("-o", str(tmp_path / "out"), "--quick", "--seconds", "0.01", "--threads", "1"),
        *("--max-p95-ms", "0.000001"),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert done.stdout.splitlines()[0].split()[:3] == ["model", "p50", "ms"]
    assert done.stdout.splitlines()[2].startswith("full")
    assert "genoslim: deploy none" in done.stderr
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert record["decision"]["deploy"] is None
    assert record["baseline"] == "full"


def test_the_command_says_what_is_no_model(data_file: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["bench", str(tmp_path), "-d", str(data_file), "-o", str(tmp_path / "out")]
    )
    assert done.exit_code == 1
    assert done.stderr.startswith(f"genoslim: {tmp_path}: neither a bundle")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_no_process_and_no_file(
    number: signal.Signals, bundle: Path, data_file: Path, tmp_path: Path
) -> None:
    arguments = ["bench", bundle, "-d", data_file, "-o", tmp_path / "out", "--seconds", "60"]
    with subprocess.Popen(
        [sys.executable, "-m", "genoslim", *map(str, arguments), "--backend", "onnxruntime"],
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith(b"bench: round 1"):
            assert process.poll() is None
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        code = process.wait(timeout=30)
        rest = process.stderr.read()
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
    assert b"Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
    for _ in range(50):  # a killed parent's child leaves soon after it
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process stayed behind")
