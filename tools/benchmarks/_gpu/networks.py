"""Networks of random weights at full size; speed does not depend on the values of weights."""

from __future__ import annotations

import copy
from functools import cache

import torch
from full_size import CONFIGS, SMALL

from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import NativeClassifier
from genoslim.models.layers import remove_layers

NETWORKS = ("dnabert2", "nt_v2_50m")


def random_network(
    name: str, layers: int, device: torch.device, *, small: bool
) -> NativeClassifier:
    """Return a network with the first `layers` layers of its kind; `small` makes it tiny."""
    model = copy.deepcopy(_whole(name, device, small))
    remove_layers(model, range(layers, len(model.blocks)))
    return model


@cache
def _whole(name: str, device: torch.device, small: bool) -> NativeClassifier:
    """Return all layers on the device: drawing their weights takes longer than copying them."""
    model = new_classifier(CONFIGS[name] | (SMALL if small else {})).eval()
    assert isinstance(model, NativeClassifier)
    return model.to(device)
