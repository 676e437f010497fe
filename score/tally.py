"""The account that closes a run: what came in, what became of it, how fast."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..data.status import Status
from .record import ScoredRecord


@dataclass(kw_only=True)
class Tally:
    """What one run did. Times in seconds; `model_seconds` is the part the model took.

    `records` counts the body lines but blank and `#` ones, which are `other_lines`; `alleles`
    counts the alternate alleles (a record without any, and a line with too few columns, count as
    one INVALID each). `called` counts the alleles at or above the bundle's `threshold`.
    """

    input: str
    output: str
    bundle: str
    bundle_digest: str
    threshold: float
    window_length: int
    assembly: str
    backend: str
    provider: str
    check_ref: str
    records: int = 0
    alleles: int = 0
    scored: int = 0
    called: int = 0
    malformed_lines: int = 0
    other_lines: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    reference_checked: int = 0
    reference_mismatched: int = 0
    aliases: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    model_seconds: float = 0.0

    def add(self, scored: ScoredRecord) -> None:
        """Count one line."""
        if scored.record.silent:
            self.other_lines += 1
            return
        self.records += 1
        self.malformed_lines += not scored.record.well_formed
        self.alleles += len(scored.statuses)
        self.statuses.update(scored.statuses)
        found = [value for value in scored.probabilities if value is not None]
        self.scored += len(found)
        self.called += sum(value >= self.threshold for value in found)

    @property
    def records_per_second(self) -> float:
        """Records in a second of wall time."""
        return self.records / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; every status is there, with 0 where it did not occur."""
        content = dataclasses.asdict(self)
        content["statuses"] = {status.value: self.statuses[status] for status in Status}
        content["records_per_second"] = round(self.records_per_second, 3)
        return content

    def lines(self) -> list[str]:
        """Return the account as lines for a terminal."""
        found = [
            f"{self.records:,} records, {self.alleles:,} alternate alleles, {self.scored:,} scored,"
            f" {self.called:,} at or above the threshold of {self.threshold:.6g}"
        ]
        found += [f"  {status:<12} {count:>12,}" for status, count in self.statuses.most_common()]
        if self.malformed_lines:
            found.append(f"{self.malformed_lines:,} malformed lines passed on as they were")
        if self.aliases:
            pairs = ", ".join(f"{name} = {ours}" for name, ours in self.aliases.items())
            found.append(f"contigs taken for those of the FASTA: {pairs}")
        found.append(
            f"{self.seconds:.1f} s ({self.model_seconds:.1f} s model, {self.backend} on"
            f" {self.provider}),"
            f" {self.records_per_second:,.0f} records/s, bundle {self.bundle_digest[:12]}"
        )
        return found
