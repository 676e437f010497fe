"""The errors that reach a user: one clear line each, and the exit code it ends with."""

from __future__ import annotations

from collections.abc import Sequence


class GenoslimError(Exception):
    """What could not be done: names the place, the value found and what would be right."""

    exit_code = 1


class UsageError(GenoslimError):
    """The call itself is wrong: an option's value, or options that exclude each other."""

    exit_code = 2


class GateError(GenoslimError):
    """A quality gate said no: parity, non-inferiority, or the hash of an artefact."""

    exit_code = 3


def in_a_line(error: Exception) -> str:
    """Return what is told of an error: ours as it is, the system's with its file, others named."""
    match error:
        case GenoslimError():
            return str(error)
        case OSError(strerror=str(what)):
            return f"{error.filename or 'input/output'}: {what}"
        case OSError():
            return str(error)
    return f"{type(error).__name__}: {error}"


def install_hint(extra: str) -> str:
    """Return how to install what an extra of ours holds; `extra` may name several, by commas."""
    return f"pip install '.[{extra}]' in a checkout of genoslim"


def needs_extra(what: str, package: str, extra: str) -> GenoslimError:
    """Return the error for `what` ("reading a model") whose optional `package` is missing."""
    return GenoslimError(f"{what} needs {package}: {install_hint(extra)}")


def listed(names: Sequence[str], *, most: int = 3) -> str:
    """Return the first `most` names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
