"""Score a VCF with a bundle: read and cut windows, compute, write, all three at once."""

from __future__ import annotations

import logging
import shlex
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, get_args

from .. import __version__
from ..bundle.bundle import Bundle
from ..bundle.runtime import Runtime
from ..bundle.sessions import Backend, Device
from ..data import assembly as assemblies
from ..data.genome import Genome
from ..errors import UsageError
from ..files import refuse_overwriting, refuse_unwritable, write_json
from .header import Header
from .judge import RecordJudge
from .pipeline import run_pipeline
from .sinks import STDOUT, Labels, Sink, check_output, open_sink
from .source import STDIN, display_name, open_lines
from .stages import ReadingStage, ScoringStage
from .tally import Counts, Tally

__all__ = ["CheckRef", "NonSnv", "score_vcf"]

CheckRef = Literal["exit", "warn", "skip"]
"""What a high rate of REF mismatches does: end the run, warn, or REF is not compared at all."""

NonSnv = Literal["leave", "score"]
"""Whether variants that are not one base for one base are scored."""

_log = logging.getLogger(__name__)


def score_vcf(
    bundle: str | Path,
    input: str | Path,
    *,
    fasta: str | Path,
    output: str | Path,
    check_ref: CheckRef = "exit",
    non_snv: NonSnv = "leave",
    backend: Backend = "auto",
    device: Device = "auto",
    threads: int | None = None,
    batch_tokens: int | None = None,
    tf32: bool = False,
    assembly: str | None = None,
    summary: str | Path | None = None,
    command: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tally:
    """Score every record of a VCF with a bundle; what is wrong is found before the model loads.

    Memory does not grow with the input. docs/scoring.md has all rules.

    Args:
        bundle: What `genoslim export` or `export_bundle` wrote.
        input: The VCF, plain or gzip-compressed; `-` is stdin. Positions are 1-based, as in any
            VCF.
        fasta: The reference genome, plain or bgzip-compressed; indexed if it is not yet.
        output: What to write, by its suffix: `.vcf`, `.vcf.gz` (with an index), `.tsv` or
            `.parquet`; `-` is VCF on stdout. It appears whole or not at all.
        check_ref: What a high rate of REF mismatches does.
        non_snv: Whether insertions, deletions and substitutions of several bases are scored too.
        backend: What runs the graph; `auto` is the faster exact one here.
        device: Where to compute; `auto` is CUDA where that loads and computes, else the CPU.
        threads: Of the model; by default as many as the process may use.
        batch_tokens: Tokens of a batch, padding included; by default 1024 on a CPU and 16384 on a
            GPU.
        tf32: On CUDA, round the factors of float32 products to 10 bits of mantissa (TF32): faster,
            and not what the bundle's parity was measured in.
        assembly: The assembly of the input, whatever its header says.
        summary: A file to write the tally to, as JSON.
        command: What the output's header says it was made by; by default this call as a command.
        progress: Called with the number of body lines done, after each block of some thousand.

    Returns:
        What came in, what became of it, and how fast.

    Raises:
        UsageError: an option that does not exist, or an output that is also an input.
        GateError: the bundle is damaged.
        GenoslimError: an input that cannot be read to its end, an output that cannot be written, no
            contig in common, or too many REF mismatches. There is then no output and no summary.

    Example:
        >>> from genoslim import score_vcf
        >>> tally = score_vcf("my-bundle", "variants.vcf", fasta="genome.fa", output="scored.vcf")
        >>> tally.records == tally.scored
        True
        >>> tally.statuses["OK"] + tally.statuses["CONTIG_EDGE"] == tally.scored
        True
    """
    _check_choice("check_ref", check_ref, CheckRef)
    _check_choice("non_snv", non_snv, NonSnv)
    bundle, fasta, source, output = Path(bundle), Path(fasta), str(input), str(output)
    summary = None if summary is None else Path(summary)
    _check_outputs(output, summary, [bundle, fasta, *([] if source == STDIN else [Path(source)])])
    started, stop = time.perf_counter(), threading.Event()
    with open_lines(source, stop) as lines, Genome(fasta) as genome:
        header = Header.read(lines, display_name(source))
        opened = Bundle.open(bundle)
        warnings = _of_assemblies(opened, header, genome, assembly)
        runtime = Runtime(opened, device=device, threads=threads, backend=backend, tf32=tf32)
        judge = RecordJudge(
            genome,
            opened.manifest.window_length,
            compare_reference=check_ref != "skip",
            score_non_snv=non_snv == "score",
        )
        counts = Counts(opened.manifest.threshold)
        command = command or _command(bundle, source, fasta, output, check_ref, non_snv, tf32)
        with _sink(output, header, opened, command) as sink:
            run_pipeline(
                ReadingStage(lines, judge, check_ref == "exit", display_name(source)),
                ScoringStage(runtime, batch_tokens, counts, progress or (lambda _: None)),
                sink.write,
                stop=stop,
            )
    tally = counts.close(
        input=source,
        output=output,
        bundle=opened,
        runtime=runtime,
        judge=judge,
        check_ref=check_ref,
        warnings=(*warnings, *_of_records(counts, judge, source)),
        seconds=time.perf_counter() - started,
    )
    if summary is not None:
        write_json(summary, tally.to_dict())
    return tally


def _check_choice(name: str, value: str, known: object) -> None:
    if value not in get_args(known):
        raise UsageError(f"{name} is {value!r}; expected one of {', '.join(get_args(known))}")


def _check_outputs(output: str, summary: Path | None, inputs: list[Path]) -> None:
    """Refuse outputs that are inputs, lie in the bundle or are each other, or cannot be written."""
    check_output(output)
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
        refuse_unwritable(path)


def _command(
    bundle: Path, source: str, fasta: Path, output: str, check_ref: str, non_snv: str, tf32: bool
) -> str:
    call = ["genoslim", "score", "-m", bundle, "-f", fasta, "-i", source, "-o", output]
    call += ["--check-ref", check_ref, "--non-snv", non_snv, *["--tf32"] * tf32]
    return shlex.join(map(str, call))


def _sink(
    output: str, header: Header, bundle: Bundle, command: str
) -> AbstractContextManager[Sink]:
    names = bundle.manifest.label_names
    annotated = header.annotated(
        version=__version__, command=command, digest=bundle.digest, label=names[1]
    )
    return open_sink(output, annotated, Labels(names, bundle.manifest.threshold))


def _of_assemblies(bundle: Bundle, header: Header, genome: Genome, stated: str | None) -> list[str]:
    """Warn where the VCF or the FASTA is known to be of another assembly than the bundle."""
    of_input = assemblies.of_header(header.text)
    if stated:
        of_input = assemblies.canonical(stated) or stated
    found = {
        "the VCF": of_input,
        f"the FASTA {genome.path}": assemblies.of_contigs(genome.contigs),
    }
    return _warned(assemblies.disagreements(bundle.manifest.assembly, found))


def _of_records(counts: Counts, judge: RecordJudge, source: str) -> list[str]:
    """Warn of what a reader of the scores should know."""
    check, found = judge.reference_check, []
    if not counts.records:
        found.append(f"{display_name(source)}: no records")
    if check.mismatched:
        found.append(
            f"REF differs from the FASTA in {check.mismatched:,} of {check.checked:,} records"
            f" ({check.rate:.2%}), such as {check.example}"
        )
    return _warned(found)


def _warned(sentences: Iterable[str]) -> list[str]:
    found = list(sentences)
    for sentence in found:
        _log.warning("%s", sentence)
    return found
