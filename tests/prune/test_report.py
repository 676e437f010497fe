from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from judgements import judged

from genoslim.prune.judging import subgroups_without_layers
from genoslim.prune.report import chart, write_report
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.slim_model import Pruned


def test_the_report_escapes_what_it_is_told(
    finished: RunFolder, pruned: tuple[Path, Pruned], tmp_path: Path
) -> None:
    write_report(
        tmp_path / "report.html",
        finished,
        pruned[1].judgement,
        notes=["<script>alert(1)</script>"],
        subgroups=subgroups_without_layers(finished, finished.rows()),
        models=pruned[1].models,
    )
    page = (tmp_path / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;because&gt;" in page
    assert "unfavourable removed" in page


def test_chart_of_equal_values_is_finite() -> None:
    drawn = chart(judged(("neutral", 0.8), ("neutral", 0.8)), "auroc")
    assert drawn.band_height >= 1
    assert all(0 <= y <= drawn.height for _, y, *_ in drawn.points)


class _Boxes(HTMLParser):
    """Notes the class of what each table stands in, and which pictures shrink with the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[str] = []
        self.pictures: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "table":
            self.tables.append(found.get("class") or self.open[-1])
        if tag == "svg":
            self.pictures.append("viewbox" in found)
        if tag in ("div", "body"):
            self.open.append(found.get("class") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("div", "body"):
            self.open.pop()


def test_tables_scroll_and_pictures_shrink_on_a_narrow_screen(
    finished: RunFolder, pruned: tuple[Path, Pruned], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    subgroups = subgroups_without_layers(finished, finished.rows())
    judgement, models = pruned[1].judgement, pruned[1].models
    write_report(path, finished, judgement, notes=[], subgroups=subgroups, models=models)
    page = path.read_text()
    boxes = _Boxes()
    boxes.feed(page)
    assert boxes.tables == ["wide"] * 3 + ["wide heat", "wide heat", "facts"]
    assert boxes.pictures == [True] * 4
    assert ".wide { overflow-x: auto; }" in page
    assert "svg, img { max-width: 100%; height: auto; }" in page
    assert "@media print" in page
