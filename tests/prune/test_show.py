from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genoslim.errors import GateError, GenoslimError
from genoslim.prune.plan import plan
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.show import show_checkpoint, show_pruned, show_run
from genoslim.prune.slim_model import Pruned


def test_a_finished_run_with_its_verdicts(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    show_run(finished.folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"sweep of nt_v1, 3 layers: {finished.record.model}"
    assert lines[1] == f"data: {finished.record.data} (simulated eQTL)"
    assert lines[3:5] == [
        "trials: 6 of 6 done",
        "without each layer, validation split, rule paper:",
    ]
    assert any(line.startswith("2 ") for line in lines)
    assert any(line.startswith("one seed a layer: nothing can be paired") for line in lines)


def test_an_unfinished_run_says_how_far_it_is(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    (RunFolder(tmp_path / "run").trials.path(plan(finished)[2]) / "result.json").unlink()
    show_run(tmp_path / "run")
    assert capsys.readouterr().out.splitlines()[3:] == ["trials: 5 of 6 done"]


def test_a_damaged_run_is_an_error(finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    (tmp_path / "run" / "rows.npz").write_bytes(b"half")
    with pytest.raises(GenoslimError, match=r"rows.npz: not the rows of a run"):
        show_run(tmp_path / "run")


def test_slim_models_with_the_rule_and_what_to_know(
    pruned: tuple[Path, Pruned], capsys: pytest.CaptureFixture[str]
) -> None:
    out, made = pruned
    show_pruned(out)
    text = capsys.readouterr().out
    assert f"slim models of the run {made.run}, by the rule paper" in text
    for model in made.models:
        (line,) = [line for line in text.splitlines() if line.startswith(model.name)]
        assert " ".join(map(str, model.kept)) in line
        assert str(model.test["auroc"]) in line
    assert [line for line in text.splitlines() if line.startswith("note: ")] == [
        f"note: {note}" for note in made.notes
    ]


def test_a_checkpoint_that_is_gone_is_a_refusal(
    pruned: tuple[Path, Pruned], tmp_path: Path
) -> None:
    shutil.copytree(pruned[0], tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "baseline")
    with pytest.raises(GateError, match="no checkpoint of baseline"):
        show_pruned(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "words"), [("{", "not valid JSON"), ('{"format": 9}', "format is 9")]
)
def test_another_file_of_that_name_is_an_error(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "prune.json").write_text(content)
    with pytest.raises(GenoslimError, match=words):
        show_pruned(tmp_path)


@pytest.mark.parametrize(
    ("name", "depth", "kept", "dropped"),
    [("baseline", "3 layers", "0 1 2", "none"), ("cornerstone_only", "1 layer", "1", "0 2")],
)
def test_a_checkpoint_in_words(
    name: str,
    depth: str,
    kept: str,
    dropped: str,
    pruned: tuple[Path, Pruned],
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_checkpoint(pruned[0] / name)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"checkpoint of nt_v1: {depth}"
    assert f"layers kept: {kept}" in lines
    assert f"dropped layers: {dropped}" in lines
    assert "licence: CC-BY-NC-SA-4.0" in lines
    (model,) = [model for model in pruned[1].models if model.name == name]
    best = next(seed for seed in model.seeds if seed.seed == model.best_seed)
    assert f"AUROC {best.test.auroc:.4f}" in lines[-1]


_WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "safetensors", "scipy", "pyarrow", "jinja2", "vl_convert"):
    sys.modules[name] = None
from genoslim.cli import main
main(prog_name="genoslim")
"""


def test_show_without_torch_says_what_it_can(
    pruned: tuple[Path, Pruned], finished: RunFolder
) -> None:
    for folder, expected in (
        (finished.folder, "trials: 6 have a result"),
        (pruned[0], "cornerstone_only"),
        (pruned[0] / "cornerstone_only", "layers kept: 1\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_TORCH, "show", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
        assert ("torch" in done.stderr) == (folder != pruned[0])
