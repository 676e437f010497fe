"""Inference of DNABERT-2 by depth, precision, network and batch: latency, throughput, energy.

`plain` is the network that is trained, `exported` what `for_inference` makes of it, `fused` what
it makes for a GPU. In bf16 and
fp16 the weights are `cast`, or left in float32 under autocast as in training (`auto`). At batch 1
wall-clock time is from ids on the host to logits on the host, `device` time by CUDA events is that
of the network; `paused` calls come 20 ms apart, as the clocks of an idle GPU fall. Every shape is
run before it is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genoslim.bench.energy import open_counters
from genoslim.models.inference import for_inference
from genoslim.models.precision import Precision, autocast, float32_products

from .context import Context, random_tokens, summary
from .networks import random_network
from .record import Row

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_PAUSE = 0.02
_WARM = 3

Way = tuple[Literal["plain", "exported", "fused"], Precision, Literal["auto", "cast"]]


def measure(context: Context) -> Iterator[Row]:
    """Yield rows for each depth and way: batch 1, CUDA graph, larger batches, energy."""
    for layers, way in product(context.sizes.layers, _ways(context)):
        network, precision, weights = way
        row: Row = {
            "layers": layers,
            "network": network,
            "precision": precision,
            "weights": weights,
        }
        runner = Runner(context, layers, way)
        for kind, call in runner.measurements():
            yield context.attempt(row | {"what": kind}, call)


def _ways(context: Context) -> list[Way]:
    """Return the ways of running a network, those that matter most first."""
    ways: list[Way] = []
    for precision in context.precisions:
        kinds: tuple[Literal["auto", "cast"], ...] = ("auto",)
        if precision in _TYPES:
            kinds = ("cast", "auto")
        ways += [("exported", precision, kind) for kind in kinds]
        ways += [("fused", precision, kinds[0]), ("plain", precision, "auto")]
    return ways


@dataclass
class Runner:
    """One network, ready to run in one way."""

    context: Context
    layers: int
    way: Way

    def __post_init__(self) -> None:
        network, self.precision, weights = self.way
        model = random_network(
            "dnabert2", self.layers, self.context.device, small=self.context.sizes.small
        )
        self.vocabulary = model.config.vocab_size
        module: nn.Module = model
        if network != "plain":
            module = for_inference(model, fused=network == "fused")
        module = module.eval()
        self.cast = weights == "cast"
        self.module = module.to(_TYPES[self.precision]) if self.cast else module

    def measurements(self) -> Iterator[tuple[str, Callable[[], Row]]]:
        """Yield what is measured, by name."""
        yield "batch 1", self._single
        if self.context.cuda and (self.cast or self.precision in ("fp32", "tf32")):
            yield "batch 1, CUDA graph", self._graph
        if self.cast:
            yield "batch 1, paused", self._paused
        for batch in self.context.sizes.batches:
            yield f"batch {batch}", partial(self._batch, batch)
        if self.way[0] != "plain":
            yield "energy", self._energy

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits [B, 2] on the device."""
        precision: Precision = "fp32" if self.cast else self.precision
        device = self.context.device
        with (
            torch.inference_mode(),
            float32_products(self.precision, device),
            autocast(precision, device),
        ):
            logits: Tensor = self.module(ids, mask)
        return logits

    def _tokens(self, batch: int) -> Tensor:
        return random_tokens(batch, self.context.sizes.window_tokens, self.vocabulary)

    def _on_device(self, batch: int) -> tuple[Tensor, Tensor]:
        ids = self._tokens(batch).to(self.context.device)
        return ids, torch.ones_like(ids)

    def _warmed(self, call: Callable[[], Any]) -> Callable[[], Any]:
        for _ in range(_WARM):
            call()
        self.context.synchronise()
        return call

    def _whole(self) -> Callable[[], Tensor]:
        """Return a call from one window's ids on the host to its logits on the host."""
        ids, device = self._tokens(1), self.context.device

        def call() -> Tensor:
            here = ids.to(device)
            return self.forward(here, torch.ones_like(here)).float().cpu()

        return call

    def _single(self) -> Row:
        seconds = self.context.sizes.latency_seconds
        times = self.context.repeated(self._warmed(self._whole()), seconds=seconds)
        return summary(times) | {"device_ms": self._device_ms(*self._on_device(1))}

    def _device_ms(self, ids: Tensor, mask: Tensor) -> float | None:
        """Return the median time by CUDA events; None on a CPU."""
        if not self.context.cuda:
            return None
        times = []
        for _ in range(50):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            self.forward(ids, mask)
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end))
        return median(times)

    def _graph(self) -> Row:
        """Replay the whole forward pass as one CUDA graph."""
        ids, mask = self._on_device(1)
        self._warmed(lambda: self.forward(ids, mask))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self.forward(ids, mask)
        host = self._tokens(1)

        def call() -> Tensor:
            ids.copy_(host)
            graph.replay()
            return logits.float().cpu()

        expected = self.forward(ids, mask).float().cpu()
        difference = float((call() - expected).abs().max())
        seconds = self.context.sizes.latency_seconds
        times = self.context.repeated(self._warmed(call), seconds=seconds)
        return summary(times) | {"largest_difference": difference}

    def _paused(self) -> Row:
        call, times = self._warmed(self._whole()), []
        for _ in range(20 if self.context.cuda else 2):
            time.sleep(_PAUSE)
            times.append(self.context.seconds(call))
        return summary(times)

    def _batch(self, batch: int) -> Row:
        ids, mask = self._on_device(batch)
        with self.context.peak() as peak:
            call = self._warmed(lambda: self.forward(ids, mask))
            most = peak()
        times = self.context.repeated(call, seconds=self.context.sizes.latency_seconds / 4)
        rate = {"windows_per_second": batch / median(times), "peak_bytes": most}
        return summary(times) | rate

    def _energy(self) -> Row:
        """Return the joules for 1,000 windows in large batches."""
        batch = min(256, max(self.context.sizes.batches))
        ids, mask = self._on_device(batch)
        call = self._warmed(lambda: self.forward(ids, mask))
        counters = open_counters(gpu=self.context.cuda)
        if not counters.found:
            return {"note": counters.absent}
        with counters.metered() as energy:
            times = self.context.repeated(
                call, seconds=self.context.sizes.energy_seconds, most=1_000_000
            )
        return {
            "batch": batch,
            "joules_per_1000_windows": energy.joules / (len(times) * batch) * 1000,
            "watts": energy.joules / sum(times),
            "counters": ", ".join(counter.name for counter in counters.found),
        }
