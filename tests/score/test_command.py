"""`genoslim score` as a process of its own: pipes, signals, a full disk, and no torch."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genoslim.bundle.bundle import Bundle

_BLOCKED = ("torch", "transformers", "onnx", "sklearn", "pyarrow", "optimum", "safetensors")
_WITHOUT_TORCH = f"""
import sys
for name in {_BLOCKED!r}:
    sys.modules[name] = None
from genoslim.__main__ import main
main()
"""
_ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


@pytest.fixture
def call(bundle: Bundle, fasta: Path) -> list[str]:
    python = [sys.executable, "-c", _WITHOUT_TORCH]
    options = ["--threads", "1", "--backend", "onnxruntime"]
    return [*python, "score", "-m", str(bundle.folder), "-f", str(fasta), *options]


@pytest.fixture
def vcf(many: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_bytes(many)
    return path


def _run(arguments: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        arguments, capture_output=True, timeout=60, env=_ENVIRONMENT, check=False, **options
    )


def _scores(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if not line.startswith(b"##genoslimCommand")]


def test_it_scores_where_torch_cannot_be_imported(
    call: list[str], vcf: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.vcf"
    summary = tmp_path / "summary.json"
    done = _run([*call, "-i", str(vcf), "-o", str(out), "--summary", str(summary)])
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert out.read_bytes().count(b"GS_STATUS=OK\n") == 2900
    assert summary.is_file()
    account = done.stderr.decode()
    assert "2,900 records, 2,900 alternate alleles, 2,900 scored" in account
    assert "records/s" in account


def test_parquet_without_pyarrow_names_the_extra(
    call: list[str], vcf: Path, tmp_path: Path
) -> None:
    done = _run([*call, "-i", str(vcf), "-o", str(tmp_path / "out.parquet")])
    assert done.returncode == 1
    assert b"needs pyarrow: pip install '.[parquet]' in a checkout" in done.stderr
    assert b"Traceback" not in done.stderr


def test_pipes_and_files_give_the_same(
    call: list[str], vcf: Path, many: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out.vcf"
    assert _run([*call, "-i", str(vcf), "-o", str(out)]).returncode == 0
    piped = _run([*call, "-i", "-", "-o", "-"], input=many)
    assert piped.returncode == 0, piped.stderr
    assert _scores(piped.stdout) == _scores(out.read_bytes())
    assert b"2,900 records" in piped.stderr


def test_an_empty_stdin_is_an_error(call: list[str]) -> None:
    done = _run([*call, "-i", "-", "-o", "-"], input=b"")
    assert (done.returncode, done.stdout) == (1, b"")
    last = done.stderr.splitlines()[-1]
    assert last == b"genoslim: stdin: empty; a VCF has at least a #CHROM line"


def test_a_truncated_input_is_an_error_on_stdout_too(call: list[str], many: bytes) -> None:
    import gzip

    done = _run([*call, "-i", "-", "-o", "-"], input=gzip.compress(many)[:-20])
    assert done.returncode == 1
    assert b"genoslim: stdin: truncated" in done.stderr


def test_nothing_is_on_stdout_after_the_wrong_assembly(call: list[str], many: bytes) -> None:
    wrong = many.replace(b"\tA\t", b"\tN\t").replace(b"\tC\t", b"\tN\t")
    done = _run([*call, "-i", "-", "-o", "-"], input=wrong)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is it the same assembly" in done.stderr


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (["-o", "out.txt"], 2),
        (["-o", "out.vcf", "--check-ref", "perhaps"], 2),
        (["-o", "out.vcf", "-i", "absent.vcf"], 1),
        (["-o", "out.vcf", "-m", "absent"], 1),
        (["-o", "out.vcf", "-f", "absent.fa"], 2),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    call: list[str], vcf: Path, change: list[str], code: int, tmp_path: Path
) -> None:
    done = _run([*call, "-i", str(vcf), *change], cwd=tmp_path)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.vcf"]


def test_a_reader_that_goes_away_ends_it_quietly(call: list[str], vcf: Path) -> None:
    with subprocess.Popen(
        [*call, "-i", str(vcf), "-o", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(timeout=60) == 1
    assert b"genoslim:" not in stderr
    assert b"Traceback" not in stderr


@pytest.mark.parametrize("name", ["out.vcf", "out.vcf.gz", "out.tsv"])
def test_a_full_disk_leaves_nothing(call: list[str], vcf: Path, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    done = _run(
        [*call, "-i", str(vcf), "-o", str(folder / name)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 1
    told = b"cannot be written: File too large; nothing of it is left: make room there\n"
    assert done.stderr.endswith(told)
    assert b"Traceback" not in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(
    call: list[str], many: bytes, number: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    folder.mkdir()
    with subprocess.Popen(
        [*call, "-i", "-", "-o", str(folder / "out.vcf.gz")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(many)
        process.stdin.flush()
        until = time.monotonic() + 30
        while not list(folder.iterdir()) and time.monotonic() < until:
            time.sleep(0.02)
        assert list(folder.iterdir()), "no temporary file was made"
        process.send_signal(number)
        assert process.wait(timeout=30) != 0  # stdin is still open
        stderr = process.stderr.read()
    assert list(folder.iterdir()) == []
    assert b"Traceback" not in stderr
    assert b"Fatal" not in stderr
    assert process.returncode == 128 + number
    word = {signal.SIGINT: b"interrupted", signal.SIGTERM: b"terminated"}[number]
    assert stderr.splitlines()[-1] == b"genoslim: " + word


@pytest.mark.parametrize(
    ("closed", "options"), [("stdin", "-i - -o out.vcf"), ("stdout", "-i in.vcf -o -")]
)
def test_closed_streams_are_named(
    call: list[str], vcf: Path, closed: str, options: str, tmp_path: Path
) -> None:
    redirection = {"stdin": "<&-", "stdout": ">&-"}[closed]
    done = _run(["sh", "-c", f'"$@" {redirection}', "sh", *call, *options.split()], cwd=tmp_path)
    assert done.returncode == 1
    assert f"genoslim: {closed}: closed".encode() in done.stderr
