"""The command line: one command a verb, each parses, calls one function and prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .errors import GateError, GenoslimError


class _Group(click.Group):
    """A command group that turns our errors into one line on stderr and their exit code."""

    def invoke(self, ctx: click.Context) -> object:
        if ctx.params.get("debug"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except GenoslimError as error:
            click.echo(f"genoslim: {error}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            click.echo(f"genoslim: {error.filename or 'input/output'}: {error.strerror}", err=True)
            sys.exit(1)
        except Exception as error:
            click.echo(
                f"genoslim: internal error: {type(error).__name__}: {error}"
                " (run again with `genoslim --debug ...` for the traceback)",
                err=True,
            )
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genoslim")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """Depth-prune genomic language models, export them verified, benchmark them, score VCFs."""


@main.command()
@click.option(
    "-m",
    "--model",
    "bundle",
    required=True,
    metavar="BUNDLE",
    type=click.Path(path_type=Path),
    help="The bundle to score with.",
)
@click.option(
    "-f",
    "--fasta",
    required=True,
    metavar="FASTA",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
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
    "--assembly", metavar="NAME", help="The assembly of the VCF, if its header is silent."
)
@click.option(
    "--summary",
    metavar="FILE.json",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the closing tally here too.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the model.  [default: all]")
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Tokens in a batch, at most.",
)
def score(bundle: Path, fasta: Path, input_: str, output: str, **options: Any) -> None:
    """Score every record of a VCF: GS_P and GS_STATUS in INFO, or a table.

    Every record comes out, in order, unchanged but for INFO. docs/scoring.md lists the statuses.
    """
    from .score.console import score_on_console

    score_on_console(bundle, fasta, input_, output, **options)


@main.command()
@click.argument(
    "models",
    nargs=-1,
    required=True,
    metavar="BUNDLE|CHECKPOINT...",
    type=click.Path(path_type=Path),
)
@click.option(
    "-d",
    "--data",
    required=True,
    metavar="DATA",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Labelled windows (Parquet); the test split gives the quality.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of results; a former benchmark there is replaced.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="What to compare with.  [default: first named]",
)
@click.option(
    "--margin",
    type=float,
    default=0.01,
    show_default=True,
    help="How much AUROC may be lost; fix it before you look.",
)
@click.option("--max-p95-ms", type=float, metavar="X", help="Limit on the p95 of latency.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads a model.  [default: all]")
@click.option("--seconds", type=float, help="Time for the timings of a model.  [default: 20]")
@click.option("--quick", is_flag=True, help="Fewer rounds and 3 seconds a model: a first look.")
@click.option("--prevalence", type=float, metavar="P", help="Share of positives, for PPV and NPV.")
def bench(models: tuple[Path, ...], data: Path, output: Path, **options: Any) -> None:
    """Measure speed, memory and AUROC of models, and say which one to deploy.

    A CHECKPOINT runs on torch, a BUNDLE on ONNX Runtime. Exit code 3 says that no model but the
    baseline is non-inferior within the limits; the results are written all the same.
    """
    from .bench.benchmark import run_bench
    from .bench.table import summary_table

    def tell(message: str) -> None:
        click.echo(f"bench: {message}", err=True)

    result = run_bench(models, data, output, progress=tell, **options)
    click.echo(summary_table(result))
    click.echo(f"{result.decision.summary}; see {output / 'report.html'}")
    if not result.decision.passed:
        raise GateError(result.decision.summary)
