"""Every command and all Python of README and docs runs, on small inputs of the names they give."""

from __future__ import annotations

import csv
import gzip
import re
import shlex
import shutil
from pathlib import Path

import click
import pysam
import pytest
from click.testing import CliRunner
from examples import write_base

from genoslim import drop_layers, load_model, save_model, simulate_data
from genoslim.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

STANDS_IN = {
    "zhihan1996/DNABERT-2-117M": "pretrained",  # the first three layers of shipped:nt
    "shipped:dnabert2": "pretrained",
    "512": "96",  # the window it was pretrained on
}
"""What replaces a word of a command."""

BUDGETS = {
    "sweep": "--max-epochs 3 --learning-rate 2e-3 --device cpu",
    "estimate": "--rows 32 --device cpu",
    "prune": "--trainings 2 --device cpu",
    "bench": "--quick --seconds 0.5 --threads 1",
    "bench plan": "--seconds 0.5 --threads 1",
    "export": "--threads 1",
    "score": "--threads 1 --backend onnxruntime",
}
"""What is added to a command, so that it takes seconds."""

ELSEWHERE = {"demo": "tests/end_to_end/test_demo.py"}
"""Verbs that have a test of their own."""

PYTHON_STANDS_IN = {
    'load_model("zhihan1996/DNABERT-2-117M"': 'load_model("shipped:nt"',  # all twelve layers
    "zhihan1996/DNABERT-2-117M": "pretrained",
    "window=512": "window=96",
    "gs.Recipe()": "gs.Recipe(max_epochs=3, learning_rate=2e-3)",
    "gs.SearchOptions()": "gs.SearchOptions(trainings=2)",
    'output="bench")': 'output="bench", quick=True, seconds=0.5)',
    'output="DIR", margin=0.01)': 'output="DIR", quick=True, seconds=0.5)',
}
"""What replaces a piece of Python, for the same reasons."""

OTHER_PYTHON = {"bundle.md": "tests/equivalence/test_onnx_parity.py"}
"""Pages whose Python has a test of its own."""

GATED = {"bench"}
"""Verbs that may say no (exit code 3) to models that were hardly trained."""


_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.M | re.S)


def _fenced(page: Path) -> list[str]:
    """Return the calls of genoslim in a page's code blocks, without what a shell does for them."""
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    text = "\n".join(code for language, code in blocks if not language)
    lines = re.sub(r"\n {8,}", " ", text).splitlines()
    found = (re.search(r"(?:^|[|&] )(genoslim [a-z].*?)(?= \| | # |$)", line) for line in lines)
    return [match[1].strip() for match in found if match]


def _python(page: Path) -> list[str]:
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for language, code in blocks if language == "python"]


def _inline(page: Path) -> list[str]:
    """Return the calls of genoslim in a page's text, in single backticks."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [code for code in re.findall(r"`([^`]+)`", text) if re.match(r"genoslim [a-z]", code)]


def _command_of(words: list[str]) -> click.Command:
    if (two := " ".join(words[1:3])) in main.commands:
        return main.commands[two]
    command: click.Command = main
    for word in words[1:]:
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
    return command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_exists(page: Path) -> None:
    for text in (*_fenced(page), *_inline(page)):
        words = re.split(r"[\s|\[\]=]+", text)
        command = _command_of(words)
        assert command is not main, f"{page.name}: {text}"
        known = {name for parameter in command.params for name in parameter.opts}
        used = {word for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known, f"{page.name}: {text}"


def test_there_are_commands_to_run() -> None:
    assert len(_fenced(ROOT / "README.md")) >= 7
    assert sum(len(_fenced(page)) for page in PAGES) >= 15


@pytest.fixture(scope="module")
def inputs(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an input of every name that the documentation gives."""
    folder = tmp_path_factory.mktemp("inputs") / "work"
    simulate_data(folder, variants=1000, window=96, seed=0)
    (folder / "dataset.parquet").rename(folder / "data.parquet")
    for name in ("genome.fa", "variants.vcf", "labels.tsv"):
        _spread_over_the_genome(folder / name)
    write_base(folder / "genome.fa", 500, b"G")
    (folder / "genome.fa.fai").unlink()
    for name in ("REF.fa", "hg38.fa", "loci.fa"):
        shutil.copy(folder / "genome.fa", folder / name)
    for name in ("labelled.vcf.gz", "patient.vcf.gz", "IN.vcf.gz"):
        pysam.tabix_compress(str(folder / "variants.vcf"), str(folder / name))
    _write_published_tables(folder)
    for name in ("BUNDLE", "FULL", "SLIM"):
        shutil.copytree(examples / "my-bundle", folder / name)
    shutil.copy(folder / "data.parquet", folder / "DATA.parquet")
    save_model(drop_layers(load_model("shipped:nt"), range(3, 12)), folder / "pretrained")
    return folder


def _spread_over_the_genome(path: Path) -> None:
    """Name the simulated contigs chr3 to chr6 as those that the published splits are by."""
    text = path.read_text(encoding="utf-8")
    for old, new in (("chr6", "chr10"), ("chr5", "chr9"), ("chr4", "chr8"), ("chr3", "chr7")):
        text = re.sub(rf"\b{old}\b", new, text)
    path.write_text(text, encoding="utf-8")


def _write_published_tables(folder: Path) -> None:
    """Write the labels as the eQTL and the MPRA table have them."""
    with (folder / "labels.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    with (folder / "All_Tissues.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["CHROM", "POS", "REF", "ALT", "label", "split", "tissue"])
        for row in rows:
            split = "test" if row["split"] == "test" else "train"
            values = [row[name] for name in ("contig", "position", "reference", "alternate")]
            table.writerow([*values, row["label"], split, "Liver"])
    with gzip.open(folder / "labelled_snv.tsv.gz", "wt", newline="") as stream:
        table = csv.writer(stream, delimiter="\t")
        table.writerow(["locus", "offset0", "Ref", "Alt", "label", "split"])
        for row in rows:
            place = [row["contig"], int(row["position"]) - 1, row["reference"], row["alternate"]]
            table.writerow([*place, row["label"], row["split"].replace("validation", "val")])


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_all_python_runs(
    page: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one folder, in this order: what the commands have trained the Python finds done."""
    monkeypatch.chdir(shutil.copytree(inputs, tmp_path / "work"))
    for text in _fenced(page):
        _run(text)
    code = "\n".join(_python(page))
    for old, new in PYTHON_STANDS_IN.items():
        code = code.replace(old, new)
    if page.name not in OTHER_PYTHON:
        exec(compile(code, str(page), "exec"), {"__name__": page.stem})


def _run(text: str) -> None:
    words = [STANDS_IN.get(word, word) for word in shlex.split(text)[1:]]
    if words[0] in ELSEWHERE or "[" in text:  # a synopsis
        return
    given = gzip.decompress(Path("IN.vcf.gz").read_bytes()) if "-i -" in text else None
    verb = "bench plan" if words[:2] == ["bench", "plan"] else words[0]
    call = [*words, *shlex.split(BUDGETS.get(verb, ""))]
    done = CliRunner().invoke(main, call, input=given)
    assert done.exit_code in ((0, 3) if words[0] in GATED else (0,)), f"{call}\n{done.stderr}"


def test_the_whole_road_in_python_is_short() -> None:
    (code,) = _python(ROOT / "docs" / "python.md")
    assert len(code.splitlines()) < 40
