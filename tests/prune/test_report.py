from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from browser import Opened, plotted
from judgements import judged

from genoslim.prune.judging import subgroups_without_layers
from genoslim.prune.layer_plots import metric_plot
from genoslim.prune.report import write_report
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.slim_model import Pruned


@pytest.fixture(scope="module")
def path(
    finished: RunFolder,
    pruned: tuple[Path, Pruned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The page of slim models, with what no page may take for its own markup in it."""
    found = tmp_path_factory.mktemp("page") / "report.html"
    write_report(
        found,
        finished,
        pruned[1].judgement,
        notes=["<script>alert(1)</script>"],
        subgroups=subgroups_without_layers(finished, finished.rows()),
        models=pruned[1].models,
    )
    return found


def test_the_report_escapes_what_it_is_told(path: Path) -> None:
    page = path.read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "&lt;because&gt;" in page
    assert "unfavourable removed" in page


def test_a_metric_of_equal_values_is_drawn() -> None:
    plot = metric_plot(judged(("neutral", 0.8), ("neutral", 0.8)), "auroc")
    assert "without layer 1: AUROC 0.8000" in plot.picture


def test_the_plots_have_the_figures_of_the_records(
    path: Path, finished: RunFolder, pruned: tuple[Path, Pruned]
) -> None:
    page = path.read_text()
    for row, verdict in zip(
        plotted(page, "metric-auroc"), pruned[1].judgement.verdicts, strict=True
    ):
        assert (row["layer"], row["role"]) == (verdict.layer, verdict.role)
        assert row["value"] == verdict.evidence.metrics["auroc"]
    subgroups = subgroups_without_layers(finished, finished.rows())
    shown = {(row["column"], row["subgroup"]): row for row in plotted(page, "layer-map")}
    for one in subgroups.layers:
        for change in one.changes or ():
            row = shown[str(one.layer), str(change.subgroup)]
            assert row["difference"] == change.difference
            assert row["shown"] == (change.low > 0 or change.high < 0)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_reader_sees_it_whole(path: Path, open_page: Callable[..., Opened], width: int) -> None:
    opened = open_page(path, width=width)
    assert opened.complaints == []
    assert opened.wider == []
    assert opened.faint == []
    assert opened.page.locator(".live svg").count() == opened.page.locator("figure").count() == 5


def test_verdicts_sort_and_a_layer_is_told(path: Path, open_page: Callable[..., Opened]) -> None:
    page = open_page(path).page
    table = page.locator("table.sortable", has_text="unfavourable").last
    table.locator("th", has_text="role").locator("button").press("Enter")
    roles = table.locator("tbody td:nth-child(2)").all_inner_texts()
    assert roles == sorted(roles)
    figure = page.locator("#metric-auroc")
    figure.locator("svg[tabindex]").focus()
    page.keyboard.press("ArrowRight")
    assert figure.locator(".told").inner_text().startswith("without layer 0: AUROC 0.8000")
