from __future__ import annotations

import copy
import math
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch

from genoslim.data.dataset import LabelledData, read_data
from genoslim.errors import GenoslimError, UsageError
from genoslim.models import load, load_tokenizer
from genoslim.models.classifier import Classifier
from genoslim.models.layers import remove_layers
from genoslim.prune.finetune import Labelled, fine_tune
from genoslim.prune.importance import (
    METHODS,
    angular,
    block_influence,
    estimate,
    fisher,
    frozen,
    linear_cka,
    sleb,
    taylor,
    window_shapley,
)
from genoslim.prune.recipe import Recipe


@pytest.fixture(scope="module")
def rows(data: Path) -> LabelledData:
    return read_data(data).split("validation").subset(np.arange(16))


def _loaded(folder: Path, rows: LabelledData) -> tuple[Classifier, Labelled]:
    return load(folder), Labelled.encode(load_tokenizer(folder), rows)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["model", "nt_model"])
def test_every_method_scores_every_block_and_leaves_the_model_as_it_was(
    family: str, method: str, rows: LabelledData, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(family)
    network = load(folder)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = estimate(network, load_tokenizer(folder), rows, method)  # type: ignore[arg-type]
    assert len(found.scores) == 3
    assert all(math.isfinite(score) for score in found.scores)
    assert sorted(found.order) == [0, 1, 2]
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("method", ["block_influence", "frozen", "taylor"])
def test_no_memory_is_told_in_a_line(method: str, model: Path, rows: LabelledData) -> None:
    network = load(model)

    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    network.blocks[0].register_forward_pre_hook(refuse)
    with pytest.raises(GenoslimError, match=f"^out of memory in estimating by {method}: use a dev"):
        estimate(network, load_tokenizer(model), rows, method)  # type: ignore[arg-type]


def test_unknown_method(model: Path, rows: LabelledData) -> None:
    with pytest.raises(UsageError, match="'astrology' is not one of block_influence"):
        estimate(load(model), load_tokenizer(model), rows, "astrology")  # type: ignore[arg-type]


def test_block_influence_and_angle_by_hand(model: Path, rows: LabelledData) -> None:
    network, labelled = _loaded(model, rows)
    ids, mask = labelled.tokens.batch(torch.arange(len(rows)))
    with torch.no_grad():
        states = network.hidden_states(ids, mask)
    cosine = torch.nn.functional.cosine_similarity(states[1], states[2], dim=-1)
    assert block_influence(network, labelled)[1] == pytest.approx(
        float(1 - cosine[mask.bool()].mean()), abs=1e-6
    )
    angle = torch.arccos(cosine[:, 0].double().clamp(-1, 1)).mean() / math.pi
    assert angular(network, labelled)[1] == pytest.approx(float(angle), abs=1e-4)


def test_a_planted_identity_scores_nothing(rows: LabelledData, tmp_path: Path) -> None:
    tiny = run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_sweep.py"))
    plant = tiny["plant_identities"]("nt_v1", carrier=1, layers=3)
    folder = tiny["write_model"](tmp_path / "planted", "nt_v1", change=plant)
    network, labelled = _loaded(folder, rows)
    for method in (block_influence, frozen, taylor, fisher, window_shapley):
        first, second, third = method(network, labelled)
        assert first == pytest.approx(0, abs=1e-6)
        assert third == pytest.approx(0, abs=1e-6)
        if method not in (frozen, window_shapley):
            assert second > 1e-6


def test_frozen_is_the_loss_without_the_block(nt_model: Path, rows: LabelledData) -> None:
    network, labelled = _loaded(nt_model, rows)
    ids, mask = labelled.tokens.batch(torch.arange(len(rows)))

    def loss(model: Classifier) -> float:
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(model(ids, mask), labelled.labels))

    without = loss(remove_layers(load(nt_model), [1]))
    assert frozen(network, labelled)[1] == pytest.approx(without - loss(network), abs=1e-6)


@pytest.fixture(scope="module")
def tuned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, Labelled]:
    """A fine-tuned model of six layers, of which 2 and 5 do nothing any more, and rows."""
    tiny = run_path(str(Path(__file__).parents[1] / "fixtures" / "tiny_sweep.py"))
    place = tmp_path_factory.mktemp("six") / "model"
    folder = tiny["write_model"](place, "nt_v1", layers=6, hidden=16)
    labelled = read_data(data)
    network, tokenizer = load(folder), load_tokenizer(folder)
    fine_tune(network, tokenizer, labelled, Recipe(epochs=3, learning_rate=1e-2), seed=0)
    state = network.state_dict()
    for idle in (2, 5):
        tiny["silence"](state, idle)
    return network, Labelled.encode(tokenizer, labelled.split("validation"))


def _slow_loss(network: Classifier, labelled: Labelled, dropped: set[int]) -> float:
    """The loss of a copy of the network without some layers, one row at a time."""
    slim = remove_layers(copy.deepcopy(network), sorted(dropped))
    losses = []
    for row in range(len(labelled.labels)):
        with torch.no_grad():
            logits = slim(*labelled.tokens.batch(torch.tensor([row])))
        losses.append(
            float(torch.nn.functional.cross_entropy(logits, labelled.labels[row : row + 1]))
        )
    return math.fsum(losses) / len(losses)


def test_window_shapley_is_the_slow_sum_over_all_windows(
    tuned: tuple[Classifier, Labelled],
) -> None:
    network, labelled = tuned
    expected = []
    for layer in range(6):
        marginals = []
        for size in range(1, 5):
            for start in range(6 - size + 1):
                window = set(range(start, start + size))
                if layer in {min(window), max(window)}:
                    rest = _slow_loss(network, labelled, window - {layer})
                    marginals.append(_slow_loss(network, labelled, window) - rest)
        expected.append(sum(marginals) / len(marginals))
    assert window_shapley(network, labelled) == pytest.approx(expected, abs=1e-5)


def test_sleb_removes_what_a_slow_search_removes(tuned: tuple[Classifier, Labelled]) -> None:
    network, labelled = tuned
    gone: list[int] = []
    while len(gone) < 5:
        left = [layer for layer in range(6) if layer not in gone]
        gone.append(min(left, key=lambda one: _slow_loss(network, labelled, {*gone, one})))
    scores = sleb(network, labelled)
    assert [float(scores[layer]) for layer in gone] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert max(scores) == 5.0


def test_layers_that_do_nothing_cost_nothing(tuned: tuple[Classifier, Labelled]) -> None:
    for method in (frozen, window_shapley):
        scores = method(*tuned)
        assert [scores[idle] for idle in (2, 5)] == pytest.approx([0, 0], abs=1e-6)
        assert max(map(abs, scores)) > 1e-4


def test_fisher_and_taylor_of_one_row_agree(nt_model: Path, rows: LabelledData) -> None:
    """For a single row both look at the same products: a sum of squares, a sum of moduli."""
    network, labelled = _loaded(nt_model, rows.subset(np.arange(1)))
    for squares, moduli in zip(fisher(network, labelled), taylor(network, labelled), strict=True):
        assert 0 < squares <= moduli**2


def test_linear_cka() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(50, 8, generator=generator, dtype=torch.float64)
    features -= features.mean(0)
    rotation, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))
    assert linear_cka(features, 3 * features @ rotation) == pytest.approx(1)
    other = torch.randn(50, 8, generator=generator, dtype=torch.float64)
    assert linear_cka(features, other - other.mean(0)) < 0.5
    assert linear_cka(torch.zeros(5, 2), torch.zeros(5, 2)) == 1
