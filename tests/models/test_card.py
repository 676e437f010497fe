"""The metadata that the Hugging Face hub reads from a card."""

from __future__ import annotations

from huggingface_hub import ModelCard

from genoslim.models.card import model_card
from genoslim.models.record import TrainingRecord


def test_the_card_of_a_checkpoint_has_metadata():
    config = {"model_type": "genoslim_nt_v2", "num_hidden_layers": 2, "kept_layers": [0, 5]}
    found = ModelCard(model_card(config, TrainingRecord(licence="MIT"))).data.to_dict()
    assert found["license"] == "mit"
    assert found["library_name"] == "genoslim"
    assert "genomics" in found["tags"]
