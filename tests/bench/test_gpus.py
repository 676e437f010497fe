from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest

from genoslim.bench.energy import open_counters
from genoslim.bench.environment import describe_environment
from genoslim.bench.gpus import Gpu, free_gpu_memory, gpu_memory, gpus

CARDS = ("GPU-aaaa", "GPU-bbbb", "GPU-cccc")


@pytest.fixture
def three_cards(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """NVML of three cards, on the first two of which this process and another hold memory."""
    processes = {
        "GPU-aaaa": [(os.getpid(), 300), (1, 5000)],
        "GPU-bbbb": [(os.getpid(), 40)],
        "GPU-cccc": [(os.getpid(), None)],
    }
    nvml = types.ModuleType("pynvml")
    nvml.__dict__.update(
        {
            "open": 0,
            "nvmlInit": lambda: setattr(nvml, "open", nvml.open + 1),
            "nvmlShutdown": lambda: setattr(nvml, "open", nvml.open - 1),
            "nvmlSystemGetDriverVersion": lambda: "580.95",
            "nvmlDeviceGetCount": lambda: len(CARDS),
            "nvmlDeviceGetHandleByIndex": lambda place: CARDS[place],
            "nvmlDeviceGetHandleByUUID": {uuid: uuid for uuid in CARDS}.__getitem__,
            "NVMLError": LookupError,
            "nvmlDeviceGetName": lambda card: f"Card {card[-4:]}",
            "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(
                total=80 * 10**9, free=1000 * (CARDS.index(card) + 1)
            ),
            "nvmlDeviceGetComputeRunningProcesses": lambda card: [
                SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in processes[card]
            ],
        }
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    return nvml


def test_the_environment_names_the_cards(three_cards: types.ModuleType) -> None:
    found = describe_environment().gpus
    assert found[0] == Gpu(name="Card aaaa", memory=80 * 10**9, driver="580.95")
    assert len(found) == 3
    assert three_cards.open == 0


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("2,0", ["Card cccc", "Card aaaa"]),
        ("GPU-bbbb", ["Card bbbb"]),
        ("", []),
        ("-1", []),
        ("2,7,0", ["Card cccc"]),
    ],
)
def test_only_cards_that_cuda_shows_count(
    visible: str, names: list[str], three_cards: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.name for gpu in gpus()] == names


def test_memory_is_that_of_the_process(
    three_cards: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpu_memory() == 340
    assert gpu_memory(1) == 5000
    assert gpu_memory(2) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert gpu_memory() is None


def test_what_a_card_does_not_tell_is_not_known(
    three_cards: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(card: str) -> None:
        raise LookupError(card)

    monkeypatch.setattr(three_cards, "nvmlDeviceGetMemoryInfo", refuse)
    monkeypatch.setattr(three_cards, "nvmlDeviceGetComputeRunningProcesses", refuse)
    assert gpus()[0] == Gpu(name="Card aaaa", memory=None, driver="580.95")
    assert gpu_memory() is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaa")
    assert free_gpu_memory() is None


def test_free_memory_is_that_of_the_first_card(
    three_cards: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert free_gpu_memory() is None  # the cards differ: CUDA may count them otherwise
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert free_gpu_memory() == 3000
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert free_gpu_memory() is None


def test_without_nvml_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert (gpus(), gpu_memory()) == ((), None)


def test_without_a_driver_nothing_is_known(
    three_cards: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise RuntimeError("NVML: Driver Not Loaded")

    monkeypatch.setattr(three_cards, "nvmlInit", refuse)
    assert (gpus(), gpu_memory()) == ((), None)


def test_energy_is_that_of_the_first_card_and_the_processor_beside_it(
    three_cards: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    used = {"GPU-aaaa": 1_000, "GPU-cccc": 5_000}
    three_cards.__dict__["nvmlDeviceGetTotalEnergyConsumption"] = used.__getitem__
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    unlike = open_counters(gpu=True, powercap=tmp_path)  # which of them CUDA takes is not known
    assert unlike.absent.startswith("the GPU tells no energy")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    counters = open_counters(gpu=True, powercap=tmp_path)
    assert [one.name for one in counters.found] == ["NVML Card cccc"]
    with counters.metered() as energy:
        used["GPU-cccc"] += 2_500
    assert energy.joules == 2.5
    assert three_cards.open == 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bbbb")  # a card that does not count
    assert open_counters(gpu=True, powercap=tmp_path).absent.startswith("the GPU tells no energy")
