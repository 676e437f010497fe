"""From which arrays of `predictions.npz` each figure of quality can be computed again."""

from __future__ import annotations

HEADS = ("figure", "key in bench.json, under models[i]", "arrays of predictions.npz", "how")

PREDICTIONS_TRACE = (
    (
        "probability of a row",
        "quality.temperature",
        "test_logits_i, temperatures[i]",
        "softmax(logits / temperature)[:, 1]",
    ),
    (
        "AUROC",
        "quality.metrics.auroc",
        "test_labels, test_logits_i",
        "of the order of logits[:, 1] - logits[:, 0]; ties count half",
    ),
    (
        "AUPRC",
        "quality.estimates.average_precision",
        "test_labels, test_logits_i",
        "of the same order, at the share of positives in the test split",
    ),
    (
        "accuracy, F1, MCC, true-positive rate, specificity",
        "quality.estimates",
        "test_labels, test_logits_i, temperatures[i], thresholds[i]",
        "calls: probability >= threshold",
    ),
    (
        "sensitivity at 90 and 95 % specificity",
        "quality.operating_points",
        "validation_labels, validation_logits_i; test_labels, test_logits_i; temperatures[i]",
        "threshold: the least with that specificity on validation; calls on test by it",
    ),
    (
        "Brier score, calibration, reliability",
        "quality.calibrated, quality.uncalibrated, quality.reliability",
        "test_labels, test_logits_i, temperatures[i]",
        "before calibration: at a temperature of 1; reliability: ten bins of equal mass",
    ),
    (
        "calls flipped",
        "comparison.flipped",
        "test_logits_0, test_logits_i, temperatures, thresholds",
        "one row each in flipped.tsv",
    ),
    (
        "difference that decides",
        "evidence.loss.difference",
        "test_labels, test_groups, test_logits_0, test_logits_i, test_seed_logits_*, seed_of",
        "AUROC, or its mean over groups where these are the unit, less the baseline's",
    ),
    (
        "subgroups",
        "subgroups.aurocs, subgroups.changes",
        "test_subgroup_NAME, test_labels, test_groups, test_keys, test_logits_i",
        "AUROC of the rows of a subgroup",
    ),
    (
        "floors",
        "floor.difference; floors.floors[j] of the file itself",
        "validation_floor_j, test_floor_j, labels and groups of both splits",
        "AUROC of the scores, or its mean over groups",
    ),
    (
        "intervals",
        "low and high beside each",
        "test_groups, test_keys",
        "drawn or counted by group, variant or row, as the page says",
    ),
)
"""A row for each kind of figure, under HEADS."""
