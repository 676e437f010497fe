"""The command line: one command a verb, each parses, calls one function and prints."""

from __future__ import annotations

import sys

import click

from . import __version__
from .errors import GenoslimError


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
