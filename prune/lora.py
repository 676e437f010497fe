"""Train low-rank adapters in place of the weights, and merge them into these afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from torch import nn

from ..errors import GenoslimError, UsageError, install_hint, listed
from ..models.classifier import Classifier
from .recipe import LoRA


def require_peft() -> None:
    """Raise UsageError unless peft is installed."""
    if find_spec("peft") is None:
        raise UsageError(f"--lora needs peft: {install_hint('lora')}")


@contextmanager
def adapted(model: Classifier, lora: LoRA | None) -> Iterator[None]:
    """Have `model` train adapters and its head in the body, and be a plain network after it.

    Without `lora` nothing is done. Matrices A are drawn from torch's generator, B are 0: the body
    begins with the model as it was. If the body raises, the model is left as it is then.
    Raises UsageError without peft, GenoslimError if the model has none of the target layers.
    """
    if lora is None:
        yield
        return
    require_peft()
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, target_modules=target_layers(model, lora), bias="none"
    )
    tuner = LoraModel(model, config, "default")
    for name, parameter in model.named_parameters():
        if name.startswith(model.head):
            parameter.requires_grad_(True)
    yield
    tuner.merge_and_unload()
    model.requires_grad_(True)


def target_layers(model: Classifier, lora: LoRA) -> list[str]:
    """Return the names of the linear layers of the blocks that get adapters.

    Raises GenoslimError naming what there is if none has one of the names that are asked for; of
    the default's names one is enough.
    """
    inside = {id(part) for block in model.blocks for part in block.modules()}
    linear = [
        name
        for name, part in model.named_modules()
        if id(part) in inside and isinstance(part, nn.Linear)
    ]
    found = [name for name in linear if _own(name) in lora.targets]
    absent = sorted(set(lora.targets) - set(map(_own, found)))
    if not found or (absent and lora.targets != LoRA.targets):  # the default is for all families
        raise GenoslimError(
            f"lora: {model.family} has no linear layer {listed(absent, most=9)} in its"
            f" blocks; it has {listed(list(dict.fromkeys(map(_own, linear))), most=9)}"
            " (--lora-targets)"
        )
    return found


def _own(name: str) -> str:
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]
