"""The house's own rules: floors, packages, what may be imported where, what README promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "errors": -1,
    "files": 0,
    "models": 1,
    "stats": 1,
    "data": 2,
    "prune": 3,
    "export": 3,
    "score": 4,
    "bench": 5,
    "demo": 6,
    "cli": 6,
}
SOURCES = sorted(
    path
    for path in [*ROOT.glob("*.py"), *(p for room in FLOORS for p in (ROOT / room).rglob("*.py"))]
    if path.name != "__init__.py" or path.parent != ROOT
)


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> set[str]:
    depth = len(path.relative_to(ROOT).parts)
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module.split(".")[0]] if node.module else [a.name for a in node.names]
            rooms.update(name for name in names if name in FLOORS)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            assert not node.module.startswith("genoslim"), f"{path}: imports must be relative"
    return rooms - {_room(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_floors_below(path: Path) -> None:
    for other in _imported_rooms(path):
        below = FLOORS[other] < FLOORS[_room(path)]
        assert below or (_room(path), other) == ("cli", "demo"), f"{path} imports {other}"


def test_the_package_list_is_the_tree() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = {
        path.parent.relative_to(ROOT).parts
        for room in FLOORS
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert sorted(listed) == sorted(["genoslim", *(".".join(("genoslim", *r)) for r in rooms)])


def test_light_modules_need_only_the_base_dependencies() -> None:
    modules = [
        *(f"genoslim.stats.{p.stem}" for p in (ROOT / "stats").glob("[!_]*.py")),
        *(f"genoslim.score.{p.stem}" for p in (ROOT / "score").glob("[!_]*.py")),
        "genoslim.cli",
        "genoslim.data.genome",
        "genoslim.data.variant",
        "genoslim.data.vcf",
        "genoslim.export.bundle",
        "genoslim.export.runtime",
        "genoslim.models",
        "genoslim.models.tokenizer",
    ]
    heavy = ["torch", "transformers", "sklearn", "pyarrow", "onnx", "onnxruntime", "matplotlib"]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_readme_holds_the_two_commands_and_ci_runs_the_second() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"<!-- (demo|test) -->\n```\n(.*?)\n```", readme, flags=re.DOTALL))
    assert "genoslim demo" in blocks["demo"]
    assert "pytest" in blocks["test"]
    assert "readme_command test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_verb_has_help() -> None:
    verbs = ["demo", "data", "sweep", "estimate", "prune", "export", "bench", "score", "show"]
    from click.testing import CliRunner

    from genoslim.cli import main

    runner = CliRunner()
    assert set(verbs) <= set(main.commands)
    for verb in verbs:
        result = runner.invoke(main, [verb, "--help"])
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 3
