"""Networks of random weights at full size; speed does not depend on the values of weights."""

from __future__ import annotations

from full_size import CONFIGS, SMALL

from genoslim.models.checkpoint import new_classifier
from genoslim.models.classifier import NativeClassifier

NETWORKS = ("dnabert2", "nt_v2_50m")


def random_network(name: str, layers: int, *, small: bool) -> NativeClassifier:
    """Return a network with the first `layers` layers of its kind; `small` makes it tiny."""
    settings = CONFIGS[name] | (SMALL if small else {}) | {"num_hidden_layers": layers}
    model = new_classifier(settings).eval()
    assert isinstance(model, NativeClassifier)
    return model
