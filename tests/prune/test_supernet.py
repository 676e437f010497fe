from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from genoslim.data.dataset import read_data
from genoslim.errors import UsageError
from genoslim.models import load, load_tokenizer
from genoslim.models.layers import remove_layers
from genoslim.prune.finetune import Labelled, predict_tokens
from genoslim.prune.healing import distilled
from genoslim.prune.plan import plan, setting_of, spec_of
from genoslim.prune.probe import LayerProbe, score_subset
from genoslim.prune.recipe import Supernet
from genoslim.prune.run_folder import RunFolder
from genoslim.prune.runner import TrialRunner
from genoslim.prune.subsets import complement
from genoslim.prune.supernet import drawn_subsets, sandwich
from genoslim.stats.ranks import auroc

HOW = Supernet(teacher="t", smallest=1)


@pytest.fixture(scope="module")
def validation(nt_model: Path, data: Path) -> Labelled:
    return Labelled.encode(load_tokenizer(nt_model), read_data(data).split("validation"))


def test_a_step_is_the_full_model_and_two_subsets_that_learn_from_it(
    nt_model: Path, validation: Labelled
) -> None:
    model = load(nt_model, seed=0)
    rows = torch.arange(12)
    labels = validation.labels

    def forward(taken: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(*validation.tokens.batch(taken))
        return logits

    found = [float(loss.detach()) for loss in sandwich(model, labels, HOW, seed=4)()(forward, rows)]
    middle, small = drawn_subsets(3, 1, np.random.default_rng(4))
    assert (len(middle), len(small)) == (2, 1)
    full = forward(rows).detach()
    expected = [float(functional.cross_entropy(full, labels[rows]))]
    for kept in (middle, small):
        slim = remove_layers(load(nt_model, seed=0), complement(kept, 3))
        logits = slim(*validation.tokens.batch(rows))
        expected.append(float(distilled(logits, full, labels[rows], HOW).detach()))
    assert found == pytest.approx(expected, rel=1e-5)


def test_drawn_sizes_reach_from_above_the_smallest_to_below_the_full() -> None:
    generator = np.random.default_rng(0)
    drawn = [drawn_subsets(6, 2, generator) for _ in range(200)]
    assert {len(middle) for middle, _ in drawn} == {3, 4, 5}
    assert {small for _, small in drawn} == {(i, j) for i in range(6) for j in range(i + 1, 6)}


def test_a_supernet_needs_layers_to_leave_out(nt_model: Path, validation: Labelled) -> None:
    with pytest.raises(UsageError, match="smallest is 3, the model has 3 layers"):
        sandwich(load(nt_model), validation.labels, replace(HOW, smallest=3), seed=0)


def test_evaluated_subsets_are_the_supernets_without_the_other_layers(
    finished: RunFolder, tmp_path: Path
) -> None:
    """Through the runner: train a supernet, probe it, and drop its layers by hand."""
    how = Supernet(teacher=plan(finished)[0].hash, smallest=1)
    spec = replace(spec_of(finished, (), 0), supernet=how)
    setting = replace(setting_of(finished, trials=tmp_path), teachers=(finished.trials.folder,))
    runner = TrialRunner(setting)
    assert runner.run(spec, keep_weights=True) == "done"
    weights = runner.store.checkpoint(spec)
    rows = runner.encoded["validation"]
    cache = tmp_path / "scores.json"
    probe = LayerProbe(lambda: weights, (0, 1, 2), lambda: rows, cache)
    subsets = [(0, 1, 2), (0, 2), (1,), (0, 2)]
    scores = probe.scores(subsets)
    assert probe.passes == 3
    for score in scores:
        slim = remove_layers(load(weights), complement(score.kept, 3))
        logits = predict_tokens(slim, rows.tokens)
        loss = functional.cross_entropy(torch.from_numpy(logits), rows.labels)
        assert score.auroc == auroc(rows.labels.numpy(), logits[:, 1].astype(float) - logits[:, 0])
        assert score.loss == float(loss)

    again = LayerProbe(lambda: tmp_path / "gone", (0, 1, 2), lambda: rows, cache)
    assert again.scores(subsets) == scores
    assert again(subsets) == [score.auroc for score in scores]
    assert (again.passes, again.seconds) == (3, probe.seconds)
    cache.write_text(cache.read_text()[:-20])
    assert LayerProbe(lambda: weights, (0, 1, 2), lambda: rows, cache).scores(subsets) == scores


def test_a_probe_counts_layers_as_in_the_full_stack(nt_model: Path, validation: Labelled) -> None:
    model = load(nt_model, seed=0)
    whole = score_subset(model, [0, 2], validation)
    slim = remove_layers(model, [1])
    assert score_subset(slim, [0, 1], validation) == whole
