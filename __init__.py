"""Find the layers a genomic language model needs, drop the rest, export, benchmark and score.

One function a capability, keyword-only, each returning a frozen object; docs/python.md shows the
whole road. Nothing is imported before it is used, and what scoring needs never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bench.benchmark import benchmark as benchmark
    from .bench.result import BenchResult as BenchResult
    from .bundle.bundle import Bundle as Bundle
    from .bundle.predictor import Predictions as Predictions
    from .bundle.predictor import Predictor as Predictor
    from .bundle.predictor import open_bundle as open_bundle
    from .data.status import Status as Status
    from .data.variant import Variant as Variant
    from .export.exporter import ExportSummary as ExportSummary
    from .export.exporter import export_bundle as export_bundle
    from .score.tally import Tally as Tally
    from .score.vcf import score_vcf as score_vcf

__version__ = "0.1.0"

_PLACES: dict[str, str] = {
    "BenchResult": ".bench.result",
    "Bundle": ".bundle.bundle",
    "ExportSummary": ".export.exporter",
    "Predictions": ".bundle.predictor",
    "Predictor": ".bundle.predictor",
    "Status": ".data.status",
    "Tally": ".score.tally",
    "Variant": ".data.variant",
    "benchmark": ".bench.benchmark",
    "export_bundle": ".export.exporter",
    "open_bundle": ".bundle.predictor",
    "score_vcf": ".score.vcf",
}
"""Where each public name lives. Imported when it is asked for (PEP 562)."""

__all__ = (
    "BenchResult",
    "Bundle",
    "ExportSummary",
    "Predictions",
    "Predictor",
    "Status",
    "Tally",
    "Variant",
    "__version__",
    "benchmark",
    "export_bundle",
    "open_bundle",
    "score_vcf",
)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_module_of(name), name)
    globals()[name] = value
    return value


def _module_of(name: str) -> ModuleType:
    try:
        return import_module(_PLACES[name], "genoslim")
    except ModuleNotFoundError as error:
        from .errors import needs_extra

        raise needs_extra(f"genoslim.{name}", str(error.name), "train") from error


def __dir__() -> list[str]:
    return sorted(__all__)
