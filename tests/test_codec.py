"""Records come back from JSON as they were, or one line says what is wrong where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from genoslim.codec import check_format, decode, plain, write_record
from genoslim.errors import GateError, GenoslimError


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int

    def __post_init__(self) -> None:
        if self.size < 0:
            raise GateError(f"size is {self.size}; expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: Literal["a", "b"]
    parts: tuple[Inner, ...]
    share: float | None = None
    more: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, Inner] = field(default_factory=dict)
    kinds: Mapping[Literal["p", "q"], tuple[Literal["x", "y"], ...]] = field(default_factory=dict)
    pair: tuple[int, int] | None = None
    flag: bool = False


@dataclass(frozen=True)
class Somewhere:
    path: Path


@dataclass(frozen=True)
class Even:
    size: int

    def __post_init__(self) -> None:
        if self.size % 2:
            raise ValueError(f"{self.size} is odd")


RECORD = Outer(name="a", parts=(Inner(size=1), Inner(size=2)), share=0.5, more={"x": 3})


def test_a_record_written_and_read_is_the_same(tmp_path: Path) -> None:
    write_record(tmp_path / "r.json", RECORD)
    assert decode(Outer, json.loads((tmp_path / "r.json").read_text()), "r.json") == RECORD
    assert plain(RECORD)["parts"] == [{"size": 1}, {"size": 2}]


def test_numbers_of_numpy_and_paths_become_plain_and_nothing_else_does() -> None:
    record = Outer(name="a", parts=(), share=np.float64(0.25), more={"x": np.int64(3)})
    with pytest.raises(TypeError, match="int64 has no place in a record"):
        plain(record)
    assert type(plain(replace(record, more={}))["share"]) is float
    assert plain(Somewhere(path=Path("a/b"))) == {"path": "a/b"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        plain(replace(record, more={}, share=float("nan")))


def test_a_whole_number_is_a_number_and_what_is_new_is_left_out() -> None:
    read = decode(Outer, {"name": "b", "parts": [], "share": 1, "unheard": [1]}, "f")
    assert read == Outer(name="b", parts=(), share=1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "c"}, "f: name is 'c'; expected one of a, b"),
        ({"name": 3}, "f: name is 3; expected a text"),
        (
            {"parts": [{"size": 1}, {"size": "2"}]},
            "f: parts[1].size is '2'; expected a whole number",
        ),
        ({"parts": [{"size": 1.5}]}, "f: parts[0].size is 1.5; expected a whole number"),
        ({"parts": [{}]}, "f: parts[0].size is missing"),
        ({"parts": {"size": 1}}, "f: parts is {'size': 1}; expected a list"),
        ({"share": True}, "f: share is True; expected a number or null"),
        ({"share": 10**400}, "f: share: Number out of range"),
        ({"more": {"j": 1, "k": 1.5}}, "f: more.k is 1.5; expected a whole number"),
        ({"more": [1]}, "f: more is [1]; expected an object"),
        ({"named": {"x": {"size": 1}, "y": {}}}, "f: named.y.size is missing"),
        ({"named": {"x": {"size": 1}, "y": None}}, "f: named.y is None; expected an object"),
        ({"kinds": {"p": ["x"], "q": ["x", "z"]}}, "f: kinds.q[1] is 'z'; expected one of x, y"),
        ({"kinds": {"p": ["x"], "r": []}}, "f: kinds has the name 'r'; expected one of p, q"),
        ({"pair": [1, 2, 3]}, "f: pair is [1, 2, 3]; expected a list of 2"),
        ({"flag": 1}, "f: flag is 1; expected true or false"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(change: dict[str, Any], said: str) -> None:
    with pytest.raises(GenoslimError) as caught:
        decode(Outer, plain(RECORD) | change, "f")
    assert str(caught.value) == said


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_what_is_no_object_is_refused(content: object) -> None:
    with pytest.raises(GenoslimError, match=r"f: the record is .*; expected an object"):
        decode(Outer, content, "f")


def test_what_a_record_refuses_itself_keeps_its_kind_and_gets_a_place() -> None:
    with pytest.raises(GateError, match=r"^f: size is -1; expected 0 or more$"):
        decode(Outer, plain(RECORD) | {"parts": [{"size": -1}]}, "f")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": 1, "age": 2}, "f: unknown field age, colour; expected name, parts, share"),
        (
            {"parts": [{"size": 1}, {"size": 2, "age": 3}]},
            r"f: unknown field parts\[1\].age; expected size$",
        ),
    ],
)
def test_exact_refuses_an_unknown_field(change: dict[str, Any], said: str) -> None:
    content = plain(RECORD) | change
    assert decode(Outer, content, "f") == RECORD
    with pytest.raises(GenoslimError, match=said):
        decode(Outer, content, "f", exact=True)


def test_what_a_record_refuses_as_a_value_error_is_one_of_ours() -> None:
    with pytest.raises(GenoslimError, match=r"^f: the record: 3 is odd$"):
        decode(Even, {"size": 3}, "f")


def test_exact_takes_what_has_no_unknown_field() -> None:
    assert decode(Outer, plain(RECORD), "f", exact=True) == RECORD


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, r"f: format is None; this genoslim reads 1$"),
        ({"format": 0}, r"f: format is 0; this genoslim reads 1$"),
        ({"format": 2}, r"f: format is 2; this genoslim reads 1: upgrade genoslim$"),
    ],
)
def test_another_format_is_refused(found: dict[str, Any], said: str) -> None:
    check_format({"format": 1}, 1, "f")
    with pytest.raises(GenoslimError, match=said):
        check_format(found, 1, "f")
