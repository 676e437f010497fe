"""How a model is fine-tuned: every number that shapes training, in one checked value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from ..codec import plain
from ..errors import UsageError
from ..models.precision import PRECISIONS, Precision

ChosenPrecision = Literal["auto"] | Precision


class RecipeOptions(TypedDict):
    """The fields of a `Recipe` as options that may have been left out (None)."""

    learning_rate: float | None
    weight_decay: float | None
    warmup_steps: int | None
    batch_size: int | None
    clip: float | None
    epochs: int | None
    patience: int | None
    max_epochs: int | None
    evaluate_every: int | None
    precision: ChosenPrecision | None
    lora: bool | None
    lora_rank: int | None
    lora_alpha: int | None
    lora_targets: str | None


@dataclass(frozen=True, kw_only=True)
class LoRA:
    """Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685): a weight is W + alpha / rank B A.

    W stays as it is; A [rank, inputs] and B [outputs, rank] are trained, of those linear layers of
    the blocks whose own name is one of `targets`. The head is trained in full, and nothing else.

    A value that makes no sense raises UsageError quoting it.
    """

    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ("query", "key", "value", "Wqkv", "dense")

    def __post_init__(self) -> None:
        _require("rank", self.rank, at_least=1, of="lora")
        _require("alpha", self.alpha, at_least=1, of="lora")
        if not all(self.targets) or not self.targets:
            raise UsageError(
                f"lora: targets are {list(self.targets)}, must be names of linear layers"
            )


@dataclass(frozen=True, kw_only=True)
class Healing:
    """How a slim model is healed: training goes on from a fine-tuned model and learns its logits.

    The student is the model of the trial `teacher` (its hash) without some layers, head included.
    Its loss is `share` T^2 KL(teacher || student), both softened by the temperature T, plus
    (1 - share) cross-entropy (Hinton, Vinyals and Dean 2015, arXiv 1503.02531).

    A value that makes no sense raises UsageError quoting it.
    """

    teacher: str
    temperature: float = 2.0
    share: float = 0.7

    def __post_init__(self) -> None:
        _check_distillation("healing", self.temperature, self.share)


@dataclass(frozen=True, kw_only=True)
class Supernet:
    """One training whose weights serve every subset of the layers.

    It goes on from the model of the trial `teacher` (its hash). Each step adds the gradients of the
    full model (cross-entropy), of a subset of a random number of layers above `smallest`, and of
    one of `smallest` layers (the sandwich of Yu and Huang 2019, arXiv 1903.05134); both subsets
    are drawn anew, and learn the full model's logits of that step as in `Healing`.

    A value that makes no sense raises UsageError quoting it.
    """

    teacher: str
    smallest: int = 3
    temperature: float = 2.0
    share: float = 0.7

    def __post_init__(self) -> None:
        _check_distillation("supernet", self.temperature, self.share)
        _require("smallest", self.smallest, at_least=1, of="supernet")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One fine-tuning budget, the same for the baseline and for every trial compared with it.

    Training ends in one of two ways. With `epochs` it runs that many and keeps the last
    weights. Without, it stops once the validation loss has not improved for `patience`
    evaluations, or at `max_epochs`, and keeps the weights of the lowest validation loss. The
    learning rate rises over `warmup_steps` and falls linearly to zero at the last step allowed.

    The defaults are those published for DNABERT-2's own benchmark. `evaluate_every` counts
    optimiser steps between evaluations of the validation loss (None: once an epoch). Precision
    `auto` is float32 on a CPU and bfloat16, else float16, on a CUDA device. With `lora` only
    adapters and the head are trained, which needs a higher rate: 1e-4 to 1e-3 is usual.

    A value that makes no sense raises UsageError quoting it.
    """

    learning_rate: float = 3e-5
    weight_decay: float = 0.01
    warmup_steps: int = 50
    batch_size: int = 32
    clip: float = 1.0
    epochs: int | None = None
    patience: int = 3
    max_epochs: int = 10
    evaluate_every: int | None = None
    precision: ChosenPrecision = "auto"
    lora: LoRA | None = None

    def __post_init__(self) -> None:
        for name in ("learning_rate", "clip"):
            _require(name, getattr(self, name), above=0)
        for name in ("weight_decay", "warmup_steps"):
            _require(name, getattr(self, name), at_least=0)
        for name in ("batch_size", "patience", "max_epochs"):
            _require(name, getattr(self, name), at_least=1)
        for name in ("epochs", "evaluate_every"):
            if getattr(self, name) is not None:
                _require(name, getattr(self, name), at_least=1)
        if self.precision not in ("auto", *PRECISIONS):
            known = ", ".join(PRECISIONS)
            raise UsageError(f"recipe: precision is {self.precision!r}, must be auto or {known}")

    @property
    def content(self) -> dict[str, Any]:
        """What a file says of it: without LoRA, what it said before there was such a thing."""
        content = plain(self)
        if self.lora is None:
            del content["lora"]
        return content

    @property
    def most_epochs(self) -> int:
        """The epochs that are allowed: the schedule of the learning rate ends there."""
        return self.max_epochs if self.epochs is None else self.epochs

    @property
    def keeps_best(self) -> bool:
        """Whether the weights of the lowest validation loss are kept, not the last ones."""
        return self.epochs is None

    def rate(self, step: int, total: int) -> float:
        """Return the learning rate of optimiser step `step` (from 0) of at most `total`."""
        warmup = min(self.warmup_steps, total // 10)
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        return self.learning_rate * max(total - step, 0) / (total - warmup)

    def changed(self, options: RecipeOptions) -> Recipe:
        """Return the recipe with the options that were given in place of its own values.

        UsageError for a fixed number of epochs beside an option of the other way to end.
        """
        given: dict[str, Any] = {
            name: value for name, value in options.items() if value is not None
        }
        if "epochs" in given and given.keys() & {"patience", "max_epochs"}:
            raise UsageError("--epochs is a fixed number; it excludes --patience and --max-epochs")
        return replace(self, **given | _with_lora(given, self.lora))


def _with_lora(given: dict[str, Any], now: LoRA | None) -> dict[str, LoRA]:
    """Take the options of LoRA out of those given; return what they make of it, if any are."""
    wanted = given.pop("lora", False)
    parts = {name: given.pop(f"lora_{name}", None) for name in ("rank", "alpha", "targets")}
    parts = {name: value for name, value in parts.items() if value is not None}
    if "targets" in parts:
        parts["targets"] = tuple(name.strip() for name in parts["targets"].split(","))
    return {"lora": replace(now or LoRA(), **parts)} if wanted or parts else {}


def _check_distillation(of: str, temperature: float, share: float) -> None:
    _require("temperature", temperature, above=0, of=of)
    if not 0 <= share <= 1:
        raise UsageError(f"{of}: share is {share}, must lie between 0 and 1")


def _require(
    name: str,
    value: float,
    *,
    above: float | None = None,
    at_least: float | None = None,
    of: str = "recipe",
) -> None:
    if above is not None and not value > above:
        raise UsageError(f"{of}: {name} is {value}, must be above {above}")
    if at_least is not None and not value >= at_least:
        raise UsageError(f"{of}: {name} is {value}, must be at least {at_least}")
