"""What a bundle says of itself, as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from ..tables import WIDTH, table
from .bundle import Bundle
from .card import (
    NOTICE,
    batching,
    data_rows,
    input_of,
    loss_table,
    metrics_table,
    model_rows,
    parity_table,
)
from .manifest import BundleManifest

__all__ = ["bundle_text", "show_bundle"]


def bundle_text(bundle: Bundle) -> str:
    """Return what a bundle is, what it is worth and what its precision cost, in 80 columns."""
    return "\n\n".join(_blocks(bundle))


def show_bundle(folder: Path) -> None:
    """Prove that a bundle is intact and print what it is; GateError says what is wrong with it."""
    click.echo(bundle_text(Bundle.open(folder)))


def _blocks(bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    size = sum(record.size for record in manifest.files.values())
    yield (
        f"{bundle.folder}: bundle, format {manifest.format_version}, intact\n"
        f"{len(manifest.files)} files, {size / 1e6:.1f} MB\n"
        f"digest {bundle.digest}"
    )
    yield _facts(manifest)
    head, *rows = metrics_table(manifest)
    yield table(head, rows)
    if manifest.loss:
        head, *rows = loss_table(manifest.loss)
        told = (
            f"{manifest.precision} against float32 on {manifest.loss.windows:,} windows of"
            f" validation and test ({manifest.loss.provider}):"
        )
        yield f"{_prose(told)}\n{table(head, rows)}"
    head, *rows = parity_table(manifest.parity)
    told = f"parity with torch, largest differences:{batching(manifest)}"
    yield f"{_prose(told)}\n{table(head, rows)}"
    yield _prose(NOTICE)


def _facts(manifest: BundleManifest) -> str:
    rows = [
        ("input", input_of(manifest)),
        ("labels", ", ".join(f"{i} {name}" for i, name in enumerate(manifest.label_names))),
        ("threshold", f"{manifest.threshold:.6g} at temperature {manifest.temperature:.6g}"),
        *model_rows(manifest),
        *data_rows(manifest),
    ]
    if not manifest.data.same_as_training:
        rows.append(("caution", "evaluated on other data than trained on: leakage is not excluded"))
    return table(("", ""), rows)


def _prose(text: str) -> str:
    return textwrap.fill(text, WIDTH)
