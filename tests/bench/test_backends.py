from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genoslim.bench.backends import Runner, TorchRunner, computed_in, open_runner, with_backend
from genoslim.bench.rule import Machine
from genoslim.bench.subjects import open_subject
from genoslim.data.dataset import LabelledData
from genoslim.errors import GenoslimError, UsageError
from genoslim.models import batches
from genoslim.models.precision import Precision


@pytest.fixture(params=["torch", "onnxruntime"])
def runner(request: pytest.FixtureRequest, checkpoint: Path, bundle: Path) -> Runner:
    path = checkpoint if request.param == "torch" else bundle
    return open_runner(open_subject(path, "model"), device="cpu", threads=1)


def test_batches_give_what_single_rows_give(runner: Runner, data: LabelledData) -> None:
    sequences = [sequence[: 12 + row % 40] for row, sequence in enumerate(data.sequences)]
    together = runner.logits(sequences)
    alone = [runner.run(*runner.tokenizer.pad(runner.tokenizer.encode([s]))) for s in sequences]
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-4)


def test_order_and_copies_do_not_matter(runner: Runner, data: LabelledData) -> None:
    sequences = data.sequences[:10]
    forward = runner.logits(sequences)
    order = np.array([3, 3, 9, 0, 1, 1, 2, 8, 7, 6, 5, 4])
    again = runner.logits([sequences[place] for place in order], batch_size=3)
    np.testing.assert_allclose(again, forward[order], atol=1e-4)


def test_it_says_what_it_runs_on(runner: Runner) -> None:
    assert runner.provider in ("cpu", "CPUExecutionProvider")
    assert runner.threads == 1


def test_torch_is_the_network_itself(checkpoint: Path, data: LabelledData) -> None:
    import torch

    from genoslim.models import load, load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    ids, mask = tokenizer.pad(tokenizer.encode(data.sequences[:5]))
    with torch.no_grad():
        expected = load(checkpoint)(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    found = open_runner(open_subject(checkpoint, "full"), device="cpu", threads=1).run(ids, mask)
    np.testing.assert_array_equal(found, expected)


def test_a_bundle_runs_on_the_backend_asked_for(bundle: Path, data: LabelledData) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    subject = open_subject(bundle, "slim")
    assert subject.backend == "onnxruntime"
    chosen = with_backend(subject, "openvino", device="cpu", threads=1)
    assert chosen.backend == "openvino"
    runner = open_runner(chosen, device="cpu", threads=1)
    other = open_runner(subject, device="cpu", threads=1)
    assert runner.provider == "CPU"
    expected = other.logits(data.sequences)
    np.testing.assert_allclose(runner.logits(data.sequences), expected, atol=1e-4)


def test_a_checkpoint_stays_with_torch(checkpoint: Path) -> None:
    subject = open_subject(checkpoint, "full")
    assert with_backend(subject, "openvino", device="cuda", threads=1) is subject
    with pytest.raises(UsageError, match="device is 'tpu'; expected auto, cpu or cuda"):
        open_runner(subject, device="tpu")


def test_a_checkpoint_in_half_precision_has_its_weights_in_it(
    checkpoint: Path, data: LabelledData, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    subject = open_subject(checkpoint, "full")
    half = TorchRunner(checkpoint, device="cpu", threads=1, precision="bf16")
    assert {p.dtype for p in half._model.parameters()} == {torch.bfloat16}
    expected = open_runner(subject, device="cpu", threads=1).logits(data.sequences)
    found = half.logits(data.sequences)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05
    assert computed_in("bf16", subject).precision == "bf16"


def test_precisions_that_a_cpu_has_not_are_refused(checkpoint: Path, bundle: Path) -> None:
    full, slim = open_subject(checkpoint, "full"), open_subject(bundle, "slim")
    for precision in ("tf32", "fp16"):
        with pytest.raises(UsageError, match=f"precision {precision} needs a CUDA device"):
            open_runner(full, device="cpu", threads=1, precision=precision)
    with pytest.raises(UsageError, match="tf32 is of CUDA: it needs --device cuda"):
        open_runner(slim, device="cpu", threads=1, precision="tf32")
    with pytest.raises(UsageError, match="precision tf32 needs a CUDA device, this is CPUExecut"):
        open_runner(slim, device="auto", threads=1, precision="tf32")
    with pytest.raises(UsageError, match="precision is 'fp8'; expected one of fp32, tf32, bf16, "):
        Machine(precision="fp8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("precision", "expected"), [("fp32", "fp32"), ("tf32", "tf32"), ("bf16", "fp32")]
)
def test_a_bundle_has_a_precision_of_its_own(
    precision: Precision, expected: str, bundle: Path
) -> None:
    subject = open_subject(bundle, "slim")
    assert computed_in(precision, subject).precision == expected
    int8 = replace(subject, precision="int8")
    assert computed_in(precision, int8) is int8


def test_rows_of_one_length_and_rows_of_a_budget_give_the_same(
    checkpoint: Path, data: LabelledData, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = TorchRunner(checkpoint, device="cpu", threads=1)
    expected = runner.logits(data.sequences)
    monkeypatch.setattr(batches, "CPU_BATCH_TOKENS", 40)
    np.testing.assert_allclose(runner.logits(data.sequences), expected, atol=1e-5)
    runner.on_gpu = True  # lengths are multiples of 16 then
    np.testing.assert_allclose(runner.logits(data.sequences), expected, atol=1e-5)
    ids, _ = runner.pad(runner.tokenizer.encode(data.sequences[:3]))
    assert ids.shape[1] % 16 == 0


def test_devices_that_are_not_there(checkpoint: Path) -> None:
    import torch

    subject = open_subject(checkpoint, "full")
    with pytest.raises(UsageError, match="device is 'tpu'; expected auto, cpu or cuda"):
        open_runner(subject, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(GenoslimError, match="torch finds no usable CUDA device"):
            open_runner(subject, device="cuda")
