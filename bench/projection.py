"""How long, and at a price an hour how dear, many variants would be, from what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from .latency import Range

MILLION, GENOME = 1_000_000, 4_500_000
"""A human genome differs from the reference at 4.1 to 5.0 million sites (1000 Genomes Project
2015, doi 10.1038/nature15393)."""

_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Hours for so many variants, and their cost; with the least and the greatest over rounds.

    One process as it was timed, end to end, all variants different; `cost` is None without a price.
    """

    variants: int
    hours: Range
    cost: Range | None


def project(rates: Range, *, price_per_hour: float | None = None) -> tuple[Projection, ...]:
    """Project variants a second, as found over rounds, to a million variants and to a genome."""
    return tuple(_projected(count, rates, price_per_hour) for count in (MILLION, GENOME))


def _projected(variants: int, rates: Range, price: float | None) -> Projection:
    hours = Range(
        median=variants / rates.median / _HOUR,
        low=variants / rates.high / _HOUR,
        high=variants / rates.low / _HOUR,
        n=rates.n,
    )
    return Projection(
        variants=variants, hours=hours, cost=None if price is None else hours.times(price)
    )
