from __future__ import annotations

import json
import logging
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from genoslim.bundle.bundle import Bundle
from genoslim.bundle.runtime import Runtime
from genoslim.data.dataset import read_data
from genoslim.errors import GateError, GenoslimError, UsageError
from genoslim.export import exporter
from genoslim.export.exporter import export_bundle
from genoslim.files import sha256
from genoslim.models import load, load_tokenizer
from genoslim.prune.finetune import predict
from genoslim.stats.calibration import fit_temperature
from genoslim.stats.metrics import compute_metrics


@pytest.fixture(scope="module")
def _traces() -> dict[tuple[int, ...], bytes]:
    return {}


@pytest.fixture
def quick(monkeypatch, _traces):
    """Trace once for each depth: tests of all but tracing need no new graph of the same model."""
    trace = exporter.trace

    def remembered(model, graph, *, opset, target):
        if model.config.kept_layers not in _traces:
            trace(model, graph, opset=opset, target=target)
            _traces[model.config.kept_layers] = graph.read_bytes()
        graph.write_bytes(_traces[model.config.kept_layers])

    monkeypatch.setattr(exporter, "trace", remembered)


def perturb(graph: Path, shift: float) -> None:
    """Plant a mistake: shift one number of the last layer's weights."""
    model = onnx.load(graph)
    name = next(n.input[1] for n in reversed(model.graph.node) if n.op_type in ("Gemm", "MatMul"))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] += shift
    weight.CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, graph)


def test_the_bundle_opens_and_says_what_it_is(exported, data):
    checkpoint, summary = exported
    bundle = Bundle.open(summary.bundle.folder)
    found = bundle.manifest
    assert bundle == summary.bundle
    assert found.family == checkpoint.name
    assert found.kept_layers == (0, 1, 2)
    assert found.base_layers == 3
    assert (found.window_length, found.assembly) == (60, "GRCh38")
    assert found.label_names == ("neutral", "causal")
    assert (found.precision, found.target, found.opset) == ("fp32", "cpu", 20)
    assert found.parity.provider == "CPUExecutionProvider"
    assert found.licences.data == "CC0-1.0"
    assert found.data.fingerprint == data.fingerprint
    assert found.data.same_as_training
    assert found.data.splits == {"train": 20, "validation": 60, "test": 80}
    assert found.fine_tuning.seconds == 12.5
    assert found.fine_tuning.recipe == {"epochs": 3}
    assert found.versions["onnxruntime"]
    assert set(summary.seconds) >= {"tracing", "verifying", "evaluating"}
    json.dumps(summary.to_dict(), allow_nan=False)


def test_parity_covers_the_batch_sizes_with_real_padding(exported):
    report = exported[1].bundle.manifest.parity
    assert [case.batch_size for case in report.cases] == [1, 8, 64, None]
    assert report.passed
    assert report.flipped == 0
    assert report.max_logit_difference < 1e-5
    assert all(case.windows == 96 for case in report.cases)
    assert all(case.longest_tokens > case.shortest_tokens for case in report.cases)
    assert [case.padding > 0.1 for case in report.cases[:3]] == [False, True, True]


def test_calibration_is_fitted_on_validation_only(exported, data):
    bundle = exported[1].bundle
    runtime = Runtime(bundle, threads=1)
    validation, test = data.split("validation"), data.split("test")
    fitted = fit_temperature(runtime.logits(validation.sequences), validation.labels)
    if bundle.manifest.temperature != 1.0:
        assert bundle.manifest.temperature == pytest.approx(fitted)
    for name, split in (("validation", validation), ("test", test)):
        found = bundle.manifest.metrics[name]
        again = compute_metrics(
            split.labels,
            runtime.probabilities(split.sequences),
            threshold=bundle.manifest.threshold,
        )
        assert (found.tp, found.fp, found.tn, found.fn) == (again.tp, again.fp, again.tn, again.fn)
        assert found.auroc == pytest.approx(again.auroc, abs=1e-3)
        assert found.interval.low < found.auroc < found.interval.high
        assert found.interval.method == "DeLong"
        assert found.n == len(split)
        assert found.macro_auroc == pytest.approx(np.mean(list(found.group_auroc.values())))


def test_the_card_tells_licence_limits_and_figures(exported):
    checkpoint, summary = exported
    card = (summary.bundle.folder / "README.md").read_text()
    assert "no PP3 or BP4 evidence" in card
    assert "`causal` as against `neutral`" in card
    assert f"{summary.bundle.manifest.metrics['test'].auroc:.4f}" in card
    assert ("Non-commercial use only" in card) == (checkpoint.name != "dnabert2")


def test_the_graph_names_no_place_and_no_source(exported):
    content = exported[1].bundle.graph.read_bytes()
    for word in (b"/home", b"/tmp", b"site-packages", b".py", b"stack_trace", b"genoslim"):
        assert word not in content
    graph = onnx.load(exported[1].bundle.graph).graph
    dims = [[dim.dim_param for dim in i.type.tensor_type.shape.dim] for i in graph.input]
    assert dims == [["batch", "tokens"]] * 2
    assert [i.name for i in graph.input] == ["input_ids", "attention_mask"]
    assert [o.name for o in graph.output] == ["logits"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("shift", [1e-2, np.nan])
def test_a_wrong_graph_is_refused_and_nothing_is_written(
    make_checkpoint, data_file, tmp_path, monkeypatch, shift
):
    checkpoint, bundle = make_checkpoint(), tmp_path / "bundle"
    trace = exporter.trace

    def wrong(model, graph, **options):
        trace(model, graph, **options)
        perturb(graph, shift)

    export_bundle(checkpoint, bundle, data=data_file, threads=1, allow_chance=True)
    before = sha256(bundle / "bundle.json")
    monkeypatch.setattr(exporter, "trace", wrong)
    with pytest.raises(GateError, match="nothing was written"):
        export_bundle(checkpoint, bundle, data=data_file, threads=1, allow_chance=True)
    assert Bundle.open(bundle).digest == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.usefixtures("quick")
def test_a_tokenizer_that_came_out_changed_is_refused(
    make_checkpoint, data_file, tmp_path, monkeypatch
):
    write = exporter.write_companions

    def wrong(model, tokenizer, data, folder):
        write(model, tokenizer, data, folder)
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text())
        vocabulary = content["model"]["vocab"]
        plain = [token for token in vocabulary if set(token) <= set("ACGT")]
        ids = [vocabulary[token] for token in plain]
        vocabulary.update(zip(plain, [*ids[1:], ids[0]], strict=True))
        path.write_text(json.dumps(content))

    monkeypatch.setattr(exporter, "write_companions", wrong)
    with pytest.raises(GateError, match="the bundle's tokenizer differs from the checkpoint's"):
        export_bundle(
            make_checkpoint(), tmp_path / "bundle", data=data_file, threads=1, allow_chance=True
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_model_that_learnt_nothing_is_refused_unless_asked_for_by_name(
    make_checkpoint, data_file, tmp_path
):
    checkpoint = make_checkpoint()
    message = r"the AUROC on validation is 0\.\d+, its 95% interval .* not shown to beat chance"
    with pytest.raises(GateError, match=message):
        export_bundle(checkpoint, tmp_path / "bundle", data=data_file, threads=1)
    assert not (tmp_path / "bundle").exists()
    export_bundle(checkpoint, tmp_path / "bundle", data=data_file, threads=1, allow_chance=True)
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "this model is not shown to beat chance" in card


@pytest.mark.usefixtures("quick")
def test_a_model_that_learnt_is_exported_and_its_card_has_no_such_warning(
    make_checkpoint, data_file, tmp_path
):
    """The data's labels are those that the random model itself gives."""
    checkpoint = make_checkpoint()
    data = read_data(data_file)
    model, tokenizer = load(checkpoint), load_tokenizer(checkpoint)
    logits = predict(model, tokenizer, data.sequences)
    labels = (logits[:, 1] - logits[:, 0] > np.median(logits[:, 1] - logits[:, 0])).astype(np.int8)
    learnt = replace(data, labels=labels)
    export_bundle(checkpoint, tmp_path / "bundle", data=learnt, threads=1)
    assert "beat chance" not in (tmp_path / "bundle" / "README.md").read_text()


@pytest.mark.usefixtures("quick")
def test_the_refusal_gives_the_figures(make_checkpoint, data_file, tmp_path, monkeypatch):
    trace = exporter.trace

    def wrong(model, graph, **options):
        trace(model, graph, **options)
        perturb(graph, 1e-2)

    monkeypatch.setattr(exporter, "trace", wrong)
    message = (
        r"nothing was written: largest logit difference [\d.e-]+ \(allowed 0\.0001\),"
        r" largest probability difference [\d.e-]+ \(allowed 0\.0001\), flipped calls \d+ of 96"
    )
    with pytest.raises(GateError, match=message):
        export_bundle(
            make_checkpoint(), tmp_path / "bundle", data=data_file, threads=1, allow_chance=True
        )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"window_length": 512}, "made for windows of 512 bp, .* windows of 60 bp"),
        ({"assembly": "GRCh37"}, "made for assembly GRCh37, .* GRCh38"),
    ],
)
def test_data_that_does_not_fit_the_checkpoint_is_refused(
    make_checkpoint, data_file, tmp_path, record, message
):
    with pytest.raises(GenoslimError, match=message):
        export_bundle(
            make_checkpoint(**record), tmp_path / "bundle", data=data_file, allow_chance=True
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_other_data_than_trained_on_warns_and_is_recorded(
    make_checkpoint, data_file, tmp_path, caplog
):
    checkpoint = make_checkpoint(data_fingerprint="0" * 64)
    with caplog.at_level(logging.WARNING):
        summary = export_bundle(
            checkpoint, tmp_path / "bundle", data=data_file, threads=1, allow_chance=True
        )
    assert "leakage cannot be excluded" in caplog.text
    assert summary.bundle.manifest.data.trained_on == "0" * 64
    assert not summary.bundle.manifest.data.same_as_training
    assert "leakage cannot be excluded" in (summary.bundle.folder / "README.md").read_text()


@pytest.mark.usefixtures("quick")
def test_a_checkpoint_without_a_record_warns(make_checkpoint, data_file, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        summary = export_bundle(
            make_checkpoint(record=False), tmp_path / "bundle", data=data_file, allow_chance=True
        )
    assert "how this checkpoint was trained is unknown" in caplog.text
    assert summary.bundle.manifest.data.trained_on is None
    assert summary.bundle.manifest.base_layers == 3


@pytest.mark.usefixtures("quick")
def test_a_record_that_is_none_is_named(make_checkpoint, data_file, tmp_path):
    checkpoint = make_checkpoint(seed="seven")
    with pytest.raises(GenoslimError, match=r"genoslim\.json: seed is 'seven'; expected"):
        export_bundle(checkpoint, tmp_path / "bundle", data=data_file, allow_chance=True)


def test_a_random_head_is_never_exported(make_checkpoint, data_file, tmp_path):
    from safetensors.torch import load_file, save_file

    checkpoint = make_checkpoint()
    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    save_file({k: v for k, v in weights.items() if not k.startswith("classifier.")}, path)
    with pytest.raises(GenoslimError, match=r"not fine-tuned: it has no weights .*classifier\.\*"):
        export_bundle(checkpoint, tmp_path / "bundle", data=data_file, allow_chance=True)


@pytest.mark.usefixtures("quick")
def test_a_pruned_checkpoint_names_the_layers_it_kept(make_checkpoint, data_file, tmp_path):
    from genoslim.models import load, load_tokenizer
    from genoslim.models.checkpoint import save
    from genoslim.models.layers import remove_layers
    from genoslim.models.record import read_training

    checkpoint = make_checkpoint(dropped_layers=(1,))
    model = remove_layers(load(checkpoint), [1])
    pruned = tmp_path / "pruned"
    save(model, load_tokenizer(checkpoint), pruned, training=read_training(checkpoint))
    found = export_bundle(
        pruned, tmp_path / "bundle", data=data_file, threads=1, allow_chance=True
    ).bundle.manifest
    assert (found.kept_layers, found.base_layers) == ((0, 2), 3)
    assert found.fine_tuning.dropped_layers == (1,)
    config = json.loads((tmp_path / "bundle" / "config.json").read_text())
    assert config["num_hidden_layers"] == 2


@pytest.mark.usefixtures("quick")
def test_only_what_can_be_made_is_promised(make_checkpoint, data_file, tmp_path):
    with pytest.raises(UsageError, match="precision is 'int4'; expected fp32, fp16, int8"):
        export_bundle(
            make_checkpoint(),
            tmp_path / "bundle",
            data=data_file,
            precision="int4",
            allow_chance=True,
        )
    with pytest.raises(UsageError, match="opset is 23"):
        export_bundle(
            make_checkpoint(), tmp_path / "bundle", data=data_file, opset=23, allow_chance=True
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_only_a_bundle_is_ever_replaced(make_checkpoint, data_file, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds .*thesis\.tex and is no bundle"):
        export_bundle(make_checkpoint(), tmp_path, data=data_file, allow_chance=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_is_beside_a_bundle_is_never_lost(exported, make_checkpoint, data_file, tmp_path):
    clone = Path(shutil.copytree(exported[1].bundle.folder, tmp_path / "clone"))
    (clone / ".git").mkdir()
    Bundle.open(clone)
    with pytest.raises(UsageError, match=r"clone: holds \.git, no part of a bundle"):
        export_bundle(make_checkpoint(), clone, data=data_file, allow_chance=True)
    assert (clone / ".git").is_dir()


@pytest.mark.usefixtures("quick")
def test_variants_with_several_rows_are_resampled_as_one(make_checkpoint, make_data, tmp_path):
    once = make_data()
    rows = np.concatenate([np.arange(len(once)), np.flatnonzero(once.splits == "test")[:20]])
    twice = once.subset(rows)
    twice.write(tmp_path / "data.parquet")
    summary = export_bundle(
        make_checkpoint(), tmp_path / "bundle", data=tmp_path / "data.parquet", allow_chance=True
    )
    metrics = summary.bundle.manifest.metrics
    assert metrics["test"].interval.method == "bootstrap by variant"
    assert metrics["validation"].interval.method == "DeLong"


def test_the_exporter_says_nothing_and_gives_the_same_bytes(
    make_checkpoint, data_file, tmp_path, capfd, caplog, request
):
    checkpoint = make_checkpoint()
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        first = export_bundle(
            checkpoint, tmp_path / "first", data=data_file, threads=1, allow_chance=True
        )
    assert capfd.readouterr() == ("", "")
    assert {record.name.split(".")[0] for record in caplog.records} <= {"genoslim"}
    request.getfixturevalue("quick")  # has traced before, in another test
    second = export_bundle(
        checkpoint, tmp_path / "second", data=data_file, threads=1, allow_chance=True
    )
    assert first.bundle.digest == second.bundle.digest


@pytest.mark.usefixtures("quick")
def test_stages_are_told(make_checkpoint, data_file, tmp_path):
    stages: list[str] = []
    export_bundle(
        make_checkpoint(),
        tmp_path / "bundle",
        data=data_file,
        threads=1,
        progress=stages.append,
        allow_chance=True,
    )
    assert stages == ["reading", "tracing", "calibrating", "verifying", "evaluating", "sealing"]


def test_a_copy_of_the_bundle_is_the_bundle(exported, tmp_path):
    bundle = exported[1].bundle
    copy = Bundle.open(Path(shutil.copytree(bundle.folder, tmp_path / "elsewhere")))
    assert copy.digest == bundle.digest


@pytest.mark.usefixtures("quick")
def test_data_may_be_given_as_it_is(make_checkpoint, data, data_file, tmp_path):
    checkpoint = make_checkpoint()
    first = export_bundle(
        checkpoint, str(tmp_path / "first"), data=data, threads=1, allow_chance=True
    )
    second = export_bundle(
        str(checkpoint), tmp_path / "second", data=str(data_file), threads=1, allow_chance=True
    )
    assert first.bundle.digest == second.bundle.digest
