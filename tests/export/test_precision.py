"""fp16 and int8: real small models of every family, wide enough to have something to quantise."""

from __future__ import annotations

import dataclasses
import logging
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from genoslim.bundle.bundle import Bundle, BundleManifest
from genoslim.bundle.card import render_card
from genoslim.bundle.runner import GraphRunner
from genoslim.bundle.runtime import Runtime
from genoslim.cli import main
from genoslim.data.dataset import LabelledData, read_data
from genoslim.errors import GateError, UsageError
from genoslim.export import assess, exporter
from genoslim.export.exporter import export_bundle
from genoslim.export.precision import convert
from genoslim.export.trace import trace
from genoslim.models import load
from genoslim.models.checkpoint import new_classifier, save
from genoslim.models.fake_quantisation import int8_rounding, rounded_weight

TINY = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_checkpoints.py"))
WIDE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
PRECISIONS = ("int8", "fp16")
HALF_BITS = {"fp16": 0.05, "int8": 0.3}  # of the logits' spread: no window may differ by more


def wide_model(family: str) -> torch.nn.Module:
    """A random classifier with biases, and weights large enough for its logits to differ."""
    model = new_classifier(TINY["CONFIGS"][family] | WIDE, seed=0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(6.0)
            elif name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.3)
    return model


def decided_data(model: torch.nn.Module, family: str) -> LabelledData:
    """Of 640 random windows the 160 that `model` is surest of; one label in ten is wrong.

    So, as after fine-tuning and unlike with random windows, few logits lie near the threshold.
    """
    data, draw = TINY["some_data"](), np.random.default_rng(2)
    windows = [TINY["random_dna"](60, seed) for seed in range(640)]
    tokenizer = TINY["tokenizer_of"](family)
    with torch.inference_mode():
        inputs = map(torch.from_numpy, tokenizer.pad(tokenizer.encode(windows)))
        logits = model.eval()(*inputs).numpy()
    ranked = np.argsort(logits[:, 1] - logits[:, 0])
    chosen = draw.permutation(np.concatenate([ranked[:80], ranked[-80:]]))
    positive = np.isin(chosen, ranked[-80:]) ^ (draw.random(160) < 0.1)
    sequences = [windows[place] for place in chosen]
    return dataclasses.replace(data, sequences=sequences, labels=positive.astype(np.int8))


def write(model: torch.nn.Module, family: str, folder: Path) -> tuple[Path, Path]:
    """Write a checkpoint and the data that it was trained on, as it says."""
    data = decided_data(model, family)
    data.write(folder / "data.parquet")
    record = TINY["training_record"](data)
    save(model, TINY["tokenizer_of"](family), folder / "checkpoint", training=record)
    return folder / "checkpoint", folder / "data.parquet"


def outlier(factor: float) -> torch.nn.Module:
    """The same function with a channel in its first MLP that is `factor` times the others."""
    model = wide_model("dnabert2")
    mlp = model.bert.encoder.layer[0].mlp
    with torch.no_grad():
        mlp.gated_layers.weight[WIDE["intermediate_size"]] *= factor
        mlp.wo.weight[:, 0] /= factor
    return model


@pytest.fixture(scope="module", params=TINY["FAMILIES"])
def wide(request, tmp_path_factory):
    """A checkpoint of each family with its data, and its float32 bundle."""
    folder = tmp_path_factory.mktemp("wide")
    source = write(wide_model(request.param), request.param, folder)
    return source, export_bundle(
        source[0], folder / "fp32", data=source[1], threads=1, allow_chance=True
    ).bundle


@pytest.fixture
def copied_trace(wide, monkeypatch):
    """Trace nothing: the graph of the float32 bundle that is there already."""
    copy_trace(wide[1], monkeypatch)


def copy_trace(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = bundle.graph.read_bytes()
    monkeypatch.setattr(exporter, "trace", lambda model, path, **_: path.write_bytes(graph))


@pytest.fixture(scope="module", params=PRECISIONS)
def lossy(request, wide, tmp_path_factory):
    """The summary of a lossy export of each family; not to be changed."""
    folder = tmp_path_factory.mktemp("lossy") / request.param
    with pytest.MonkeyPatch.context() as monkeypatch:
        copy_trace(wide[1], monkeypatch)
        return export_bundle(
            wide[0][0],
            folder,
            data=wide[0][1],
            precision=request.param,
            threads=1,
            allow_chance=True,
        )


def test_a_lossy_bundle_says_what_it_costs(wide, lossy):
    exact, found = wide[1].manifest, lossy.bundle.manifest
    loss = found.loss
    assert Bundle.open(lossy.bundle.folder) == lossy.bundle
    assert exact.loss is None
    assert (found.temperature, found.threshold) == (exact.temperature, exact.threshold)
    assert loss.provider == "CPUExecutionProvider"
    assert loss.windows == 140
    assert 0 < loss.mean_logit_difference < loss.max_logit_difference
    assert loss.auroc_interval.low <= loss.auroc_change <= loss.auroc_interval.high
    assert loss.auroc_interval.level == 0.9
    assert loss.exact_parity == exact.parity
    assert loss.bytes == lossy.bundle.graph.stat().st_size < 0.8 * loss.exact_bytes
    assert loss.exact_bytes == wide[1].graph.stat().st_size
    assert loss.kept
    data = read_data(wide[0][1])
    splits = [data.split("validation"), data.split("test")]
    windows = [sequence for split in splits for sequence in split.sequences]
    before, after = (Runtime(b, threads=1).logits(windows) for b in (wide[1], lossy.bundle))
    if found.precision == "int8":
        assert loss.max_logit_difference == pytest.approx(np.abs(after - before).max(), rel=1e-3)
    else:  # a CPU rounds less than the rehearsal of CUDA
        assert np.abs(after - before).max() < loss.max_logit_difference
    assert loss.max_logit_difference < 0.1 * np.ptp(before, axis=0).max()
    assert np.abs(after - before).max() < HALF_BITS[found.precision] * np.ptp(before, axis=0).max()
    assert (lossy.speed_ratio is None) == (found.precision == "fp16")


def test_no_window_depends_on_what_shares_its_batch(lossy):
    parity = lossy.bundle.manifest.parity
    assert parity.passed
    assert parity.batch_difference < {"int8": 1e-4, "fp16": 1e-2}[lossy.bundle.manifest.precision]
    assert parity.max_logit_difference > parity.batch_difference


def test_it_holds_standard_operators_only_and_passes_the_checker(lossy):
    onnx.checker.check_model(lossy.bundle.graph, full_check=True)
    model = onnx.load(lossy.bundle.graph)
    assert {entry.domain for entry in model.opset_import} == {""}
    operators = Counter(node.op_type for node in model.graph.node)
    constants = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    if lossy.bundle.manifest.precision == "int8":
        whole = [values for values in constants if values.dtype == np.int8]
        assert operators["MatMulInteger"] == len(whole) > 6
        assert {int(np.abs(values).max()) for values in whole} == {64}
    else:
        assert operators["MatMulInteger"] == 0
        assert not [values for values in constants if values.dtype == np.float32]


def test_onnxruntime_alone_runs_it_at_any_level_of_optimisation(lossy):
    """Its fusions have scaled a bias with a row's scale: see `_Quantiser._product`."""
    runtime = Runtime(lossy.bundle, threads=1)
    windows = [TINY["random_dna"](length, length) for length in range(20, 60, 2)]
    feeds = runtime.tokenizer.pad(runtime.tokenizer.encode(windows))
    expected = runtime.run(*feeds)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(lossy.bundle.graph), options)
    names = [value.name for value in session.get_inputs()]
    assert [value.type for value in session.get_inputs()] == ["tensor(int64)"] * 2
    assert [value.type for value in session.get_outputs()] == ["tensor(float)"]
    (found,) = session.run(["logits"], dict(zip(names, feeds, strict=True)))
    assert np.abs(found - expected).max() < 0.02 * np.ptp(expected, axis=0).max()


def columns(weights, scale=1.0):
    """Every output's weights, of matrices [inputs, outputs]; 0 without a sign."""
    return {bytes(np.float32(scale) * column + 0) for weight in weights for column in weight.T}


def test_fine_tuning_rounds_the_weights_as_the_graph_has_them(wide, lossy, monkeypatch):
    """The scores' scale, here a power of two, is in the graph's queries."""
    if lossy.bundle.manifest.precision != "int8":
        return
    model = load(wide[0][0])
    graph = onnx.load(lossy.bundle.graph).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    stored = [name.removesuffix(".whole") for name in constants if name.endswith(".whole")]
    exported = [constants[f"{n}.whole"] * constants[f"{n}.scale"] for n in stored]
    own = []

    def noted(weight):
        own.append(rounded_weight(weight).detach().numpy().T)
        return rounded_weight(weight)

    monkeypatch.setattr("genoslim.models.fake_quantisation.rounded_weight", noted)
    ids = torch.arange(5, 13)[None]
    with int8_rounding(model), torch.inference_mode():
        model(ids, torch.ones_like(ids))
    assert sum(weight.size for weight in exported) == sum(weight.size for weight in own) > 0
    scale = model.config.head_size**-0.5
    assert columns(exported) <= columns(own) | columns(own, scale)
    assert columns(own) <= columns(exported) | columns(exported, 1 / scale)


def test_fine_tuning_computes_what_the_integer_products_compute(wide, monkeypatch, tmp_path):
    """But for tables in float16, which are left as they are here."""
    monkeypatch.setattr("genoslim.export.precision._half_of", lambda _, table: table)
    convert(wide[1].graph, tmp_path / "int8.onnx", "int8")
    model, exact = load(wide[0][0]).eval(), Runtime(wide[1], backend="onnxruntime", threads=1)
    runner = GraphRunner(tmp_path / "int8.onnx", exact.tokenizer, device="cpu", threads=1)
    windows = [TINY["random_dna"](60, seed) for seed in range(40)]
    rows = exact.tokenizer.pad(exact.tokenizer.encode(windows))
    inputs = [torch.from_numpy(part) for part in rows]
    with torch.inference_mode():
        before = model(*inputs).numpy()
        with int8_rounding(model):
            rounding = model(*inputs).numpy()
        assert np.array_equal(model(*inputs).numpy(), before)  # and nothing is left of it
    graph = runner.run(*rows)
    assert np.abs(rounding - graph).mean() < 0.25 * np.abs(graph - before).mean()


@pytest.mark.usefixtures("copied_trace")
def test_the_same_checkpoint_gives_the_same_bytes(wide, lossy, tmp_path):
    precision = lossy.bundle.manifest.precision
    again = export_bundle(
        wide[0][0],
        tmp_path / "2",
        data=wide[0][1],
        precision=precision,
        threads=1,
        allow_chance=True,
    )
    assert again.bundle.digest == lossy.bundle.digest


@pytest.mark.filterwarnings("ignore::DeprecationWarning:optimum", "ignore::FutureWarning:optimum")
def test_it_opens_in_optimum(lossy):
    logging.getLogger("optimum").setLevel(logging.ERROR)
    ort = pytest.importorskip("optimum.onnxruntime")
    from transformers import AutoTokenizer

    windows = [TINY["random_dna"](48, seed) for seed in range(5)]
    tokenizer = AutoTokenizer.from_pretrained(lossy.bundle.folder)
    model = ort.ORTModelForSequenceClassification.from_pretrained(lossy.bundle.folder)
    found = model(**tokenizer(windows, padding=True, return_tensors="pt")).logits.numpy()
    expected = Runtime(lossy.bundle, threads=1).logits(windows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.02 * np.ptp(expected))


def test_card_and_show_tell_what_it_costs(lossy):
    loss, precision = lossy.bundle.manifest.loss, lossy.bundle.manifest.precision
    card = (lossy.bundle.folder / "README.md").read_text()
    shown = CliRunner().invoke(main, ["show", str(lossy.bundle.folder)])
    assert shown.exit_code == 0
    assert f"## What {precision} costs" in card
    assert f"{precision} against float32 on 140 windows" in shown.stdout
    for text in (card, shown.stdout):
        assert "CPUExecutionProvider" in text
        assert f"{loss.flipped} of 140" in text
        assert f"{loss.max_logit_difference:.1e}" in text
        assert f"{loss.auroc_interval.low:+.4f} to {loss.auroc_interval.high:+.4f}" in text
        assert f"{loss.exact_bytes / 1e6:.1f} MB" in text
        assert "What shares its batch moves" in text
    assert ("made for CUDA, where nothing was measured" in card) == (precision == "fp16")
    assert "costs" not in render_card(_exact(lossy))


def command(source: tuple[Path, Path], bundle: Path) -> list[str]:
    checkpoint, data = source
    return [
        *map(
            str, ["export", checkpoint, "-d", data, "-o", bundle, "--threads", 1, "--allow-chance"]
        )
    ]


def _exact(lossy) -> BundleManifest:
    return dataclasses.replace(lossy.bundle.manifest, loss=None, precision="fp32")


@pytest.mark.parametrize("wide", ["dnabert2"], indirect=True)
def test_int8_that_is_not_faster_warns(wide, copied_trace, tmp_path, monkeypatch):
    monkeypatch.setattr(assess, "speed_ratio", lambda *_: 0.83)
    arguments = command(wide[0], tmp_path / "bundle")
    done = CliRunner().invoke(main, [*arguments, "--precision", "int8"])
    assert done.exit_code == 0
    assert "not faster here: int8 has 0.83 times the speed of fp32" in done.stderr
    assert "int8 has 0.83 times the speed of fp32 on this machine" in done.stdout


@pytest.mark.parametrize(
    ("precision", "factor", "figures"),
    [
        ("int8", 3e3, ("AUROC change", "90% interval", "Brier score change", "allowed 1.00%")),
        ("fp16", 1e5, ("no finite logits for", "of 140 windows", "beyond what fp16 holds")),
    ],
)
def test_what_a_precision_cannot_hold_is_not_written(
    precision, factor, figures, tmp_path, monkeypatch
):
    """A channel that float32 has room for leaves int8 no steps for others, and is fp16's inf."""
    arguments = command(write(outlier(factor), "dnabert2", tmp_path), tmp_path / "bundle")
    assert CliRunner().invoke(main, arguments).exit_code == 0
    digest = Bundle.open(tmp_path / "bundle").digest
    copy_trace(Bundle.open(tmp_path / "bundle"), monkeypatch)
    done = CliRunner().invoke(main, [*arguments, "--precision", precision])
    assert done.exit_code == 3
    assert done.stdout == ""
    assert "nothing was written" in done.stderr
    for figure in figures:
        assert figure in done.stderr
    assert Bundle.open(tmp_path / "bundle").digest == digest
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["bundle", "checkpoint", "data.parquet"]


@pytest.mark.parametrize("wide", ["dnabert2"], indirect=True)
@pytest.mark.usefixtures("copied_trace")
def test_a_margin_that_the_data_cannot_prove_is_refused(wide, tmp_path):
    with pytest.raises(GateError, match=r"allowed above -1e-09"):
        export_bundle(
            wide[0][0],
            tmp_path / "b",
            data=wide[0][1],
            precision="int8",
            margin=1e-9,
            threads=1,
            allow_chance=True,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_may_go_to_a_file_of_their_own(precision, tmp_path):
    exact, joined, split = (tmp_path / name / "model.onnx" for name in ("exact", "joined", "split"))
    for graph in (exact, joined, split):
        graph.parent.mkdir()
    trace(wide_model("nt_v2").eval(), exact, external_bytes=0)
    convert(exact, joined, precision)
    convert(exact, split, precision, external_bytes=0)
    assert split.with_name("model.onnx.data").stat().st_size > split.stat().st_size
    onnx.checker.check_model(split, full_check=True)
    tokenizer = TINY["tokenizer_of"]("nt_v2")
    windows = [TINY["random_dna"](60, seed) for seed in range(4)]
    found = [
        GraphRunner(g, tokenizer, device="cpu", threads=1).logits(windows) for g in (joined, split)
    ]
    np.testing.assert_array_equal(*found)


def test_angles_stay_float32_in_fp16(tmp_path):
    """cos(position / 7) at position 2000: in half precision the angle is off by up to 0.06."""
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n"])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n"])
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["position"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["position", "frequency"], ["angle"]),
        helper.make_node("Cos", ["angle"], ["cosine"]),
        helper.make_node("Mul", ["cosine", "frequency"], ["logits"]),
    ]
    frequency = numpy_helper.from_array(np.array(1 / 7, np.float32), "frequency")
    graph = helper.make_graph(nodes, "cosine", [ids], [out], [frequency])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "exact.onnx")
    convert(tmp_path / "exact.onnx", tmp_path / "half.onnx", "fp16")
    onnx.checker.check_model(tmp_path / "half.onnx", full_check=True)
    positions = np.arange(1900, 2000)
    session = onnxruntime.InferenceSession(str(tmp_path / "half.onnx"))
    (found,) = session.run(None, {"input_ids": positions})
    np.testing.assert_allclose(found, np.cos(positions / 7) / 7, atol=3e-4)


def test_values_beyond_half_precision_become_its_largest(tmp_path):
    mask = numpy_helper.from_array(np.array([-3.4e38, 1.0], np.float32), "mask")
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["mask"], ["logits"])], "mask", [], [out], [mask]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "exact.onnx")
    convert(tmp_path / "exact.onnx", tmp_path / "half.onnx", "fp16")
    session = onnxruntime.InferenceSession(str(tmp_path / "half.onnx"))
    assert session.run(None, {})[0].tolist() == [-65504.0, 1.0]


def test_only_lossy_precisions_are_converted_to(tmp_path):
    with pytest.raises(UsageError, match="precision is 'fp32'; expected fp16 or int8"):
        convert(tmp_path / "a.onnx", tmp_path / "b.onnx", "fp32")
