"""The network classes that a row of the family table names, imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from .classifier import NativeClassifier
from .families import Family
from .masked_lm import MaskedLM


def classifier_class(family: Family) -> type[NativeClassifier]:
    """Return the class of a family's classifier; it is built from a `NativeConfig`."""
    return cast("type[NativeClassifier]", _named(family.classifier))


def masked_lm_class(family: Family) -> type[MaskedLM]:
    """Return the class of a family's masked language model, built from a `NativeConfig`."""
    return cast("type[MaskedLM]", _named(family.masked_lm))


def _named(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(f".{module}", __package__), attribute)
