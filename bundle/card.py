"""The model card: a bundle's README.md, written from its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ..data.assembly import stated
from ..models.licences import hub_licence, is_non_commercial
from .manifest import BundleManifest, ParityCase, ParityReport, PrecisionLoss, SplitMetrics

_T = TypeVar("_T")

NOTICE = (
    "Not a clinical test and not an ACMG/AMP criterion: a score is no PP3 or BP4 evidence,"
    " and the labels of the data are not pathogenicity"
)


def render_card(manifest: BundleManifest) -> str:
    """Return the card as Markdown, with the metadata header that the Hugging Face hub reads."""
    sections = (_header, _intended_use, _limits, _model, _data, _metrics, _loss, _parity, _use)
    parts = (section(manifest) for section in sections)
    return "\n\n".join(filter(None, parts)) + "\n"


def _header(manifest: BundleManifest) -> str:
    licence = manifest.licences.base_model
    lines = [
        "---",
        hub_licence(licence),
        "library_name: onnx",
        "pipeline_tag: text-classification",
        "tags: [genomics, variant-effect, genoslim]",
        "---",
        "",
        f"# {title(manifest)}",
    ]
    restricted = [
        f"{what} ({name})"
        for what, name in (("base model", licence), ("data", manifest.licences.data))
        if is_non_commercial(name)
    ]
    if restricted:
        lines += ["", f"> **Non-commercial use only**: so says the licence of {_and(restricted)}."]
    return "\n".join(lines)


def _intended_use(manifest: BundleManifest) -> str:
    negative, positive = manifest.label_names
    return f"""## Intended use

Research. Given the {_window(manifest)} around a variant, with the alternate allele in place,
it returns the probability of `{positive}` as against `{negative}`, as the data below define them.
It ranks variants for follow-up."""


def input_of(manifest: BundleManifest) -> str:
    """Return what the bundle takes, in words."""
    return f"{_window(manifest)}, alternate allele in place"


def _window(manifest: BundleManifest) -> str:
    """Return `512 bp of GRCh38`, or what is left of that where no assembly was stated."""
    known = stated(manifest.assembly)
    genome = f"of {manifest.assembly}" if known else "(assembly not stated)"
    return f"{manifest.window_length} bp {genome}"


def _limits(manifest: BundleManifest) -> str:
    return f"""## Limits

- **{NOTICE}.**
- The share of positives in the data is not that of a genome or a clinic: predictive values differ.
- It has seen one genome assembly, one window length and the populations of its data, no others.
- The metrics hold for data like the test split, and only within their intervals."""


def _model(manifest: BundleManifest) -> str:
    return "## Model\n\n" + _table(("", ""), model_rows(manifest))


def model_rows(manifest: BundleManifest) -> list[tuple[str, str]]:
    """Return what is to be said of the network, as (name, value)."""
    tuning = manifest.fine_tuning
    seconds = "unknown" if tuning.seconds is None else f"{tuning.seconds:.1f} s"
    kept = f"{len(manifest.kept_layers)} of {manifest.base_layers}: {_kept(manifest)}"
    return [
        ("family", manifest.family),
        ("base model", tuning.base_model or "unknown"),
        ("layers kept", kept),
        ("parameters", f"{manifest.parameters:,}"),
        ("fine-tuning", f"{seconds}, seed {'unknown' if tuning.seed is None else tuning.seed}"),
        ("precision, opset", f"{manifest.precision}, {manifest.opset}"),
        *_made_for(manifest),
        ("licence of the base model", _licence(manifest.licences.base_model)),
    ]


def _made_for(manifest: BundleManifest) -> list[tuple[str, str]]:
    """Return a row for a graph that is not shaped for the CPU, as most are."""
    if manifest.target == "cpu":
        return []
    return [("made for", f"{manifest.target}; what is told here ran on {manifest.parity.provider}")]


def _data(manifest: BundleManifest) -> str:
    text = "## Data\n\n" + _table(("", ""), data_rows(manifest))
    if not manifest.data.same_as_training:
        text += (
            "\n\n**Evaluated on other data than it was trained on: leakage cannot be excluded,"
            " so the metrics may flatter.**"
        )
    return text


def data_rows(manifest: BundleManifest) -> list[tuple[str, str]]:
    """Return what is to be said of the data, as (name, value)."""
    data = manifest.data
    return [
        ("source", data.source),
        ("windows", ", ".join(f"{name} {count:,}" for name, count in _in_order(data.splits))),
        ("fingerprint", data.fingerprint),
        ("trained on", data.trained_on or "unknown"),
        ("licence of the data", _licence(manifest.licences.data)),
    ]


def _metrics(manifest: BundleManifest) -> str:
    head, *rows = metrics_table(manifest)
    found = at_chance(manifest)
    warning = (
        f"**On {' and '.join(found)} this model is not shown to beat chance: the interval of"
        " its AUROC reaches 0.5. It was exported because that was asked for; its scores mean"
        " nothing.**\n\n"
    )
    return (
        "## Metrics\n\n"
        + (warning if found else "")
        + (
            "Computed with the exported graph. Temperature"
            f" {manifest.temperature:.4g} and threshold {manifest.threshold:.4g} were fitted on the"
            " validation split only.\n\n" + _table(head, rows)
        )
    )


def at_chance(manifest: BundleManifest) -> list[str]:
    """Return the splits on which the model is not shown to beat chance."""
    return [name for name, found in _in_order(manifest.metrics) if not found.beats_chance]


def metrics_table(manifest: BundleManifest) -> list[tuple[str, ...]]:
    """Return the metrics as rows of text: a head, then one metric a row and one split a column."""
    names, found = zip(*_in_order(manifest.metrics), strict=True)
    columns = [_metric_cells(metrics) for metrics in found]
    rows = [(label, *(column[label] for column in columns)) for label in columns[0]]
    return [("", *names), *rows]


def _metric_cells(found: SplitMetrics) -> dict[str, str]:
    interval = found.interval
    bounds = f"{interval.low:.4f} to {interval.high:.4f} ({interval.method})"
    macro = "no groups" if found.macro_auroc is None else f"{found.macro_auroc:.4f}"
    return {
        "windows": f"{found.n:,}",
        "AUROC": f"{found.auroc:.4f}",
        f"{interval.level:.0%} interval": bounds,
        "macro AUROC": macro,
        "accuracy": f"{found.accuracy:.4f}",
        "F1": f"{found.f1:.4f}",
        "true positive rate": f"{found.true_positive_rate:.4f}",
        "TP, FP, TN, FN": f"{found.tp}, {found.fp}, {found.tn}, {found.fn}",
        "Brier score": f"{found.brier:.4f}",
        "calibration error": f"{found.expected_calibration_error:.4f}",
    }


def _loss(manifest: BundleManifest) -> str:
    """Return what a lossy precision costs; nothing where there is none."""
    if manifest.loss is None:
        return ""
    head, *rows = loss_table(manifest.loss)
    return (
        f"## What {manifest.precision} costs\n\nThis graph against the float32 graph it was made"
        f" from, on all {manifest.loss.windows:,} windows of validation and test, at the"
        " temperature and threshold above, which were fitted with the float32 graph."
        f" {_ran(manifest)}\n\n" + _table(head, rows)
    )


def _ran(manifest: BundleManifest) -> str:
    """Say what the gate ran on, and what that leaves open."""
    provider = manifest.loss.provider if manifest.loss else ""
    if manifest.precision == "fp16" and provider.startswith("CPU"):
        return (
            f"Judged on {provider} with every weight and result rounded to float16; it is made for"
            " CUDA, where nothing was measured."
        )
    return f"Judged on {provider}."


def loss_table(loss: PrecisionLoss) -> list[tuple[str, ...]]:
    """Return what a precision costs as rows of text: a head, then one figure a row."""
    interval, limits = loss.auroc_interval, loss.limits
    bounds = f"{interval.low:+.4f} to {interval.high:+.4f}"
    parity = loss.exact_parity
    return [
        ("", "found", "allowed"),
        ("AUROC change", f"{loss.auroc_change:+.4f}", ""),
        (f"{interval.level:.0%} interval ({interval.method})", bounds, f"above {-limits.margin:g}"),
        (
            "flipped calls",
            f"{loss.flipped} of {loss.windows:,} ({loss.flipped / loss.windows:.2%})",
            f"{limits.flipped_share:.2%}",
        ),
        (
            "calibration error change",
            f"{loss.calibration_error_change:+.4f}",
            f"{limits.calibration_error:+g}",
        ),
        ("Brier score change", f"{loss.brier_change:+.4f}", ""),
        ("mean logit difference", f"{loss.mean_logit_difference:.1e}", ""),
        ("largest logit difference", f"{loss.max_logit_difference:.1e}", ""),
        (
            "largest of float32 to torch",
            f"{parity.max_logit_difference:.1e}",
            f"{parity.logit_tolerance:g}",
        ),
        ("size", f"{loss.bytes / 1e6:.1f} MB", ""),
        ("size in float32", f"{loss.exact_bytes / 1e6:.1f} MB", ""),
    ]


def _parity(manifest: BundleManifest) -> str:
    head, *rows = parity_table(manifest.parity)
    return (
        "## Parity with torch\n\nLargest differences between this graph and the torch model, on"
        f" real windows.{batching(manifest)}\n\n" + _table(head, rows)
    )


def batching(manifest: BundleManifest) -> str:
    """Return a sentence, with a space before it, on what else is in a batch; or nothing."""
    moved = manifest.parity.batch_difference
    if moved is None:
        return ""
    allowed = f" (allowed {manifest.loss.limits.batch_difference:g})" if manifest.loss else ""
    return f" What shares its batch moves a window's logits by {moved:.1e} at most{allowed}."


def parity_table(report: ParityReport) -> list[tuple[str, ...]]:
    """Return a parity report as rows of text: a head, one case a row, what was allowed."""
    head = ("batch", "windows", "tokens", "padding", "logit", "probability", "flipped calls")
    allowed = (
        f"{report.logit_tolerance:g}",
        f"{report.probability_tolerance:g}",
        str(report.flipped_tolerance),
    )
    return [head, *map(_parity_cells, report.cases), ("allowed", "", "", "", *allowed)]


def _parity_cells(case: ParityCase) -> tuple[str, ...]:
    return (
        "by length" if case.batch_size is None else str(case.batch_size),
        str(case.windows),
        f"{case.shortest_tokens} to {case.longest_tokens}",
        "" if case.padding is None else f"{case.padding:.0%}",
        f"{case.max_logit_difference:.1e}",
        f"{case.max_probability_difference:.1e}",
        str(case.flipped),
    )


def _use(_: BundleManifest) -> str:
    return """## Use

`genoslim score -m THIS_FOLDER -f GENOME.fa -i IN.vcf -o OUT.vcf`, or from Python with
`genoslim.open_bundle`, with `optimum.onnxruntime.ORTModelForSequenceClassification`, or
with onnxruntime alone. `bundle.json` has all of the above for machines, and every file's hash.
`config.json` names the nearest architecture that transformers knows, so that `AutoConfig` reads
it: the network is the one in `model.onnx`. Upper-case the sequence and write N for all but A, C, G
and T."""


def _in_order(by_split: Mapping[str, _T]) -> list[tuple[str, _T]]:
    """Return the items of what was read from JSON with train, validation and test in this order."""
    known = ("train", "validation", "test")
    return sorted(by_split.items(), key=lambda item: (*known, item[0]).index(item[0]))


def _licence(name: str) -> str:
    return f"{name} (non-commercial use only)" if is_non_commercial(name) else name


def title(manifest: BundleManifest) -> str:
    """Return the base model's name, and how many of its layers were kept."""
    kept, depth = len(manifest.kept_layers), manifest.base_layers
    name = manifest.fine_tuning.base_model or manifest.family
    return f"{name}, {'all' if kept == depth else f'{kept} of'} {depth} layers"


def _kept(manifest: BundleManifest) -> str:
    return ", ".join(map(str, manifest.kept_layers))


def _and(parts: Sequence[str]) -> str:
    return " and of the ".join(["the " + parts[0], *parts[1:]])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())
