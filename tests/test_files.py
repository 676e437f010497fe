"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from genoslim.errors import GenoslimError, UsageError
from genoslim.files import (
    FullDiskError,
    atomic_folder,
    atomic_path,
    held,
    read_json,
    refuse_foreign,
    refuse_overwriting,
    sha256,
    write_json,
    write_text,
)


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    write_json(path, {"b": 1, "a": [2]})
    with pytest.raises(UnicodeEncodeError), atomic_path(path) as temporary:
        temporary.write_text("half\N{SNOWMAN}", encoding="ascii")
    assert json.loads(path.read_text()) == {"a": [2], "b": 1}
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[1]", "holds a list; it should be a JSON object"),
        ("\xff", "not valid JSON"),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) is None
    path.write_text(text, encoding="latin-1")
    with pytest.raises(GenoslimError, match=rf"x\.json: {said}"):
        read_json(path)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with atomic_folder(folder) as temporary:
        (temporary / "old").write_text("1")
    with atomic_folder(folder) as temporary:
        (temporary / "new").write_text("2")
    assert [p.name for p in folder.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with atomic_folder(folder) as temporary:
        (temporary / "old").write_text("1")
    with pytest.raises(RuntimeError), atomic_folder(folder) as temporary:
        raise RuntimeError
    assert [p.name for p in folder.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_the_old_folder_comes_back_if_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").write_text("old")
    replace = Path.replace

    def fail_for_new(self: Path, target: Path) -> Path:
        if self.name.startswith(".tmp-"):
            raise OSError("no")
        return replace(self, target)

    with pytest.raises(OSError, match="no"), atomic_folder(folder):
        monkeypatch.setattr(Path, "replace", fail_for_new)
    assert (folder / "old").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_never_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "there"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(GenoslimError, match="there: is no regular file"):
        write_text(path, "text")
    assert not path.is_file()
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_ordinary_files(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "secretive").touch(mode=0o600)
    with atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("1")
    expected = stat.S_IMODE(ordinary.stat().st_mode)
    for path in (tmp_path / "folder" / "secretive", tmp_path / "file"):
        assert stat.S_IMODE(path.stat().st_mode) == expected


def test_no_folder_is_made_at_the_root(tmp_path: Path) -> None:
    root = Path(tmp_path.anchor)
    typo = root / "no-such-folder-of-anyone"
    for write in (
        lambda: write_text(typo / "out.txt", "text"),
        lambda: write_text(typo / "deeper" / "out.txt", "text"),
        lambda: atomic_folder(typo / "bundle").__enter__(),
        lambda: refuse_foreign(typo / "bundle", "bundle", marker="bundle.json"),
        lambda: refuse_overwriting(typo / "out.vcf", []),
    ):
        with pytest.raises(UsageError, match=f"there is no {typo}, and it is not made at the root"):
            write()
    assert not typo.exists()
    refuse_overwriting(root / "out.vcf", [])
    write_text(tmp_path / "new" / "newer" / "out.txt", "text")


def _names(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "parts", "refusal"),
    [
        ((), None, None),
        ((".tmp-run.json-x",), None, None),
        (("run.json",), None, None),
        (("run.json", "notes.txt"), None, None),
        (("rows.npz", "trials"), None, None),
        (("run.json", "trials", "rows.npz", "report.html"), ("report.html",), None),
        (("rows.npz", "notes.txt"), None, "holds notes.txt and is no run folder .no run.json."),
        (("d", "c", "b", "a"), None, "holds a, b, c and 1 more and is no run folder"),
        (("run.json", ".git"), (), "holds .git, no part of a run folder, which would be lost"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    names: tuple[str, ...], parts: tuple[str, ...] | None, refusal: str | None, tmp_path: Path
) -> None:
    folder = _names(tmp_path / "out", *names)
    begun = ("rows.npz", "trials")
    if refusal is None:
        refuse_foreign(folder, "run folder", marker="run.json", begun=begun, parts=parts)
        return
    with pytest.raises(UsageError, match=f"out: {refusal}"):
        refuse_foreign(folder, "run folder", marker="run.json", begun=begun, parts=parts)


def test_a_file_is_no_folder_to_write_to(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="out: is a file; name a folder for the bundle"):
        refuse_foreign(tmp_path / "out", "bundle", marker="bundle.json")


def test_a_folder_is_held_by_one_until_it_is_given_back(tmp_path: Path) -> None:
    with held(tmp_path) as first:
        assert first
        with held(tmp_path) as second:
            assert not second
    with held(tmp_path) as again:
        assert again
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    told = r"made: cannot be written: .*; nothing of it is left: make room there$"
    for atomic in (atomic_path, atomic_folder):
        with pytest.raises(FullDiskError, match=told), atomic(tmp_path / "made"):
            raise OSError(number, os.strerror(number))
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_within_a_folder_names_the_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(FullDiskError, match=f"{tmp_path}/made: cannot be written"),
        atomic_folder(tmp_path / "made") as temporary,
        atomic_path(temporary / "part"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
