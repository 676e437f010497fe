"""The command line: one command a verb, each parses, calls one function and prints."""

from __future__ import annotations

import json
import logging
import os
import select
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TypeVar, Unpack

import click

from . import __version__
from .errors import GateError, GenoslimError, in_a_line, needs_extra
from .files import refuse_overwriting
from .interrupts import exit_code, interrupts_raise, last_word

if TYPE_CHECKING:
    from .bench.rule import RuleOptions
    from .bundle.manifest import Precision, Target
    from .bundle.sessions import Backend, Device
    from .data.dataset import LabelledData
    from .models.precision import Precision as Computed
    from .prune.importance import Method
    from .prune.recipe import RecipeOptions
    from .prune.search import StrategyName
    from .prune.trainings import Start
    from .score.vcf import CheckRef, NonSnv

_log = logging.getLogger(__name__)

_Command = TypeVar("_Command", bound=Callable[..., object])

_PATH = click.Path(path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_OLD_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_OLD_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Group(click.Group):
    """A command group that turns interrupts and our errors into one line and their exit code."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take two words for one command where there is one of that name: `bench plan`."""
        if (name := " ".join(args[:2])) in self.commands and " " in name:
            return name, self.commands[name], args[2:]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with interrupts_raise():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            _end(last_word(error), exit_code(error))
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            if _reader_left(error):
                _end_quietly()
            _end(_line(error), error.exit_code if isinstance(error, GenoslimError) else 1)


def _line(error: Exception) -> str:
    """Return what the user is told of an error."""
    match error:
        case ModuleNotFoundError():
            return str(needs_extra("this command", str(error.name), "train"))
        case GenoslimError() | OSError():
            return in_a_line(error)
    return (
        f"internal error: {type(error).__name__}: {error}"
        " (run again with `genoslim --debug ...` for the traceback)"
    )


def _end(message: str, code: int) -> NoReturn:
    click.echo(f"genoslim: {message}", err=True)
    sys.exit(code)


def _reader_left(error: BaseException) -> bool:
    """Whether the cause of an error is that the reader of stdout has gone, as `head` does."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, BrokenPipeError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return False
    stdout = select.poll()
    stdout.register(1, 0)
    return any(event & select.POLLERR for _, event in stdout.poll(0))


def _end_quietly() -> NoReturn:
    """End without a word, also where the interpreter flushes what is left for stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genoslim")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """Depth-prune genomic language models, export them verified, benchmark them, score VCFs."""
    _log_to_stderr()


def _log_to_stderr() -> None:
    """Show our own log lines, from INFO on, on stderr."""
    logger = logging.getLogger(__package__)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def _model_option(required: bool) -> Callable[[_Command], _Command]:
    about = "Folder, hub id or shipped:NAME."
    return click.option("-m", "--model", metavar="MODEL", required=required, help=about)


def _data_option(about: str, *, required: bool = True) -> Callable[[_Command], _Command]:
    return click.option(
        "-d", "--data", metavar="DATA", required=required, type=_OLD_FILE, help=about
    )


def _output_option(
    metavar: str, kind: click.Path, about: str, name: str = "output"
) -> Callable[[_Command], _Command]:
    return click.option(
        "-o", "--output", name, metavar=metavar, required=True, type=kind, help=about
    )


def _seed_option(about: str | None = None) -> Callable[[_Command], _Command]:
    kind = click.IntRange(min=0)
    return click.option("--seed", type=kind, default=0, show_default=True, help=about)


_any_device = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N."
)


def _runtime_options(command: _Command) -> _Command:
    """Add the options that say what a bundle runs on."""
    for option in (
        click.option("--threads", type=click.IntRange(min=1), help="Of the model.  [default: all]"),
        click.option(
            "--backend",
            type=click.Choice(["auto", "onnxruntime", "openvino"]),
            default="auto",
            show_default=True,
            help="What runs a bundle; auto: the faster of the two, measured once a machine.",
        ),
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="Where to compute; auto: CUDA if it loads, else the CPU.",
        ),
    ):
        command = option(command)
    return command


def _seeds_by_model(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str | Path, list[str]]:
    """Return the further seeds by model, given as MODEL=PATH."""
    found: dict[str | Path, list[str]] = {}
    for text in given:
        model, equals, path = text.partition("=")
        if not (model and equals and path):
            raise click.BadParameter(f"{text!r}; expected MODEL=PATH")
        found.setdefault(model, []).append(path)
    return found


def _rule_options(command: _Command) -> _Command:
    """Add the options that say what a model must fulfil to be deployed."""
    for option in (
        click.option(
            "--seed-of",
            "seeds",
            multiple=True,
            metavar="MODEL=PATH",
            callback=_seeds_by_model,
            help="Another fine-tuned seed of a model; repeat it. The mean over seeds decides.",
        ),
        click.option(
            "--subgroup-limit",
            type=float,
            help="AUROC that a model may lose in any subgroup.  [default: 0.05]",
        ),
        click.option(
            "--baseline-column",
            metavar="NAME",
            help="A column of numbers in the data that is a floor too: distance_to_tss, ...",
        ),
        click.option(
            "--floors",
            type=click.Choice(["auto", "all", "kmer", "none"]),
            help="Simple models to be beaten; auto: without embeddings that take long."
            "  [default: auto]",
        ),
        click.option(
            "--min-sensitivity",
            type=float,
            metavar="S",
            help="Sensitivity to be shown on test, at the model's own threshold.",
        ),
        click.option(
            "--max-memory", "max_memory_mb", type=float, metavar="MB", help="Limit on peak memory."
        ),
        click.option("--max-p95-ms", type=float, metavar="X", help="Limit on the p95 of latency."),
        click.option(
            "--correction",
            type=click.Choice(["holm", "sequence"]),
            help="For many models; sequence: from the slowest on, until one does not pass."
            "  [default: holm]",
        ),
        click.option(
            "--margin",
            type=float,
            help="How much AUROC may be lost; fix it before you look.  [default: 0.01]",
        ),
    ):
        command = option(command)
    return command


def _executor_options(command: _Command) -> _Command:
    """Add the options that say where trials run."""
    for option in (
        _any_device,
        click.option("--threads", type=click.IntRange(min=1), help="Threads a worker (CPU)."),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Trials side by side.  [default: one a GPU; on a CPU one a core for small models]",
        ),
        click.option(
            "--executor",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Processes of this machine, or actors of a Ray cluster.",
        ),
    ):
        command = option(command)
    return command


def _recipe_options(command: _Command) -> _Command:
    """Add the options of fine-tuning; what is not given stays at the recipe's default."""
    for option in (
        click.option(
            "--lora-targets",
            metavar="NAMES",
            help="Linear layers it is for.  [default: query,key,value,Wqkv,dense]",
        ),
        click.option("--lora-alpha", type=int, help="Its scale, times rank.  [default: 16]"),
        click.option("--lora-rank", type=int, help="Its rank.  [default: 8]"),
        click.option(
            "--lora",
            is_flag=True,
            default=None,
            help="Train low-rank adapters and the head only; raise --learning-rate.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "fp32", "tf32", "bf16", "fp16"]),
            help="auto: fp32 on a CPU; bf16, else fp16, on a GPU.  [default: auto]",
        ),
        click.option("--clip", type=float, help="Largest norm of the gradient.  [default: 1]"),
        click.option("--warmup-steps", type=int, help="Steps of rising rate.  [default: 50]"),
        click.option("--weight-decay", type=float, help="Of AdamW.  [default: 0.01]"),
        click.option("--learning-rate", type=float, help="The highest.  [default: 3e-05]"),
        click.option("--batch-size", type=int, help="Windows a step.  [default: 32]"),
        click.option(
            "--evaluate-every", type=int, help="Steps between evaluations.  [default: an epoch]"
        ),
        click.option(
            "--max-epochs", type=int, help="The most epochs, best weights kept.  [default: 10]"
        ),
        click.option(
            "--patience",
            type=int,
            help="Evaluations without a lower loss.  [default: 3]",
        ),
        click.option("--epochs", type=int, help="A fixed number instead: keeps the LAST weights."),
    ):
        command = option(command)
    return command


@main.command(short_help="Fine-tune whole and without each layer.")
@_model_option(required=False)
@_data_option("Labelled windows (Parquet).", required=False)
@_output_option("RUN", _FOLDER, "The run folder; a sweep there goes on.", "out")
@click.option("--seeds", type=int, help="Seeds of the baseline.  [default: 3]")
@click.option("--layer-seeds", type=int, help="Seeds of each layer's trial.  [default: 2]")
@click.option("--seed", type=int, help="The first seed.  [default: 0]")
@click.option(
    "--adaptive/--exhaustive",
    default=None,
    help="Further seeds for undecided layers only, or for all.  [default: all]",
)
@_recipe_options
@_executor_options
@click.option("--trial", metavar="HASH", help="Run this one trial: for a cluster's job arrays.")
@click.option("--dry-run", is_flag=True, help="List the trials: hash, layers, seed, state.")
def sweep(
    model: str | None,
    data: Path | None,
    out: Path,
    seeds: int | None,
    layer_seeds: int | None,
    seed: int | None,
    adaptive: bool | None,
    executor: Literal["local", "ray"],
    workers: int | None,
    threads: int | None,
    device: str,
    trial: str | None,
    dry_run: bool,
    **recipe: Unpack[RecipeOptions],
) -> None:
    """Fine-tune the model whole and without each layer; go on where an earlier call stopped.

    Without -m and -d the sweep in RUN goes on as it was begun. docs/method.md tells the protocol.
    """
    from .prune.console import judgement_text, plan_text
    from .prune.execution import Executor
    from .prune.plan import requested_sweep
    from .prune.progress import progress_bar
    from .prune.verbs import plan_sweep, run_sweep, run_trial

    config = requested_sweep(
        out,
        model=model,
        data=data,
        seed=seed,
        seeds=seeds,
        layer_seeds=layer_seeds,
        adaptive=adaptive,
        recipe=recipe,
    )
    if dry_run:
        click.echo(plan_text(plan_sweep(config, out)))
        return
    where = Executor(kind=executor, workers=workers, threads=threads, device=device)
    if trial is not None:
        run_trial(config, out, trial, executor=where)
        return
    with progress_bar() as progress:
        result = run_sweep(
            config.model,
            config.data,
            output=out,
            recipe=config.recipe,
            seed=config.seed,
            seeds=config.seeds,
            layer_seeds=config.layer_seeds,
            adaptive=config.adaptive,
            executor=where,
            progress=progress,
        )
    click.echo(judgement_text(result.judgement))
    _log.info("report: %s", result.report)


@main.command(short_help="Estimate cheaply which layers matter.")
@_model_option(required=True)
@_data_option("Labelled windows (Parquet); validation rows are used.")
@_output_option("FILE", _FILE, "Where scores and rankings are written (JSON).", "out")
@click.option("--run", metavar="RUN", type=_OLD_FOLDER, help="A finished sweep to compare with.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="block_influence, angular, cka, frozen, sleb, window_shapley, taylor, fisher, random,"
    " last, alternate; may be repeated.  [default: all]",
)
@click.option(
    "--rows", type=click.IntRange(min=2), default=256, show_default=True, help="Rows to look at."
)
@_seed_option("Of the rows looked at, and of what is random.")
@_any_device
def estimate(
    model: str,
    data: Path,
    out: Path,
    run: Path | None,
    methods: tuple[Method, ...],
    rows: int,
    seed: int,
    device: str,
) -> None:
    """Estimate cheaply which layers matter, and how that agrees with a sweep."""
    from .prune.console import estimates_text
    from .prune.estimates import estimate_layers

    refuse_overwriting(out, [data])
    found = estimate_layers(
        model, data, run=run, methods=methods or None, rows=rows, seed=seed, device=device
    )
    found.write(out)
    click.echo(estimates_text(found))


@main.command(short_help="Judge the layers, build slim models.")
@click.argument("run", type=_OLD_FOLDER)
@_output_option("DIR", _FOLDER, "The folder for the slim models and their report.", "out")
@_data_option("The run's data, if the file has moved.", required=False)
@click.option("--rule", type=click.Choice(["paper", "tested"]), default="paper", show_default=True)
@click.option(
    "--split",
    type=click.Choice(["validation", "test"]),
    default="validation",
    show_default=True,
    help="The split that selects layers; test is optimistic.",
)
@click.option("--drop", default=0.05, show_default=True, help="The loss that makes a cornerstone.")
@click.option(
    "--relative/--absolute",
    default=True,
    show_default=True,
    help="Whether the loss is a share of the baseline or points.",
)
@click.option(
    "--sample-sd/--population-sd", default=True, show_default=True, help="The sd over seeds."
)
@click.option("--margin", default=0.01, show_default=True, help="AUROC lost at most if equivalent.")
@click.option("--alpha", default=0.05, show_default=True, help="Family-wise error of the tests.")
@click.option("--f1", type=click.Choice(["binary", "macro"]), default="binary", show_default=True)
@click.option(
    "--threshold",
    type=click.Choice(["fixed", "youden"]),
    default="fixed",
    show_default=True,
    help="Calls at 0.5, or at Youden's point of each trial's validation predictions.",
)
@click.option(
    "--trainings",
    type=click.IntRange(min=0),
    help="Trainings that the search for slim models may take; 0: none.  [default: 2 a layer]",
)
@click.option("--minutes", type=click.FloatRange(min=0), help="Training time it may take.")
@click.option(
    "--start",
    type=click.Choice(["auto", "supernet", "baseline"]),
    default="auto",
    show_default=True,
    help="What healed models start from: the best baseline as it is or trained on as a supernet;"
    " auto: whichever is better on validation.",
)
@click.option(
    "--subgroup-limit",
    default=0.05,
    show_default=True,
    help="AUROC that the smallest model may lose in any subgroup.",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME",
    help="sleb, beam, runs, supernet, greedy, verdicts, first, last, alternate, random; may be"
    " repeated.  [default: those that docs/method.md names]",
)
@_executor_options
def prune(
    run: Path,
    out: Path,
    data: Path | None,
    rule: Literal["paper", "tested"],
    split: Literal["validation", "test"],
    drop: float,
    relative: bool,
    sample_sd: bool,
    margin: float,
    alpha: float,
    f1: Literal["binary", "macro"],
    threshold: Literal["fixed", "youden"],
    trainings: int | None,
    minutes: float | None,
    subgroup_limit: float,
    strategies: tuple[StrategyName, ...],
    start: Start,
    executor: Literal["local", "ray"],
    workers: int | None,
    threads: int | None,
    device: str,
) -> None:
    """Judge the layers of a RUN; search, fine-tune and save slim models."""
    from .prune.console import judgement_text, models_text
    from .prune.execution import Executor
    from .prune.frontier_table import frontier_text
    from .prune.measure import Measuring
    from .prune.progress import progress_bar
    from .prune.search import SearchOptions
    from .prune.verbs import prune_layers
    from .prune.verdicts import Rules

    rules = Rules(
        rule=rule,
        split=split,
        drop=drop,
        relative=relative,
        sample_sd=sample_sd,
        margin=margin,
        alpha=alpha,
        measuring=Measuring(f1=f1, threshold=threshold),
    )
    where = Executor(kind=executor, workers=workers, threads=threads, device=device)
    with progress_bar() as progress:
        pruned = prune_layers(
            run,
            output=out,
            rules=rules,
            search=SearchOptions(
                trainings=trainings,
                minutes=minutes,
                strategies=strategies,
                start=start,
                subgroup_limit=subgroup_limit,
            ),
            executor=where,
            data=data,
            progress=progress,
        )
    click.echo(judgement_text(pruned.judgement))
    if pruned.frontier is not None:
        click.echo(f"\n{frontier_text(pruned.frontier)}")
    click.echo(f"\n{models_text(pruned.models)}")
    for note in pruned.notes:
        _log.warning("note: %s", note)
    _log.info("report: %s", pruned.report)


@main.command(short_help="Make a verified ONNX bundle.")
@click.argument("checkpoint", type=_PATH)
@_data_option("The labelled windows it was trained on: validation calibrates, test measures.")
@_output_option("BUNDLE", _PATH, "The folder to write; an older bundle is replaced.", "bundle")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp32 is exact; fp16, for CUDA, and int8, for CPU, are judged against it.",
)
@click.option(
    "--for",
    "target",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What the graph is shaped for; it runs on the other too.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="How much AUROC fp16 or int8 may lose.",
)
@click.option(
    "--opset",
    type=click.IntRange(18, 22),
    default=20,
    show_default=True,
    help="Of ONNX; 20 runs everywhere.",
)
@click.option("--threads", type=click.IntRange(min=1), help="For evaluating.  [default: all]")
@click.option(
    "--allow-chance",
    is_flag=True,
    help="Also export a model that is not shown to beat chance; its card says so.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all that is known, as JSON.")
def export(
    checkpoint: Path,
    data: Path,
    bundle: Path,
    precision: Precision,
    target: Target,
    margin: float,
    opset: int,
    threads: int | None,
    allow_chance: bool,
    as_json: bool,
) -> None:
    """Export a fine-tuned CHECKPOINT to a verified ONNX bundle.

    The graph is compared with torch on real windows, and that of a lossy precision with the fp32
    graph; if they differ by more than they may, or the AUROC's interval on validation or test
    reaches 0.5, nothing is written and the exit code is 3. docs/bundle.md describes the bundle and
    the limits.
    """
    from .export.console import summary_text
    from .export.exporter import export_bundle

    summary = export_bundle(
        checkpoint,
        bundle,
        data=data,
        precision=precision,
        target=target,
        margin=margin,
        opset=opset,
        threads=threads,
        allow_chance=allow_chance,
        progress=lambda stage: click.echo(f"export: {stage}", err=True),
    )
    if as_json:
        click.echo(json.dumps(summary.to_dict(), indent=2, sort_keys=True))
    else:
        click.echo(summary_text(summary))


@main.command("tune-int8", short_help="Fine-tune with int8 rounding in the loop.")
@click.argument("checkpoint", metavar="CHECKPOINT", type=_PATH)
@_data_option("The labelled windows that CHECKPOINT was trained on.")
@_output_option("CHECKPOINT", _PATH, "The checkpoint to write, for an int8 export.")
@click.option("--epochs", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--learning-rate", type=float, default=1e-4, show_default=True, help="The highest.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Windows a step.",
)
@_seed_option("Of the order of the rows and of dropout.")
@_any_device
@click.option("--threads", type=click.IntRange(min=1), help="Of the CPU.  [default: torch's]")
def tune_int8_command(
    checkpoint: Path,
    data: Path,
    output: Path,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
    device: str,
    threads: int | None,
) -> None:
    """Fine-tune a CHECKPOINT further, so that `export --precision int8` costs it less.

    The network computes what its int8 graph will; the gradient passes straight through the
    rounding. If that is not better on validation than rounding the weights as they are, nothing is
    written and the exit code is 3.
    """
    from .prune.int8 import tune_int8, tuned_text

    found = tune_int8(
        checkpoint,
        data,
        output=output,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        seed=seed,
        device=device,
        threads=threads,
    )
    click.echo(tuned_text(found))


@main.command(short_help="Score the variants of a VCF.")
@click.option(
    "-m",
    "--model",
    "bundle",
    required=True,
    metavar="BUNDLE",
    type=_PATH,
    help="The bundle to score with.",
)
@click.option(
    "-f",
    "--fasta",
    required=True,
    metavar="FASTA",
    type=_OLD_FILE,
    help="The reference genome of the VCF, plain or bgzip-compressed.",
)
@click.option(
    "-i",
    "--input",
    "input_",
    required=True,
    metavar="VCF",
    help="The VCF to score, plain or gzip-compressed; - is stdin.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="OUT.vcf, OUT.vcf.gz (bgzip, with an index), OUT.tsv, OUT.parquet; - is VCF on stdout.",
)
@click.option(
    "--check-ref",
    type=click.Choice(["exit", "warn", "skip"]),
    default="exit",
    show_default=True,
    help="If REF often differs from the FASTA: end with an error, or warn. skip: do not compare.",
)
@click.option(
    "--non-snv",
    type=click.Choice(["leave", "score"]),
    default="leave",
    show_default=True,
    help="What to do with insertions, deletions and substitutions of several bases.",
)
@click.option(
    "--assembly", metavar="NAME", help="The assembly of the VCF, whatever its header says."
)
@click.option(
    "--summary",
    metavar="FILE.json",
    type=_FILE,
    help="Write the closing tally here too.",
)
@_runtime_options
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    help="Tokens in a batch, at most.  [default: 1024 on a CPU, 16384 on a GPU]",
)
@click.option(
    "--tf32", is_flag=True, help="On CUDA, products of float32 in TF32: faster, less exact."
)
def score(
    bundle: Path,
    fasta: Path,
    input_: str,
    output: str,
    check_ref: CheckRef,
    non_snv: NonSnv,
    assembly: str | None,
    summary: Path | None,
    device: Device,
    backend: Backend,
    threads: int | None,
    batch_tokens: int | None,
    tf32: bool,
) -> None:
    """Score every record of a VCF: GS_P and GS_STATUS in INFO, or a table.

    Every record comes out, in order, unchanged but for INFO. docs/scoring.md lists the statuses.
    """
    from .score.console import account, progress_on
    from .score.vcf import score_vcf

    with progress_on(sys.stderr) as progress:
        tally = score_vcf(
            bundle,
            input_,
            fasta=fasta,
            output=output,
            check_ref=check_ref,
            non_snv=non_snv,
            assembly=assembly,
            summary=summary,
            device=device,
            backend=backend,
            threads=threads,
            batch_tokens=batch_tokens,
            tf32=tf32,
            command=shlex.join(["genoslim", *sys.argv[1:]]),
            progress=progress,
        )
    click.echo(account(tally), err=True)


_precision_option = click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16", "fp16"]),
    help="Of checkpoints; tf32 of float32 bundles too.  [default: fp32]",
)
_baseline_option = click.option(
    "--baseline", metavar="PATH", type=_PATH, help="What to compare with.  [default: first named]"
)


@main.command(short_help="Measure speed and AUROC, decide.")
@click.argument("models", nargs=-1, metavar="BUNDLE|CHECKPOINT...", type=_PATH)
@_data_option("Labelled windows (Parquet); the test split gives the quality.")
@_output_option("DIR", _PATH, "The folder of results; a former benchmark is replaced.")
@_baseline_option
@click.option(
    "--plan",
    metavar="FILE",
    type=_OLD_FILE,
    help="Decide by what `bench plan` sealed; it names the models.",
)
@click.option(
    "--exploratory",
    is_flag=True,
    help="Decide by a rule made after test figures were seen, and say so.",
)
@_rule_options
@_runtime_options
@_precision_option
@click.option("--seconds", type=float, help="Time for the timings of a model.  [default: 20]")
@click.option("--quick", is_flag=True, help="Fewer rounds and 3 seconds a model: a first look.")
@click.option("--prevalence", type=float, metavar="P", help="Share of positives, for PPV and NPV.")
@click.option("--price-per-hour", type=float, metavar="X", help="Of this machine, for the cost.")
@click.option("--currency", metavar="NAME", help="Of that price.")
def bench(
    models: tuple[Path, ...],
    data: Path,
    output: Path,
    baseline: Path | None,
    plan: Path | None,
    exploratory: bool,
    device: Device,
    backend: Backend,
    threads: int | None,
    precision: Computed | None,
    seconds: float | None,
    quick: bool,
    prevalence: float | None,
    price_per_hour: float | None,
    currency: str | None,
    seeds: dict[str | Path, list[str]],
    **rule: Unpack[RuleOptions],
) -> None:
    """Measure speed, memory and AUROC of models, and say which one to deploy.

    A CHECKPOINT runs on torch, a BUNDLE on ONNX Runtime or OpenVINO. The rule is sealed before the
    test split is opened: by `genoslim bench plan`, or here. Exit code 3 says that no model but the
    baseline may be deployed by the rule (the results are written all the same), or that the rule
    was made after test figures of these models were seen.
    """
    from .bench.benchmark import benchmark
    from .bench.cost_table import cost_table
    from .bench.table import floor_text, standing_text, summary_table, verdict_text

    result = benchmark(
        models,
        data,
        output=output,
        baseline=baseline,
        plan=plan,
        exploratory=exploratory,
        device=device,
        backend=backend,
        threads=threads,
        precision=precision,
        seconds=seconds,
        quick=quick,
        prevalence=prevalence,
        price_per_hour=price_per_hour,
        currency=currency,
        progress=lambda step: click.echo(f"bench: {step}", err=True),
        seeds=seeds,
        **rule,
    )
    click.echo(f"{summary_table(result)}\n\n{cost_table(result)}")
    for text in (verdict_text(result), floor_text(result)):
        if text:
            click.echo(text)
    click.echo(standing_text(result))
    click.echo(f"{result.decision.summary}; see {output / 'report.html'}")
    if not result.decision.passed:
        raise GateError(result.decision.summary)


@main.command("bench plan", short_help="Seal what a benchmark will decide by.")
@click.argument("models", nargs=-1, required=True, metavar="BUNDLE|CHECKPOINT...", type=_PATH)
@_data_option("Labelled windows (Parquet); only validation is scored.")
@_output_option("FILE", _FILE, "The plan to write (JSON); one that is there is not replaced.")
@_baseline_option
@_rule_options
@_runtime_options
@_precision_option
@click.option("--seconds", type=float, help="Time for the timings of a model.  [default: 3]")
def bench_plan(
    models: tuple[Path, ...],
    data: Path,
    output: Path,
    baseline: Path | None,
    device: Device,
    backend: Backend,
    threads: int | None,
    precision: Computed | None,
    seconds: float | None,
    seeds: dict[str | Path, list[str]],
    **rule: Unpack[RuleOptions],
) -> None:
    """Seal candidates, margin, limits and unit in a file before the test split is opened.

    Models are timed and scored on validation alone. `genoslim bench --plan FILE` follows the plan.
    """
    from .bench.planning import plan_benchmark
    from .bench.table import plan_text

    plan = plan_benchmark(
        models,
        data,
        output=output,
        baseline=baseline,
        device=device,
        backend=backend,
        threads=threads,
        precision=precision,
        seconds=seconds,
        progress=lambda step: click.echo(f"bench plan: {step}", err=True),
        seeds=seeds,
        **rule,
    )
    click.echo(plan_text(plan))


@main.command(short_help="Say what a folder holds, and if it is whole.")
@click.argument("folder", metavar="RUN|CHECKPOINT|BUNDLE", type=_PATH)
def show(folder: Path) -> None:
    """Say what a folder holds and whether it is intact (exit code 3 if not)."""
    if not folder.is_dir():
        raise GenoslimError(f"{folder}: no such folder; expected a run, a checkpoint or a bundle")
    if (folder / "bundle.json").is_file():
        from .bundle.show import show_bundle as show_it
    elif (folder / "prune.json").is_file():
        from .prune.show import show_pruned as show_it
    elif (folder / "run.json").is_file():
        from .prune.show import show_run as show_it
    elif (folder / "config.json").is_file():
        from .prune.show import show_checkpoint as show_it
    else:
        raise GenoslimError(
            f"{folder}: not a run (run.json), the result of prune (prune.json), a checkpoint"
            " (config.json) or a bundle (bundle.json)"
        )
    show_it(folder)


@main.command(short_help="Walk the whole road on simulated data.")
@click.option(
    "-o",
    "--output",
    default="genoslim-demo",
    show_default=True,
    metavar="DIR",
    type=_PATH,
    help="Where everything is left; an interrupted demo goes on from there.",
)
@click.option(
    "--family", type=click.Choice(["dnabert2", "nt"]), default="dnabert2", show_default=True
)
@_seed_option()
def demo(output: Path, family: str, seed: int) -> None:
    """Walk the whole road on simulated variants and a small shipped model.

    Sweep, slim models, verified bundles, benchmark and scoring, each by the command it prints.
    """
    from .demo import DemoOptions, run_demo

    def run(arguments: Sequence[str]) -> None:
        # --debug: let errors come up as they are, for the one handler of the outer call.
        with main.make_context("genoslim", ["--debug", *arguments]) as context:
            main.invoke(context)

    run_demo(output, DemoOptions(family=family, seed=seed), run=run, say=click.echo)


@main.group(short_help="Make labelled windows from variants.")
def data() -> None:
    """Make labelled windows: one Parquet file, splits checked for leakage."""


def _source_options(metavar: str, *, window: int = 512) -> Callable[[_Command], _Command]:
    """Add what every builder of labelled windows takes: input, FASTA, output and length."""

    def add(command: _Command) -> _Command:
        for option in (
            click.option(
                "--window",
                metavar="L",
                type=click.IntRange(min=1),
                default=window,
                show_default=True,
                help="Bases a window; the variant is at index L // 2.",
            ),
            _output_option("OUT.parquet", _FILE, "The labelled windows.", "out"),
            click.option(
                "-f",
                "--fasta",
                metavar="FASTA",
                required=True,
                type=_OLD_FILE,
                help="Plain or bgzip.",
            ),
            click.option("-i", "--input", "source", metavar=metavar, required=True, type=_OLD_FILE),
        ):
            command = option(command)
        return command

    return add


def _names(value: str | None) -> tuple[str, ...]:
    """Split `chr1,chr2`; `none` and nothing are no names."""
    if value is None or value == "none":
        return ()
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _check_output(out: Path, inputs: list[Path]) -> None:
    """Refuse a name for labelled windows before the work that they take."""
    from .data.dataset import check_name

    refuse_overwriting(out, inputs)
    check_name(out)


def _write_windows(windows: LabelledData, out: Path) -> None:
    """Write labelled windows and say on stdout what is in them."""
    windows.write(out)
    click.echo(f"{out}: {windows.summary()}")


@data.command("simulate")
@_output_option("DIR", _FOLDER, "The folder for genome, variants and windows.", "out")
@click.option("--variants", type=int, default=2000, show_default=True)
@click.option("--window", metavar="L", type=int, default=96, show_default=True)
@_seed_option()
def data_simulate(out: Path, variants: int, window: int, seed: int) -> None:
    """Simulate a genome with motifs, variants that break or keep them, and their windows."""
    from .data.simulate import simulate_data

    windows = simulate_data(out, variants=variants, window=window, seed=seed)
    click.echo(f"{out / 'dataset.parquet'}: {windows.summary()}")


@data.command("cut")
@click.option("-i", "--input", "source", metavar="DATA", required=True, type=_OLD_FILE)
@_output_option("OUT.parquet", _FILE, "The same rows with shorter windows.", "out")
@click.option(
    "--window", metavar="L", required=True, type=click.IntRange(min=1), help="Bases a window."
)
def data_cut(source: Path, out: Path, window: int) -> None:
    """Cut the windows of a data set shorter, around the variants; rows and splits stay.

    A model that is trained on them may be compared with models of the longer windows: see `bench`.
    """
    from .data.dataset import read_data

    _check_output(out, [source])
    _write_windows(read_data(source).cut(window), out)


@data.command("eqtl")
@_source_options("CSV")
@click.option(
    "--validation-chromosomes",
    metavar="NAMES",
    default="chr7,chr8",
    show_default=True,
    help="Training rows on these become validation; `none` for no validation split.",
)
@click.option(
    "--edges",
    type=click.Choice(["drop", "pad"]),
    default="drop",
    show_default=True,
    help="Windows that leave their contig: drop (as the benchmark does) or pad with N.",
)
def data_eqtl(
    source: Path,
    fasta: Path,
    out: Path,
    window: int,
    validation_chromosomes: str,
    edges: Literal["drop", "pad"],
) -> None:
    """Cut the windows of the causal eQTL table (All_Tissues.csv) on hg38."""
    from .data.eqtl import build_eqtl_data

    _check_output(out, [source, fasta])
    chromosomes = _names(validation_chromosomes)
    windows = build_eqtl_data(
        source, fasta, window=window, validation_chromosomes=chromosomes, edges=edges
    )
    _write_windows(windows, out)


@data.command("mpra")
@_source_options("TSV", window=96)
@click.option(
    "--negatives-per-positive",
    metavar="K",
    type=click.FloatRange(min=0, min_open=True),
    help="Keep K training negatives for each positive of a locus.  [default: all]",
)
@_seed_option()
@click.option(
    "--edges",
    type=click.Choice(["drop", "pad"]),
    default="drop",
    show_default=True,
    help="Windows that leave their locus: drop, or pad with N.",
)
def data_mpra(
    source: Path,
    fasta: Path,
    out: Path,
    window: int,
    negatives_per_positive: float | None,
    seed: int,
    edges: Literal["drop", "pad"],
) -> None:
    """Cut the windows of saturation mutagenesis, grouped by locus."""
    from .data.mpra import build_mpra_data

    _check_output(out, [source, fasta])
    windows = build_mpra_data(
        source,
        fasta,
        window=window,
        negatives_per_positive=negatives_per_positive,
        seed=seed,
        edges=edges,
    )
    _write_windows(windows, out)


@data.command("variants")
@_source_options("VCF|TSV")
@click.option("--label-info", metavar="KEY", default="LABEL", show_default=True, help="VCF: INFO.")
@click.option("--validation-chromosomes", metavar="NAMES", help="Such as chr7,chr8.")
@click.option("--test-chromosomes", metavar="NAMES")
@click.option("--validation-fraction", type=float, default=0.0, help="By variant, not by row.")
@click.option("--test-fraction", type=float, default=0.0, help="By variant, not by row.")
@_seed_option()
@click.option("--edges", type=click.Choice(["pad", "drop"]), default="pad", show_default=True)
@click.option(
    "--allow-overlap", is_flag=True, help="Do not refuse overlapping windows of different splits."
)
@click.option("--assembly", default="unknown", show_default=True)
@click.option("--licence", default="unknown", show_default=True, help="Of the data.")
def data_variants(
    source: Path,
    fasta: Path,
    out: Path,
    window: int,
    label_info: str,
    validation_chromosomes: str | None,
    test_chromosomes: str | None,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    edges: Literal["drop", "pad"],
    allow_overlap: bool,
    assembly: str,
    licence: str,
) -> None:
    """Cut the windows of your own variants: a VCF with the label in INFO, or a table.

    The splits are those the input names (column or INFO key), or by chromosome, or by variant; if
    none are named, whole chromosomes are chosen.
    """
    from .data.variants import SplitRule, build_variant_data

    _check_output(out, [source, fasta])
    rule = SplitRule(
        validation_chromosomes=_names(validation_chromosomes),
        test_chromosomes=_names(test_chromosomes),
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )
    windows = build_variant_data(
        source,
        fasta,
        window=window,
        rule=rule,
        label_info=label_info,
        edges=edges,
        check_windows=not allow_overlap,
        assembly=assembly,
        licence=licence,
    )
    _write_windows(windows, out)
