"""The account that closes a run: what came in, what became of it, how fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..bundle.bundle import Bundle
from ..bundle.runtime import Runtime
from ..codec import plain
from ..data.judge import VariantJudge
from ..data.status import Status
from .record import ScoredRecord

__all__ = ["Counts", "Tally"]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What one run of `score_vcf` did.

    Attributes:
        input: The VCF as it was named; `-` for stdin.
        output: The output as it was named; `-` for stdout.
        bundle: The bundle's folder.
        bundle_digest: The SHA-256 that identifies the bundle.
        threshold: The probability from which the bundle's second label is called.
        window_length: Of the bundle, in base pairs.
        assembly: Of the bundle.
        backend: What ran the graph.
        provider: What that says it ran on.
        tf32: Whether the factors of float32 products were rounded to 10 bits of mantissa.
        check_ref: What a high rate of REF mismatches was to do.
        records: Body lines, but for blank and `#` ones.
        alleles: Alternate alleles; a record without any, and a line with too few columns, count as
            one each, INVALID.
        scored: Alleles with a probability.
        called: Alleles at or above `threshold`.
        malformed_lines: Lines with too few columns, passed on as they were.
        other_lines: Blank and `#` lines between records, passed on as they were.
        statuses: How many alleles have each status, 0 included; their sum is `alleles`.
        reference_checked: Records whose REF was compared with the FASTA.
        reference_mismatched: Those of them that differ.
        aliases: Contigs of the VCF that the FASTA has under another name, and that name.
        warnings: What a reader of the scores should know.
        seconds: Wall time of the run.
        model_seconds: The part of it that the model took, tokens included.
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
    tf32: bool
    check_ref: str
    records: int
    alleles: int
    scored: int
    called: int
    malformed_lines: int
    other_lines: int
    statuses: Mapping[Status, int]
    reference_checked: int
    reference_mismatched: int
    aliases: Mapping[str, str]
    warnings: tuple[str, ...]
    seconds: float
    model_seconds: float

    @property
    def records_per_second(self) -> float:
        """Records in a second of wall time."""
        return self.records / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: what `--summary` writes."""
        return plain(self) | {"records_per_second": round(self.records_per_second, 3)}


@dataclass
class Counts:
    """The counts of a run that goes on; `threshold` is what an allele is called from."""

    threshold: float
    records: int = 0
    alleles: int = 0
    scored: int = 0
    called: int = 0
    malformed_lines: int = 0
    other_lines: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
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

    def close(
        self,
        *,
        input: str,
        output: str,
        bundle: Bundle,
        runtime: Runtime,
        judge: VariantJudge,
        check_ref: str,
        warnings: Iterable[str],
        seconds: float,
    ) -> Tally:
        """Return the account of the run that ended."""
        return Tally(
            input=input,
            output=output,
            bundle=str(bundle.folder),
            bundle_digest=bundle.digest,
            threshold=bundle.manifest.threshold,
            window_length=bundle.manifest.window_length,
            assembly=bundle.manifest.assembly,
            backend=runtime.backend,
            provider=runtime.provider,
            tf32=runtime.tf32,
            check_ref=check_ref,
            records=self.records,
            alleles=self.alleles,
            scored=self.scored,
            called=self.called,
            malformed_lines=self.malformed_lines,
            other_lines=self.other_lines,
            statuses={status: self.statuses[status] for status in Status},
            reference_checked=judge.reference_check.checked,
            reference_mismatched=judge.reference_check.mismatched,
            aliases=judge.aliases,
            warnings=tuple(warnings),
            seconds=seconds,
            model_seconds=self.model_seconds,
        )
