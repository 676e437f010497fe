"""The demo: the whole road on simulated variants and a shipped model, through the real commands."""

from __future__ import annotations

import csv
import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from .bench.decision import Decision
from .codec import decode
from .errors import GateError, GenoslimError, UsageError, install_hint, listed
from .files import read_json, refuse_foreign, write_json
from .tables import table

Run = Callable[[Sequence[str]], None]
Say = Callable[[str], None]

PACKAGES = (
    *("torch", "transformers", "safetensors", "sklearn", "scipy"),
    *("onnx", "onnx_ir", "onnxscript", "onnxruntime", "pyarrow", "matplotlib", "jinja2"),
)
"""What the steps import of the extras `cpu` and `train`: nothing is begun where one is missing."""

_MODELS = {"dnabert2": "shipped:dnabert2", "nt": "shipped:nt"}
MARGIN = 0.05
"""The AUROC the demo lets a slim model lose: with 400 test variants less cannot be told."""

_VERDICTS = {"": "baseline", "yes": "holds", "no": "not held"}
"""Of `bench.tsv`: whether a model is shown to be non-inferior at the margin."""

_SLIM = ("unfavourable_removed", "cornerstone_only", "smallest_noninferior")
_SEARCH = ("--trainings", "8", "--start", "baseline", "--strategy", "sleb", "--strategy", "first")
"""A search of under a minute: two strategies, from the baseline as it is."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What makes two demo folders the same: a folder made with other options is not continued."""

    family: str
    seed: int
    variants: int = 2000
    window: int = 96
    max_epochs: int = 4
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class DemoFolder:
    """Where the demo leaves what it makes."""

    root: Path

    @property
    def options(self) -> Path:
        """The options this folder was made with."""
        return self.root / "demo.json"

    @property
    def data(self) -> Path:
        """Simulated genome, variants, labels and data set."""
        return self.root / "data"

    @property
    def dataset(self) -> Path:
        """The labelled windows."""
        return self.data / "dataset.parquet"

    @property
    def run(self) -> Path:
        """The sweep's run folder."""
        return self.root / "run"

    @property
    def slim(self) -> Path:
        """The baseline and slim checkpoints."""
        return self.root / "slim"

    @property
    def bench(self) -> Path:
        """The benchmark's tables, picture and report."""
        return self.root / "bench"

    @property
    def result(self) -> Path:
        """What the benchmark found, for machines."""
        return self.bench / "bench.json"

    @property
    def scored(self) -> Path:
        """The scored VCF."""
        return self.root / "scored.vcf.gz"

    def bundle(self, name: str) -> Path:
        """Return the exported bundle of one checkpoint."""
        return self.root / "bundles" / name


def run_demo(folder: Path, options: DemoOptions, *, run: Run, say: Say) -> None:
    """Run every step in `folder` with `run`, which carries one genoslim command line out.

    A folder left by an interrupted demo with the same options is continued: finished trials are
    not trained again. Raises UsageError if `folder` holds anything else, and GenoslimError before
    the first step if a package is missing that a later one needs.
    """
    started = time.perf_counter()
    places = DemoFolder(folder)
    _require_packages()
    _claim(places, options)

    def step(*arguments: str) -> None:
        say(f"\n$ genoslim {shlex.join(arguments)}")
        run(arguments)

    _train(places, options, step)
    names = _export(places, step, say)
    decision = _bench(places, names, step)
    deployed = decision.deploy or "baseline"
    _score(places, deployed, step)
    _conclude(places, deployed, say)
    say(f"\nDone in {time.perf_counter() - started:.0f} s. Verdict: {decision.summary}.")


def _require_packages() -> None:
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise GenoslimError(f"the demo needs {listed(missing)}: {install_hint('cpu,train')}")


def _claim(places: DemoFolder, options: DemoOptions) -> None:
    refuse_foreign(places.root, "demo", marker=places.options.name)
    wanted = asdict(options)
    found = read_json(places.options)
    if found is not None and found != wanted:
        raise UsageError(
            f"{places.options}: this demo was made with {found}, now asked for {wanted};"
            " choose another folder with -o"
        )
    write_json(places.options, wanted)


def _train(places: DemoFolder, options: DemoOptions, step: Callable[..., None]) -> None:
    if not places.dataset.is_file():
        step(
            *("data", "simulate", "-o", str(places.data), "--variants", str(options.variants)),
            *("--window", str(options.window), "--seed", str(options.seed)),
        )
    step(
        *("sweep", "-m", _MODELS[options.family], "-d", str(places.dataset)),
        *("-o", str(places.run), "--max-epochs", str(options.max_epochs), "--layer-seeds", "1"),
        *("--learning-rate", str(options.learning_rate)),
    )
    step("prune", str(places.run), "-o", str(places.slim), "--margin", str(MARGIN), *_SEARCH)


def _export(places: DemoFolder, step: Callable[..., None], say: Say) -> list[str]:
    """Export the baseline and every slim model that learnt something; return their names."""
    made = []
    for name in ("baseline", *_SLIM):
        checkpoint, bundle = places.slim / name, places.bundle(name)
        if not (checkpoint / "config.json").is_file():
            continue
        try:
            step("export", str(checkpoint), "-d", str(places.dataset), "-o", str(bundle))
        except GateError as refusal:
            if name == "baseline":
                raise
            say(f"{refusal}\n{name} is left out.")
            continue
        made.append(name)
    return made


def _bench(places: DemoFolder, names: list[str], step: Callable[..., None]) -> Decision:
    """Benchmark the bundles; that no slim model is good enough is a result too."""
    try:
        step(
            *("bench", *(str(places.bundle(name)) for name in names), "-d", str(places.dataset)),
            *("-o", str(places.bench), "--quick", "--margin", str(MARGIN)),
        )
    except GateError as refusal:
        if not places.result.is_file() or _decision(places).summary != str(refusal):
            raise  # a bundle is damaged
    return _decision(places)


def _decision(places: DemoFolder) -> Decision:
    result = json.loads(places.result.read_text(encoding="utf-8"))
    return decode(Decision, result["decision"], str(places.result))


def _score(places: DemoFolder, deployed: str, step: Callable[..., None]) -> None:
    step(
        *("score", "-m", str(places.bundle(deployed)), "-f", str(places.data / "genome.fa")),
        *("-i", str(places.data / "variants.vcf"), "-o", str(places.scored)),
    )


def _conclude(places: DemoFolder, deployed: str, say: Say) -> None:
    say(f"\n{_table(places)}\n")
    for what, path in (
        ("sweep report", places.run / "report.html"),
        ("slim models", places.slim / "report.html"),
        ("bundle to deploy", places.bundle(deployed)),
        ("benchmark report", places.bench / "report.html"),
        ("latency against AUROC", places.bench / "latency_auroc.png"),
        ("scored variants", places.scored),
    ):
        say(f"  {what:<22} {path}")


def _table(places: DemoFolder) -> str:
    """Return what the models cost and what they are worth, one line each."""
    with (places.bench / "bench.tsv").open(encoding="utf-8", newline="") as stream:
        rows = [_row(model) for model in csv.DictReader(stream, delimiter="\t")]
    heads = ("model", "layers", "tuning", "speed-up", "AUROC", "verdict")
    return table(heads, rows)


def _row(model: dict[str, str]) -> tuple[str, ...]:
    auroc, low, high = (float(model[name]) for name in ("auroc", "auroc_low", "auroc_high"))
    return (
        model["model"],
        model["layers"],
        f"{float(model['fine_tune_seconds']):.1f} s",
        f"{float(model['speed_up']):.2f}x",
        f"{auroc:.3f} ({low:.3f} to {high:.3f})",
        _VERDICTS[model["noninferior"]],
    )
