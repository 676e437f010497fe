"""What a bundle says about itself: the typed content of `bundle.json`.

The format has a version, `MAJOR.MINOR`. A reader opens every bundle of its own major version: a
newer minor version only adds fields, which an older reader ignores, and every field added that way
has a default, so a newer reader opens older bundles. A change that would mislead an older reader
raises the major version, and readers refuse a major version they do not know.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal, get_args

from ..codec import plain
from ..errors import GenoslimError
from ..models.record import Int8Tuning, TrainingCost

FORMAT_MAJOR, FORMAT_MINOR = 1, 3
FORMAT_VERSION = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"

MANIFEST = "bundle.json"
GRAPH = "model.onnx"
REQUIRED_FILES = (GRAPH, "config.json", "tokenizer.json", "tokenizer_config.json", "README.md")
Precision = Literal["fp32", "fp16", "int8"]
Target = Literal["cpu", "cuda"]
"""What a graph is shaped for: it runs on the other too, slower."""
INPUT = "alternate sequence"


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """The identity of one file: SHA-256 in hexadecimal and size in bytes."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        _require(re.fullmatch(r"[0-9a-f]{64}", self.sha256), "sha256", self.sha256, "64 hex digits")
        _require(self.size >= 0, "size", self.size, "a number of bytes")


CHANCE = 0.5
"""The AUROC of a model that has learnt nothing."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval of an AUROC and how it was found.

    `method` is `DeLong`, or `bootstrap by variant` where a variant has several rows.
    """

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True, kw_only=True)
class SplitMetrics:
    """How well the exported graph does on one split, at the bundle's threshold and temperature.

    `interval` is the AUROC's. `macro_auroc` is the mean AUROC of the groups (tissues, cell types),
    if the data has groups; groups with one class only are named in `skipped_groups`.
    """

    n: int
    accuracy: float
    auroc: float
    interval: Interval
    f1: float
    true_positive_rate: float
    tp: int
    fp: int
    tn: int
    fn: int
    threshold: float
    brier: float
    expected_calibration_error: float
    macro_auroc: float | None = None
    group_auroc: Mapping[str, float] = field(default_factory=dict)
    skipped_groups: tuple[str, ...] = ()

    @property
    def beats_chance(self) -> bool:
        """Whether the interval of the AUROC lies above 0.5."""
        return self.interval.low > CHANCE


@dataclass(frozen=True, kw_only=True)
class ParityCase:
    """Exported graph against torch at one batch size.

    The reference is torch on each window alone, without padding; the graph sees the windows in
    batches of `batch_size`, padded to the longest; None means batches as the runtime makes them.
    `padding` is the share of positions that are padding (None where the runtime decides).
    Probabilities are compared at the bundle's temperature; a call flips when the two sides fall on
    different sides of its threshold.
    """

    batch_size: int | None
    windows: int
    shortest_tokens: int
    longest_tokens: int
    padding: float | None
    max_logit_difference: float
    max_probability_difference: float
    flipped: int


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """Every parity case, and the tolerances that it had to keep.

    `batch_difference` is the most that a logit of one window differs between the cases, that is
    with what shares its batch (None in bundles before format 1.1), `provider` what ONNX Runtime ran
    the graph on (None before format 1.3: the CPU).
    """

    cases: tuple[ParityCase, ...]
    logit_tolerance: float
    probability_tolerance: float
    flipped_tolerance: int = 0
    batch_difference: float | None = None
    provider: str | None = None

    def __post_init__(self) -> None:
        _require(self.cases, "cases", "none", "one case a batch size")

    @property
    def windows(self) -> int:
        """The number of windows compared in the largest case."""
        return max(case.windows for case in self.cases)

    @property
    def max_logit_difference(self) -> float:
        """The largest absolute difference of any logit; NaN if any is NaN."""
        return _largest(case.max_logit_difference for case in self.cases)

    @property
    def max_probability_difference(self) -> float:
        """The largest absolute difference of any probability; NaN if any is NaN."""
        return _largest(case.max_probability_difference for case in self.cases)

    @property
    def flipped(self) -> int:
        """The largest number of calls that flip at one batch size."""
        return max(case.flipped for case in self.cases)

    @property
    def passed(self) -> bool:
        """Whether every figure keeps its tolerance (a NaN keeps none)."""
        return (
            self.max_logit_difference <= self.logit_tolerance
            and self.max_probability_difference <= self.probability_tolerance
            and self.flipped <= self.flipped_tolerance
        )


@dataclass(frozen=True, kw_only=True)
class LossLimits:
    """What a lossy precision may cost; see docs/bundle.md for the reasons.

    `margin` of AUROC (the lower end of the interval of its change stays above -margin), the share
    of calls that flip, the rise of the calibration error, and the most that a logit may move with
    what shares its batch.
    """

    margin: float = 0.01
    flipped_share: float = 0.01
    calibration_error: float = 0.01
    batch_difference: float = 0.01

    def __post_init__(self) -> None:
        _require(0 < self.margin < 1, "margin", self.margin, "between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class PrecisionLoss:
    """A lossy graph against the float32 graph it was made from, on every window judged.

    The windows are all of the validation and test splits; both graphs' logits are read at the
    bundle's temperature and threshold, which were fitted with the float32 graph. Changes are the
    lossy graph's figure less the other's. `auroc_interval` is the change's, at 90 %, so that its
    lower end is the one-sided 95 % bound. `provider` is what ONNX Runtime ran both graphs on.
    `exact_parity` compares the float32 graph with torch, and `bytes` are those of graph and weights
    on disk.
    """

    provider: str
    windows: int
    max_logit_difference: float
    mean_logit_difference: float
    flipped: int
    auroc_change: float
    auroc_interval: Interval
    brier_change: float
    calibration_error_change: float
    bytes: int
    exact_bytes: int
    exact_parity: ParityReport
    limits: LossLimits

    @property
    def kept(self) -> bool:
        """Whether AUROC, calls and calibration are within the limits."""
        return (
            self.auroc_interval.low > -self.limits.margin
            and self.flipped <= self.limits.flipped_share * self.windows
            and self.calibration_error_change <= self.limits.calibration_error
        )


@dataclass(frozen=True, kw_only=True)
class Licences:
    """What the weights and the data may be used for, as SPDX names where there is one."""

    base_model: str
    data: str


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The data set that gave threshold, temperature and metrics.

    `trained_on` is the fingerprint that the checkpoint's own record names. Where it differs from
    `fingerprint`, variants of the test split may have been trained on: the metrics may flatter.
    """

    fingerprint: str
    source: str
    trained_on: str | None = None
    splits: Mapping[str, int] = field(default_factory=dict)

    @property
    def same_as_training(self) -> bool:
        """Whether the checkpoint was trained on this very data set."""
        return self.fingerprint == self.trained_on


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How the checkpoint came to be, as far as its own record says. Times in seconds.

    `seed_aurocs` are the test AUROCs of every seed of the model that was trained and has learnt
    something, of which this is one (none in bundles before format 1.2). `cost` is what the training
    took beside its seconds, `int8` a tuning for that precision, and `checkpoint` the fingerprint of
    the checkpoint that the graph was made from (none of them in bundles before format 1.3).
    """

    base_model: str | None = None
    base_model_fingerprint: str | None = None
    seed: int | None = None
    seconds: float | None = None
    dropped_layers: tuple[int, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed_aurocs: tuple[float, ...] = ()
    cost: TrainingCost | None = None
    int8: Int8Tuning | None = None
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class BundleManifest:
    """Everything `bundle.json` says.

    `base_layers` is the depth of the base model and `kept_layers` the indices, in that base, of the
    layers that remain. `window_length` is in base pairs. A variant's probability is
    `softmax(logits / temperature)[1]`, and it is called `label_names[1]` when that is at least
    `threshold`; both numbers were fitted on the validation split only, with the float32 graph.
    `metrics` and `parity` are of the graph in the bundle. `loss` says what its precision cost, None
    where it is float32. `target` is what the graph is shaped for (the CPU before format 1.3).
    """

    format_version: str = FORMAT_VERSION
    family: str
    base_layers: int
    kept_layers: tuple[int, ...]
    parameters: int
    window_length: int
    assembly: str
    input: str = INPUT
    label_names: tuple[str, ...]
    threshold: float
    temperature: float
    precision: str
    opset: int
    metrics: Mapping[str, SplitMetrics]
    parity: ParityReport
    fine_tuning: FineTuning
    licences: Licences
    data: DataRecord
    versions: Mapping[str, str]
    loss: PrecisionLoss | None = None
    target: str = "cpu"
    files: Mapping[str, FileRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = self.kept_layers
        within = kept == tuple(sorted(set(kept))) and all(0 <= k < self.base_layers for k in kept)
        depth = f"increasing indices below {self.base_layers}"
        _require(kept and within, "kept_layers", list(kept), depth)
        _require(self.window_length >= 1, "window_length", self.window_length, "at least 1")
        _require(self.input == INPUT, "input", self.input, repr(INPUT))
        names = self.label_names
        _require(len(set(names)) == len(names) == 2, "label_names", list(names), "two names")
        _require(0 <= self.threshold <= 1, "threshold", self.threshold, "between 0 and 1")
        usable = math.isfinite(self.temperature) and self.temperature > 0
        _require(usable, "temperature", self.temperature, "above 0")
        _require(
            self.precision in get_args(Precision),
            "precision",
            self.precision,
            "one of fp32, fp16, int8",
        )
        _require(self.target in get_args(Target), "target", self.target, "cpu or cuda")
        for name in self.files:
            _require(is_plain_name(name), "file name", name, "a plain name without folders")


def sealed(manifest: BundleManifest) -> dict[str, Any]:
    """Return what `bundle.json` holds: the manifest in plain JSON types, and their `seal`."""
    content = plain(manifest)
    return content | {"seal": seal(content)}


def seal(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its `seal`, as compact JSON with sorted keys."""
    rest = {key: value for key, value in content.items() if key != "seal"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def check_version(version: object) -> None:
    """Refuse a format version whose major number this reader does not know."""
    match = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", version) if isinstance(version, str) else None
    _require(match, "format_version", version, f"MAJOR.MINOR such as {FORMAT_VERSION}")
    major = int(match[1]) if match else 0
    if major > FORMAT_MAJOR:
        raise GenoslimError(
            f"format version is {version}, newer than this genoslim reads"
            f" ({FORMAT_MAJOR}.x): upgrade genoslim"
        )
    _require(major == FORMAT_MAJOR, "format_version", version, f"{FORMAT_MAJOR}.x")


def is_plain_name(name: str) -> bool:
    """Say whether `name` is one visible file name on any system: no folder and no drive."""
    one_part = PurePosixPath(name).name == name == PureWindowsPath(name).name != ""
    return one_part and name != MANIFEST and not name.startswith(".") and name.isprintable()


def _require(condition: object, name: str, found: object, expected: str) -> None:
    if not condition:
        raise GenoslimError(f"{name} is {found!r}; expected {expected}")


def _largest(values: Iterable[float]) -> float:
    """Return the maximum, or NaN if any value is NaN (which `max` may lose)."""
    found = list(values)
    return math.nan if any(map(math.isnan, found)) else max(found)
