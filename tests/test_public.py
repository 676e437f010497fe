"""The public names: what `import genoslim` offers, and what their docstrings promise."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import genoslim

ROOT = Path(__file__).resolve().parents[1]
PLACES: dict[str, str] = genoslim._PLACES
VERBS = sorted(name for name in PLACES if inspect.isfunction(getattr(genoslim, name)))
CLASSES = sorted(name for name in PLACES if inspect.isclass(getattr(genoslim, name)))


def test_type_checkers_and_python_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    told = {
        alias.asname: f".{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
        if alias.name == alias.asname
    }
    assert told == PLACES
    assert sorted(genoslim.__all__) == sorted(["__version__", *PLACES])
    assert dir(genoslim) == sorted(genoslim.__all__)


def test_every_name_is_where_it_is_said_to_be_and_no_room() -> None:
    for name, place in PLACES.items():
        module = importlib.import_module(place, "genoslim")
        assert getattr(genoslim, name) is getattr(module, name)
        assert not (ROOT / name).exists()
    with pytest.raises(AttributeError, match="module 'genoslim' has no attribute 'nothing'"):
        genoslim.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_of_weight() -> None:
    code = "import sys; old = set(sys.modules); import genoslim; print(set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ast.literal_eval(done.stdout)}
    assert loaded <= {"genoslim"} | sys.stdlib_module_names


def _section(doc: str, head: str) -> str:
    """Return a section of a docstring in Google's style, without its head; "" if there is none."""
    found = re.search(rf"^{head}:\n((?:[ ]+.*\n?|\n)+)", doc, flags=re.MULTILINE)
    return found[1] if found else ""


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_says_what_it_takes_gives_and_raises(name: str) -> None:
    verb = getattr(genoslim, name)
    doc = inspect.getdoc(verb) or ""
    signature = inspect.signature(verb)
    arguments = re.findall(r"^ {4}\*{0,2}(\w+):", _section(doc, "Args"), flags=re.MULTILINE)
    assert arguments == list(signature.parameters)
    assert _section(doc, "Returns") or signature.return_annotation == "None"
    assert _section(doc, "Raises")
    assert ">>> " in _section(doc, "Example")
    named = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(named) <= 2, "all but one or two subjects are given by name"


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_and_its_methods_are_documented(name: str) -> None:
    kind = getattr(genoslim, name)
    assert len(kind.__doc__ or "") > 40
    for key, member in vars(kind).items():
        if not key.startswith("_") and (callable(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{name}.{key}"


def _examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {name: getattr(genoslim, name) for name in PLACES}
    return [
        test
        for name, value in found.items()
        for test in finder.find(value, name, module=sys.modules.get(value.__module__), globs={})
    ]


@pytest.mark.parametrize("example", _examples(), ids=lambda example: example.name)
def test_every_example_runs(
    example: doctest.DocTest, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shutil.copytree(examples, tmp_path / "work")
    monkeypatch.chdir(place)
    said: list[str] = []
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=options).run(example, out=said.append)
    assert not said, "".join(said)
