from __future__ import annotations

import dataclasses

from genoslim.bundle.card import render_card
from genoslim.bundle.manifest import DataRecord, Licences


def test_the_card_warns_of_whichever_licence_forbids_it(make_manifest):
    assert "Non-commercial" not in render_card(make_manifest())
    licences = Licences(base_model="Apache-2.0", data="CC-BY-NC-4.0")
    card = render_card(make_manifest(licences=licences))
    assert "so says the licence of the data (CC-BY-NC-4.0)" in card
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: onnx\n")


def test_the_card_says_what_is_not_known(make_manifest):
    manifest = make_manifest()
    tuning = dataclasses.replace(manifest.fine_tuning, base_model=None, seconds=None, seed=None)
    data = DataRecord(fingerprint="a" * 64, source="x | y\nz", splits={"test": 10})
    card = render_card(dataclasses.replace(manifest, fine_tuning=tuning, data=data))
    assert "| fine-tuning | unknown, seed unknown |" in card
    assert "| trained on | unknown |" in card
    assert "leakage cannot be excluded" in card
    assert "| source | x \\| y z |" in card


def test_splits_come_in_their_order(make_manifest):
    metrics = make_manifest().metrics
    backwards = {"test": metrics["test"], "validation": metrics["validation"]}
    assert "|  | validation | test |" in render_card(make_manifest(metrics=backwards))
