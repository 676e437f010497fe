"""Typed records in and out of plain JSON values: frozen dataclasses, by msgspec.

Every file that genoslim reads back (`bundle.json`, `run.json`, `genoslim.json`, results of trials)
is one dataclass, and this is the one place that turns what was parsed into it. A field added later
needs a default, so that older files still open; unknown fields are left out unless `exact`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import GenoslimError
from .files import write_json

_T = TypeVar("_T")

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.S)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def decode(kind: type[_T], content: object, where: str, *, exact: bool = False) -> _T:
    """Return the record of type `kind` that `content`, parsed JSON, holds.

    `where` says in errors what was read, such as a path. Raises GenoslimError naming the field,
    the value found and what was expected; with `exact`, for an unknown field of the record, or of
    one inside it, too.
    """
    try:
        record = msgspec.convert(content, kind)
        if exact:
            _refuse_unknown(record, content, "")
    except msgspec.ValidationError as error:
        raise GenoslimError(f"{where}: {_explained(str(error), content)}") from None
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
    text = json.dumps(msgspec.to_builtins(record), allow_nan=False)
    values: dict[str, Any] = json.loads(text)
    return values


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


def _explained(message: str, content: object) -> str:
    """Return msgspec's complaint in our words: field, value found, what was expected."""
    match = _PLACE.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    field = path.removeprefix(".")
    expected = re.match(r"Expected `(.+?)`, got `.+`$", what)
    if expected:
        found = _value_at(content, path)
        return f"{field or 'the record'} is {_shown(found)}; expected {expected[1]}"
    missing = re.match(r"Object missing required field `(.+)`$", what)
    if missing:
        return f"{f'{field}.' if field else ''}{missing[1]} is missing"
    return f"{field}: {what}" if field else what


def _value_at(content: object, path: str) -> object:
    """Follow `.name[0].other` into parsed JSON; what cannot be followed is returned so far."""
    value: Any = content
    for name, index in _STEP.findall(path):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            break
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
