"""Predict with a bundle: sequences or variants in, probabilities and calls out. Needs no torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..data.genome import Genome, ReferenceMismatch, UnknownContig
from ..data.judge import VariantJudge, Verdict
from ..data.status import Status
from ..data.variant import Variant
from ..errors import GenoslimError, listed
from .bundle import Bundle
from .runtime import Runtime, to_probabilities
from .sessions import Backend, Device

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Predictions", "Predictor", "open_bundle"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a bundle says of n sequences or variants, in the order they were given.

    `probabilities`, float64 [n], are calibrated and mean `label_names[1]`; `logits`, float32
    [n, 2], are the network's own; `calls`, int8 [n], are 1 from `threshold` on, else 0. `statuses`
    say of each why it has no prediction: NaN, NaN and -1 stand there. The arrays cannot be changed.
    """

    probabilities: NDArray[np.float64]
    logits: NDArray[np.float32]
    calls: NDArray[np.int8]
    statuses: tuple[Status, ...]
    label_names: tuple[str, str]
    threshold: float

    def __post_init__(self) -> None:
        for array in (self.probabilities, self.logits, self.calls):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.calls)

    def __repr__(self) -> str:
        scored = int((self.calls >= 0).sum())
        called = int((self.calls == 1).sum())
        return f"<Predictions of {len(self)}: {scored} scored, {called} {self.label_names[1]}>"


@dataclass(frozen=True, eq=False, repr=False)
class Predictor:
    """A loaded bundle, ready to predict; made by `open_bundle`.

    `bundle.manifest` says what it takes (`window_length` in base pairs, `assembly`) and how good it
    is (`metrics`).
    """

    bundle: Bundle
    runtime: Runtime
    batch_tokens: int | None = None

    def __repr__(self) -> str:
        return f"<Predictor of {self.runtime!r}>"

    def predict(self, sequences: Sequence[str]) -> Predictions:
        """Predict on windows with the alternate allele in place.

        Args:
            sequences: n strings of DNA, each of `bundle.manifest.window_length` bases, with the
                first base of the variant at 0-based index `window_length // 2`. Letters other than
                A, C, G and T, of either case, count as N. n may be 0.

        Returns:
            n predictions, all with status OK. Equal sequences are computed once.

        Raises:
            UsageError: `sequences` is one string.
            GenoslimError: a sequence of more tokens than the model takes, or a result that is no
                finite number.

        Example:
            >>> from genoslim import open_bundle
            >>> predictor = open_bundle("my-bundle", threads=1)
            >>> windows = ["ACGT" * 24, "TTGACA" * 16]
            >>> found = predictor.predict(windows)
            >>> found.probabilities.shape, found.logits.shape
            ((2,), (2, 2))
        """
        logits = self.runtime.logits(sequences, batch_tokens=self.batch_tokens)
        wanted = self.bundle.manifest.window_length
        if other := {len(sequence) for sequence in sequences} - {wanted}:
            _LOG.warning(
                "%s: made for windows of %d bp, given sequences of %s: what is known of its quality"
                " does not hold for them",
                self.bundle.folder,
                wanted,
                ", ".join(map(str, sorted(other)[:3])),
            )
        return self._predictions(logits, [Status.OK] * len(logits))

    def predict_variants(
        self,
        variants: Sequence[Variant],
        fasta: str | Path,
        *,
        score_non_snv: bool = False,
    ) -> Predictions:
        """Predict on variants: their windows are cut from a FASTA file, as `genoslim score` does.

        Args:
            variants: n variants with 1-based positions, in any order. Contigs may be named with or
                without `chr`.
            fasta: The reference genome, plain or bgzip-compressed; indexed if it is not yet.
            score_non_snv: Score insertions, deletions and substitutions of several bases too; else
                their status is NOT_SNV.

        Returns:
            n predictions in the order of `variants`. Those of another status than OK and
            CONTIG_EDGE have none; docs/scoring.md lists the statuses.

        Raises:
            UnknownContig: the FASTA has none of the contigs.
            ReferenceMismatch: too many reference alleles differ from the FASTA (more than 5 %, or
                half of fewer than 100): it is of another assembly.
            GenoslimError: the FASTA cannot be read, or a result is no finite number.

        Example:
            >>> from genoslim import Variant, open_bundle
            >>> predictor = open_bundle("my-bundle", threads=1)
            >>> variants = [Variant("chr1", 500, "G", "A"), Variant("chr9", 500, "G", "A")]
            >>> predictor.predict_variants(variants, "genome.fa").statuses
            (<Status.OK: 'OK'>, <Status.NO_CONTIG: 'NO_CONTIG'>)
        """
        verdicts = self._verdicts(variants, Path(fasta), score_non_snv=score_non_snv)
        statuses = [verdict.status for verdict in verdicts]
        windows = [verdict.window for verdict in verdicts if verdict.window is not None]
        logits = np.full((len(verdicts), self.runtime.num_labels), np.nan, np.float32)
        logits[_scored(statuses)] = self.runtime.logits(windows, batch_tokens=self.batch_tokens)
        return self._predictions(logits, statuses)

    def _verdicts(
        self, variants: Sequence[Variant], fasta: Path, *, score_non_snv: bool
    ) -> list[Verdict]:
        """Judge the variants, contig by contig and from left to right, as a FASTA is read best."""
        order = sorted(range(len(variants)), key=lambda place: variants[place])
        found: list[Verdict] = [Verdict(Status.INVALID)] * len(variants)
        with Genome(fasta) as genome:
            judge = VariantJudge(
                genome, self.bundle.manifest.window_length, score_non_snv=score_non_snv
            )
            for place in order:
                found[place] = judge.judge(variants[place])
        _require_same_genome(judge)
        fits = iter(self.runtime.fits([one.window for one in found if one.window is not None]))
        return [
            one if one.window is None or next(fits) else Verdict(Status.TOO_LONG) for one in found
        ]

    def _predictions(self, logits: NDArray[np.float32], statuses: Sequence[Status]) -> Predictions:
        manifest = self.bundle.manifest
        scored = _scored(statuses)
        if wrong := int((~np.isfinite(logits[scored])).any(axis=1).sum()):
            raise GenoslimError(
                f"{self.bundle.folder}: no finite result for {wrong} of {int(scored.sum())}"
                " sequences: the bundle is broken, or its precision overflows on them"
            )
        probabilities = np.full(len(logits), np.nan)
        probabilities[scored] = to_probabilities(logits[scored], manifest.temperature)
        calls = np.where(scored, probabilities >= manifest.threshold, -1).astype(np.int8)
        negative, positive = manifest.label_names
        return Predictions(
            probabilities, logits, calls, tuple(statuses), (negative, positive), manifest.threshold
        )


def open_bundle(
    folder: str | Path,
    *,
    backend: Backend = "auto",
    device: Device = "auto",
    threads: int | None = None,
    batch_tokens: int | None = None,
    tf32: bool = False,
) -> Predictor:
    """Open a bundle, prove that every byte is what its manifest says, and load its graph.

    Args:
        folder: What `genoslim export` or `export_bundle` wrote.
        backend: What runs the graph. `auto` is the faster of ONNX Runtime and OpenVINO, compared
            once a bundle and machine; OpenVINO is only taken where its logits agree.
        device: Where to compute. `auto` is CUDA where that loads and computes, else the CPU (with a
            warning if CUDA was offered); a device by name that does not load is an error.
        threads: Of the CPU; by default as many as the process may use.
        batch_tokens: Tokens of a batch, padding included; by default 1024 on a CPU and 16384 on a
            GPU.
        tf32: On CUDA, round the factors of float32 products to 10 bits of mantissa (TF32): faster,
            and not what the bundle's parity was measured in. `runtime.tf32` says what is done.

    Returns:
        The loaded bundle: `.predict(sequences)`, `.predict_variants(variants, fasta)`.

    Raises:
        GateError: a file of the bundle is missing, changed or not listed.
        UsageError: options that do not exist or do not go together.
        GenoslimError: not a bundle, of a newer format, or the backend is not installed or does not
            load it.

    Example:
        >>> from genoslim import open_bundle
        >>> predictor = open_bundle("my-bundle", threads=1)
        >>> predictor.bundle.manifest.window_length
        96
    """
    bundle = Bundle.open(folder)
    runtime = Runtime(bundle, backend=backend, device=device, threads=threads, tf32=tf32)
    return Predictor(bundle, runtime, batch_tokens)


def _scored(statuses: Sequence[Status]) -> NDArray[np.bool_]:
    return np.array([status.scored for status in statuses], dtype=np.bool_)


def _require_same_genome(judge: VariantJudge) -> None:
    """Raise where the variants can hardly be of the genome in the FASTA."""
    names, check, path = judge.contigs, judge.reference_check, judge.genome.path
    if names and not any(names.values()):
        raise UnknownContig(
            f"{path}: none of the variants' contigs ({listed(list(names))}); it has"
            f" {listed(list(judge.genome.contigs))}: is it the same genome?"
        )
    if check.rate > check.limit:
        raise ReferenceMismatch(
            f"{path}: differs from {check.mismatched:,} of {check.checked:,} reference alleles,"
            f" such as {check.example}: is it the same assembly?"
        )
