"""How a checkpoint of a trial was made, for its `genoslim.json`."""

from __future__ import annotations

from ..codec import plain
from ..data.metadata import DataMetadata
from ..models.record import SeedRecord, TrainingEnvironment, TrainingRecord
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
        parameters=parameters,
        validation=seed.validation,
        test=seed.test,
        macro_auroc=seed.macro_auroc,
        environment=environment,
    )
