"""Progress and the account of scoring, as text."""

from __future__ import annotations

import io
import re
import time

from genoslim.data.status import Status
from genoslim.score.console import account, progress_on
from genoslim.score.tally import Tally


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_number_as_it_grows() -> None:
    stream = Terminal()
    with progress_on(stream) as progress:
        progress(2048)
        progress(4096)
    assert stream.getvalue() == "\r2,048 lines scored\r4,096 lines scored\n"


def test_elsewhere_a_line_comes_now_and_then_with_its_rate() -> None:
    stream = io.StringIO()
    with progress_on(stream, every=0.2) as progress:
        progress(1000)
        time.sleep(0.25)
        progress(2000)
        progress(3000)
        time.sleep(0.25)
        progress(3000)
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"2,000 lines scored, [\d,]+/s", first)
    rate = re.fullmatch(r"3,000 lines scored, ([\d,]+)/s", second)
    assert rate is not None
    assert 0 < int(rate[1].replace(",", "")) <= 4000


def test_by_default_that_is_every_half_minute() -> None:
    stream = io.StringIO()
    with progress_on(stream) as progress:
        progress(1000)
    assert stream.getvalue() == ""


def test_the_account_fits_80_columns() -> None:
    tally = Tally(
        input="-",
        output="-",
        bundle="b",
        bundle_digest="0123456789abcdef",
        threshold=0.5,
        window_length=96,
        assembly="GRCh38",
        backend="onnxruntime",
        provider="CPUExecutionProvider",
        tf32=False,
        check_ref="exit",
        records=29_120,
        alleles=29_144,
        scored=28_191,
        called=14_000,
        malformed_lines=0,
        other_lines=0,
        statuses={Status.SYMBOLIC: 24, Status.NOT_SNV: 929, Status.OK: 28_191, Status.STAR: 0},
        reference_checked=29_120,
        reference_mismatched=0,
        aliases={},
        warnings=(),
        seconds=60.0,
        model_seconds=58.0,
    )
    lines = account(tally).splitlines()
    assert max(map(len, lines)) <= 80
    statuses = [line.split() for line in lines if line.startswith("  ")]
    assert statuses == [["OK", "28,191"], ["NOT_SNV", "929"], ["SYMBOLIC", "24"]]
    assert len({len(line) for line in lines if line.startswith("  ")}) == 1
