"""The demo: the whole road on simulated variants and a shipped model, through the real commands."""

from __future__ import annotations

import csv
import logging
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill, shorten, wrap
from typing import TYPE_CHECKING, Any

from .bench.decision import Decision
from .bundle.bundle import Bundle
from .codec import decode
from .errors import GateError, GenoslimError, UsageError, install_hint, listed
from .files import read_json, refuse_foreign, write_json
from .logs import logged
from .prune.prune_record import read_pruned
from .prune.verdicts import Judgement
from .stats.estimate import Estimate
from .tables import WIDTH, table

if TYPE_CHECKING:
    from .data.dataset import LabelledData

_log = logging.getLogger(__name__)

Run = Callable[[Sequence[str]], None]
Say = Callable[[str], None]

PACKAGES = (
    *("torch", "transformers", "safetensors", "sklearn", "scipy"),
    *("onnx", "onnx_ir", "onnxscript", "onnxruntime", "pyarrow", "vl_convert", "jinja2"),
)
"""What the steps import of the extras `cpu` and `train`: nothing is begun where one is missing."""

_MODELS = {"dnabert2": "shipped:dnabert2", "nt": "shipped:nt"}
MARGIN = "0.05"
"""The AUROC the demo lets a slim model lose: with 360 test variants less cannot be told."""

_VERDICTS = {"": "baseline", "yes": "holds", "no": "not held"}
"""Of `bench.tsv`: whether a model is shown to be non-inferior at the margin."""

_SLIM = ("unfavourable_removed", "cornerstone_only", "smallest_noninferior")
_KEPT = "\0"
"""Stands for a space within an argument, where a line is not folded."""
_THIRD = "smallest_noninferior: "
"""What a note of `prune` begins with that says why there is a third model, or none."""
_SEARCH = ("--trainings", "8", "--start", "baseline", "--strategy", "sleb", "--strategy", "first")
"""A search of under a minute: two strategies, from the baseline as it is."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What makes two demo folders the same: a folder made with other options is not continued."""

    family: str
    seed: int
    variants: int = 1800
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
    def log(self) -> Path:
        """What the steps say."""
        return self.root / "demo.log"

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
    def layers(self) -> Path:
        """The sweep's verdicts."""
        return self.run / "layers.json"

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

    What the steps say goes to `demo.log` there; `say` gets the story, in lines of 80 columns. A
    folder left by an interrupted demo with the same options is continued: finished trials are not
    trained again. Raises UsageError if `folder` holds anything else, and GenoslimError before the
    first step if a package is missing that a later one needs.
    """
    started = time.perf_counter()
    places = DemoFolder(folder)
    _require_packages()
    _claim(places, options)
    road = _Road(places, options, run, say)
    say(f"The whole road: {options.variants:,} simulated variants, {_MODELS[options.family]}.")
    say(f"What the commands say is in {places.log}.")
    try:
        road.walk()
    except KeyboardInterrupt:
        _log.warning("what is done is kept in %s: the same command goes on from there", folder)
        raise
    say(f"Done in {time.perf_counter() - started:.0f} s.")


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


class _Road:
    """The steps in their order, each by the command it shows, with what came of it."""

    def __init__(self, places: DemoFolder, options: DemoOptions, run: Run, say: Say) -> None:
        self.places = places
        self.options = options
        self._carry_out = run
        self._say = say

    def walk(self) -> None:
        """Take every step, and say in the end which model is deployed or what stopped it."""
        self._simulate()
        self._sweep()
        self._prune()
        names = self._export()
        decision = self._bench(names)
        self._score(decision.deploy or "baseline")
        self._conclude(decision)

    def _simulate(self) -> None:
        places, options = self.places, self.options
        self._begin("Windows of a simulated genome: variants that break a motif, and others")
        if not places.dataset.is_file():
            self._run(
                *("data", "simulate", "-o", str(places.data)),
                *("--variants", str(options.variants), "--window", str(options.window)),
                *("--seed", str(options.seed)),
            )
        counts = _dataset(places).split_counts
        self._found(", ".join(f"{count:,} {split}" for split, count in counts.items()))

    def _sweep(self) -> None:
        places, options = self.places, self.options
        self._begin("Sweep: fine-tune the model whole, over seeds, and without each layer")
        self._run(
            *("sweep", "-m", _MODELS[options.family], "-d", str(places.dataset)),
            *("-o", str(places.run), "--max-epochs", str(options.max_epochs)),
            *("--layer-seeds", "1", "--learning-rate", str(options.learning_rate)),
        )
        found = decode(Judgement, read_json(places.layers) or {}, str(places.layers))
        roles = Counter(verdict.role for verdict in found.verdicts)
        judged = ", ".join(f"{count} {role}" for role, count in roles.items())
        whole = f"validation AUROC of the whole model {found.baseline['auroc'].mean:.3f}"
        self._found(f"{whole}; layers: {found.unjudged or judged}")

    def _prune(self) -> None:
        places = self.places
        self._begin("Prune: search and train the slim models that the verdicts speak for")
        self._run("prune", str(places.run), "-o", str(places.slim), "--margin", MARGIN, *_SEARCH)
        found = read_pruned(places.slim)
        kept = {model.name: len(model.kept) for model in found.models}
        self._found(f"layers: {', '.join(f'{count} {name}' for name, count in kept.items())}")
        for note in found.notes:
            if note.startswith(_THIRD):
                self._found(note)

    def _export(self) -> list[str]:
        """Export the baseline and every slim model that learnt something; return their names."""
        self._begin("Export: a verified ONNX bundle of each")
        made = []
        for name in ("baseline", *_SLIM):
            if not (self.places.slim / name / "config.json").is_file():
                continue
            try:
                self._run(
                    *("export", str(self.places.slim / name), "-d", str(self.places.dataset)),
                    *("-o", str(self.places.bundle(name))),
                    shown=name == "baseline",
                )
            except GateError as refusal:
                if name == "baseline":
                    raise
                self._found(f"{name} is left out: {refusal}")
                continue
            made.append(name)
        self._found(f"{len(made)} bundles, each with the logits of its checkpoint")
        return made

    def _bench(self, names: Sequence[str]) -> Decision:
        """Benchmark the bundles; that no slim model is good enough is a result too."""
        places = self.places
        self._begin("Bench: speed, AUROC on test, and the decision")
        try:
            self._run(
                *("bench", *(str(places.bundle(name)) for name in names)),
                *("-d", str(places.dataset), "-o", str(places.bench)),
                *("--quick", "--seconds", "1", "--margin", MARGIN, "--floors", "kmer"),
            )
        except GateError as refusal:
            if not places.result.is_file() or _decision(places).summary != str(refusal):
                raise  # a bundle is damaged
        return _decision(places)

    def _score(self, deployed: str) -> None:
        places = self.places
        self._begin("Score: every variant of a VCF")
        self._run(
            *("score", "-m", str(places.bundle(deployed)), "-f", str(places.data / "genome.fa")),
            *("-i", str(places.data / "variants.vcf"), "-o", str(places.scored)),
        )

    def _begin(self, what: str) -> None:
        """Say what a step is for."""
        self._say(f"\n{what}")

    def _run(self, *arguments: str, shown: bool = True) -> None:
        """Carry a command out, its words going to the log."""
        if shown:
            self._say(_folded(arguments))
        with logged(self.places.log):
            sys.stdout.write(f"\n$ genoslim {shlex.join(arguments)}\n")
            self._carry_out(arguments)

    def _found(self, text: str) -> None:
        """Say in two lines at most what came of a step; the log has all of it."""
        short = shorten(f"-> {text}", 2 * WIDTH - 10, placeholder=" ...")
        self._say(fill(short, WIDTH, subsequent_indent="   "))

    def _conclude(self, decision: Decision) -> None:
        """Say what every model and every floor is worth, and what is deployed."""
        places, counts = self.places, _dataset(self.places).split_counts
        models, floors = list(_models(places)), list(_floors(places))
        self._say(f"\n{_table([*models, *floors])}")
        for line in (
            f"AUROC on {counts['validation']} validation and {counts['test']} test windows, on test"
            " with its 95 % interval.",
            _against_floors(models, floors),
            _deployed(models, decision),
        ):
            self._say(fill(line, WIDTH, subsequent_indent="  "))
        for what, path in (
            ("slim models", places.slim / "report.html"),
            ("benchmark", places.bench / "report.html"),
            ("latency, AUROC", places.bench / "latency_auroc.png"),
            ("scored variants", places.scored),
        ):
            self._say(f"  {what:<16} {path}")


def _dataset(places: DemoFolder) -> LabelledData:
    from .data.dataset import read_data

    return read_data(places.dataset)


def _result(places: DemoFolder) -> dict[str, Any]:
    """Return what the benchmark wrote for machines."""
    return read_json(places.result) or {}


def _decision(places: DemoFolder) -> Decision:
    return decode(Decision, _result(places)["decision"], str(places.result))


def _folded(arguments: Sequence[str]) -> str:
    """Return a command in lines of 80 columns, as a shell takes it: folded between arguments."""
    whole = " ".join(shlex.quote(word).replace(" ", _KEPT) for word in arguments)
    lines = wrap(
        f"$ genoslim {whole}",
        WIDTH - 2,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return " \\\n".join(lines).replace(_KEPT, " ")


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """One line of the table: a model, or a floor, which has no layers and no speed."""

    name: str
    validation: float
    test: Estimate
    layers: str = ""
    speed_up: float | None = None
    lower_bound: float | None = None
    beats_floor: bool = False
    verdict: str = "floor"

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the table."""
        return (
            self.name,
            self.layers,
            "" if self.speed_up is None else f"{self.speed_up:.2f}x",
            f"{self.validation:.3f}",
            f"{self.test.value:.3f} ({self.test.low:.2f}-{self.test.high:.2f})",
            self.verdict,
        )


def _table(lines: Sequence[_Standing]) -> str:
    """Return what models cost and what they and the floors are worth, one line each."""
    heads = ("model", "layers", "speed-up", "validation", "test", "verdict")
    return table(heads, [line.cells for line in lines])


def _models(places: DemoFolder) -> Iterator[_Standing]:
    with (places.bench / "bench.tsv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            manifest = Bundle.open(places.bundle(row["model"])).manifest
            yield _Standing(
                name=row["model"],
                layers=row["layers"],
                speed_up=float(row["speed_up"]),
                validation=manifest.metrics["validation"].auroc,
                test=Estimate(
                    value=float(row["auroc"]),
                    low=float(row["auroc_low"]),
                    high=float(row["auroc_high"]),
                ),
                beats_floor=row["better_than_floor"] == "yes",
                lower_bound=float(row["lower_bound"]) if row["lower_bound"] else None,
                verdict=_VERDICTS[row["noninferior"]],
            )


def _floors(places: DemoFolder) -> Iterator[_Standing]:
    """Yield what the benchmark's simple models of the sequence reach on the same rows."""
    from .bench.floors import Floors

    found = decode(Floors, _result(places)["floors"], str(places.result))
    for floor in found.floors:
        yield _Standing(
            name=floor.name.removesuffix(", logistic regression"),
            validation=floor.validation,
            test=floor.test,
        )


def _against_floors(models: Sequence[_Standing], floors: Sequence[_Standing]) -> str:
    """Say which models are shown to beat the best floor on validation, and which are not."""
    if not floors:
        return "NO FLOOR COULD BE MEASURED: the models are held against none."
    best = f"the best floor on validation, {floors[0].name}"
    unshown = [model.name for model in models if not model.beats_floor]
    if not unshown:
        return f"All models are shown to beat {best}."
    return f"NOT SHOWN to beat {best}: {', '.join(unshown)}."


def _deployed(models: Sequence[_Standing], decision: Decision) -> str:
    """Say which slim model is deployed, or what stopped it."""
    baseline, *slim = models
    chosen = next((model for model in slim if model.name == decision.deploy), None)
    if chosen is not None:
        return (
            f"DEPLOYED: {chosen.name}, {chosen.layers} of {baseline.layers} layers,"
            f" {chosen.speed_up:.2f}x the speed, AUROC"
            f" {chosen.test.value:.3f} against {baseline.test.value:.3f}."
        )
    if not slim:
        return "NO SLIM MODEL IS DEPLOYED: none that was built learnt enough to be exported."
    nearest = max(slim, key=_lower_bound)
    why = decision.reasons[nearest.name].removeprefix("not chosen: ")
    return f"NO SLIM MODEL IS DEPLOYED: {nearest.name} came nearest, but {why}."


def _lower_bound(model: _Standing) -> float:
    return -1.0 if model.lower_bound is None else model.lower_bound
