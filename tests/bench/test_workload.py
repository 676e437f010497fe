from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoslim.bench.workload import GPU_WINDOWS, MOST_WINDOWS, Workload, write_workload
from genoslim.errors import GenoslimError

WINDOWS = st.integers(1, 9).flatmap(
    lambda length: st.lists(
        st.text("ACGTN", min_size=length, max_size=length), min_size=1, max_size=8, unique=True
    )
)


@settings(max_examples=30)
@given(WINDOWS)
def test_cutting_gives_the_windows_back(windows: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_workload([*windows, *windows], Path(folder))
        with Workload(Path(folder)) as found:
            assert sorted(found.windows()) == sorted(windows)
            assert found.window(len(found)) == found.window(0)


def test_the_draw_is_limited_and_repeatable(tmp_path: Path) -> None:
    windows = [f"{number:08b}".replace("0", "A").replace("1", "C") for number in range(100)]
    drawn = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_workload(windows, tmp_path / name, most=10)
        with Workload(tmp_path / name) as workload:
            drawn.append(workload.windows())
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 10


def test_windows_of_another_length_are_middles_or_lie_end_to_end(tmp_path: Path) -> None:
    windows = ["ACGTA", "CCGTT", "GGGTC"]
    write_workload(windows, tmp_path)
    with Workload(tmp_path) as workload:
        own = workload.windows()
        assert workload.windows_of(5) == own
        assert workload.windows_of(2) == [window[1:3] for window in own]
        assert workload.windows_of(3) == [window[1:4] for window in own]  # index 2 becomes 1
        first, second, third = own
        assert workload.windows_of(12) == [
            first + second + third[:2],
            second + third + first[:2],
            third + first + second[:2],
        ]
        assert set(map(len, workload.windows_of(40))) == {40}


def test_on_a_gpu_there_are_further_windows_all_different(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    windows = ["".join(generator.choice(list("ACGTN"), 50)) for _ in range(300)]
    write_workload(windows, tmp_path)
    with Workload(tmp_path) as workload:
        own = workload.windows()
        assert len(own) == MOST_WINDOWS
        workload.extend()
        every = workload.windows()
    assert every[: len(own)] == own
    assert len(every) == len(set(every)) == GPU_WINDOWS
    assert {len(window) for window in every} == {50}
    middles = {window[25] for window in every[len(own) :]}
    assert middles == set("ACGT")


def test_nothing_to_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GenoslimError, match="no window to time"):
        write_workload([], tmp_path)
