"""What is trained fast on a CPU is what torch computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genoslim.models import kernels
from genoslim.models.kernels import Dropout, Linear, linear

needs_one_dnn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="torch without oneDNN"
)


@pytest.fixture
def one_dnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use oneDNN whatever the processor."""
    monkeypatch.setattr(kernels, "_ONE_DNN", True)


def _operands(width: int, *, bias: bool) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 7, width), (width + 64, width), *([(width + 64,)] if bias else [])]
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]


@needs_one_dnn
@pytest.mark.usefixtures("one_dnn")
@pytest.mark.parametrize("bias", [True, False])
def test_products_and_gradients_are_those_of_float64(bias: bool) -> None:
    operands = _operands(512, bias=bias)
    exact = [operand.detach().double().requires_grad_() for operand in operands]
    output, expected = linear(*operands), functional.linear(*exact)
    assert "OneDnn" in type(output.grad_fn).__name__
    weights = torch.randn_like(output)
    (output * weights).sum().backward()
    (expected * weights.double()).sum().backward()
    torch.testing.assert_close(output.double(), expected, atol=1e-3, rtol=1e-5)
    for operand, other in zip(operands, exact, strict=True):
        assert operand.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(operand.grad.double(), other.grad, atol=1e-3, rtol=1e-5)


@needs_one_dnn
@pytest.mark.usefixtures("one_dnn")
def test_a_frozen_layer_passes_its_gradient_on() -> None:
    layer = Linear(512, 512).requires_grad_(False)
    hidden = torch.randn(4, 512, requires_grad=True)
    layer(hidden).sum().backward()
    torch.testing.assert_close(hidden.grad, layer.weight.sum(0).expand(4, -1))
    assert layer.weight.grad is None


@needs_one_dnn
@pytest.mark.usefixtures("one_dnn")
@pytest.mark.parametrize("case", ["narrow", "float64", "no gradient", "autocast"])
def test_elsewhere_the_product_is_torchs(case: str) -> None:
    operands = _operands(64 if case == "narrow" else 512, bias=True)
    if case == "float64":
        operands = [operand.double() for operand in operands]
    with (
        torch.set_grad_enabled(case != "no gradient"),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=case == "autocast"),
    ):
        assert torch.equal(linear(*operands), functional.linear(*operands))


def test_dropout_keeps_the_mean_and_drops_by_its_rate() -> None:
    layer = Dropout(0.3).train()
    ones = torch.ones(1000, 333, requires_grad=True)
    dropped = layer(ones)
    zeros = (dropped == 0).float()
    assert float(zeros.mean()) == pytest.approx(0.3, abs=0.004)  # 5 standard deviations
    assert float(zeros.mean(0).std()) == pytest.approx((0.3 * 0.7 / 1000) ** 0.5, rel=0.2)
    assert float(dropped.detach().mean()) == pytest.approx(1, abs=0.006)
    assert len(dropped.unique()) == 2
    dropped.sum().backward()
    assert ones.grad is not None
    assert torch.equal(ones.grad, dropped)


def test_dropout_is_drawn_from_torchs_generator() -> None:
    layer, hidden = Dropout(0.1).train(), torch.randn(5, 7, requires_grad=True)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(layer(hidden))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_dropout_does_nothing_out_of_training() -> None:
    hidden = torch.randn(5, 7, requires_grad=True)
    assert torch.equal(Dropout(0.5).eval()(hidden), hidden)
    assert torch.equal(Dropout(0.0).train()(hidden), hidden)
    assert torch.equal(Dropout(1.0).train()(hidden), nn.Dropout(1.0).train()(hidden))
