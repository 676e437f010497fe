from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Opened

from genoslim.bundle.manifest import BundleManifest, Licences, PrecisionLoss
from genoslim.export.page import render_page


@pytest.mark.parametrize("width", [390, 1280])
def test_a_reader_sees_the_card_whole(
    make_manifest: Callable[..., BundleManifest],
    make_loss: Callable[..., PrecisionLoss],
    open_page: Callable[..., Opened],
    tmp_path: Path,
    width: int,
) -> None:
    licences = Licences(base_model="CC-BY-NC-SA-4.0", data="CC0-1.0")
    manifest = make_manifest(precision="int8", loss=make_loss(), licences=licences)
    manifest = replace(manifest, label_names=("<neutral>", "<causal>"), assembly="simulated")
    path = tmp_path / "card.html"
    path.write_text(render_page(manifest))
    assert "<causal>" not in path.read_text()
    assert path.stat().st_size < 50_000  # no plots, so no library of plots
    opened = open_page(path, width=width)
    assert opened.complaints == []
    assert opened.wider == []
    assert opened.faint == []
    text = opened.page.inner_text("body")
    for words in (
        *("simulated data", "<causal>", "not for commercial use: CC-BY-NC-SA-4.0"),
        *("What int8 costs", "Parity with torch", "Not a medical device"),
    ):
        assert words in text


def test_a_model_at_chance_is_told_first(make_manifest: Callable[..., BundleManifest]) -> None:
    assert "beat chance" not in render_page(make_manifest())
    lost = make_manifest().metrics["test"]
    interval = replace(lost.interval, low=0.45)
    metrics = {"validation": lost, "test": replace(lost, interval=interval)}
    page = render_page(make_manifest(metrics=metrics))
    assert "On test this model is not shown to beat chance" in page
    assert 'class="answer no"' in page
