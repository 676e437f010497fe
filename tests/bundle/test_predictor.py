"""A bundle opened to predict on sequences and on variants."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import genoslim
from genoslim.bundle.bundle import Bundle, write_manifest
from genoslim.bundle.predictor import Predictor, open_bundle
from genoslim.bundle.runtime import Runtime, to_probabilities
from genoslim.data.genome import ReferenceMismatch, UnknownContig
from genoslim.data.status import Status
from genoslim.data.variant import Variant
from genoslim.errors import GateError, GenoslimError, UsageError

LENGTH = 60
BASES = "".join(random.Random(1).choices("ACGT", k=2000))


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{BASES}\n>chr2\n{'N' * 90}\n")
    return path


@pytest.fixture
def predictor(bundle_folder: Path) -> Predictor:
    return open_bundle(bundle_folder, backend="onnxruntime", device="cpu", threads=1)


def snv(position: int, contig: str = "chr1", reference: str | None = None) -> Variant:
    found = reference or BASES[position - 1]
    return Variant(contig, position, found, "A" if found != "A" else "C")


def window(variant: Variant) -> str:
    start = variant.start - LENGTH // 2
    cut = BASES[start : start + LENGTH]
    return cut[: LENGTH // 2] + variant.alternate + cut[LENGTH // 2 + 1 :]


def test_predictions_are_those_of_the_runtime(bundle_folder: Path, make_manifest, dna) -> None:
    sequences = [dna(LENGTH, seed) for seed in range(40)]
    runtime = Runtime(Bundle.open(bundle_folder), backend="onnxruntime", threads=1)
    logits = runtime.logits(sequences)
    expected = to_probabilities(logits, 2.0)
    threshold = float(np.median(expected))
    write_manifest(bundle_folder, make_manifest(temperature=2.0, threshold=threshold))
    found = open_bundle(bundle_folder, backend="onnxruntime", threads=1).predict(sequences)
    np.testing.assert_array_equal(found.logits, logits)
    np.testing.assert_array_equal(found.probabilities, expected)
    np.testing.assert_array_equal(found.calls, expected >= threshold)
    assert found.calls.sum() == 20
    assert found.statuses == (Status.OK,) * len(found)
    assert (found.label_names, found.threshold) == (("neutral", "causal"), threshold)
    types = (found.probabilities.dtype, found.logits.dtype, found.calls.dtype)
    assert types == (np.float64, np.float32, np.int8)
    assert repr(found) == "<Predictions of 40: 40 scored, 20 causal>"


def test_predictions_cannot_be_changed(predictor: Predictor, dna) -> None:
    found = predictor.predict([dna(LENGTH, 1)])
    for array in (found.probabilities, found.logits, found.calls):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        found.threshold = 0.0  # type: ignore[misc]


def test_nothing_gives_nothing(predictor: Predictor, fasta: Path) -> None:
    assert len(predictor.predict([])) == 0
    found = predictor.predict_variants([], fasta)
    assert (found.probabilities.shape, found.logits.shape) == ((0,), (0, 2))


def test_one_string_is_no_list_of_sequences(predictor: Predictor) -> None:
    text = "ACGT" * 24
    runtime = predictor.runtime
    for take in (
        predictor.predict,
        runtime.logits,
        runtime.probabilities,
        runtime.fits,
        lambda sequences: next(runtime.stream(sequences)),
        runtime.tokenizer.encode,
    ):
        with pytest.raises(UsageError, match=r"one string of 96 letters; .* \[sequence\]"):
            take(text)


def test_another_length_than_the_bundles_is_said(predictor: Predictor, dna, caplog) -> None:
    predictor.predict([dna(LENGTH, 1)])
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        predictor.predict([dna(LENGTH, 1), dna(48, 1), dna(96, 1)])
    assert "made for windows of 60 bp, given sequences of 48, 96" in caplog.text


def test_windows_of_variants_are_cut_from_the_genome(predictor: Predictor, fasta: Path) -> None:
    variants = [snv(position) for position in (1500, 40, 700, 1960, 700)]
    found = predictor.predict_variants(variants, fasta)
    expected = predictor.predict([window(variant) for variant in variants])
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-6)
    assert found.statuses == (Status.OK,) * 5


def test_what_cannot_be_scored_has_a_status_and_no_number(
    predictor: Predictor, fasta: Path
) -> None:
    variants = [
        snv(700),
        snv(800, reference="A" if BASES[799] != "A" else "G"),
        Variant("chr1", 900, BASES[899], BASES[899] + "AC"),
        snv(50, "chr2", "A"),
        snv(10, "chr7", "A"),
        snv(2),
        snv(1000, "1"),
    ]
    found = predictor.predict_variants(variants, fasta)
    assert [status.value for status in found.statuses] == [
        *("OK", "REF_MISMATCH", "NOT_SNV", "N_WINDOW", "NO_CONTIG", "CONTIG_EDGE", "OK")
    ]
    scored = [status.scored for status in found.statuses]
    np.testing.assert_array_equal(np.isfinite(found.probabilities), scored)
    np.testing.assert_array_equal(np.isfinite(found.logits).all(axis=1), scored)
    np.testing.assert_array_equal(found.calls >= 0, scored)
    longer = predictor.predict_variants(variants, fasta, score_non_snv=True)
    assert longer.statuses[2] is Status.OK
    assert np.isfinite(longer.probabilities[2])


def test_a_window_of_too_many_tokens_is_too_long(
    predictor: Predictor, fasta: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = max(len(row) for row in predictor.runtime.tokenizer.encode([window(snv(700))]))
    monkeypatch.setattr(predictor.runtime.tokenizer, "max_tokens", limit)
    variants = [snv(position) for position in range(600, 800)]
    found = predictor.predict_variants(variants, fasta)
    assert set(found.statuses) == {Status.OK, Status.TOO_LONG}
    assert found.statuses[100] is Status.OK
    with pytest.raises(GenoslimError, match="the model takes at most"):
        predictor.predict([window(variant) for variant in variants])


def test_another_genome_is_refused(predictor: Predictor, fasta: Path) -> None:
    other = [snv(p, reference="A" if BASES[p - 1] != "A" else "G") for p in range(500, 520)]
    with pytest.raises(ReferenceMismatch, match="differs from 20 of 20 reference alleles"):
        predictor.predict_variants(other, fasta)
    with pytest.raises(UnknownContig, match=r"none of the variants' contigs \(HLA\); it has chr1"):
        predictor.predict_variants([snv(5, "HLA")], fasta)


def test_a_result_that_is_no_number_is_an_error(predictor: Predictor, dna, monkeypatch) -> None:
    monkeypatch.setattr(
        predictor.runtime, "run", lambda ids, mask: np.full((len(ids), 2), np.inf, np.float32)
    )
    with pytest.raises(GenoslimError, match="no finite result for 1 of 1 sequences"):
        predictor.predict([dna(LENGTH, 1)])


def test_what_is_said_of_it_is_short(predictor: Predictor, dna) -> None:
    for thing in (
        predictor,
        predictor.runtime,
        predictor.bundle,
        predictor.predict([dna(LENGTH, seed) for seed in range(1000)]),
    ):
        assert len(repr(thing)) < 300, repr(thing)
    assert "onnxruntime" in repr(predictor)
    assert str(predictor.bundle.folder) in repr(predictor)


def test_a_changed_bundle_is_not_opened(bundle_folder: Path) -> None:
    (bundle_folder / "README.md").write_text("another")
    with pytest.raises(GateError, match=r"README\.md"):
        genoslim.open_bundle(bundle_folder)


def test_predicting_needs_no_torch(bundle_folder: Path, fasta: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import genoslim\n"
        f"found = genoslim.open_bundle({str(bundle_folder)!r}, threads=1, backend='onnxruntime')"
        f".predict_variants([genoslim.Variant('1', 700, {BASES[699]!r}, 'N')], {str(fasta)!r})\n"
        "print(found.statuses[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "N_WINDOW\n"
