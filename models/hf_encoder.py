"""Any other encoder that transformers knows by itself, if it has one stack of equal blocks.

The network is built by `AutoModelForSequenceClassification` and filled from the weight files by
`weights.py`; code from a checkpoint's repository is never run. Works with transformers 4.57 and 5.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import GenoslimError
from .classifier import Classifier, ModelConfig, kept_layers
from .families import CONFIG_FILE, family_name, token_limit
from .weights import Weights, agreed_labels, fit, read_weights, without

_STACK_KEY = "layer_stack"
_NETWORK = "network."
_COMPUTED = (".position_ids", ".token_type_ids", ".inv_freq")
"""Buffers that a network computes by itself, saved or not as versions go."""


class HFEncoder(Classifier):
    """A network of transformers behind the interface of `Classifier`.

    The keys of its state dict are those of the network itself. `stack` is the dotted name of the
    list of blocks in it.
    """

    def __init__(self, config: ModelConfig, network: Any, *, stack: str) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.stack = stack
        self.register_state_dict_post_hook(_without_prefix)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_prefix)  # type: ignore[no-untyped-call]

    @property
    def blocks(self) -> nn.ModuleList:
        """See `Classifier.blocks`."""
        return cast(nn.ModuleList, self.network.get_submodule(self.stack))

    @property
    def head(self) -> tuple[str, ...]:
        """See `Classifier.head`."""
        prefix = str(self.network.base_model_prefix)
        names = (*_heads(self.network, prefix), f"{prefix}.pooler.")
        return tuple(_NETWORK + name for name in names)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits [B, labels]."""
        mask = attention_mask.expand_as(input_ids)
        logits: Tensor = self.network(input_ids=input_ids, attention_mask=mask).logits
        return logits

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """See `Classifier.hidden_states`; what enters and leaves the blocks, caught by hooks."""
        states: list[Tensor] = []

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states.append(args[0] if args else kwargs["hidden_states"])

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            states.append(output[0] if isinstance(output, tuple) else output)

        handles = [
            block.register_forward_pre_hook(enter, with_kwargs=True) for block in self.blocks
        ]
        handles.append(self.blocks[-1].register_forward_hook(leave))
        try:
            self.last_hidden_state(input_ids, attention_mask)
        finally:
            for handle in handles:
                handle.remove()
        return states

    def last_hidden_state(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """See `Classifier.last_hidden_state`."""
        mask = attention_mask.expand_as(input_ids)
        output = self.network.base_model(input_ids=input_ids, attention_mask=mask)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def remove_blocks(self, dropped: Collection[int]) -> None:
        """See `Classifier.remove_blocks`; the network's own config follows."""
        super().remove_blocks(dropped)
        self.network.config.num_hidden_layers = self.config.num_hidden_layers


def load_hf_encoder(
    folder: Path,
    raw: Mapping[str, Any],
    *,
    num_labels: int | None,
    seed: int,
    fresh_head: bool = False,
) -> HFEncoder:
    """Load a classifier of another architecture; `raw` is the content of its `config.json`.

    Raises GenoslimError for an architecture that transformers does not know, that needs code from
    its repository, or whose blocks are not one stack of equals; and for weights that do not fit.
    """
    settings = _settings(folder, raw)
    weights = read_weights(folder)
    stated = int(settings.num_labels)
    network = _network(folder, settings, stated, seed)
    prefix = str(network.base_model_prefix)
    heads = _heads(network, prefix)
    if fresh_head:
        weights = without(weights, heads)
    saved = any(key.startswith(heads) for key in weights)
    labels = agreed_labels(stated if saved else None, num_labels, folder)
    if labels != stated:
        network = _network(folder, settings, labels, seed)
    stack = _recorded_stack(raw, network) or find_stack(network, folder)
    optional = () if saved else (*heads, f"{prefix}.pooler.")
    _fill(network, weights, prefix, optional, folder)
    return HFEncoder(_config(raw, network, stack), network, stack=stack).eval()


def find_stack(network: nn.Module, folder: Path) -> str:
    """Return the dotted name of the one list of at least two equal blocks in `network`."""
    found: list[str] = []
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) > 1 and not inside:
            found.append(name)
    equal = [
        name for name in found if len({*map(repr, network.get_submodule(name).children())}) == 1
    ]
    if len(found) == 1 and equal == found:
        return found[0]
    raise GenoslimError(
        f"{folder}: {type(network).__name__} has {len(found)} stacks of blocks, {len(equal)} of"
        " them of equal blocks; only a network with one stack of equal blocks can be used"
    )


def _recorded_stack(raw: Mapping[str, Any], network: nn.Module) -> str | None:
    """Return the name that we wrote: one block alone cannot be told from other lists."""
    name = raw.get(_STACK_KEY)
    if name is not None and not isinstance(dict(network.named_modules()).get(name), nn.ModuleList):
        raise GenoslimError(
            f"{CONFIG_FILE}: {_STACK_KEY} is {name!r}; {type(network).__name__} has no such stack"
        )
    return name


def _settings(folder: Path, raw: Mapping[str, Any]) -> Any:
    """Return the transformers config, refusing what could be read only in part."""
    from transformers import AutoConfig

    name = family_name(raw)
    if "auto_map" in raw:
        raise GenoslimError(
            f"{folder}: {name} needs code from its repository (`auto_map` in config.json), which"
            " genoslim never runs; DNABERT-2 and the Nucleotide Transformer are built in"
        )
    if raw.get("layer_types"):
        raise GenoslimError(f"{folder}: {name} has blocks of several kinds (`layer_types`)")
    try:
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).strip().split(". ")[0].splitlines()[0]
        raise GenoslimError(f"{folder}: transformers does not read {name}: {reason}") from error


def _network(folder: Path, settings: Any, num_labels: int, seed: int) -> Any:
    """Build the network with fresh weights from `seed`; the global generator is put back."""
    from transformers import AutoModelForSequenceClassification

    settings.num_labels = num_labels
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            network = AutoModelForSequenceClassification.from_config(
                settings, dtype=torch.float32, trust_remote_code=False
            )
        except ValueError as error:
            raise GenoslimError(
                f"{folder}: transformers has no sequence classifier of type {settings.model_type}"
            ) from error
    if hasattr(network.base_model, "contact_head"):
        del network.base_model.contact_head  # never run here, and its shape depends on the depth
    return network


def _heads(network: nn.Module, prefix: str) -> tuple[str, ...]:
    """Return the prefixes of the keys that belong to the classification head."""
    names = (name for name, _ in network.named_children() if name != prefix)
    return tuple(f"{name}." for name in names)


def _fill(
    network: nn.Module, weights: Weights, prefix: str, optional: tuple[str, ...], folder: Path
) -> None:
    """Load the weights; what is optional and not in the checkpoint stays as drawn."""
    state = network.state_dict()
    used = fit(
        weights,
        {key: tensor.shape for key, tensor in state.items() if not key.endswith(_COMPUTED)},
        prefix=prefix,
        ignored=(
            rf"(?!{prefix}\.).*",
            r".*\.contact_head\..*",
            *(f".*{re.escape(ending)}" for ending in _COMPUTED),
        ),
        optional=optional,
        source=str(folder),
    )
    network.load_state_dict(state | used)


def _config(raw: Mapping[str, Any], network: Any, stack: str) -> ModelConfig:
    settings = network.config
    depth = len(network.get_submodule(stack))
    depth_key = settings.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    return ModelConfig(
        family=family_name(raw),
        vocab_size=getattr(settings, "vocab_size", 0),
        hidden_size=getattr(settings, "hidden_size", 0),
        num_hidden_layers=depth,
        num_labels=settings.num_labels,
        kept_layers=kept_layers(raw, depth),
        max_tokens=token_limit(raw),
        raw=dict(raw) | {_STACK_KEY: stack, "architectures": [type(network).__name__]},
        depth_key=depth_key,
    )


def _without_prefix(_: nn.Module, state: Any, prefix: str, __: Any) -> None:
    for key in [key for key in state if key.startswith(prefix + _NETWORK)]:
        state[prefix + key.removeprefix(prefix + _NETWORK)] = state.pop(key)


def _with_prefix(_: nn.Module, state: Any, prefix: str, *__: Any) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + _NETWORK + key.removeprefix(prefix)] = state.pop(key)
