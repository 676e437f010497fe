"""The demo, as a user runs it, and every other command on what it leaves."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import genoslim.demo as demo_module
from genoslim.cli import main

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = "from genoslim.__main__ import main; main()"


def genoslim(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


@pytest.fixture(scope="module", params=["dnabert2", "nt"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / request.param
    done = genoslim("demo", "-o", folder.name, "--family", folder.name, cwd=folder.parent)
    assert (done.returncode, done.stderr) == (0, "")
    (folder / "story.txt").write_text(done.stdout)
    return folder


@pytest.mark.slow
class TestDemo:
    def test_the_story_is_short_and_the_log_has_the_rest(self, demo: Path) -> None:
        story = (demo / "story.txt").read_text()
        assert len(story.splitlines()) <= 60
        assert max(map(len, story.splitlines())) <= 80
        for name in ("demo.log", "slim/report.html", "bench/latency_auroc.png", "scored.vcf.gz"):
            assert f"{demo.name}/{name}" in story
            assert (demo / name).is_file()
        log = (demo / "demo.log").read_text()
        commands = re.findall(r"^\$ (genoslim [^\\\n]*(?:\\\n[^\\\n]*)*)", story, re.M)
        assert len(commands) == 6
        for command in commands:
            assert shlex.join(shlex.split(command.replace("\\\n", ""))) in log
        assert "15/15 " in log

    def test_models_stand_beside_floors_and_one_is_deployed_or_not(self, demo: Path) -> None:
        story = (demo / "story.txt").read_text()
        bench = json.loads((demo / "bench" / "bench.json").read_text())
        for floor in bench["floors"]["floors"]:
            words, figures = floor["name"].partition(",")[0].split(), floor["test"]
            (line,) = re.findall(rf"^{words[0]} {words[1]} .*", story, flags=re.MULTILINE)
            assert f" {floor['validation']:.3f} " in line
            assert f" {figures['value']:.3f} (" in line
        assert "counts of 6-mers" in story
        assert "AUROC on 270 validation and 360 test windows" in story
        assert re.search(r"^(NOT SHOWN|All models are shown) to beat the best floor", story, re.M)
        decision = bench["decision"]
        told = f"DEPLOYED: {decision['deploy']}, " if decision["passed"] else "NO SLIM MODEL IS DEP"
        assert f"\n{told}" in story

    def test_the_models_have_learnt(self, demo: Path) -> None:
        bench = json.loads((demo / "bench" / "bench.json").read_text())
        baseline = bench["models"][0]
        assert baseline["quality"]["metrics"]["auroc"] > 0.75

    def test_slim_models_are_smaller(self, demo: Path) -> None:
        pruned = json.loads((demo / "slim" / "prune.json").read_text())
        kept = {model["name"]: len(model["kept"]) for model in pruned["models"]}
        assert kept["baseline"] == 12
        assert kept["cornerstone_only"] < 12

    def test_everything_left_is_intact(self, demo: Path) -> None:
        for place in ("run", "slim", "slim/baseline", "bundles/baseline"):
            shown = genoslim("show", demo / place)
            assert (shown.returncode, shown.stderr) == (0, "")
            assert shown.stdout

    def test_every_variant_is_scored(self, demo: Path) -> None:
        scored = gzip.decompress((demo / "scored.vcf.gz").read_bytes()).decode()
        records = [line.split("\t") for line in scored.splitlines() if not line.startswith("#")]
        given = (demo / "data" / "variants.vcf").read_text().splitlines()
        assert [r[:5] for r in records] == [
            line.split("\t")[:5] for line in given if not line.startswith("#")
        ]
        assert all("GS_STATUS=OK" in r[7] for r in records)

    def test_awkward_records_come_through(self, demo: Path) -> None:
        scored = genoslim(
            *("score", "-m", demo / "bundles" / "baseline", "-f", demo / "data" / "genome.fa"),
            *("-i", demo / "data" / "awkward.vcf", "-o", "-", "--check-ref", "warn"),
        )
        assert scored.returncode == 0, scored.stderr
        assert {"SYMBOLIC", "NOT_SNV", "STAR", "REF_MISMATCH"} <= {
            status
            for line in scored.stdout.splitlines()
            if not line.startswith("#")
            for field in line.split("\t")[7].split(";")
            if field.startswith("GS_STATUS=")
            for status in field.removeprefix("GS_STATUS=").split(",")
        }

    def test_estimate_compares_with_the_sweep(self, demo: Path, tmp_path: Path) -> None:
        out = tmp_path / "importance.json"
        done = genoslim(
            *("estimate", "-m", demo / "slim" / "baseline"),
            *("-d", demo / "data" / "dataset.parquet", "-o", out),
        )
        assert done.returncode == 0, done.stderr
        assert out.is_file()

    def test_a_second_run_trains_nothing_again(self, demo: Path) -> None:
        before = _results(demo)
        done = genoslim("sweep", "-o", demo / "run")
        assert done.returncode == 0, done.stderr
        assert _results(demo) == before

    def test_other_options_are_refused(self, demo: Path) -> None:
        done = genoslim("demo", "-o", demo, "--family", demo.name, "--seed", "7")
        assert done.returncode == 2
        assert "demo.json: this demo was made with" in done.stderr


def _results(demo: Path) -> dict[Path, int]:
    results = (demo / "run" / "trials").glob("*/result.json")
    return {path: path.stat().st_mtime_ns for path in results}


def test_a_folder_that_is_no_demo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    done = genoslim("demo", "-o", tmp_path)
    assert done.returncode == 2
    assert "holds mine.txt and is no demo (no demo.json)" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_command_is_folded_as_a_shell_takes_it() -> None:
    arguments = ["bench", "my demo/bundles/baseline", "-d", "a folder/of long names/data.parquet"]
    folded = demo_module._folded(arguments)
    assert len(folded.splitlines()) == 2
    assert shlex.split(folded.replace("\\\n", "")) == ["$", "genoslim", *arguments]


def test_nothing_is_begun_where_a_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = ("onnxruntime", "jinja2")
    monkeypatch.setattr(demo_module, "find_spec", lambda name: None if name in missing else name)
    done = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "new")])
    assert done.exit_code == 1
    assert done.stderr.startswith("genoslim: the demo needs onnxruntime, jinja2: pip install ")
    assert list(tmp_path.iterdir()) == []


def test_the_packages_are_those_of_the_extras() -> None:
    names = {"sklearn": "scikit-learn", "vl_convert": "vl-convert-python"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*extras["optional-dependencies"]["train"], *extras["optional-dependencies"]["cpu"]]
    assert sorted(names.get(name, name.replace("_", "-")) for name in demo_module.PACKAGES) == (
        sorted(re.split("[<>=]", requirement)[0] for requirement in wanted)
    )
