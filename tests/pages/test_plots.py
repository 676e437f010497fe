from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from genoslim.pages.page import render
from genoslim.pages.palette import SERIES, SHAPES
from genoslim.pages.plots import TOLD, Plot, library, nominal, png, quantitative, rows

PLOT = Plot(
    name="two",
    title="Two points",
    source="nowhere",
    spec={
        "data": rows([{"x": 1, "y": 2, "told": "first <b>"}, {"x": 2, "y": 3, "told": "second"}]),
        "mark": "point",
        "encoding": {"x": quantitative("x"), "y": quantitative("y"), **TOLD},
    },
)


def test_a_plot_is_a_picture_without_a_browser() -> None:
    drawn = ElementTree.fromstring(PLOT.picture)
    assert drawn.tag.endswith("svg")
    marks = [one.get("aria-label") for one in drawn.iter() if one.get("aria-label")]
    assert {"first <b>", "second"} <= set(marks)
    assert float(drawn.get("width", "0")) == pytest.approx(640, abs=1)
    assert png(PLOT, PLOT).startswith(b"\x89PNG")


def test_pictures_of_one_page_share_no_id() -> None:
    other = Plot(name="other", title="", source="", spec=PLOT.spec)
    ids = re.findall(r'id="([^"]+)"', PLOT.picture + other.picture)
    assert len(ids) == len(set(ids))


def test_the_library_cannot_end_its_script() -> None:
    assert "</script" not in library()
    assert "<!--" not in library()
    assert "vegaEmbed" in library()


def test_a_template_is_given_all_that_it_names() -> None:
    with pytest.raises(Exception, match="'title' is undefined"):
        render("export/card.html.j2")


def test_names_keep_the_order_of_the_rows_and_tell_apart() -> None:
    assert nominal("model")["sort"] is None
    assert len(set(SERIES)) == len(SERIES) > len(set(SHAPES)) == len(SHAPES)
