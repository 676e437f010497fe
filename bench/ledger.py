"""What is remembered of test splits that were opened: when, by which rule, for which models.

A line of JSON for each opening, in a file beside the data set, which colleagues and containers
share, and in one in the user's data folder, which copies of the data share. A figure that was seen
cannot be unseen: a rule that is made later for the same models and rows is exploratory.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from platformdirs import user_data_path

from ..errors import GateError, GenoslimError
from ..models.record import read_training
from .plan import BenchPlan, now, sealed, unseal
from .subjects import Subject

_LOG = logging.getLogger(__name__)

SUFFIX = ".openings.jsonl"


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A test split was opened for the models of a plan; `output` is where the figures went."""

    opened_at: str
    output: str
    plan: BenchPlan

    @property
    def when(self) -> datetime:
        """When it was opened."""
        return datetime.fromisoformat(self.opened_at)


def ledgers(data: Path, test_rows: str) -> list[Path]:
    """Return the files in which openings of a data set's test split are kept.

    $GENOSLIM_LEDGER names one folder in place of both, such as one that a team shares.
    """
    name = f"{test_rows[:16]}{SUFFIX}"
    if own := os.environ.get("GENOSLIM_LEDGER"):
        return [Path(own) / name]
    home = user_data_path("genoslim", appauthor=False)
    beside = data.absolute().with_name(data.name + SUFFIX)
    return [beside, *([home / name] if home.is_absolute() else [])]


def openings(data: Path, test_rows: str) -> list[Opening]:
    """Return what is remembered of a data set's test split, the first opening first."""
    found = {
        opening.opened_at + opening.plan.seal: opening
        for path in ledgers(data, test_rows)
        for opening in _read(path)
        if opening.plan.test_rows == test_rows
    }
    return sorted(found.values(), key=lambda opening: opening.when)


def record_opening(data: Path, plan: BenchPlan, output: Path) -> None:
    """Remember that the test split is opened now; a warning if that can be written nowhere."""
    line = {"opened_at": now(), "output": str(output.absolute()), "plan": sealed(plan)}
    text = json.dumps(line, sort_keys=True) + "\n"
    written = [_append(path, text) for path in ledgers(data, plan.test_rows)]
    if not any(written):
        _LOG.warning(
            "%s: that its test split was opened cannot be remembered: set GENOSLIM_LEDGER to a"
            " folder that can be written",
            data,
        )


def effective(plan: BenchPlan, known: Sequence[Opening]) -> BenchPlan:
    """Return the first plan of the same terms: a rule that is repeated was fixed then."""
    same = [opening.plan for opening in known if opening.plan.same_terms(plan)]
    return min([plan, *same], key=lambda one: one.when)


def seen_before(plan: BenchPlan, known: Sequence[Opening]) -> Opening | None:
    """Return the first opening, by other terms, that showed figures of a plan's models."""
    earlier = (
        opening
        for opening in known
        if opening.when <= plan.when
        and not opening.plan.same_terms(plan)
        and seen_in(opening, plan)
    )
    return next(earlier, None)


def seen_in(opening: Opening, plan: BenchPlan) -> set[str]:
    """Return the digests of a plan's models whose test figures an opening showed.

    A baseline that was the baseline then too is not chosen by them, and does not count.
    """
    seen = opening.plan.digests & plan.digests
    if opening.plan.baseline.digest == plan.baseline.digest:
        seen -= {plan.baseline.digest}
    return seen


def refuse_afterthought(plan: BenchPlan, opening: Opening) -> None:
    """Raise GateError for a plan that was made after figures of its models were seen."""
    seen = seen_in(opening, plan)
    named = [(one.digest, one.name) for one in plan.models]
    named += [(one.digest, one.path) for one in plan.seeds]
    names = ", ".join(name for digest, name in named if digest in seen)
    raise GateError(
        f"{plan.data}: the test figures of {names} were seen at {opening.when:%Y-%m-%d %H:%M} UTC,"
        f" by another rule ({opening.output}), before this one was made: a rule that is made"
        " afterwards decides nothing. Ask for the former, take rows that nobody has seen, or have"
        " `genoslim bench --exploratory` say so"
    )


def figures_known(subject: Subject, fingerprint: str) -> bool:
    """Whether a model's own record holds its figures on the test split of this data set."""
    if subject.bundle is not None:
        manifest = subject.bundle.manifest
        return manifest.data.fingerprint == fingerprint and "test" in manifest.metrics
    record = read_training(subject.path)
    return record is not None and record.test is not None and record.data_fingerprint == fingerprint


def _read(path: Path) -> Iterator[Opening]:
    """Yield the openings of a file; a line that is damaged is left out with a warning."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            yield Opening(
                opened_at=content["opened_at"],
                output=content["output"],
                plan=unseal(content["plan"], str(path)),
            )
        except (ValueError, KeyError, TypeError, AttributeError, GenoslimError) as error:
            _LOG.warning("%s: line %d is no opening and is left out: %s", path, number, error)


def _append(path: Path, text: str) -> bool:
    """Append to a file in one write, so that others may at the same time; say whether it worked."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError:
        return False
    return True
