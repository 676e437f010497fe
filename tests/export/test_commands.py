from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from genoslim.bundle.bundle import Bundle
from genoslim.cli import main
from genoslim.export import exporter


@pytest.fixture
def copied_trace(exported, monkeypatch):
    """Trace nothing: the graph of the bundle that is there already."""
    graph = exported[1].bundle.graph.read_bytes()
    monkeypatch.setattr(exporter, "trace", lambda model, path, **_: path.write_bytes(graph))


@pytest.fixture
def export(exported, data_file, tmp_path):
    """Run `genoslim export` on a checkpoint of each family."""

    def run(*options: str):
        arguments = [exported[0], "-d", data_file, "-o", tmp_path / "bundle", "--threads", 1]
        return CliRunner().invoke(
            main, ["export", "--allow-chance", *map(str, [*arguments, *options])]
        )

    return run


@pytest.mark.usefixtures("copied_trace")
def test_export_prints_parity_and_metrics_on_stdout_and_stages_on_stderr(export, tmp_path):
    done = export()
    assert done.exit_code == 0
    manifest = Bundle.open(tmp_path / "bundle").manifest
    for expected in (
        "intact",
        "AUROC",
        f"{manifest.metrics['test'].auroc:.4f}",
        "parity with torch",
        f"{manifest.parity.max_logit_difference:.1e}",
        "flipped calls",
        "PP3",
    ):
        assert expected in done.stdout
    assert max(map(len, done.stdout.splitlines()[1:])) <= 80
    assert "export: tracing" in done.stderr
    assert "tracing" not in done.stdout.replace("tracing 0", "")


@pytest.mark.usefixtures("copied_trace")
def test_export_prints_json_for_machines(export, tmp_path):
    done = export("--json")
    assert done.exit_code == 0
    content = json.loads(done.stdout)
    bundle = Bundle.open(tmp_path / "bundle")
    assert content["digest"] == bundle.digest
    assert content["manifest"] == json.loads((tmp_path / "bundle" / "bundle.json").read_text())


def test_a_failed_gate_ends_with_3_and_writes_nothing(export, tmp_path, exported, monkeypatch):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(exported[1].bundle.graph)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("bias"):
            shifted = numpy_helper.to_array(tensor) + 0.01
            tensor.CopyFrom(numpy_helper.from_array(shifted, tensor.name))
    monkeypatch.setattr(exporter, "trace", lambda _, path, **__: onnx.save(model, path))
    done = export()
    assert done.exit_code == 3
    assert done.stdout == ""
    assert "nothing was written: largest logit difference" in done.stderr
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("options", [["--opset", "23"], ["--precision", "int4"], ["--margin", "0"]])
def test_options_are_checked(export, options):
    assert export(*options).exit_code == 2


def test_show_proves_a_bundle_intact(exported):
    bundle = exported[1].bundle
    done = CliRunner().invoke(main, ["show", str(bundle.folder)])
    assert done.exit_code == 0
    for expected in ("intact", bundle.digest, bundle.manifest.family, "60 bp of GRCh38", "CC0-1.0"):
        assert expected in done.stdout
    assert ("non-commercial" in done.stdout) == (bundle.manifest.family != "dnabert2")


def test_show_ends_with_3_on_a_changed_bundle(bundle_folder):
    os.truncate(bundle_folder / "model.onnx", 10)
    done = CliRunner().invoke(main, ["show", str(bundle_folder)])
    assert done.exit_code == 3
    assert done.stdout == ""
    assert done.stderr.startswith("genoslim: ")
    assert done.stderr.count("\n") == 1


def test_show_refuses_what_genoslim_did_not_make(tmp_path):
    done = CliRunner().invoke(main, ["show", str(tmp_path)])
    assert done.exit_code == 1
    assert "or a bundle (bundle.json)" in done.stderr


def test_export_names_the_checkpoint_that_is_not_there(data_file, tmp_path):
    arguments = [
        "export",
        str(tmp_path / "absent"),
        "-d",
        str(data_file),
        "-o",
        str(tmp_path / "b"),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "absent: no such folder" in done.stderr
    assert not (tmp_path / "b").exists()


def test_export_without_torch_names_the_extra(data_file, tmp_path):
    arguments = ["export", str(tmp_path), "-d", str(data_file), "-o", str(tmp_path / "b")]
    code = "import sys; sys.modules['torch'] = None; from genoslim.cli import main; "
    code += f"main({arguments!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "genoslim: this command needs torch: pip install '.[train]' in a checkout"
    )
    assert done.stderr.count("\n") == 1
