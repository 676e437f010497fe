"""The stages of scoring: chunks of lines with their windows, then with their probabilities."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ..data.judge import Verdict
from ..data.status import Status
from ..errors import GenoslimError, listed
from .judge import RecordJudge
from .record import Record, ScoredRecord, parse_record
from .tally import Counts

__all__ = ["JudgedRecord", "ReadingStage", "Scorer", "ScoringStage"]

_CHUNK_RECORDS = 2048
_CHUNK_BYTES = 1 << 24


class Scorer(Protocol):
    """What scoring needs of a `Runtime`."""

    def fits(self, sequences: list[str]) -> Iterable[bool]:
        """Say of each sequence whether it has no more tokens than the model takes."""

    def probabilities(self, sequences: list[str], *, batch_tokens: int | None) -> Iterable[float]:
        """Return one calibrated probability a sequence, in order."""


class JudgedRecord(NamedTuple):
    """A line and the verdict on each of its alternate alleles."""

    record: Record
    verdicts: list[Verdict]


@dataclass
class ReadingStage:
    """Chunks of judged lines; the checks on the whole are asked before a chunk is handed on.

    `name` is the input's in messages; `fatal` says whether many REF mismatches end the run.
    """

    lines: Iterator[bytes]
    judge: RecordJudge
    fatal: bool
    name: str

    def __iter__(self) -> Iterator[list[JudgedRecord]]:
        chunks = _chunks(self.lines)
        chunk = next(chunks, None)
        while chunk is not None:
            judged = [JudgedRecord(r, self.judge.verdicts(r)) for r in map(parse_record, chunk)]
            chunk = next(chunks, None)
            self._check(last=chunk is None)
            yield judged

    def _check(self, *, last: bool) -> None:
        check, contigs, genome = self.judge.reference_check, self.judge.contigs, self.judge.genome
        if last and contigs and not any(contigs.values()):
            theirs = listed([_printable(contig) for contig in contigs])
            raise GenoslimError(
                f"{self.name}: no contig in common with {genome.path}: the VCF has {theirs}, the"
                f" FASTA {listed(list(genome.contigs))}: is it the same genome?"
            )
        if self.fatal and (last or check.enough) and check.rate > check.limit:
            raise GenoslimError(
                f"{self.name}: REF is not what {genome.path} has in {check.mismatched:,} of the"
                f" first {check.checked:,} records ({check.rate:.1%}; at most {check.limit:.0%} is"
                f" let pass), such as {check.example}: is it the same assembly? (--check-ref warn"
                " goes on all the same)"
            )


@dataclass
class ScoringStage:
    """Scores a chunk: all its windows in one call, in which equal ones are computed once."""

    scorer: Scorer
    batch_tokens: int | None
    counts: Counts
    progress: Callable[[int], None]
    done: int = field(default=0, init=False)

    def __call__(self, chunk: list[JudgedRecord]) -> list[ScoredRecord]:
        """Score one chunk."""
        started = time.perf_counter()
        chunk = self._fitting(chunk)
        windows = _windows(chunk)
        found = self.scorer.probabilities(windows, batch_tokens=self.batch_tokens)
        self.counts.model_seconds += time.perf_counter() - started
        values = iter(_checked(windows, found))
        scored = [_with_values(judged, values) for judged in chunk]
        for record in scored:
            self.counts.add(record)
        self.done += len(chunk)
        self.progress(self.done)
        return scored

    def _fitting(self, chunk: list[JudgedRecord]) -> list[JudgedRecord]:
        """Return the chunk with TOO_LONG for windows of more tokens than the model takes."""
        windows = _windows(chunk)
        fits = self.scorer.fits(windows)
        long = {window for window, fit in zip(windows, fits, strict=True) if not fit}
        if not long:
            return chunk
        too_long = Verdict(Status.TOO_LONG)
        return [
            JudgedRecord(record, [too_long if v.window in long else v for v in verdicts])
            for record, verdicts in chunk
        ]


def _printable(contig: str) -> str:
    return contig.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _windows(chunk: list[JudgedRecord]) -> list[str]:
    return [v.window for _, verdicts in chunk for v in verdicts if v.window is not None]


def _checked(windows: list[str], found: Iterable[float]) -> list[float]:
    """Return the probabilities as floats; GenoslimError if one is missing or no number."""
    values = [float(value) for value in found]
    if len(values) != len(windows):
        raise GenoslimError(
            f"the model gave {len(values)} probabilities for {len(windows)} windows"
        )
    wrong = sum(not math.isfinite(value) for value in values)
    if wrong:
        raise GenoslimError(
            f"the model gave no finite probability for {wrong} of {len(values)} windows:"
            " the bundle is broken, or its precision overflows on these sequences"
        )
    return values


def _with_values(judged: JudgedRecord, values: Iterator[float]) -> ScoredRecord:
    probabilities = [None if v.window is None else next(values) for v in judged.verdicts]
    return ScoredRecord(judged.record, probabilities, [v.status for v in judged.verdicts])


def _chunks(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield lines by some thousand, fewer where they are long."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) == _CHUNK_RECORDS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
