from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judgements import judged

from genoslim.errors import GenoslimError
from genoslim.models import load
from genoslim.models.record import read_training
from genoslim.prune.execution import Executor
from genoslim.prune.plan import plan, spec_of
from genoslim.prune.run_folder import RunFolder, TrialStore
from genoslim.prune.search import SearchOptions
from genoslim.prune.show import show_pruned
from genoslim.prune.slim import build_slim_models
from genoslim.prune.slim_model import Pruned

NO_SEARCH = SearchOptions(trainings=0)
INLINE = Executor(workers=1, threads=1, device="cpu")


def test_the_three_models_load_with_the_layers_they_should_have(
    pruned: tuple[Path, Pruned],
) -> None:
    out, made = pruned
    expected = {
        "baseline": (0, 1, 2),
        "unfavourable_removed": (1, 2),
        "cornerstone_only": (1,),
    }
    for model in made.models:
        assert model.kept == expected[model.name]
        loaded = load(out / model.name)
        assert loaded.config.kept_layers == model.kept
        assert sum(p.numel() for p in loaded.parameters()) == model.parameters


def test_the_saved_seed_is_the_best_on_validation(pruned: tuple[Path, Pruned]) -> None:
    out, made = pruned
    for model in made.models:
        best = max(model.seeds, key=lambda seed: (seed.validation.auroc, -seed.seed))
        assert model.best_seed == best.seed
        record = read_training(out / model.name)
        assert record is not None
        assert record.seed == best.seed
        assert record.test == best.test
        assert record.fine_tune_seconds == best.fine_tune_seconds
        assert len(record.seeds) == 3


def test_the_baseline_is_the_sweeps_own_and_not_trained_again(
    pruned: tuple[Path, Pruned], finished: RunFolder
) -> None:
    out, made = pruned
    spec = next(s for s in plan(finished) if not s.dropped and s.seed == made.models[0].best_seed)
    mine, theirs = load(out / "baseline"), load(finished.trials.checkpoint(spec))
    for name, value in mine.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name])
    assert spec.hash not in {path.name for path in (out / "trials").iterdir()}


def test_a_checkpoint_predicts_what_its_trial_predicted(
    pruned: tuple[Path, Pruned], finished: RunFolder
) -> None:
    import numpy as np

    from genoslim.data.dataset import read_data
    from genoslim.models import load_tokenizer
    from genoslim.prune.finetune import predict

    out, _ = pruned
    folder = out / "cornerstone_only"
    test = read_data(Path(finished.record.data)).split("test")
    logits = predict(load(folder), load_tokenizer(folder), test.sequences)
    record = read_training(folder)
    assert record is not None
    with np.load(out / "trials" / record.trial / "predictions.npz") as arrays:
        np.testing.assert_array_equal(logits, arrays["test_logits"])


def test_the_record_says_what_an_export_needs(pruned: tuple[Path, Pruned]) -> None:
    record = read_training(pruned[0] / "unfavourable_removed")
    assert record is not None
    assert record.dropped_layers == (0,)
    assert record.kept_layers == (1, 2)
    assert record.base_layers == 3
    assert record.window_length == 48
    assert record.assembly == "none"
    assert record.data_licence == "CC0-1.0"
    assert record.licence == "CC-BY-NC-SA-4.0"
    assert record.recipe["epochs"] == 3
    assert len(record.data_fingerprint) == 64


def test_pruning_again_trains_nothing(
    pruned: tuple[Path, Pruned], finished: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    out, made = pruned
    with caplog.at_level(logging.INFO):
        again = build_slim_models(finished, made.judgement, out, executor=INLINE, search=NO_SEARCH)
    assert again.models == made.models
    assert "steps" not in caplog.text


def test_models_are_judged_as_a_layer_is(pruned: tuple[Path, Pruned]) -> None:
    baseline, *slim = pruned[1].models
    assert (baseline.evidence, baseline.role, baseline.bands) == (None, None, "")
    for model in slim:
        assert model.evidence is not None
        assert model.evidence.comparison is not None
        assert model.evidence.comparison.pairs == 3
        assert model.evidence.metrics["auroc"] == pytest.approx(model.validation["auroc"].mean)
        assert model.seeds_in_words == "3"


def test_a_survivor_of_three_seeds_chooses_nothing(
    pruned: tuple[Path, Pruned], finished: RunFolder, tmp_path: Path
) -> None:
    """Two seeds of the first slim model collapsed at every attempt since it was saved."""
    out = tmp_path / "out"
    shutil.copytree(pruned[0], out, symlinks=True)
    store = TrialStore(out / "trials")
    first = spec_of(finished, (0,), 0)
    sound = store.read(first)
    assert sound is not None
    for seed in (1, 2, 1001, 1002, 2001, 2002):
        spec = replace(first, seed=seed)
        shutil.copytree(store.checkpoint(first), store.checkpoint(spec), dirs_exist_ok=True)
        result = replace(sound.result, hash=spec.hash, collapsed="stuck")
        store.write_result(spec, result, sound.predictions)
    made = build_slim_models(finished, pruned[1].judgement, out, executor=INLINE, search=NO_SEARCH)
    model = made.models[1]
    assert (model.seeds_in_words, model.best_seed, model.bands) == ("1 of 3", None, "undecided")
    assert model.test["auroc"].sd is None
    assert not (out / "unfavourable_removed").exists()
    assert (out / "cornerstone_only").exists()
    assert made.notes[0].startswith("unfavourable_removed: only 1 of 3 seeds is usable")
    show_pruned(out)  # nothing is missing


def test_identical_models_are_made_once_and_said(finished: RunFolder, tmp_path: Path) -> None:
    verdicts = judged(*[("cornerstone", 0.5)] * 3)
    made = build_slim_models(
        finished, verdicts, tmp_path / "out", executor=INLINE, search=NO_SEARCH
    )
    assert [model.same_as for model in made.models] == [None, "baseline", "baseline"]
    for name in ("unfavourable_removed", "cornerstone_only"):
        assert (tmp_path / "out" / name).is_symlink()
        assert len(load(tmp_path / "out" / name).blocks) == 3
    assert any("identical to baseline" in note for note in made.notes)
    assert not (tmp_path / "out" / "trials").exists()


def test_lost_weights_are_an_error_that_says_what_to_do(
    finished: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for spec in plan(run)[:3]:
        shutil.rmtree(run.trials.checkpoint(spec))
    verdicts = judged(("cornerstone", 0.5), ("neutral", 0.6), ("unfavourable", 0.8))
    with pytest.raises(
        GenoslimError, match=r"genoslim sweep -o .* makes those of the baseline again"
    ):
        build_slim_models(run, verdicts, tmp_path / "out", executor=INLINE, search=NO_SEARCH)
    assert not (tmp_path / "out" / "trials").exists()  # found out before training, not after
