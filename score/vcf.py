"""Score a VCF with a bundle: read and cut windows, compute, write, all three at once."""

from __future__ import annotations

import logging
import math
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from .. import __version__
from ..bundle.bundle import Bundle
from ..bundle.runtime import Runtime
from ..data import assembly as assemblies
from ..data.genome import Genome
from ..data.judge import Verdict
from ..data.status import Status
from ..errors import GenoslimError, UsageError
from ..files import refuse_overwriting, write_json
from .header import Header
from .judge import Judge
from .pipeline import run_pipeline
from .record import Record, ScoredRecord, parse_record
from .sinks import STDOUT, Labels, check_output, open_sink
from .source import STDIN, display_name, open_lines
from .tally import Tally

__all__ = ["CHECK_REF", "NON_SNV", "Scorer", "score_vcf"]

CHECK_REF = ("exit", "warn", "skip")
NON_SNV = ("leave", "score")

_CHUNK_RECORDS = 2048
_CHUNK_BYTES = 1 << 24

_log = logging.getLogger(__name__)


class Scorer(Protocol):
    """What scoring needs of a `Runtime`."""

    backend: str
    provider: str

    def fits(self, sequences: list[str]) -> Iterable[bool]:
        """Say of each sequence whether it has no more tokens than the model takes."""

    def probabilities(self, sequences: list[str], *, batch_tokens: int | None) -> Iterable[float]:
        """Return one calibrated probability a sequence, in order."""


class _Judged(NamedTuple):
    """A line and the verdict on each of its alternate alleles."""

    record: Record
    verdicts: list[Verdict]


def score_vcf(
    bundle: Path,
    fasta: Path,
    input: str,
    output: str,
    *,
    check_ref: str = "exit",
    non_snv: str = "leave",
    device: str = "auto",
    threads: int | None = None,
    backend: str = "auto",
    batch_tokens: int | None = None,
    assembly: str | None = None,
    summary: Path | None = None,
    command: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tally:
    """Score every record of the VCF `input` (`-`: stdin) into `output` (`-`: stdout).

    The suffix of `output` says what is written: `.vcf`, `.vcf.gz` (with an index), `.tsv` or
    `.parquet`. `check_ref` says what a high rate of REF mismatches does, `non_snv` whether other
    variants than SNVs are scored (docs/scoring.md has all rules). `device`, `threads` and `backend`
    are those of `Runtime`, `batch_tokens` bounds its batches. `assembly` says what assembly the
    input is on, whatever its header says. `command` goes into the header; `progress` is called with
    the number of lines done. Memory does not grow with the input.

    Raises UsageError (an option's value, an output that is also an input), GateError (a damaged
    bundle) and GenoslimError (an input that cannot be read to its end, no contig in common, too
    many REF mismatches); then there is no output file and no summary.
    """
    _check_options(check_ref, non_snv)
    check_output(output)
    files = [bundle, fasta] if input == STDIN else [bundle, fasta, Path(input)]
    _refuse_overwriting(output, summary, files)
    started = time.perf_counter()
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    scorer: Scorer = Runtime(opened, device=device, threads=threads, backend=backend)
    tally = _new_tally(opened, scorer, input, output, check_ref)
    stop = threading.Event()
    with open_lines(input, stop) as lines, Genome(fasta) as genome:
        header = Header.read(lines, display_name(input))
        _compare_assemblies(tally, header, genome, assembly)
        annotated = header.annotated(
            version=__version__,
            command=command or _command(bundle, fasta, input, output, check_ref, non_snv),
            digest=opened.digest,
            label=manifest.label_names[1],
        )
        judge = Judge(
            genome,
            manifest.window_length,
            compare_reference=check_ref != "skip",
            score_non_snv=non_snv == "score",
        )
        reader = _Reader(lines, judge, fatal=check_ref == "exit", name=display_name(input))
        worker = _Worker(scorer, batch_tokens, tally, progress)
        with open_sink(output, annotated, Labels(manifest.label_names, manifest.threshold)) as sink:
            run_pipeline(reader, worker, sink.write, stop=stop)
    _close(tally, judge, started)
    if summary is not None:
        write_json(summary, tally.to_dict())
    return tally


@dataclass
class _Reader:
    """Chunks of judged lines; the checks on the whole are asked before a chunk is handed on."""

    lines: Iterator[bytes]
    judge: Judge
    fatal: bool
    name: str

    def __iter__(self) -> Iterator[list[_Judged]]:
        chunks = _chunks(self.lines)
        chunk = next(chunks, None)
        while chunk is not None:
            judged = [_Judged(r, self.judge.verdicts(r)) for r in map(parse_record, chunk)]
            chunk = next(chunks, None)
            self._check(last=chunk is None)
            yield judged

    def _check(self, *, last: bool) -> None:
        check, contigs = self.judge.reference_check, self.judge.contigs
        if last and contigs and not any(contigs.values()):
            raise GenoslimError(_no_common_contig(self.name, self.judge))
        if self.fatal and (last or check.enough) and check.rate > check.limit:
            raise GenoslimError(
                f"{self.name}: REF is not what {self.judge.genome.path} has in {check.mismatched:,}"
                f" of the first {check.checked:,} records ({check.rate:.1%}; at most"
                f" {check.limit:.0%} is let pass), such as {check.example}: is it the same"
                " assembly? (--check-ref warn goes on all the same)"
            )


@dataclass
class _Worker:
    """Scores a chunk: all its windows in one call, in which equal ones are computed once."""

    scorer: Scorer
    batch_tokens: int | None
    tally: Tally
    progress: Callable[[int], None] | None
    done: int = field(default=0, init=False)

    def __call__(self, chunk: list[_Judged]) -> list[ScoredRecord]:
        started = time.perf_counter()
        chunk = self._fitting(chunk)
        windows = _windows(chunk)
        found = self.scorer.probabilities(windows, batch_tokens=self.batch_tokens)
        self.tally.model_seconds += time.perf_counter() - started
        values = iter(_checked(windows, found))
        scored = [_with_values(judged, values) for judged in chunk]
        for record in scored:
            self.tally.add(record)
        self.done += len(chunk)
        if self.progress is not None:
            self.progress(self.done)
        return scored

    def _fitting(self, chunk: list[_Judged]) -> list[_Judged]:
        """Return the chunk with TOO_LONG for windows of more tokens than the model takes."""
        windows = _windows(chunk)
        fits = self.scorer.fits(windows)
        long = {window for window, fit in zip(windows, fits, strict=True) if not fit}
        if not long:
            return chunk
        too_long = Verdict(Status.TOO_LONG)
        return [
            _Judged(record, [too_long if v.window in long else v for v in verdicts])
            for record, verdicts in chunk
        ]


def _windows(chunk: list[_Judged]) -> list[str]:
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


def _with_values(judged: _Judged, values: Iterator[float]) -> ScoredRecord:
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


def _check_options(check_ref: str, non_snv: str) -> None:
    for name, value, known in (("check_ref", check_ref, CHECK_REF), ("non_snv", non_snv, NON_SNV)):
        if value not in known:
            raise UsageError(f"{name} is {value!r}; expected one of {', '.join(known)}")


def _refuse_overwriting(output: str, summary: Path | None, inputs: list[Path]) -> None:
    """Raise UsageError where an output is an input, lies in the bundle, or is the other output."""
    outputs = [] if output == STDOUT else [Path(output).resolve()]
    if summary is not None and summary.resolve() in outputs:
        raise UsageError(f"{summary}: is both the output and the summary; give two names")
    outputs += [] if summary is None else [summary.resolve()]
    for path in outputs:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; expected the name of a file to write")
        if path.parent in [other.resolve() for other in inputs]:
            raise UsageError(f"{path}: lies in an input ({path.parent}); write to another folder")
        refuse_overwriting(path, inputs)


def _new_tally(bundle: Bundle, scorer: Scorer, input: str, output: str, check_ref: str) -> Tally:
    return Tally(
        input=input,
        output=output,
        bundle=str(bundle.folder),
        bundle_digest=bundle.digest,
        threshold=bundle.manifest.threshold,
        window_length=bundle.manifest.window_length,
        assembly=bundle.manifest.assembly,
        backend=scorer.backend,
        provider=scorer.provider,
        check_ref=check_ref,
    )


def _compare_assemblies(tally: Tally, header: Header, genome: Genome, stated: str | None) -> None:
    """Warn where the VCF or the FASTA is known to be of another assembly than the bundle."""
    of_input = assemblies.of_header(header.text)
    if stated:
        of_input = assemblies.canonical(stated) or stated
    found = {
        "the VCF": of_input,
        f"the FASTA {genome.path}": assemblies.of_contigs(genome.contigs),
    }
    for sentence in assemblies.disagreements(tally.assembly, found):
        _warn(tally, sentence)


def _close(tally: Tally, judge: Judge, started: float) -> None:
    """Fill in what is known at the end, and warn of what a reader of the scores should know."""
    check = judge.reference_check
    tally.reference_checked, tally.reference_mismatched = check.checked, check.mismatched
    tally.aliases = judge.aliases
    tally.seconds = time.perf_counter() - started
    if not tally.records:
        _warn(tally, f"{display_name(tally.input)}: no records")
    if check.mismatched:
        _warn(
            tally,
            f"REF differs from the FASTA in {check.mismatched:,} of {check.checked:,} records"
            f" ({check.rate:.2%}), such as {check.example}",
        )


def _warn(tally: Tally, sentence: str) -> None:
    tally.warnings.append(sentence)
    _log.warning("%s", sentence)


def _no_common_contig(name: str, judge: Judge) -> str:
    theirs = ", ".join(map(_printable, list(judge.contigs)[:5]))
    ours = ", ".join(list(judge.genome.contigs)[:5])
    return (
        f"{name}: no contig in common with {judge.genome.path}: the VCF has {theirs}, the FASTA"
        f" {ours}: is it the same genome?"
    )


def _printable(contig: str) -> str:
    return contig.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _command(
    bundle: Path, fasta: Path, input: str, output: str, check_ref: str, non_snv: str
) -> str:
    call = ["genoslim", "score", "-m", bundle, "-f", fasta, "-i", input, "-o", output]
    return shlex.join(map(str, [*call, "--check-ref", check_ref, "--non-snv", non_snv]))
