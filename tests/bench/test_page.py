from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from browser import Opened, plotted

from genoslim.bench.answer import answer
from genoslim.bench.benchmark import benchmark
from genoslim.bench.plots import bench_plots
from genoslim.bench.result import BenchResult
from genoslim.bench.schema import bench_schema
from genoslim.bench.table import KEY, quality_table, speed_table
from genoslim.bench.trace import PREDICTIONS_TRACE
from genoslim.cli import main
from genoslim.data.dataset import LabelledData

NAMES = ("full", "slim")
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "bench.schema.json"


@pytest.fixture(scope="module")
def result(
    make_bundle: Callable[..., Path],
    make_data: Callable[..., LabelledData],
    tmp_path_factory: pytest.TempPathFactory,
) -> BenchResult:
    """A benchmark of simulated data with subgroups large enough."""
    folder = tmp_path_factory.mktemp("page")
    sizes = {"train": 8, "validation": 60, "test": 120}
    make_data(sizes=sizes, assembly="simulated").write(folder / "data.parquet")
    models = [make_bundle(name, seed=seed, assembly="simulated") for seed, name in enumerate(NAMES)]
    return benchmark(
        models,
        folder / "data.parquet",
        output=folder / "out",
        device="cpu",
        threads=1,
        backend="onnxruntime",
        seconds=0.05,
        quick=True,
        floors="none",
        max_p95_ms=500.0,
        max_memory_mb=9000.0,
    )


@pytest.fixture(scope="module")
def path(result: BenchResult) -> Path:
    return result.folder / "report.html"


@pytest.fixture(scope="module")
def page(path: Path) -> str:
    return path.read_text()


@pytest.fixture(scope="module")
def record(result: BenchResult) -> Any:
    return json.loads((result.folder / "bench.json").read_text())


@pytest.mark.parametrize("width", [390, 1280])
def test_a_reader_sees_it_whole(path: Path, open_page: Callable[..., Opened], width: int) -> None:
    opened = open_page(path, width=width)
    assert opened.complaints == []
    assert opened.wider == []
    assert opened.faint == []
    assert opened.page.locator(".live svg").count() == opened.page.locator("figure").count() == 6
    assert "simulated data" in opened.page.title()
    answered = opened.page.locator(".answer")
    box = answered.bounding_box()
    assert box is not None
    if width == 1280:
        assert box["y"] + box["height"] < 900  # the first screen
    for question in ("Why", "How sure", "What would change it", "Where and when"):
        assert question in answered.inner_text()


def test_plots_answer_to_the_pointer_and_the_keyboard(
    path: Path, open_page: Callable[..., Opened], result: BenchResult
) -> None:
    page = open_page(path).page
    figure = page.locator("#latency-auroc")
    figure.locator(".live [role=graphics-symbol][aria-label^=full]").first.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    assert "full: baseline" in tooltip.inner_text()
    figure.locator("svg[tabindex]").focus()
    page.keyboard.press("ArrowRight")
    first = figure.locator(".told").inner_text()
    page.keyboard.press("ArrowRight")
    second = figure.locator(".told").inner_text()
    assert first.startswith("full: baseline")
    assert second.startswith(f"slim: {result.models[1].verdict}")


def test_a_table_sorts_by_the_keyboard(path: Path, open_page: Callable[..., Opened]) -> None:
    page = open_page(path).page
    table = page.locator("table.sortable", has_text="The models")
    head = table.locator("th", has_text="p50 ms")

    def column() -> list[float]:
        return [float(cell) for cell in table.locator("tbody td:nth-child(2)").all_inner_texts()]

    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert column() == sorted(column())
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert column() == sorted(column(), reverse=True)
    assert head.get_attribute("aria-sort") == "descending"


def test_pictures_stand_in_print_and_without_scripts(
    path: Path, open_page: Callable[..., Opened]
) -> None:
    plain = open_page(path, scripts=False).page
    assert all(one.is_visible() for one in plain.locator(".picture").all())
    printed = open_page(path, width=688)  # A4 less its margins
    printed.page.emulate_media(media="print")
    assert printed.wider == []
    assert all(one.is_visible() for one in printed.page.locator(".picture").all())
    assert not any(one.is_visible() for one in printed.page.locator(".live").all())
    pdf = printed.page.pdf(format="A4", prefer_css_page_size=True)
    assert 2 <= pdf.count(b"/Type /Page\n") <= 12


def test_the_page_goes_by_mail(path: Path, page: str) -> None:
    assert path.stat().st_size < 1_500_000
    assert "default-src 'none'" in page
    assert "http-equiv" in page


def test_its_figures_are_those_of_the_kept_predictions(page: str, result: BenchResult) -> None:
    with np.load(result.folder / "predictions.npz") as kept:
        labels, models = kept["test_labels"], kept["models"].tolist()
        logits = [kept[f"test_logits_{i}"].astype(np.float64) for i in range(len(models))]
        temperatures = kept["temperatures"]
        subgroups = {
            f"{name.removeprefix('test_subgroup_')} {group}": kept[name] == group
            for name in kept.files
            if name.startswith("test_subgroup_")
            for group in set(kept[name].tolist())
        }
    margins = [both[:, 1] - both[:, 0] for both in logits]
    aurocs = [_auroc(labels == 1, margin) for margin in margins]
    points = plotted(page, "latency-auroc")
    assert [point["auroc"] for point in points] == pytest.approx(aurocs)
    (difference,) = plotted(page, "difference")
    decisive = result.models[1].evidence.loss
    assert decisive is not None
    assert difference["difference"] == decisive.difference
    bins = plotted(page, "reliability")
    for place, name in enumerate(models):
        said = 1 / (1 + np.exp(-margins[place] / temperatures[place]))
        own = [one for one in bins if one["model"] == name]
        assert min(said) <= min(one["probability"] for one in own)
        assert np.average([one["share"] for one in own], weights=_counts(own)) == pytest.approx(
            labels.mean()
        )
    cells = {cell["subgroup"]: cell["difference"] for cell in plotted(page, "subgroup-map")}
    assert cells["all rows"] == pytest.approx(aurocs[1] - aurocs[0])
    for subgroup, rows in subgroups.items():
        if subgroup in cells:
            found = [_auroc(labels[rows] == 1, margin[rows]) for margin in margins]
            assert cells[subgroup] == pytest.approx(found[1] - found[0])


def test_without_subgroups_that_could_be_compared_there_is_no_map(result: BenchResult) -> None:
    none = tuple(
        replace(model, subgroups=replace(model.subgroups, changes=None)) for model in result.models
    )
    names = [plot.name for plot in bench_plots(replace(result, models=none))]
    assert "subgroup-map" not in names
    assert "difference" in names


def test_throughput_is_that_of_the_record(page: str, record: Any) -> None:
    for name, key in (("throughput-batch", "by_batch"), ("throughput-length", "by_length")):
        told = {
            (model["subject"]["name"], point["batch"], point["window_length"]): (
                point["windows_per_second"],
                point["low"],
                point["high"],
            )
            for model in record["models"]
            for point in model["costs"]["throughput"][key]
        }
        rows = plotted(page, name)
        assert len(rows) == len(told) > 2
        for row in rows:
            found = row["rate"], row["low"], row["high"]
            assert told[row["model"], row["batch"], row["length"]] == found


def _auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """The share of pairs in order, ties as half: by its definition."""
    gaps = scores[positive][:, None] - scores[~positive][None, :]
    return float(np.mean((gaps > 0) + 0.5 * (gaps == 0)))


def _counts(bins: list[dict[str, Any]]) -> list[int]:
    return [int(one["told"].rsplit(", ", 1)[1].removesuffix(" rows")) for one in bins]


def test_every_figure_of_a_table_has_its_key(result: BenchResult, record: Any) -> None:
    for head, rows in (speed_table(result), quality_table(result)):
        assert head[-1] == KEY
        for row in rows:
            _at(record["models"][1], row[-1])
    for _, keys, _, _ in PREDICTIONS_TRACE:
        for key in keys.replace("; ", ", ").split(", "):
            if key.startswith(("quality", "evidence", "comparison", "subgroups")):
                _at(record["models"][1], key)


def _at(value: Any, key: str) -> Any:
    for step in re.findall(r"\['(.+?)'\]|([^.\[]+)", key):
        value = value["".join(step)]
    return value


def test_the_schema_is_published_and_holds(record: Any) -> None:
    assert json.loads(SCHEMA.read_text()) == bench_schema(), "run python tools/schemas.py"
    validator = jsonschema.Draft202012Validator(bench_schema())
    validator.validate(record)
    for spoilt in (
        {**record, "models": "none"},
        {**record, "strange": 1},
        {key: value for key, value in record.items() if key != "decision"},
    ):
        assert not validator.is_valid(spoilt)


def test_the_command_on_the_page_asks_for_the_same(result: BenchResult) -> None:
    program, verb, *arguments = shlex.split(result.command)
    assert (program, verb) == ("genoslim", "bench")
    asked = main.commands[verb].make_context(verb, arguments, resilient_parsing=False).params
    assert list(asked["models"]) == [model.subject.path for model in result.models]
    assert asked["output"] == result.folder
    for name in ("max_p95_ms", "max_memory_mb", "threads", "seconds", "floors", "device"):
        assert asked[name] == getattr(result.settings, name)
    assert (asked["quick"], asked["backend"]) == (True, "onnxruntime")


def test_the_answer_says_what_was_decided(result: BenchResult) -> None:
    told = answer(result)
    assert told.headline == "Deploy none"
    assert "3 groups" in " ".join(told.confidence) or "rows" in " ".join(told.confidence)
    assert any("slim" in line for line in told.changes)
    passed = replace(result.decision, deploy="slim", passed=True, summary="deploy slim: fast")
    told = answer(replace(result, decision=passed))
    assert (told.headline, told.reason) == ("Deploy slim", "Fast")
    assert "margin below about" in " ".join(told.changes)


def test_the_markdown_has_the_same_tables(result: BenchResult) -> None:
    text = (result.folder / "report.md").read_text()
    assert text.startswith("# Deploy none (simulated data)\n")
    for _, rows in (speed_table(result), quality_table(result)):
        for row in rows:
            assert f"| {' | '.join(row)} |" in text
    assert result.command in text
