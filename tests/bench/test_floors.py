from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genoslim.bench import floors as module
from genoslim.bench.checks import check
from genoslim.bench.embeddings import distinct, embed, find_base, reference_windows
from genoslim.bench.floors import Floors, FloorScores, against_floor, bases_of, measure_floors
from genoslim.bench.quality import Scores, sample_of
from genoslim.bench.rule import Rule
from genoslim.bench.subjects import Subject, open_subject
from genoslim.data.dataset import LabelledData, VariantColumns
from genoslim.data.variant import Variant
from genoslim.errors import GenoslimError, UsageError
from genoslim.export.evaluate import Calibration
from genoslim.models import load, load_tokenizer
from genoslim.models.fingerprint import fingerprint_model
from genoslim.models.layers import remove_layers
from genoslim.prune.measure import Rows, Sample

SIZES = {"train": 160, "validation": 80, "test": 120}


@pytest.fixture(autouse=True)
def small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TREES", 8)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embed in this process, which has imported torch already."""
    monkeypatch.setattr(module, "call_in_child", lambda call, *args, **named: call(*args, **named))


@pytest.fixture(scope="module")
def planted(make_data: Callable[..., Any]) -> LabelledData:
    """Windows in which a word away from the variant tells nine of ten labels."""
    data: LabelledData = make_data(sizes=SIZES)
    generator = np.random.default_rng(3)
    words = np.where((data.labels == 1) ^ (generator.random(len(data)) < 0.1), "GATTACA", "CATTAGC")
    places = generator.integers(0, 20, len(data))
    sequences = [
        window[:place] + word + window[place + 7 :]
        for window, word, place in zip(data.sequences, words.tolist(), places, strict=True)
    ]
    return replace(data, sequences=sequences)


@pytest.fixture(scope="module")
def subject(make_checkpoint: Callable[..., Path]) -> Subject:
    """A checkpoint whose base model is a checkpoint at hand."""
    base = make_checkpoint("base", layers=4)
    made = make_checkpoint("made", base_model=str(base), base_model_fingerprint=None)
    return open_subject(made, "made")


def measured(data: LabelledData, *subjects: Subject, **options: Any) -> tuple[Floors, FloorScores]:
    options = {"choice": "kmer", "threads": 1, "progress": lambda _: None} | options
    bases = bases_of(subjects) if subjects else []
    return measure_floors(data, bases, **options)


def test_the_best_floor_is_the_one_that_reads_what_there_is(planted: LabelledData) -> None:
    found, scores = measured(planted)
    assert found.best is not None
    assert found.best.name == "counts of 6-mers, logistic regression"
    assert found.best.test.value > 0.8
    assert [one.validation for one in found.floors] == sorted(
        (one.validation for one in found.floors), reverse=True
    )
    assert {name: len(own["test"]) for name, own in scores.items()} == {
        one.name: SIZES["test"] for one in found.floors
    }


@pytest.mark.usefixtures("in_process")
def test_the_test_rows_choose_nothing(planted: LabelledData, subject: Subject) -> None:
    test = planted.splits == "test"
    labels = np.where(test, 1 - planted.labels, planted.labels).astype(np.int8)
    first, second = (
        measured(data, subject, choice="all") for data in (planted, replace(planted, labels=labels))
    )
    assert [(one.name, one.settings) for one in first[0].floors] == [
        (one.name, one.settings) for one in second[0].floors
    ]
    for name, own in first[1].items():
        np.testing.assert_array_equal(own["test"], second[1][name]["test"])


def test_embeddings_are_floors_at_every_depth(planted: LabelledData, subject: Subject) -> None:
    said: list[str] = []
    found, _ = measured(planted, subject, choice="auto", progress=said.append)
    assert found.left_out == ()
    assert said == ["floors: k-mers", "floors: embeddings of base"]
    names = {one.name for one in found.floors}
    assert len(names) == 3 + 2 * 2 * 2
    for depth in (2, 4):
        for read in ("alternate", "reference, alternate, change"):
            for learner in ("logistic regression", "random forest"):
                assert f"base, first {depth} layers ({read}), {learner}" in names


def test_embeddings_are_the_mean_states_of_the_first_layers(
    planted: LabelledData, subject: Subject
) -> None:
    base = find_base(subject.base_model or "", None)
    sequences = [planted.sequences[0][:20], *planted.sequences[:3]]
    found = embed(base, sequences, (1, 3), cuda=False, threads=1)
    tokenizer = load_tokenizer(base)
    for k, depth in enumerate((1, 3)):
        model = remove_layers(load(base), range(depth, 4))
        for row, sequence in enumerate(sequences):
            ids, mask = map(torch.from_numpy, tokenizer.pad(tokenizer.encode([sequence])))
            with torch.no_grad():
                expected = model.hidden_states(ids, mask)[-1][0].mean(0)
            np.testing.assert_allclose(found[row, k], expected, atol=1e-5)


@pytest.mark.usefixtures("in_process")
def test_a_base_that_is_not_at_hand_is_left_out_and_said(
    planted: LabelledData, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = measured(planted, replace(subject, base_model="gone"), choice="all")
    assert len(found.floors) == 3
    assert found.left_out[0].startswith("embeddings of gone left out: gone: no such folder")
    found, _ = measured(planted, replace(subject, base_model=None), choice="all")
    assert found.left_out == (
        "embeddings of the base model left out: the models' records do not name it",
    )
    other = replace(subject, base_fingerprint="0" * 64)
    assert "its files differ" in measured(planted, other, choice="all")[0].left_out[0]
    monkeypatch.setattr(module, "MOST_WORK", {"cpu": 1.0, "cuda": 1.0})
    left = measured(planted, subject, choice="auto")[0].left_out
    assert "operations; --floors all computes them" in left[0]
    assert measured(planted, subject, choice="all")[0].left_out == ()


def test_bases_of_one_name_are_told_apart(subject: Subject) -> None:
    first, second = (replace(subject, base_model=f"/{place}/model") for place in "ab")
    found = bases_of([first, second, replace(first, layers=1)])
    assert [(one.label, one.depths) for one in found] == [
        ("a/model", (1, 2, 4)),
        ("b/model", (2, 4)),
    ]


def test_a_base_is_known_by_its_files(subject: Subject) -> None:
    name = subject.base_model or ""
    assert find_base(name, fingerprint_model(Path(name))) == Path(name)
    with pytest.raises(GenoslimError, match="is not the model that was fine-tuned"):
        find_base(name, "f" * 64)


def test_a_column_is_a_floor_whatever_its_direction(planted: LabelledData) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, len(planted))
    values = np.where(np.arange(len(planted)) % 9 == 0, np.nan, noise - planted.labels)
    found, _ = measured(replace(planted, annotations={"phylop": values}), column="phylop")
    assert found.best is not None
    assert found.best.name == "column phylop, logistic regression"
    assert found.best.test.value > 0.9


def test_no_floor_is_none_and_one_class_leaves_all_out(planted: LabelledData) -> None:
    assert measured(planted, choice="none")[0].best is None
    labels = np.where(planted.splits == "train", 0, planted.labels).astype(np.int8)
    found, scores = measured(replace(planted, labels=labels))
    assert (found.floors, scores) == ((), {})
    assert found.left_out == (
        "k-mers left out: the train split has a single class; a shortcut is fitted to both",
    )


def test_a_model_must_be_shown_better_than_the_floor(planted: LabelledData) -> None:
    splits = {name: planted.split(name) for name in ("validation", "test")}  # type: ignore[arg-type]
    sample = sample_of(splits)  # type: ignore[arg-type]
    generator = np.random.default_rng(1)
    floor, labels = generator.normal(size=SIZES["test"]), sample.labels
    better, *_ = against_floor(sample, floor, [floor + 3 * labels], name="f")
    assert better.shown_better
    assert str(better).startswith("better than the best floor (f), by 0.")
    same, *_ = against_floor(sample, floor, [floor], name="f")
    assert not same.shown_better
    assert str(same).startswith("not shown to be better than the best floor (f)")
    worse, *_ = against_floor(sample, floor + 3 * labels, [floor], name="f")
    assert worse.difference.value == pytest.approx(-better.difference.value)
    assert worse.lower_bound < worse.difference.value < 0
    assert str(worse) == str(better).replace("better", "worse")


def test_reference_windows_hold_the_reference_allele() -> None:
    def windows(*variants: Variant, sequence: str) -> list[str]:
        n = len(variants)
        data = LabelledData(
            sequences=[sequence] * n,
            labels=np.zeros(n, np.int8),
            splits=np.array(["train"] * n),
            variants=VariantColumns.of(list(variants)),
            groups=np.array([""] * n),
            metadata=_metadata(len(sequence)),
        )
        return reference_windows(data)

    assert windows(Variant("c", 9, "G", "T"), sequence="AAAATCCC") == ["AAAAGCCC"]
    assert windows(Variant("c", 9, "G", "GTT"), sequence="AAAAGTTC") == ["AAAAGC"]
    assert windows(Variant("c", 9, "GTT", "G"), sequence="AAAAGCCC") == ["AAAAGTTC"]


def _metadata(length: int) -> Any:
    from genoslim.data.metadata import DataMetadata

    return DataMetadata(window_length=length, assembly="a", source="s", licence="l")


def test_distinct_sequences_are_found_again() -> None:
    each, places = distinct(["b", "a", "b"])
    assert (each, places.tolist()) == (["b", "a"], [0, 1, 0])


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="floors is 'some'; expected one of auto, all, kmer, none"):
        Rule(floors="some")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a baseline column is a floor"):
        Rule(floors="none", baseline_column="phylop")


def test_of_many_models_that_equal_the_floor_few_are_taken_for_better() -> None:
    """Each test by itself errs with 0.05; eight of them together no more often."""
    generator, wrong, repeats = np.random.default_rng(3), 0, 400
    labels = np.arange(300) % 2
    rows = Rows(labels.astype(np.int8), np.arange(300).astype(str), np.full(300, ""))
    sample = Sample.of({"validation": rows, "test": rows}, "test")
    for _ in range(repeats):
        scores = labels + generator.normal(size=(9, 300))
        found = against_floor(sample, scores[0], list(scores[1:]), name="f")
        wrong += any(one.shown_better for one in found)
        assert all(one.lower_bound > 0 for one in found if one.shown_better)
    assert wrong / repeats < 0.05 + 2 * (0.05 * 0.95 / repeats) ** 0.5


def test_a_model_that_met_no_floor_is_not_deployed(planted: LabelledData) -> None:
    splits: Any = {name: planted.split(name) for name in ("validation", "test")}
    logits = {name: np.zeros((len(rows), 2), np.float32) for name, rows in splits.items()}
    own = Scores(logits=logits, fitted=Calibration(1.0, 0.5), fitted_by="test")
    none = Floors(choice="auto", measure="AUROC", floors=(), left_out=("k-mers left out: why",))
    (found,) = check(planted, splits, [own], none, {}, Rule())
    assert found.objections[0].startswith("held against no floor, for none could be measured (k-m")
    (found,) = check(planted, splits, [own], none, {}, Rule(floors="none"))
    assert found.objections == ()
