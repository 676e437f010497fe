"""A page as one HTML file: the room's own template on the common base, everything in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from .. import __version__
from .palette import CSS
from .plots import Plot, library

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_PACKAGE = __package__.rpartition(".")[0]


def render(template: str, *, plots: Sequence[Plot] = (), **context: object) -> str:
    """Return the text that a template gives, such as `bench/report.html.j2`.

    HTML is escaped, and has `plots` by their names. Other text is not escaped.
    """
    html = template.endswith(".html.j2")
    environment = _environment(html)
    embedded = {"library": library() if plots and html else ""}
    return environment.get_template(template).render(
        plots={plot.name: plot for plot in plots},
        colours=CSS,
        version=__version__,
        **embedded,
        **context,
    )


def _environment(html: bool) -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(cell=_cell, breakable=_breakable)
    return environment


def _breakable(key: str) -> Markup:
    """Return a key that may be folded after its dots and underscores."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._])", r"\1<wbr>", str(escape(key))))


def _cell(text: object) -> str:
    """Return the text of a cell of a Markdown table."""
    return " ".join(str(text).replace("|", "\\|").split())


def _text(name: str) -> str:
    """Return a file of the package, by its path in it."""
    return files(_PACKAGE).joinpath(*name.split("/")).read_text(encoding="utf-8")
