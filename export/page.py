"""The card of a bundle as a page, `card.html`: what README.md says, in the look of all pages."""

from __future__ import annotations

from ..bundle import card
from ..bundle.manifest import BundleManifest
from ..data.simulate import ASSEMBLY as SIMULATED
from ..models.licences import is_non_commercial
from ..pages.page import render

CARD_PAGE = "card.html"


def render_page(manifest: BundleManifest) -> str:
    """Return a bundle's card as HTML; all values are escaped."""
    licences = (manifest.licences.base_model, manifest.licences.data)
    return render(
        "export/card.html.j2",
        manifest=manifest,
        title=card.title(manifest),
        simulated=manifest.assembly == SIMULATED,
        notice=card.NOTICE,
        input=card.input_of(manifest),
        restricted=sorted({name for name in licences if is_non_commercial(name)}),
        at_chance=card.at_chance(manifest),
        model=card.model_rows(manifest),
        data=card.data_rows(manifest),
        metrics=card.metrics_table(manifest),
        loss=None if manifest.loss is None else card.loss_table(manifest.loss),
        parity=card.parity_table(manifest.parity),
        batching=card.batching(manifest),
    )
