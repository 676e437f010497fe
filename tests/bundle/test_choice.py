"""Which backend is taken: by rule, measured, remembered, and never one that is not exact."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genoslim.bundle import choice
from genoslim.bundle.bundle import Bundle, write_manifest
from genoslim.bundle.choice import cache_folder, choose_backend
from genoslim.bundle.compare import BackendComparison, _difference
from genoslim.bundle.runner import GraphRunner, random_windows
from genoslim.errors import GateError, GenoslimError, UsageError
from genoslim.models.tokenizer import SequenceTokenizer

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
FASTER = BackendComparison(onnxruntime=470.0, openvino=512.0, difference=1e-6)
SLOWER = BackendComparison(onnxruntime=512.0, openvino=470.0, difference=1e-6)
WRONG = BackendComparison(onnxruntime=470.0, openvino=512.0, difference=0.02)
BOTH = {"onnxruntime": "1.31", "openvino": "2026.4"}
Measure = Callable[[BackendComparison | Exception], list[int]]


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GENOSLIM_CACHE", str(folder))
    return folder


@pytest.fixture
def measure(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Say what measuring will find; returns the threads of each call."""

    def install(outcome: BackendComparison | Exception) -> list[int]:
        calls: list[int] = []

        def measured(_: Bundle, threads: int) -> BackendComparison:
            calls.append(threads)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(choice, "_versions", lambda: BOTH)
        monkeypatch.setattr(choice, "_measured", measured)
        return calls

    return install


@pytest.mark.parametrize(
    ("rates", "expected"),
    [((100.0, 102.9), "onnxruntime"), ((100.0, 103.0), "openvino"), ((100.0, 50.0), "onnxruntime")],
)
def test_openvino_must_be_three_per_cent_faster(rates: tuple[float, float], expected: str) -> None:
    assert (
        BackendComparison(onnxruntime=rates[0], openvino=rates[1], difference=0.0).faster
        == expected
    )


def test_the_faster_one_is_taken_and_said(bundle: Bundle, measure: Measure, caplog) -> None:
    caplog.set_level(logging.INFO, "genoslim")
    calls = measure(FASTER)
    assert choose_backend(bundle, threads=3) == "openvino"
    assert "openvino: 512 windows/s against 470 for onnxruntime, measured on this" in caplog.text
    assert choose_backend(bundle, threads=3) == "openvino"
    assert "openvino: 512 windows/s against 470 for onnxruntime, remembered in" in caplog.text
    assert choose_backend(bundle, "openvino", threads=3) == "openvino"
    assert calls == [3]


def test_other_threads_are_another_measurement(bundle: Bundle, measure: Measure) -> None:
    calls = measure(SLOWER)
    for threads in (1, 2, 1, 2):
        assert choose_backend(bundle, threads=threads) == "onnxruntime"
    assert calls == [1, 2]


@pytest.mark.parametrize(
    ("options", "versions", "precision"),
    [
        ({"backend": "onnxruntime"}, BOTH, "fp32"),
        ({}, {"onnxruntime": "1.31"}, "fp32"),
        ({"device": "cuda"}, BOTH, "fp32"),
        ({"tf32": True}, BOTH, "fp32"),
        ({}, {"onnxruntime-gpu": "1.31", "openvino": "2026.4"}, "fp32"),
        ({}, BOTH, "int8"),
    ],
)
def test_nothing_is_measured_where_nothing_is_to_choose(
    options, versions, precision, bundle_folder, make_manifest, measure, cache, monkeypatch
) -> None:
    calls = measure(FASTER)
    monkeypatch.setattr(choice, "_versions", lambda: versions)
    bundle = write_manifest(bundle_folder, make_manifest(precision=precision))
    assert choose_backend(bundle, **options) == "onnxruntime"
    assert calls == []
    assert not cache.exists()


def test_what_is_not_exact_is_not_taken(bundle: Bundle, measure: Measure, caplog) -> None:
    calls = measure(WRONG)
    assert choose_backend(bundle, threads=1) == "onnxruntime"
    assert "differ from onnxruntime's by 0.02" in caplog.text
    with pytest.raises(GateError, match=r"by 0\.02 on random windows; at most 0\.0001"):
        choose_backend(bundle, "openvino", threads=1)
    assert calls == [1]


def test_a_comparison_that_fails_is_no_reason_to_stop(
    bundle: Bundle, measure: Measure, cache: Path, caplog
) -> None:
    measure(GenoslimError("comparing it with openvino failed: its process was ended by SIGKILL"))
    assert choose_backend(bundle) == "onnxruntime"
    assert "backend onnxruntime: comparing it with openvino failed" in caplog.text
    with pytest.raises(GenoslimError, match="ended by SIGKILL"):
        choose_backend(bundle, "openvino")
    assert not cache.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: "",
        lambda record: "{",
        lambda record: "[]",
        lambda record: json.dumps(record | {"format": 0}),
        lambda record: json.dumps(record | {"processor": "another"}),
        lambda record: json.dumps(record | {"versions": {}}),
        lambda record: json.dumps(record | {"found": {"openvino": 1.0}}),
        lambda record: json.dumps(record | {"found": record["found"] | {"difference": "0"}}),
        lambda record: json.dumps(record | {"found": record["found"] | {"difference": -1.0}}),
        lambda record: json.dumps(record | {"found": record["found"] | {"openvino": float("inf")}}),
    ],
)
def test_a_record_that_does_not_fit_is_measured_anew(
    spoil, bundle: Bundle, measure: Measure, cache: Path
) -> None:
    calls = measure(FASTER)
    choose_backend(bundle)
    (path,) = cache.iterdir()
    whole = path.read_text()
    path.write_text(spoil(json.loads(whole)))
    assert choose_backend(bundle) == "openvino"
    assert len(calls) == 2
    assert path.read_text() == whole


def test_a_cache_that_cannot_be_written_is_a_warning(
    bundle: Bundle, measure: Measure, cache: Path, caplog
) -> None:
    calls = measure(FASTER)
    cache.write_text("a file in its place")
    assert [choose_backend(bundle), choose_backend(bundle)] == ["openvino"] * 2
    assert "cannot be remembered" in caplog.text
    assert len(calls) == 2


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENOSLIM_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("GENOSLIM_CACHE")
    assert cache_folder() == Path("/b/genoslim")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/c/.cache/genoslim")


def test_a_user_without_a_home_has_no_cache(
    bundle: Bundle, measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    calls = measure(FASTER)
    for name in ("GENOSLIM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_123)  # known to no user data base
    monkeypatch.chdir(tmp_path)
    assert choose_backend(bundle) == "openvino"
    assert "cannot be remembered (no home folder)" in caplog.text
    assert len(calls) == 1
    assert not list(tmp_path.glob("~*"))


def test_an_unknown_backend_is_a_usage_error(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="backend is 'tvm'; expected auto, onnxruntime or openv"):
        choose_backend(bundle, "tvm")


@pytest.mark.parametrize("shift", [0.0, 0.25, float("nan"), float("inf")])
def test_differences_of_logits_are_found(bundle: Bundle, shift: float) -> None:
    tokenizer = SequenceTokenizer.from_folder(bundle.folder)
    first, second = (GraphRunner(bundle.graph, tokenizer, threads=1) for _ in range(2))
    run = second.run

    def off_where_padded(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        found = run(ids, mask)
        found[mask.sum(axis=1) < mask.shape[1] / 2] += shift
        return found

    second.run = off_where_padded
    found = _difference([first, second], random_windows(60, 16))
    assert found == pytest.approx(shift, abs=1e-6) if np.isfinite(shift) else found > 1e30


@needs_openvino
def test_both_are_really_measured_once(bundle: Bundle, cache: Path, monkeypatch) -> None:
    chosen = choose_backend(bundle, threads=1)
    (path,) = cache.iterdir()
    found = BackendComparison(**json.loads(path.read_text())["found"])
    assert found.exact
    assert found.faster == chosen
    assert found.onnxruntime > 0 < found.openvino
    monkeypatch.setattr(choice, "_measured", None)
    assert choose_backend(bundle, threads=1) == chosen


@needs_openvino
def test_a_child_that_fails_says_why(bundle_folder: Path, make_manifest, cache: Path) -> None:
    (bundle_folder / "model.onnx").write_bytes(b"no graph")
    bundle = write_manifest(bundle_folder, make_manifest())
    with pytest.raises(GenoslimError, match=r"with openvino failed: .*cannot load it"):
        choose_backend(bundle, "openvino", threads=1)


@needs_openvino
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_measuring_leaves_nothing(
    number: signal.Signals, bundle: Bundle, cache: Path, tmp_path: Path
) -> None:
    fasta, vcf = tmp_path / "in.fa", tmp_path / "in.vcf"
    fasta.write_text(">chr1\n" + "ACGT" * 50 + "\n")
    vcf.write_text(
        "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "chr1\t101\t.\tA\tC\t.\t.\t.\n"
    )
    program = "from genoslim.__main__ import main; main()"
    files = ["-m", bundle.folder, "-f", fasta, "-i", vcf, "-o", tmp_path / "out" / "out.vcf"]
    with subprocess.Popen(
        [sys.executable, "-c", program, "score", *map(str, files), "--device", "cpu"],
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"comparing the backends")
        time.sleep(0.5)  # into the comparison
        process.send_signal(number)
        code = process.wait(timeout=30)
        rest = process.stderr.read()
    assert code == 128 + number
    assert b"Traceback" not in rest
    assert not cache.exists()
    assert not (tmp_path / "out").exists()
    with pytest.raises(ProcessLookupError):  # nor a child of it
        os.killpg(process.pid, 0)
