"""Scoring where ONNX Runtime offers a GPU that does not work: real sessions, in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genoslim.bundle.bundle import Bundle

HEADER = b"##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
OFFERS_CUDA = """
import onnxruntime

CUDA, real = "CUDAExecutionProvider", onnxruntime.InferenceSession

def session(graph, options, *, providers, enable_fallback):
    if providers[0] == (CUDA, {"use_tf32": "0"}) and FAILS:
        raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ;")
    return real(graph, options, providers=providers[-1:], enable_fallback=enable_fallback)

onnxruntime.InferenceSession = session
onnxruntime.get_available_providers = lambda: [CUDA, "CPUExecutionProvider"]
onnxruntime.preload_dlls = lambda: print("Failed to load libcudart.so.13: no such file")

from genoslim.__main__ import main
main()
"""
"""The program `genoslim` on a machine with onnxruntime-gpu. FAILS: libraries, and no device."""


@pytest.fixture
def run(
    bundle: Bundle, fasta: Path, snv: Callable[..., bytes], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    source = tmp_path / "in.vcf"
    source.write_bytes(HEADER + snv("chr1", 500) + snv("chr1", 700))

    def score(*options: str, fails: bool) -> subprocess.CompletedProcess[bytes]:
        program = f"FAILS = {fails}\n{OFFERS_CUDA}"
        call = ["score", "-m", bundle.folder, "-f", fasta, "-i", source, "-o", "-", *options]
        return subprocess.run(
            [sys.executable, "-c", program, *map(str, call)], capture_output=True, check=False
        )

    return score


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        (True, b"CUDA failure 100: no CUDA-capable device is detected\n"),
        (False, b"CUDA and cuDNN did not load (Failed to load libcudart.so.13: no such file); "),
    ],
)
def test_auto_goes_on_with_the_cpu_and_the_vcf_is_whole(
    run, fails: bool, reason: bytes, tmp_path: Path
) -> None:
    summary = tmp_path / "tally.json"
    done = run("--summary", str(summary), fails=fails)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"##fileformat=VCF")
    assert done.stdout.count(b"GS_P=") == 2
    assert b"libcudart" not in done.stdout
    told = [line for line in done.stderr.splitlines(keepends=True) if b"CUDA" in line]
    assert len(told) == 1
    assert told[0].startswith(b"device auto: going on with the CPU: ")
    assert reason in told[0]
    tally = json.loads(summary.read_text())
    assert (tally["provider"], tally["tf32"]) == ("CPUExecutionProvider", False)


@pytest.mark.parametrize("fails", [True, False])
def test_a_device_by_name_is_an_error_of_one_line(run, fails: bool) -> None:
    done = run("--device", "cuda", fails=fails)
    assert (done.returncode, done.stdout) == (1, b"")
    assert len(done.stderr.splitlines()) == 1
    assert b"CUDA" in done.stderr


def test_tf32_is_of_cuda(run) -> None:
    done = run("--device", "cpu", "--tf32", fails=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"tf32 is of CUDA: it needs --device cuda" in done.stderr
