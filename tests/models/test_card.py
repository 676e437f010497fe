"""The metadata that the Hugging Face hub reads from a card."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from genoslim.models.card import hub_licence, model_card


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC-BY-NC-SA-4.0", {"license": "cc-by-nc-sa-4.0"}),
        ("unknown", {"license": "unknown"}),
        ("", {"license": "unknown"}),
        ("Our lab's: ask us", {"license": "other", "license_name": "our-lab-s-ask-us"}),
        ("yes # no", {"license": "other", "license_name": "yes-no"}),
    ],
)
def test_a_licence_is_one_the_hub_knows_or_other_with_a_name(licence, expected):
    found = ModelCard(f"---\n{hub_licence(licence)}\n---\n").data.to_dict()
    assert found == expected


def test_the_card_of_a_checkpoint_has_metadata():
    config = {"model_type": "genoslim_nt_v2", "num_hidden_layers": 2, "kept_layers": [0, 5]}
    found = ModelCard(model_card(config, {"licence": "MIT"})).data.to_dict()
    assert found["license"] == "mit"
    assert found["library_name"] == "genoslim"
    assert "genomics" in found["tags"]
