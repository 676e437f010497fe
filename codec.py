"""Typed records in and out of plain JSON values: frozen dataclasses, by msgspec.

Every file that genoslim reads back (`bundle.json`, `run.json`, `genoslim.json`, results of trials)
is one dataclass, and this is the one place that turns what was parsed into it. A field added later
needs a default, so that older files still open; unknown fields are left out unless `exact`.
msgspec is imported when it is used: the loop of fine-tuning needs numpy and torch alone.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .errors import GenoslimError
from .files import write_json

_T = TypeVar("_T")

_STEP = re.compile(r"\.([^.\[`]+)|\[(\d+|\.\.\.)\]")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}
_NAMES = {int: "int", float: "float", str: "str", bool: "bool", list: "array", dict: "object"}


def decode(kind: type[_T], content: object, where: str, *, exact: bool = False) -> _T:
    """Return the record of type `kind` that `content`, parsed JSON, holds.

    `where` says in errors what was read, such as a path. Raises GenoslimError naming the field,
    the value found and what was expected; with `exact`, for an unknown field of the record, or of
    one inside it, too.
    """
    import msgspec

    try:
        record = msgspec.convert(content, kind)
        if exact:
            _refuse_unknown(record, content, "")
    except msgspec.ValidationError as error:
        raise GenoslimError(f"{where}: {_explained(str(error), content, kind)}") from None
    except GenoslimError as error:
        raise type(error)(f"{where}: {error}") from None
    return record


def check_format(content: Mapping[str, Any], known: int, where: str) -> None:
    """Raise GenoslimError unless the field `format` of a file says `known`."""
    found = content.get("format")
    if found != known:
        newer = isinstance(found, int) and found > known
        raise GenoslimError(
            f"{where}: format is {found!r}; this genoslim reads {known}"
            + (": upgrade genoslim" if newer else "")
        )


def plain(record: object) -> dict[str, Any]:
    """Return a dataclass as what JSON gives back for it: lists, dictionaries, strings, numbers.

    Raises ValueError for a NaN or an infinity, which JSON has no word for.
    """
    import msgspec

    # asdict, since msgspec leaves the defaults of a record that it decoded to the class
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        record = dataclasses.asdict(record)
    values = msgspec.to_builtins(record, enc_hook=_plain_scalar)
    content: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return content


def _plain_scalar(value: object) -> str | float | int:
    """Return the plain number or string that one of a subclass (NumPy's float64) or a path is."""
    for kind in (str, float, int):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a record")


def write_record(path: Path, record: object) -> None:
    """Write a dataclass as indented JSON with sorted keys, complete or not at all."""
    write_json(path, plain(record))


def _refuse_unknown(record: object, content: Any, place: str) -> None:
    """Raise GenoslimError for a field in `content` that the record, or one in it, has not."""
    if dataclasses.is_dataclass(record):
        known = [field.name for field in dataclasses.fields(record)]
        if unknown := sorted(set(content) - set(known)):
            raise GenoslimError(
                f"unknown field {place}{f', {place}'.join(unknown)}; expected {', '.join(known)}"
            )
        for name in content:
            _refuse_unknown(getattr(record, name), content[name], f"{place}{name}.")
    elif isinstance(record, Mapping):
        for name in content:
            _refuse_unknown(record[name], content[name], f"{place}{name}.")
    elif isinstance(record, tuple):
        for index, (item, held) in enumerate(zip(record, content, strict=True)):
            _refuse_unknown(item, held, f"{place[:-1]}[{index}].")


def _explained(message: str, content: object, kind: object) -> str:
    """Return msgspec's complaint in our words: field, value found, what was expected."""
    head, _, at = message.rpartition(" - at ")
    what, at = (head, at) if head else (message, "")
    steps = [name or index for name, index in _STEP.findall(at)]
    places = list(_places(content, steps))
    if groups := _groups(r"Object missing required field `(.+)`", what):
        (name,) = groups
        place, _ = _first(places, lambda value: isinstance(value, Mapping) and name not in value)
        return f"{place}.{name} is missing".removeprefix(".")
    if groups := _groups(r"Invalid enum value (.+)", what):
        (shown,) = groups
        place, _ = _first(places, lambda value: repr(value) == shown)
        known = f"expected one of {', '.join(_choices(kind, steps))}"
        return f"{place} {'has the name' if at.startswith('`key`') else 'is'} {shown}; {known}"
    if groups := _groups(r"Expected `array` of length (\d+), got (\d+)", what):
        length, given = groups
        place, value = _first(
            places, lambda value: isinstance(value, list) and len(value) == int(given)
        )
        return f"{place} is {_shown(value)}; expected a list of {length}"
    if groups := _groups(r"Expected `(.+)`, got `(.+)`", what):
        names, given = groups
        place, value = _first(places, lambda value: _NAMES.get(type(value), "null") == given)
        words = " or ".join(_WORDS.get(name, name) for name in names.split(" | "))
        return f"{place or 'the record'} is {_shown(value)}; expected {words}"
    return f"{places[0][0] or 'the record'}: {what}"


def _groups(pattern: str, text: str) -> tuple[str, ...]:
    """Return the groups of a pattern that fits a whole text; empty if it does not."""
    match = re.fullmatch(pattern, text)
    return match.groups() if match else ()


def _places(value: Any, steps: Sequence[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each place in parsed JSON, in words, with its value, that fits a path.

    A step is a field's name, an index, or `...` for any name of a mapping: msgspec does not tell
    which one it was.
    """
    if not steps:
        yield place.removeprefix("."), value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(value, Mapping):
        for name in value if step == "..." else {step} & value.keys():
            yield from _places(value[name], rest, f"{place}.{name}")
    elif isinstance(value, list) and int(step) < len(value):
        yield from _places(value[int(step)], rest, f"{place}[{step}]")


def _first(places: Sequence[tuple[str, Any]], wrong: Callable[[Any], bool]) -> tuple[str, Any]:
    """Return the first place whose value is wrong: the one that msgspec complained of."""
    return next((one for one in places if wrong(one[1])), places[0])


def _choices(kind: Any, steps: Sequence[str]) -> list[str]:
    """Return what the Literal at a path of a type allows: as a value, or as names of a mapping."""
    arguments = typing.get_args(kind)
    if type(None) in arguments:
        return _choices(next(part for part in arguments if part is not type(None)), steps)
    if steps and dataclasses.is_dataclass(kind):
        return _choices(typing.get_type_hints(kind)[steps[0]], steps[1:])
    if typing.get_origin(kind) is typing.Literal:
        return list(map(str, arguments))
    of_a_mapping = steps[:1] == ["..."]
    return _choices(arguments[1 if of_a_mapping else 0], steps[1:])


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
