from __future__ import annotations

import dataclasses

import pytest

from genoslim.bundle.bundle import Bundle, write_manifest
from genoslim.bundle.card import render_card
from genoslim.bundle.manifest import DataRecord
from genoslim.bundle.show import bundle_text


def test_all_that_matters_is_said(bundle_folder):
    bundle = Bundle.open(bundle_folder)
    found = bundle_text(bundle)
    for expected in (
        f"{bundle_folder}: bundle, format 1.3, intact",
        bundle.digest,
        "60 bp of GRCh38, alternate allele in place",
        "0 neutral, 1 causal",
        "0.4 at temperature 2",
        "3 of 12: 0, 1, 5",
        "0.9000",
        "1.0e-06",
        "PP3",
    ):
        assert expected in found
    assert "leakage" not in found


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_it_fits_80_columns(bundle_folder, make_manifest, make_loss, precision):
    metrics = make_manifest().metrics["test"]
    interval = dataclasses.replace(metrics.interval, method="bootstrap by variant")
    metrics = dataclasses.replace(metrics, interval=interval)
    manifest = make_manifest(
        precision=precision,
        loss=None if precision == "fp32" else make_loss(),
        metrics={"validation": metrics, "test": metrics},
        kept_layers=tuple(range(12)),
        data=DataRecord(fingerprint="f" * 64, source="a file of many words " * 8, trained_on="0"),
    )
    bundle = write_manifest(bundle_folder, manifest)
    _, *lines = bundle_text(bundle).splitlines()  # the first one is as long as the path
    assert max(map(len, lines)) <= 80
    assert "leakage is not excluded" in " ".join(" ".join(lines).split())
    assert ("against float32" in " ".join(lines)) == (precision == "int8")


def test_an_assembly_that_is_not_known_is_no_name(make_manifest):
    card = render_card(make_manifest(assembly="unknown"))
    assert "Given the 60 bp (assembly not stated) around a variant" in card
    assert "of unknown" not in card
