from __future__ import annotations

import os
from pathlib import Path

import pytest
from genoslim.errors import GenoslimError
from genoslim.files import atomic_folder, atomic_path, write_text


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.txt"
    write_text(path, "one")
    with pytest.raises(UnicodeEncodeError), atomic_path(path) as temporary:
        temporary.write_text("half\N{SNOWMAN}", encoding="ascii")
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_never_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "there"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(GenoslimError, match="there: is no regular file"):
        write_text(path, "text")
    assert not path.is_file()
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for content in ("old", "new"):
        with atomic_folder(folder) as temporary:
            (temporary / content).write_text(content)
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


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
