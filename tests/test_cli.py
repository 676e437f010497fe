"""What all commands have in common: names of options, one line an error, inputs kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from genoslim.cli import main
from genoslim.codec import plain
from genoslim.errors import GateError, GenoslimError, UsageError
from genoslim.interrupts import Terminated
from genoslim.prune.recipe import Recipe


def _commands(group: click.Group = main) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command)
        else:
            yield name, command


def test_an_option_has_one_long_name_everywhere() -> None:
    found: dict[str, set[tuple[str, ...]]] = {}
    for _, command in _commands():
        for parameter in command.params:
            for short in (name for name in parameter.opts if not name.startswith("--")):
                if isinstance(parameter, click.Option):
                    found.setdefault(short, set()).add(tuple(parameter.opts))
    assert {short: len(names) for short, names in found.items()} == dict.fromkeys(found, 1)
    assert found["-o"] == {("-o", "--output")}


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (GenoslimError("a.txt: 3, expected 4"), 1, "genoslim: a.txt: 3, expected 4"),
        (UsageError("--this excludes --that"), 2, "genoslim: --this excludes --that"),
        (GateError("not as good"), 3, "genoslim: not as good"),
        (KeyboardInterrupt(), 130, "genoslim: interrupted"),
        (Terminated(), 143, "genoslim: terminated"),
        (OSError("no thrift here"), 1, "genoslim: no thrift here"),
        (FileNotFoundError(2, "No such file", "a.txt"), 1, "genoslim: a.txt: No such file"),
        (
            ModuleNotFoundError(name="onnx"),
            1,
            "genoslim: this command needs onnx: pip install",
        ),
        (ZeroDivisionError("by 0"), 1, "genoslim: internal error: ZeroDivisionError: by 0"),
    ],
)
def test_every_error_is_one_line_on_stderr(
    error: BaseException, code: int, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr("genoslim.bundle.show.show_bundle", fail)
    (tmp_path / "bundle.json").touch()
    done = CliRunner().invoke(main, ["show", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_help_states_the_defaults_of_the_recipe() -> None:
    text = " ".join(CliRunner().invoke(main, ["sweep", "--help"]).stdout.split())
    for name, value in plain(Recipe()).items():
        if value is not None:
            after = text.partition(f"--{name.replace('_', '-')} ")[2]
            shown = after.partition("[default: ")[2].partition("]")[0]
            assert (shown if name == "precision" else float(shown)) == value


def test_an_error_is_raised_as_it_is_with_debug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise GateError("not as good")

    monkeypatch.setattr("genoslim.bundle.show.show_bundle", fail)
    (tmp_path / "bundle.json").touch()
    done = CliRunner().invoke(main, ["--debug", "show", str(tmp_path)])
    assert isinstance(done.exception, GateError)


def test_what_is_done_ends_with_0_and_a_wrong_call_with_2() -> None:
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    wrong = CliRunner().invoke(main, ["show", "--nothing"])
    assert wrong.exit_code == 2
    assert "No such option" in wrong.stderr


@pytest.mark.parametrize("name", ["", *(name for name, _ in _commands())])
def test_help_fits_80_columns(name: str) -> None:
    path = ["data", name] if name in main.commands["data"].commands else [name] * bool(name)
    lines = CliRunner().invoke(main, [*path, "--help"]).stdout.splitlines()
    assert len(lines) > 5
    assert [line for line in lines if len(line) > 80] == []


def test_the_list_of_commands_is_not_cut_short() -> None:
    assert "..." not in CliRunner().invoke(main, ["--help"]).stdout.replace("[ARGS]...", "")


@pytest.mark.parametrize("output", ["table.parquet", "genome.parquet", "link.parquet"])
def test_data_never_writes_over_its_input(output: str, tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_text("precious")
    (tmp_path / "genome.parquet").write_text(">chr1\nACGT\n")
    (tmp_path / "link.parquet").hardlink_to(tmp_path / "genome.parquet")
    for verb in ("eqtl", "mpra", "variants"):
        arguments = ["data", verb, "-i", "table.parquet", "-f", "genome.parquet", "-o", output]
        paths = [str(tmp_path / word) if "." in word else word for word in arguments]
        done = CliRunner().invoke(main, paths)
        assert done.exit_code == 2
        assert "is an input too" in done.stderr
    assert (tmp_path / "table.parquet").read_text() == "precious"
