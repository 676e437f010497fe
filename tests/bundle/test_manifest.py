from __future__ import annotations

import math

import pytest

from genoslim.bundle.manifest import (
    BundleManifest,
    Interval,
    LossLimits,
    ParityCase,
    ParityReport,
    check_version,
    is_plain_name,
    seal,
    sealed,
)
from genoslim.codec import decode
from genoslim.errors import GenoslimError


def report(*differences: float, flipped: int = 0) -> ParityReport:
    cases = tuple(
        ParityCase(
            batch_size=1,
            windows=1,
            shortest_tokens=1,
            longest_tokens=1,
            padding=0.0,
            max_logit_difference=difference,
            max_probability_difference=difference,
            flipped=flipped,
        )
        for difference in differences
    )
    return ParityReport(cases=cases, logit_tolerance=1e-4, probability_tolerance=1e-4)


def test_what_is_written_is_read_back(make_manifest):
    manifest = make_manifest()
    content = sealed(manifest)
    assert decode(BundleManifest, content, "bundle.json") == manifest
    assert content["seal"] == seal(content)
    assert content["format_version"] == "1.3"


def test_a_newer_minor_version_opens_and_its_new_fields_are_left(make_manifest):
    manifest = make_manifest()
    content = sealed(manifest) | {"format_version": "1.7", "novelty": {"a": 1}}
    content["licences"] |= {"tokenizer": "MIT"}
    found = decode(BundleManifest, content, "bundle.json")
    assert found.format_version == "1.7"
    assert found.licences == manifest.licences


def test_a_bundle_of_format_1_0_opens(make_manifest):
    content = sealed(make_manifest()) | {"format_version": "1.0"}
    del content["loss"], content["parity"]["batch_difference"]
    found = decode(BundleManifest, content, "bundle.json")
    assert found.format_version == "1.0"
    assert found.loss is None
    assert found.parity.batch_difference is None


def test_a_loss_is_read_back_and_judged_by_its_own_limits(make_manifest, make_loss):
    manifest = make_manifest(precision="int8", loss=make_loss())
    content = sealed(manifest)
    assert decode(BundleManifest, content, "bundle.json") == manifest
    assert make_loss().kept
    assert make_loss(flipped=10).kept
    assert make_loss(limits=LossLimits(margin=0.05), auroc_interval=interval(-0.04)).kept
    for changes in (
        {"flipped": 11},
        {"auroc_interval": interval(-0.01)},
        {"auroc_interval": interval(math.nan)},
        {"calibration_error_change": 0.011},
    ):
        assert not make_loss(**changes).kept


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.01, math.nan])
def test_a_margin_is_a_share(margin):
    with pytest.raises(GenoslimError, match=r"margin is .*; expected between"):
        LossLimits(margin=margin)


def interval(low: float) -> Interval:
    return Interval(low=low, high=0.01, level=0.9, method="DeLong")


def test_fields_with_a_default_may_be_absent(make_manifest):
    content = sealed(make_manifest())
    del content["metrics"]["test"]["macro_auroc"], content["data"]["splits"]
    assert decode(BundleManifest, content, "bundle.json").metrics["test"].macro_auroc is None


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2.0", "newer than this genoslim reads.*upgrade genoslim"),
        ("0.9", r"expected 1\.x"),
        ("one", "expected MAJOR.MINOR"),
        (1, "expected MAJOR.MINOR"),
        (None, "expected MAJOR.MINOR"),
    ],
)
def test_other_versions_are_refused(version, message):
    with pytest.raises(GenoslimError, match=message):
        check_version(version)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kept_layers": ()}, "kept_layers"),
        ({"kept_layers": (1, 0)}, "kept_layers"),
        ({"kept_layers": (0, 12)}, "indices below 12"),
        ({"window_length": 0}, "window_length is 0"),
        ({"label_names": ("a", "a")}, "label_names"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"threshold": math.nan}, "threshold"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": math.inf}, "temperature"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"input": "both sequences"}, "input"),
    ],
)
def test_values_that_make_no_sense_are_refused(make_manifest, changes, message):
    with pytest.raises(GenoslimError, match=message):
        make_manifest(**changes)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["family"], 3, "family is 3; expected a text"),
        (["threshold"], "high", "threshold is 'high'; expected a number"),
        (["opset"], 20.5, "opset is 20.5; expected a whole number"),
        (["opset"], True, "opset is True; expected a whole number"),
        (["kept_layers"], "0,1", "kept_layers is '0,1'; expected a list"),
        (["kept_layers"], [0, "1"], r"kept_layers\[1\] is '1'; expected a whole number"),
        (["metrics", "test"], [], r"metrics\.test is \[\]; expected an object"),
        (["metrics", "test", "n"], None, r"metrics\.test\.n is None; expected a whole number"),
        (["files"], [], r"files is \[\]; expected an object"),
        (["files"], {"x": {"sha256": "12", "size": 1}}, "sha256 is '12'; expected 64 hex digits"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(make_manifest, path, value, message):
    content = sealed(make_manifest())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(GenoslimError, match=message):
        decode(BundleManifest, content, "bundle.json")


def test_a_missing_field_is_named(make_manifest):
    content = sealed(make_manifest())
    del content["licences"]["data"]
    with pytest.raises(GenoslimError, match=r"licences\.data is missing"):
        decode(BundleManifest, content, "bundle.json")


@pytest.mark.parametrize(
    "name",
    ["../a", "/a", "a/b", "a\\b", "C:a", "..", ".", "", ".hidden", "bundle.json", "a\n", "\0"],
)
def test_file_names_cannot_leave_the_folder(make_manifest, name):
    assert not is_plain_name(name)
    content = sealed(make_manifest())
    content["files"] = {name: {"sha256": "0" * 64, "size": 0}}
    with pytest.raises(GenoslimError, match="a plain name without folders"):
        decode(BundleManifest, content, "bundle.json")


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "README.md", "a b"])
def test_plain_names_are_plain(name):
    assert is_plain_name(name)


def test_parity_passes_within_its_tolerances_only():
    assert report(1e-6, 9e-5).passed
    assert not report(1e-6, 2e-4).passed
    assert not report(1e-6, flipped=1).passed
    assert report(1e-6, 9e-5).max_logit_difference == 9e-5


@pytest.mark.parametrize("differences", [(math.nan, 1e-6), (1e-6, math.nan)])
def test_parity_never_passes_with_a_nan(differences):
    assert math.isnan(report(*differences).max_logit_difference)
    assert not report(*differences).passed


def test_parity_needs_a_case():
    with pytest.raises(GenoslimError, match="one case a batch size"):
        report()
