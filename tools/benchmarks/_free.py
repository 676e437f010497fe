"""A model that costs nothing, in place of the runtime of bundles."""

from __future__ import annotations

import numpy as np

from genoslim.bundle.bundle import Bundle


class FreeModel:
    """Answers 0.5 at once."""

    backend = provider = "none"
    tf32 = False

    def __init__(self, bundle: Bundle, **_: object) -> None:
        self.bundle = bundle

    def fits(self, sequences: list[str]) -> list[bool]:
        """Return True for each sequence."""
        return [True] * len(sequences)

    def probabilities(self, sequences: list[str], **_: object) -> np.ndarray:
        """Return 0.5 for each sequence."""
        return np.full(len(sequences), 0.5, np.float32)
