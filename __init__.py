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
    from .bench.plan import BenchPlan as BenchPlan
    from .bench.planning import plan_benchmark as plan_benchmark
    from .bench.result import BenchResult as BenchResult
    from .bundle.bundle import Bundle as Bundle
    from .bundle.predictor import Predictions as Predictions
    from .bundle.predictor import Predictor as Predictor
    from .bundle.predictor import open_bundle as open_bundle
    from .data.dataset import LabelledData as LabelledData
    from .data.dataset import read_data as read_data
    from .data.eqtl import build_eqtl_data as build_eqtl_data
    from .data.mpra import build_mpra_data as build_mpra_data
    from .data.simulate import simulate_data as simulate_data
    from .data.status import Status as Status
    from .data.variant import Variant as Variant
    from .data.variants import SplitRule as SplitRule
    from .data.variants import build_variant_data as build_variant_data
    from .export.exporter import ExportSummary as ExportSummary
    from .export.exporter import export_bundle as export_bundle
    from .models.model import Model as Model
    from .models.model import drop_layers as drop_layers
    from .models.model import load_model as load_model
    from .models.model import save_model as save_model
    from .prune.estimates import LayerEstimates as LayerEstimates
    from .prune.estimates import estimate_layers as estimate_layers
    from .prune.execution import Executor as Executor
    from .prune.frontier import Frontier as Frontier
    from .prune.int8 import TunedForInt8 as TunedForInt8
    from .prune.int8 import tune_int8 as tune_int8
    from .prune.judging import judge_layers as judge_layers
    from .prune.measure import Measuring as Measuring
    from .prune.progress import TrialProgress as TrialProgress
    from .prune.recipe import LoRA as LoRA
    from .prune.recipe import Recipe as Recipe
    from .prune.search import SearchOptions as SearchOptions
    from .prune.slim_model import Pruned as Pruned
    from .prune.slim_model import SlimModel as SlimModel
    from .prune.verbs import SweepResult as SweepResult
    from .prune.verbs import prune_layers as prune_layers
    from .prune.verbs import run_sweep as run_sweep
    from .prune.verdicts import Judgement as Judgement
    from .prune.verdicts import LayerVerdict as LayerVerdict
    from .prune.verdicts import Rules as Rules
    from .score.tally import Tally as Tally
    from .score.vcf import score_vcf as score_vcf

__version__ = "0.2.0.dev0"

_PLACES: dict[str, str] = {
    "BenchPlan": ".bench.plan",
    "BenchResult": ".bench.result",
    "Bundle": ".bundle.bundle",
    "Executor": ".prune.execution",
    "ExportSummary": ".export.exporter",
    "Frontier": ".prune.frontier",
    "Judgement": ".prune.verdicts",
    "LabelledData": ".data.dataset",
    "LayerEstimates": ".prune.estimates",
    "LayerVerdict": ".prune.verdicts",
    "LoRA": ".prune.recipe",
    "Measuring": ".prune.measure",
    "Model": ".models.model",
    "Predictions": ".bundle.predictor",
    "Predictor": ".bundle.predictor",
    "Pruned": ".prune.slim_model",
    "Recipe": ".prune.recipe",
    "Rules": ".prune.verdicts",
    "SearchOptions": ".prune.search",
    "SlimModel": ".prune.slim_model",
    "SplitRule": ".data.variants",
    "Status": ".data.status",
    "SweepResult": ".prune.verbs",
    "Tally": ".score.tally",
    "TrialProgress": ".prune.progress",
    "TunedForInt8": ".prune.int8",
    "Variant": ".data.variant",
    "benchmark": ".bench.benchmark",
    "build_eqtl_data": ".data.eqtl",
    "build_mpra_data": ".data.mpra",
    "build_variant_data": ".data.variants",
    "drop_layers": ".models.model",
    "estimate_layers": ".prune.estimates",
    "export_bundle": ".export.exporter",
    "judge_layers": ".prune.judging",
    "load_model": ".models.model",
    "open_bundle": ".bundle.predictor",
    "plan_benchmark": ".bench.planning",
    "prune_layers": ".prune.verbs",
    "read_data": ".data.dataset",
    "run_sweep": ".prune.verbs",
    "save_model": ".models.model",
    "score_vcf": ".score.vcf",
    "simulate_data": ".data.simulate",
    "tune_int8": ".prune.int8",
}
"""Where each public name lives. Imported when it is asked for (PEP 562)."""

__all__ = (
    "BenchPlan",
    "BenchResult",
    "Bundle",
    "Executor",
    "ExportSummary",
    "Frontier",
    "Judgement",
    "LabelledData",
    "LayerEstimates",
    "LayerVerdict",
    "LoRA",
    "Measuring",
    "Model",
    "Predictions",
    "Predictor",
    "Pruned",
    "Recipe",
    "Rules",
    "SearchOptions",
    "SlimModel",
    "SplitRule",
    "Status",
    "SweepResult",
    "Tally",
    "TrialProgress",
    "TunedForInt8",
    "Variant",
    "__version__",
    "benchmark",
    "build_eqtl_data",
    "build_mpra_data",
    "build_variant_data",
    "drop_layers",
    "estimate_layers",
    "export_bundle",
    "judge_layers",
    "load_model",
    "open_bundle",
    "plan_benchmark",
    "prune_layers",
    "read_data",
    "run_sweep",
    "save_model",
    "score_vcf",
    "simulate_data",
    "tune_int8",
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
