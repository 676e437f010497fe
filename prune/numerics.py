"""What a trial's figures depend on besides its spec: the kind of device, and the precision there.

The hash of a trial says neither, so that a plan lists the same hashes on a login node as on the
node with a GPU that trains it. But figures of two kinds are not compared: a run has one of them,
by its first trials, and refuses to go on in another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import GenoslimError
from ..models.precision import PRECISIONS, Precision, resolve_precision
from .recipe import Recipe
from .trial import TrialResult

if TYPE_CHECKING:
    import torch

DeviceKind = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Numerics:
    """A kind of device, and the precision that was trained in there (never `auto`)."""

    device: DeviceKind
    precision: Precision

    def __str__(self) -> str:
        return f"on {self.device} in {self.precision}"


def numerics_on(device: torch.device, recipe: Recipe) -> Numerics:
    """Return those of a recipe on a device; UsageError for a precision that it has not."""
    import torch

    wanted = recipe.precision
    unseen = device.type == "cuda" and not torch.cuda.is_available()  # a cluster's, from elsewhere
    if wanted != "auto" and (unseen or wanted in ("fp32", "bf16")):
        return Numerics(_kind(device.type), wanted)
    return Numerics(_kind(device.type), resolve_precision(wanted, device))


def numerics_of(result: TrialResult) -> Numerics:
    """Return those that a finished trial has on record."""
    (precision,) = (known for known in PRECISIONS if known == result.precision)
    return Numerics(_kind(result.device.partition(":")[0]), precision)


def require_same(known: Numerics | None, here: Numerics) -> None:
    """Raise GenoslimError where trials would go on otherwise than those that are done."""
    if known is not None and known != here:
        where = f"a GPU that has {known.precision}"  # a begun run's --precision is settled
        if known.device != here.device:
            where = f"--device {known.device}"
        raise GenoslimError(
            f"the run's trials are {known}, here they would be {here}, and figures of the two"
            f" cannot be compared: go on with {where}, or in another folder (-o)"
        )


def only_one(found: Iterable[TrialResult], where: str) -> Numerics | None:
    """Return what all of some finished trials have; None if there is none.

    Raises GenoslimError, naming two that differ, for a mix.
    """
    first: tuple[str, Numerics] | None = None
    for result in found:
        own = numerics_of(result)
        first = first or (result.hash, own)
        if own != first[1]:
            raise GenoslimError(
                f"{where}: trial {first[0]} was trained {first[1]}, trial {result.hash} {own}, and"
                " figures of the two cannot be compared: take those of one kind away"
            )
    return first[1] if first else None


def _kind(device: str) -> DeviceKind:
    return "cuda" if device == "cuda" else "cpu"
