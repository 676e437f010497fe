from __future__ import annotations

import pytest
import torch

from genoslim.errors import UsageError
from genoslim.models.precision import (
    PRECISIONS,
    Precision,
    autocast,
    float32_products,
    resolve_precision,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """A GPU in name alone, that has bfloat16 by emulation only."""
    found: dict[str, object] = {"capability": (7, 5)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: found["capability"])
    return found


def test_what_a_cpu_computes_in(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_precision("auto", CPU) == resolve_precision("fp32", CPU) == "fp32"
    assert resolve_precision("bf16", CPU) == "bf16"
    assert "many times slower" in caplog.text
    for wanted in ("fp16", "tf32"):
        with pytest.raises(UsageError, match=f"precision {wanted} needs a CUDA device, this one"):
            resolve_precision(wanted, CPU)


def test_a_card_without_units_for_bf16_takes_fp16(
    card: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    assert resolve_precision("auto", CUDA) == "fp16"
    assert caplog.text == ""
    assert resolve_precision("bf16", CUDA) == "bf16"
    assert "only emulates bf16" in caplog.text
    with pytest.raises(UsageError, match=r"tf32 needs compute capability 8\.0 .* this GPU has 7\."):
        resolve_precision("tf32", CUDA)


def test_a_card_with_units_for_bf16_takes_all(card: dict[str, object]) -> None:
    card["capability"] = 9, 0
    assert resolve_precision("auto", CUDA) == "bf16"
    assert [resolve_precision(name, CUDA) for name in PRECISIONS] == list(PRECISIONS)


@pytest.mark.parametrize("before", ["highest", "high"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_tf32_is_on_for_tf32_alone_and_put_back(precision: Precision, before: str) -> None:
    torch.set_float32_matmul_precision(before)
    try:
        with float32_products(precision, CUDA):
            assert _now() == ["tf32" if precision == "tf32" else "ieee"] * 2
        assert torch.get_float32_matmul_precision() == before
        with float32_products("tf32", CPU):
            assert torch.get_float32_matmul_precision() == before
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("before", ["ieee", "tf32"])
def test_what_a_process_set_by_torchs_newer_switches_is_put_back(before: str) -> None:
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    first = _now()
    matmul.fp32_precision = conv.fp32_precision = before
    try:
        with float32_products("fp32", CUDA):
            assert _now() == ["ieee", "ieee"]
        assert _now() == [before, before]
    finally:
        matmul.fp32_precision, conv.fp32_precision = first


def _now() -> list[str]:
    """What products and convolutions are computed in on CUDA."""
    return [torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision]


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_type_of_the_precision(precision: Precision, kind: torch.dtype) -> None:
    with autocast(precision, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == kind
