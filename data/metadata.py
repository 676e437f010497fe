"""What a labelled data set is and where it is from; needs no pyarrow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import GenoslimError


@dataclass(frozen=True, kw_only=True)
class DataMetadata:
    """What a labelled data set is, where it is from and what was left out of it.

    `window_length` is in bases; `label_names` name the labels 0 and 1; `dropped` counts the rows
    left out by reason; `options` are the choices that made the set (strings, numbers, lists).
    """

    window_length: int
    assembly: str
    source: str
    licence: str
    label_names: tuple[str, str] = ("negative", "positive")
    dropped: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.window_length < 1:
            raise GenoslimError(f"window length {self.window_length}: must be 1 or more")
        object.__setattr__(self, "label_names", tuple(self.label_names))
        if len(self.label_names) != 2:
            raise GenoslimError(f"label names {self.label_names}: expected two, of 0 and of 1")
