"""The subgroups of a data set's rows: its own, its groups, and the GC content of the window."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .dataset import LabelledData, Strings

GROUP = "group"
GC = "gc"


def subgroup_columns(data: LabelledData) -> dict[str, Strings]:
    """Return every way to part all rows: by its name, the subgroup of each row ('' for none).

    Besides the set's own `subgroups` these are `group` (locus, gene), where it has groups that are
    not one of these under another name, and `gc`: the tertiles, on the training rows, of the share
    of G and C among the window's bases that are not N.
    """
    found = dict(data.subgroups)
    known = [column.tolist() for column in found.values()]
    if np.any(data.groups != "") and data.groups.tolist() not in known:
        found[GROUP] = data.groups
    shares = np.array([gc_content(sequence) for sequence in data.sequences])
    found[GC] = _thirds(shares, shares[data.splits == "train"])
    return found


def gc_content(sequence: str) -> float:
    """Return the share of G and C among A, C, G and T; 0 for a window of N alone."""
    strong = sequence.count("G") + sequence.count("C")
    weak = sequence.count("A") + sequence.count("T")
    return strong / (strong + weak) if strong + weak else 0.0


def _thirds(shares: np.ndarray, train: np.ndarray) -> Strings:
    """Return the name of each row's third, the bounds taken from `train`."""
    low, high = np.quantile(train, [1 / 3, 2 / 3]) if train.size else (1 / 3, 2 / 3)
    ends = [f"{100 * bound:.1f}" for bound in (0.0, low, high, 1.0)]
    names = [f"{start} to {end} %" for start, end in pairwise(ends)]
    return np.array(names)[np.searchsorted([low, high], shares, side="right")]
