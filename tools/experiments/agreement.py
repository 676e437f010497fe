"""What can stand in for a sweep, and how near any of it can come.

    python tools/experiments/agreement.py -o DIR [--families dnabert2 nt] [--layer-seeds 3]

DIR is that of `frontier.py`, whose baselines and supernets are used. Every layer is dropped over
several seeds; then, against the mean of these: the sweep's agreement with itself, the supernet's
loss of AUROC without each layer (one a seed, forward passes alone), the estimates of `genoslim
estimate`, and the roles that an adaptive sweep would have given for a part of the trainings. All
on validation. Every training is a trial in DIR. One torch thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import INLINE, arguments, opened, simulated

from genoslim.prune.adaptive import undecided_layers
from genoslim.prune.agreement import Agreement, agreement, self_agreement
from genoslim.prune.estimates import estimate_layers, lost_by_seed
from genoslim.prune.judgement import judge_trials
from genoslim.prune.judging import judge_run
from genoslim.prune.plan import attempts, plan
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.subsets import children
from genoslim.prune.sweep import sweep
from genoslim.prune.trainings import Trainings
from genoslim.prune.trial import Trial
from genoslim.prune.verdicts import Role, Rules
from genoslim.tables import table

FIRST = 2
"""Seeds of every layer before an adaptive sweep looks."""

Tried = list[list[Trial]]


def main() -> None:
    """Sweep every family and print what agrees with it."""
    options = arguments(__doc__, ["dnabert2", "nt"])
    data = simulated(options)
    for family in options.families:
        run = opened(options, family, data)
        sweep(run, executor=INLINE)
        print(f"\n{family}, {options.variants} variants\n{_report(run, data)}", flush=True)


def _report(run: RunFolder, data: Path) -> str:
    """Return the tables of a family."""
    lost = lost_by_seed(run, Rules())
    mean = np.mean(lost, axis=0).tolist()
    roles = _roles(run, Rules(repeats=1))
    whole = _cost(run)
    rows = [
        [name, cost, *_cells(agreement(scores, mean, roles))]
        for name, cost, scores in [*_supernets(run, whole), *_estimates(run, data, whole)]
    ]
    heads = ["instead of the sweep", "cost", "Spearman", "95 % interval", "least third", "roles"]
    ceiling = self_agreement(lost)
    return "\n".join(
        [
            table(heads, rows, width=110),
            f"the sweep with itself: Spearman of one seed with the mean of the others"
            f" {ceiling:+.2f}; roles of one seed with those of the others: {_roles_of_seeds(run)}",
            _adaptive(run),
            f"AUROC lost without each layer, mean: {' '.join(f'{value:+.3f}' for value in mean)}",
            f"roles: {' '.join(roles)}",
        ]
    )


def _cost(run: RunFolder) -> float:
    """Return the training seconds of the layers' trials of the sweep."""
    layers = [spec for spec in plan(run) if spec.dropped]
    return sum(attempts(run.trials, spec)[-1].result.fine_tune_seconds for spec in layers)


def _supernets(run: RunFolder, whole: float) -> Iterator[tuple[str, str, list[float]]]:
    """Yield what the supernet of each seed loses without each layer, and their mean."""
    found = []
    for seed in range(run.record.identity.layer_seeds):
        trainings = Trainings(run, run.folder / "search", INLINE, start="supernet", seed=seed)
        probe = trainings.probe(trainings.source, trainings.full)
        full, *without = probe([trainings.full, *children(trainings.full)])
        found.append([full - one for one in without])
        share = trainings.source.result.fine_tune_seconds / whole
        yield f"supernet, seed {seed}", f"{share:.3f} of the sweep's training", found[-1]
    yield "supernets, mean", "", np.mean(found, axis=0).tolist()


def _estimates(run: RunFolder, data: Path, whole: float) -> Iterator[tuple[str, str, list[float]]]:
    """Yield the scores of every method on the run's best baseline."""
    found = estimate_layers(run.record.model, data, run=run.folder, rows=600, device="cpu")
    for one in found.methods:
        yield one.method, f"{one.passes} passes, {one.seconds:.1f} s", list(one.scores)


def _cells(found: Agreement) -> list[str]:
    if found.spearman is None or found.low is None or found.high is None:
        return ["none", "", f"{found.least:.2f}", f"{found.roles:.2f}"]
    interval = f"{found.low:+.2f} to {found.high:+.2f}"
    return [f"{found.spearman:+.2f}", interval, f"{found.least:.2f}", f"{found.roles:.2f}"]


def _roles(run: RunFolder, rules: Rules) -> list[Role]:
    return [verdict.role for verdict in judge_run(run, rules).verdicts]


def _layers(run: RunFolder, seeds: Sequence[int]) -> tuple[Tried, dict[int, Tried]]:
    """Return the attempts of the baseline, and of every layer with some seeds."""
    baseline: Tried = []
    layers: dict[int, Tried] = {}
    for spec in plan(run):
        if not spec.dropped:
            baseline.append(attempts(run.trials, spec))
        elif spec.seed in seeds:
            layers.setdefault(spec.dropped[0], []).append(attempts(run.trials, spec))
    return baseline, layers


def _roles_of_seeds(run: RunFolder) -> str:
    """Return the share of layers with the same role by one seed as by the others."""
    seeds = range(run.record.identity.layer_seeds)
    told = []
    for name in ("paper", "tested"):
        rules = Rules(rule=name, repeats=1)  # type: ignore[arg-type]
        shares = []
        for seed in seeds:
            one, others = (
                [v.role for v in judge_trials(*_layers(run, some), run.rows(), rules).verdicts]
                for some in ([seed], [other for other in seeds if other != seed])
            )
            shares.append(np.mean([a == b for a, b in zip(one, others, strict=True)]))
        told.append(f"{name} {np.mean(shares):.2f}")
    return ", ".join(told)


def _adaptive(run: RunFolder) -> str:
    """Return what an adaptive sweep would have spent, and the roles it would have found."""
    seeds = list(range(run.record.identity.layer_seeds))
    baseline, layers = _layers(run, seeds)
    spent = dict.fromkeys(layers, FIRST)
    for count in range(FIRST, len(seeds)):
        known = {layer: tried[: spent[layer]] for layer, tried in layers.items()}
        looks = len(seeds) - FIRST
        for layer in undecided_layers(baseline, known, run.rows(), looks=looks):
            if spent[layer] == count:
                spent[layer] += 1
    known = {layer: tried[: spent[layer]] for layer, tried in layers.items()}
    told = []
    for name in ("paper", "tested"):
        rules = Rules(rule=name, repeats=1)  # type: ignore[arg-type]
        found = judge_trials(baseline, known, run.rows(), rules).verdicts
        share = np.mean([a.role == b for a, b in zip(found, _roles(run, rules), strict=True)])
        told.append(f"{name} {share:.2f}")
    total = len(seeds) * len(layers)
    return (
        f"adaptive: {sum(spent.values())} of {total} trainings; the same role as the whole sweep:"
        f" {', '.join(told)}"
    )


if __name__ == "__main__":
    main()
