"""What is benchmarked, opened and checked before anything is timed, and its processes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.dataset import LabelledData, read_data
from ..errors import GenoslimError
from ..prune.measure import SPLITS, Sample, Split
from .backends import Logits, computed_in, with_backend
from .meter import Meter
from .process import ModelProcess
from .quality import Splits, require_sound, rows_of
from .rule import Machine
from .seeds import FurtherSeed, Seeds, open_further
from .subjects import Subject, open_subjects
from .workload import write_workload


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Models that fit their data; the first is the baseline. `further` are other seeds of them.

    `cuts` are the same rows with shorter windows, by their length in bases, for the models that are
    made for those.
    """

    subjects: tuple[Subject, ...]
    further: tuple[FurtherSeed, ...]
    path: Path
    data: LabelledData
    splits: Splits
    cuts: Mapping[int, LabelledData]

    def data_for(self, subject: Subject) -> LabelledData:
        """Return the rows with windows of the length that a model is made for."""
        length = subject.window_length or self.data.metadata.window_length
        return self.cuts.get(length, self.data)

    def windows(self, subject: Subject, split: Split) -> list[str]:
        """Return the windows that a model sees of a split, in the order of its rows."""
        return self.data_for(subject).split(split).sequences

    def sample(self, split: Split) -> Sample:
        """Return a split as a sample of rows, variants or groups."""
        return Sample.of(rows_of(self.splits), split)

    @property
    def test_rows(self) -> str:
        """The SHA-256 of the variants of the test split with their classes, in any order."""
        test = self.splits["test"]
        rows = sorted(
            f"{key}\t{label}\n" for key, label in zip(test.keys, test.labels, strict=True)
        )
        return hashlib.sha256("".join([test.metadata.assembly, "\n", *rows]).encode()).hexdigest()


def prepare(
    models: Sequence[str | Path],
    data: Path,
    *,
    baseline: str | Path | None,
    column: str | None,
    seeds: Seeds,
) -> Prepared:
    """Open models and data, of which `column` is a floor; raises as `genoslim.benchmark` says."""
    subjects = open_subjects(_baseline_first(list(map(Path, models)), baseline))
    further = open_further(subjects, seeds)
    labelled = read_data(data)
    cuts: dict[int, LabelledData] = {}
    for subject in (*subjects, *(one.subject for one in further)):
        fitting = _fitting(subject, labelled)
        cuts.setdefault(fitting.metadata.window_length, fitting)
    if column is not None:
        labelled.numbers(column)
    splits = {name: _split(labelled, name, data) for name in SPLITS}
    return Prepared(
        subjects=tuple(subjects),
        further=further,
        path=data,
        data=labelled,
        splits=splits,
        cuts={length: cut for length, cut in cuts.items() if cut is not labelled},
    )


def _fitting(subject: Subject, data: LabelledData) -> LabelledData:
    """Return a data set, or its rows with the shorter windows that a model was trained on.

    Raises GenoslimError for a model that is made for other windows: what they were cut from, and so
    which rows it knows, cannot be told.
    """
    own, length = data.metadata.window_length, subject.window_length
    if length is None or length >= own:
        subject.check_fits(data)
        return data
    cut = data.cut(length)
    subject.check_fits(cut)
    if subject.trained_on != cut.fingerprint:
        raise GenoslimError(
            f"{subject.path}: made for windows of {length} bp, and not trained on the rows of this"
            f" data set cut to that ({(subject.trained_on or 'unknown')[:12]}, not"
            f" {cut.fingerprint[:12]}): `genoslim data cut` makes the data to train it on"
        )
    return cut


def with_backends(prepared: Prepared, machine: Machine) -> Prepared:
    """Choose what runs each bundle: with the backend `auto` by measuring, once for a machine.

    All models know the precision that they are computed in.
    """
    chosen = (
        with_backend(
            subject,
            machine.backend,
            device=machine.device,
            threads=machine.threads,
            precision=machine.precision,
        )
        for subject in prepared.subjects
    )
    return replace(prepared, subjects=tuple(computed_in(machine.precision, one) for one in chosen))


@contextmanager
def running(
    subjects: Sequence[Subject], prepared: Prepared, machine: Machine
) -> Iterator[list[ModelProcess]]:
    """Yield a process for each model, with windows of validation to be timed on."""
    with tempfile.TemporaryDirectory(prefix="genoslim-bench-") as name, ExitStack() as stack:
        folders = _workloads(subjects, prepared, Path(name))
        yield [
            stack.enter_context(
                ModelProcess(
                    subject,
                    workload=folders[prepared.data_for(subject).metadata.window_length],
                    device=machine.device,
                    threads=machine.threads,
                    precision=machine.precision,
                )
            )
            for subject in subjects
        ]


def _workloads(subjects: Sequence[Subject], prepared: Prepared, folder: Path) -> dict[int, Path]:
    """Write windows of validation to be timed on, of every length that models see; by length."""
    found = {}
    for subject in subjects:
        length = prepared.data_for(subject).metadata.window_length
        if length not in found:
            found[length] = folder / str(length)
            found[length].mkdir()
            write_workload(prepared.windows(subject, "validation"), found[length])
    return found


def scored_further(
    prepared: Prepared, machine: Machine, progress: Callable[[str], None]
) -> list[Logits]:
    """Return the logits of each further seed on the test split, one loaded at a time."""
    found = []
    for one in prepared.further:
        model = prepared.subjects[one.place]
        subject = replace(one.subject, backend=model.backend, precision=model.precision)
        with running([subject], prepared, machine) as processes:
            found += scored(processes, prepared, "test", progress)
    return found


def scored(
    processes: Sequence[ModelProcess],
    prepared: Prepared,
    split: Split,
    progress: Callable[[str], None],
) -> list[Logits]:
    """Return the logits of each model on a split."""
    found = []
    for process in processes:
        progress(f"scoring {split} with {process.subject.name}")
        windows = prepared.windows(process.subject, split)
        logits = process.call(Meter.logits, windows)
        require_sound(process.subject, split, logits)
        found.append(logits)
    return found


def _split(data: LabelledData, name: Split, path: Path) -> LabelledData:
    try:
        rows = data.split(name)
    except GenoslimError as error:
        raise GenoslimError(f"{path}: {error}") from None
    positives = int(rows.labels.sum())
    if min(positives, len(rows) - positives) < 2:
        raise GenoslimError(
            f"{path}: split {name} has {positives} positive and {len(rows) - positives} negative"
            " rows; a comparison needs two of each at least"
        )
    return rows


def _baseline_first(models: list[Path], baseline: str | Path | None) -> list[Path]:
    if baseline is None:
        return models
    first = Path(baseline)
    return [first, *(path for path in models if path.resolve() != first.resolve())]
