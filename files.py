"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import GenoslimError, UsageError, listed

_BLOCK = 1 << 20
_log = logging.getLogger(__name__)

_TEMPORARY = ".tmp-"


class FullDiskError(GenoslimError):
    """There is no room for a file: the disk, a quota or a limit on its size says so."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.error = error
        super().__init__(
            f"{path}: cannot be written: {error.strerror}; nothing of it is left: make room there"
        )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` if the body succeeds.

    The temporary file keeps the suffixes of `path`, is flushed to disk before the rename and
    is removed if the body raises, so `path` is either absent, as it was, or complete.
    GenoslimError if `path` is there and no file: a rename would put a file in a device's place.
    """
    if path.exists() and not path.is_file():
        raise GenoslimError(f"{path}: is no regular file; expected the name of a file to write")
    make_parents(path)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, suffix="-" + path.name, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _set_default_mode(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        _refuse_full(path, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; rename it to `folder` if the body succeeds.

    An existing `folder` is replaced only once the new one is complete. Files get the permissions
    of ordinary new files, whatever the library that wrote them chose.
    """
    make_parents(folder)
    temporary = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        for path in temporary.rglob("*"):
            if path.is_file() and not path.is_symlink():
                _set_default_mode(path)
        if folder.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".old-{folder.name}-", dir=folder.parent))
            folder.replace(retired)
            try:
                temporary.replace(folder)
            except BaseException:
                retired.replace(folder)
                raise
            shutil.rmtree(retired)
        else:
            temporary.replace(folder)
    except (OSError, FullDiskError) as error:
        _refuse_full(folder, error)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_full(path: Path, error: OSError | FullDiskError) -> None:
    """Raise FullDiskError, naming `path`, where an error is for want of room."""
    cause = error.error if isinstance(error, FullDiskError) else error
    if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise FullDiskError(path, cause) from error


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder for this process until the body ends; yields False if another one holds it.

    The system gives it free when its process ends, however it ends. Where there are no file locks
    it is held by whoever asks.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield locked(descriptor, folder)
    finally:
        os.close(descriptor)


def locked(descriptor: int, path: Path) -> bool:
    """Lock what is open at `path` for this process; False if another one has the lock.

    Where there are no file locks a warning says so, and it counts as locked.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        _log.warning("%s: no file locks here (%s): work may be done twice", path, error.strerror)
    return True


def make_parents(path: Path) -> None:
    """Make the folders above `path` that are missing; UsageError as `refuse_new_at_root` says."""
    refuse_new_at_root(path)
    path.parent.mkdir(parents=True, exist_ok=True)


def refuse_new_at_root(path: Path) -> None:
    """Raise UsageError where a folder above `path` would have to be made in `/` itself.

    Nobody keeps results there on purpose; a typo in the first part of a path does.
    """
    missing = [folder for folder in path.absolute().parents if not folder.exists()]
    if missing and missing[-1].parent == missing[-1].parent.parent:
        raise UsageError(
            f"{path}: there is no {missing[-1]}, and it is not made at the root of the file system:"
            " correct the path, or make that folder first"
        )


def refuse_overwriting(output: Path, inputs: Iterable[Path]) -> None:
    """Raise UsageError where `output` is one of the inputs, under this name or another.

    Also where it is in a folder that would have to be made in `/`: see `refuse_new_at_root`.
    """
    refuse_new_at_root(output)
    for path in inputs:
        linked = output.exists() and path.exists() and output.samefile(path)
        if linked or output.resolve() == path.resolve():
            raise UsageError(f"{output}: is an input too ({path}); write to another file")


def refuse_unwritable(path: Path) -> None:
    """Raise GenoslimError where no file can be made in the folder of `path`, or where it will be.

    To be asked before a long run; a file without a name is made there, and nothing is left.
    """
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise GenoslimError(
            f"{path}: cannot be written: {folder}: {error.strerror or error}"
        ) from None


def refuse_foreign(
    folder: Path,
    kind: str,
    *,
    marker: str,
    begun: Collection[str] = (),
    parts: Collection[str] | None = None,
) -> None:
    """Raise UsageError where `folder` holds anything but a `kind` of ours ("bundle") or nothing.

    A folder that is absent or empty may be written to, and so may one that holds `marker`, the file
    that every `kind` has, or nothing but what one that was interrupted leaves (`begun`). Where the
    whole folder is to be replaced, `parts` names all that a `kind` holds: what else is there would
    be lost. Temporary files of ours do not count.
    """
    if not folder.exists():
        refuse_new_at_root(folder)
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder for the {kind}")
    names = {path.name for path in folder.iterdir() if not path.name.startswith(_TEMPORARY)}
    if marker not in names and (others := names - set(begun)):
        raise UsageError(
            f"{folder}: holds {listed(sorted(others))} and is no {kind} (no {marker}):"
            " name an empty or a new folder"
        )
    if parts is not None and (others := names - {marker, *begun, *parts}):
        raise UsageError(
            f"{folder}: holds {listed(sorted(others))}, no part of a {kind}, which would be lost:"
            " name another folder"
        )


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text so that `path` is complete or untouched."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, complete or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None if there is no such file, GenoslimError if it is not an object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise GenoslimError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise GenoslimError(f"{path}: holds a {type(value).__name__}; it should be a JSON object")
    return value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _set_default_mode(path: Path) -> None:
    """Give a file made by mkstemp (0600) the permissions an ordinary new file would have."""
    path.chmod(0o666 & ~_umask())
