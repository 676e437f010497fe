"""How a checkpoint of a trial was made, for its `genoslim.json`."""

from __future__ import annotations

from ..codec import plain
from ..data.metadata import DataMetadata
from ..models.record import SeedRecord, TrainingCost, TrainingEnvironment, TrainingRecord
from .convergence import TOLERANCE, best_step, converged_step
from .measure import Measured
from .trial import TrialResult, TrialSpec


def seed_record(spec: TrialSpec, result: TrialResult, measured: Measured) -> SeedRecord:
    """Return a trial as one seed of its model, with metrics measured in any way."""
    return SeedRecord(
        seed=spec.seed,
        trial=spec.hash,
        collapsed=result.collapsed,
        validation=measured.validation,
        test=measured.test,
        macro_auroc=measured.macro_auroc,
        fine_tune_seconds=result.fine_tune_seconds,
        evaluation_seconds=result.evaluation_seconds,
        steps=result.steps,
        cost=training_cost(result),
    )


def training_cost(result: TrialResult) -> TrainingCost | None:
    """Return what the training of a trial took; None for a result that does not tell its passes."""
    if result.sequences is None or result.steps_an_epoch is None:
        return None
    losses = {step: loss for step, _, loss in result.history if loss is not None}
    best, converged = (
        None if step is None else round(step / result.steps_an_epoch, 3)
        for step in (best_step(losses), converged_step(losses))
    )
    return TrainingCost(
        epochs=round(result.steps / result.steps_an_epoch, 3),
        best_epoch=best,
        converged_epoch=converged,
        tolerance=TOLERANCE,
        sequences_per_second=result.sequences / result.fine_tune_seconds,
        device=result.device,
        threads=result.threads,
        precision=result.precision,
        processor=result.processor,
        gpu=result.gpu,
    )


def training_record(
    spec: TrialSpec,
    seed: SeedRecord,
    *,
    parameters: int,
    base_layers: int,
    licence: str,
    data: DataMetadata,
    environment: TrainingEnvironment,
) -> TrainingRecord:
    """Return the record of the weights of one trial; `base_layers` counts the dropped ones too."""
    return TrainingRecord(
        base_model=spec.model,
        base_model_fingerprint=spec.model_fingerprint,
        base_layers=base_layers,
        kept_layers=tuple(layer for layer in range(base_layers) if layer not in spec.dropped),
        dropped_layers=spec.dropped,
        licence=licence,
        data_licence=data.licence,
        data_source=data.source,
        data_fingerprint=spec.data_fingerprint,
        window_length=data.window_length,
        assembly=data.assembly,
        label_names=data.label_names,
        seed=spec.seed,
        trial=spec.hash,
        recipe=spec.recipe.content,
        healing=plain(spec.healing) if spec.healing else None,
        supernet=plain(spec.supernet) if spec.supernet else None,
        fine_tune_seconds=seed.fine_tune_seconds,
        evaluation_seconds=seed.evaluation_seconds,
        cost=seed.cost,
        parameters=parameters,
        validation=seed.validation,
        test=seed.test,
        macro_auroc=seed.macro_auroc,
        environment=environment,
    )
