"""Trials on a Ray cluster whose nodes see the run folder and the data under the same paths."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import __version__
from ..errors import GenoslimError, in_a_line, needs_extra
from .pool import Ended
from .runner import Outcome, Setting, TrialRunner, describe_environment
from .trial import TrialSpec

_log = logging.getLogger(__name__)

READY_SECONDS = 120.0
"""How long the actors may take to come up together; those that are not there by then are let go."""


@dataclass(frozen=True)
class Versions:
    """What must be the same where trials run for their figures to be compared."""

    genoslim: str
    torch: str

    @classmethod
    def here(cls) -> Versions:
        """Return those of this process."""
        return cls(__version__, describe_environment().torch)

    def public(self) -> Versions:
        """Return them without what torch was built for, "cu130" of "2.13.0+cu130"."""
        return replace(self, torch=self.torch.partition("+")[0])

    def require_same(self, workers: Sequence[Versions]) -> None:
        """Raise GenoslimError unless workers have the same, and what they have of this process.

        Nothing is trained in this process: its torch may be built for other devices than theirs.
        """
        for worker in workers:
            if worker.public() != self.public():
                other = f"here are {self}"
            elif worker != workers[0]:
                other = f"another {workers[0]}"
            else:
                continue
            raise GenoslimError(
                f"ray: a worker has {worker}, {other}: their figures could not be compared; install"
                " the same on every node"
            )

    def __str__(self) -> str:
        return f"genoslim {self.genoslim} and torch {self.torch}"


@dataclass(frozen=True)
class Needs:
    """What an actor takes of a node: cores, and a part of a GPU, which so many share (0: none)."""

    cores: int
    trials_a_gpu: int

    @property
    def gpus(self) -> float:
        """The share of a GPU."""
        return 1 / self.trials_a_gpu if self.trials_a_gpu else 0.0

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' * (self.cores > 1)}"
        return f"{cores} and {self.gpus:g} of a GPU" if self.gpus else cores

    def places(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many actors fit at once, by the resources (CPU, GPU) of each node.

        An actor lies on one node: what is left over on two makes no third place.
        """
        return sum(self._on(node) for node in nodes)

    def _on(self, node: Mapping[str, float]) -> int:
        by_cores = int(node.get("CPU", 0.0) // self.cores)
        if not self.trials_a_gpu:
            return by_cores
        return min(by_cores, int(node.get("GPU", 0.0)) * self.trials_a_gpu)


class RayPool:
    """Actors, as many of those asked for as the cluster has place for.

    Raises GenoslimError, with the reason, if there is place for none, if none is ready in time, or
    if a node has other versions of genoslim or torch.
    """

    def __init__(
        self,
        settings: Sequence[Setting],
        *,
        trials_a_gpu: int = 1,
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError:
            raise needs_extra("the executor `ray`", "ray", "ray") from None
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._ray.init(
                log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR
            )
        self._busy: dict[Any, tuple[Any, TrialSpec]] = {}
        self._idle: list[Any] = []
        cuda = settings[0].device.startswith("cuda")
        self._needs = Needs(settings[0].threads, trials_a_gpu if cuda else 0)
        try:
            self._idle = [self._actor(setting) for setting in settings[: self._places(settings)]]
            self._await(ready_seconds)
        except BaseException:
            self.close()
            raise
        self.slots: int = len(self._idle)

    def _places(self, settings: Sequence[Setting]) -> int:
        """Return how many actors there is place for; GenoslimError if for none."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        places = self._needs.places(nodes)
        if not places:
            raise GenoslimError(
                f"ray: no node has place for a worker, which takes {self._needs}:"
                f" {'; '.join(map(_resources, nodes)) or 'there is none'}; give fewer --threads, or"
                " another --device"
            )
        if places < len(settings):
            _log.info(
                "ray: %d of %d workers at once: each takes %s", places, len(settings), self._needs
            )
        return places

    def _actor(self, setting: Setting) -> Any:
        cuda = self._needs.trials_a_gpu > 0
        placed = replace(setting, device="cuda:0") if cuda else setting  # Ray hides other GPUs
        remote = self._ray.remote(num_cpus=self._needs.cores, num_gpus=self._needs.gpus)(RayWorker)
        return remote.remote(placed)

    def _await(self, seconds: float) -> None:
        """Wait for the actors, and go on with those that are there in time."""
        asked = {actor.versions.remote(): actor for actor in self._idle}
        ready, late = self._ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
        try:
            found = [self._ray.get(reference) for reference in ready]
        except self._ray.exceptions.RayError as error:
            raise GenoslimError(f"ray: a worker did not start: {in_a_line(error)}") from None
        Versions.here().require_same(found)
        if late:
            free = _resources(self._ray.available_resources())
            why = f"not ready within {seconds:g} s: each takes {self._needs}, free now: {free}"
            if not ready:
                raise GenoslimError(f"ray: no worker of {len(asked)} is ready: {why}")
            _log.warning("ray: going on with %d of %d workers: %s", len(ready), len(asked), why)
        for reference in late:
            self._ray.kill(asked[reference])
        self._idle = [asked[reference] for reference in ready]

    def submit(self, spec: TrialSpec, *, keep_weights: bool) -> None:
        """Send the trial to an idle actor."""
        actor = self._idle.pop()
        self._busy[actor.run.remote(spec, keep_weights)] = actor, spec

    def wait(self) -> list[Ended]:
        """Return the trials that have ended; steps within a trial are not reported."""
        if not self._busy:
            return []
        ready, _ = self._ray.wait(list(self._busy), timeout=1.0)
        ended: list[Ended] = []
        for reference in ready:
            actor, spec = self._busy.pop(reference)
            try:
                ended.append(self._ray.get(reference))
                self._idle.append(actor)
            except self._ray.exceptions.RayError as error:
                self.slots -= 1
                ended.append(Ended(spec, "failed", in_a_line(error)))
        return ended

    def close(self) -> None:
        """End the actors, and Ray with them where we started it."""
        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()


class RayWorker:
    """A trial runner on a cluster's node."""

    def __init__(self, setting: Setting) -> None:
        self._runner = TrialRunner(setting)

    def versions(self) -> Versions:
        """Return those of the node."""
        return Versions.here()

    def run(self, spec: TrialSpec, keep_weights: bool) -> Ended:
        """Run one trial; what goes wrong is told, not raised."""
        try:
            outcome: Outcome = self._runner.run(spec, keep_weights=keep_weights)
        except Exception as error:
            return Ended(spec, "failed", in_a_line(error))
        return Ended(spec, outcome)


def _resources(found: Mapping[str, float]) -> str:
    """Return cores and GPUs in words."""
    cores, gpus = (found.get(name, 0.0) for name in ("CPU", "GPU"))
    return f"{cores:g} cores, {gpus:g} GPUs"
