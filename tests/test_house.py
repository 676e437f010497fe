"""The house's own rules: floors, packages, what may be imported where, what README promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "errors": 0,
    "interrupts": 0,
    "files": 1,
    "logs": 1,
    "pages": 1,
    "tables": 1,
    "workers": 1,
    "codec": 2,
    "stats": 2,
    "models": 3,
    "data": 3,
    "bundle": 4,
    "prune": 5,
    "export": 5,
    "score": 5,
    "bench": 6,
    "demo": 7,
    "cli": 8,
    "__main__": 9,
}
TORCH_FREE = ("stats", "bundle", "score")
"""Rooms whose every module, with all that it imports, works in the base install and `cpu`."""

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
        assert FLOORS[other] < FLOORS[_room(path)], f"{path} imports {other}"


def test_contributing_tells_the_floors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.*?) \|", text, flags=re.MULTILINE)
    told = {
        name.removesuffix(".py").rstrip("/"): int(floor)
        for floor, names in rows
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert told == FLOORS


def test_the_package_list_is_the_tree() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    rooms = {
        path.parent.relative_to(ROOT).parts
        for room in FLOORS
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert sorted(listed) == sorted(["genoslim", *(".".join(("genoslim", *r)) for r in rooms)])


def _modules(room: str) -> list[str]:
    paths = sorted((ROOT / room).rglob("*.py")) or [ROOT / f"{room}.py"]
    return [_name(path) for path in paths]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("genoslim", *parts)).removesuffix(".__init__")


def test_torch_free_rooms_need_only_the_base_dependencies() -> None:
    modules = [
        "genoslim",
        "genoslim.cli",
        "genoslim.models",
        *(name for room in TORCH_FREE for name in _modules(room)),
    ]
    heavy = ["torch", "transformers", "sklearn", "pyarrow", "onnx", "onnxruntime", "vl_convert"]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_training_needs_numpy_and_torch_alone() -> None:
    """A machine with a GPU may have no more: `tools/benchmarks/gpu.py` runs there."""
    modules = [
        *("genoslim.prune.finetune", "genoslim.models.checkpoint", "genoslim.models.inference"),
        *("genoslim.stats.ranks", "genoslim.bench.latency", "genoslim.bundle.sessions"),
    ]
    missing = [
        *("msgspec", "tokenizers", "pysam", "loky", "platformdirs", "click", "rich"),
        *("safetensors", "transformers", "sklearn", "scipy", "pyarrow", "onnx", "onnxruntime"),
    ]
    code = (
        f"import importlib, sys\nsys.modules.update(dict.fromkeys({missing!r}))\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _imports(path: Path) -> set[str]:
    """Return our modules that one imports anywhere, but for its type checker alone."""
    package = _name(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    found: set[str] = set()
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            names = (f"{origin}.{alias.name}" for alias in node.names)
            found |= {name if name in MODULES else origin for name in names}
    return found


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a tree's nodes, without the bodies of `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _running(child)


MODULES = {_name(path): path for path in SOURCES}


def test_no_circle_of_imports_inside_a_room_or_between_rooms() -> None:
    graph = {name: _imports(path) - {name, "genoslim"} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_readme_holds_the_two_commands_and_ci_runs_the_second() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"<!-- (demo|test) -->\n```\n(.*?)\n```", readme, flags=re.DOTALL))
    assert "genoslim demo" in blocks["demo"]
    assert "pytest" in blocks["test"]
    assert "readme_command test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_command_line_keeps_its_types() -> None:
    tree = ast.parse((ROOT / "cli.py").read_text(encoding="utf-8"))
    assert "Any" not in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


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
