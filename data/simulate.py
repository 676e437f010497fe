"""A simulated genome with planted regulatory motifs, and variants that break or keep them.

The motifs are invented. An *anchor* motif works only with a *partner* motif a few bases away, two
of the four anchors with a partner downstream, the other two with one upstream. A variant is
functional (label 1) if it breaks an anchor that works. Not functional (label 0) are variants that
break an anchor whose partner is on its other side, too far away or not there, which takes the
context to tell, that swap one permitted base of an anchor for the other, or that fall beside an
intact anchor. A share of labels is flipped, as measurements err. The label can be told from the
alternate sequence alone, and neither from the alternate base, nor from base composition, nor from
the place in the window.

Random numbers are drawn with `Generator(PCG64(seed)).random` alone and used in plain arithmetic,
so the same seed gives the same files on any platform. docs/data.md tells the design and what
simple baselines reach on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator

from ..errors import UsageError
from ..files import write_text
from .assemble import LabelledVariant, assemble
from .dataset import SUBGROUP_PREFIX, LabelledData
from .genome import Genome
from .metadata import DataMetadata
from .variant import Variant

_T = TypeVar("_T")

ASSEMBLY = "simulated"
LABEL_NAMES = ("neutral", "functional")
DEFAULT_VARIANTS = 2000
DEFAULT_WINDOW = 96
LABEL_NOISE = 0.04

# IUPAC patterns: 12 bases whose first and last two are weak. They were chosen, out of random
# ones, for being cut alike wherever they lie by 6-mer and by byte-pair tokenizers. Over the four
# anchors every base stands once at the fixed core site and twice at the site of two bases, so
# that the alternate base alone tells nothing.
ANCHORS = {
    "ANC1": "AAACGAKGCTGC",
    "ANC2": "GACGTCMCGACG",
    "ANC3": "GAAGTTSAGCGT",
    "ANC4": "CGGAAGWAAATC",
}
PARTNERS = {
    "PAR1": "GATTGCRACTCA",
    "PAR2": "CTGCGWAATGAC",
    "PAR3": "AACGTYCTTGGA",
    "PAR4": "GTCCAKTGACAG",
}
# Share of the variants on each contig, and the split the contig belongs to.
CONTIGS = {
    "chr1": (0.20, "train"),
    "chr2": (0.17, "train"),
    "chr3": (0.15, "train"),
    "chr4": (0.13, "train"),
    "chr5": (0.15, "validation"),
    "chr6": (0.20, "test"),
}

_IUPAC = {"A": "A", "C": "C", "G": "G", "T": "T"} | {
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "W": "AT",
    "K": "GT",
    "M": "AC",
}
_MOTIF = 12
_WEAK = frozenset({0, 1, 10, 11})
_WEAK_CONSENSUS = 0.95
_CORE_SITES = (5, 6)  # where variants break an anchor; one of the two permits two bases
_BESIDE_SITES = (-2, -1, 0, 1, 10, 11, 12, 13)  # where variants leave an anchor intact
_DOWNSTREAM = frozenset({"ANC1", "ANC2"})  # anchors that work with a partner after them
_NEAR = (3, 4, 5, 6, 7, 8)  # bases between an anchor and a partner that works
_FAR = (16, 17, 18, 19, 20, 21, 22)  # too many, yet all of the partner is in a window of 96
_LONE = 0.1  # share of lone anchors in sequences for pretraining
_SEGMENT = 96  # bases a planted element in sequences for pretraining
_MARGIN = 48
_LINE = 60

Partner = Literal["working", "reversed", "distant", "either", "none"]
"""Where an anchor has its partner: near on its own side, near on the other, far away on either,
near on either, nowhere."""

# Kinds of variant and the share of each. The first four break an anchor, and where its partner is
# decides the label; the others leave it intact, with its partner drawn as often at each place.
KINDS = {
    "broken": 0.50,
    "reversed": 0.12,
    "distant": 0.10,
    "lone": 0.08,
    "swapped": 0.14,
    "beside": 0.06,
}
_PARTNER_OF: dict[str, Partner] = {
    "broken": "working",
    "reversed": "reversed",
    "distant": "distant",
    "lone": "none",
}
_BREAKING = {kind: KINDS[kind] for kind in _PARTNER_OF}


@dataclass(frozen=True, slots=True)
class _Site:
    """A planted variant: offset in its slot, alleles, the label before noise, and how it came."""

    offset: int
    reference: str
    alternate: str
    functional: bool
    anchor: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Record:
    variant: Variant
    label: int
    split: str
    site: _Site


def simulate_data(
    folder: str | Path,
    *,
    variants: int = DEFAULT_VARIANTS,
    window: int = DEFAULT_WINDOW,
    seed: int = 0,
) -> LabelledData:
    """Write a simulated genome, its variants and their labelled windows into a folder.

    Files: `genome.fa` with `genome.fa.fai`; `variants.vcf`, sorted, INFO LABEL, ANCHOR and KIND;
    `labels.tsv`, the same as a table; `dataset.parquet`, the labelled windows; `awkward.vcf`, a few
    records of every kind a scorer must cope with.

    Args:
        folder: Where to write; made if it is missing.
        variants: How many in all, at least 40: 65 % to train, 15 % to validate, 20 % to test.
        window: Bases a window, at least 24.
        seed: A seed gives the same files everywhere.

    Returns:
        What is in `dataset.parquet`: split by chromosome, with the subgroups `kind` and `anchor`.

    Raises:
        UsageError: too few variants or bases, or a negative seed.

    Example:
        >>> from genoslim import simulate_data
        >>> data = simulate_data("simulated", variants=400)
        >>> data
        LabelledData(260 train, 60 validation, 80 test windows of 96 bases, assembly simulated)
        >>> sorted(set(data.subgroups["kind"].tolist()))
        ['beside', 'broken', 'distant', 'lone', 'reversed', 'swapped']
    """
    out = Path(folder)
    if variants < 40 or window < 24:
        raise UsageError(
            f"variants {variants}, window {window}: at least 40 variants (so that each split has"
            " both labels) and 24 bases (so that a window shows a motif) are needed"
        )
    contigs, records = _genome(variants, window, _generator(seed))
    fasta = out / "genome.fa"
    write_text(fasta, _fasta(contigs))
    write_text(out / "variants.vcf", _vcf(contigs, records))
    write_text(out / "labels.tsv", _table(records))
    write_text(out / "awkward.vcf", _awkward_vcf(contigs, records))
    with Genome(fasta) as genome:
        data = assemble([_labelled(r) for r in records], genome, _metadata(variants, window, seed))
    data.write(out / "dataset.parquet")
    return data


def simulated_sequences(n: int, length: int, seed: int) -> list[str]:
    """Return `n` sequences of `length` bases from the same kind of genome, motifs intact.

    One anchor, mostly with its partner on either side, is planted at a random place of about every
    96 bases. Background and motifs follow the same laws as in `simulate_data`, so that this is
    material to pretrain on; a seed gives other sequences than the genome of the same seed.
    """
    if n < 0 or length < 1:
        raise UsageError(f"{n} sequences of {length} bases: expected 0 or more, of 1 or more")
    generator = Generator(PCG64([1, seed]))
    segments = max(1, round(length / _SEGMENT))
    size = -(-length // segments)
    rows = _background(n, segments * size + 2 * _MARGIN, generator)
    sequences = []
    for row in rows:
        bases = bytearray(row.tobytes())
        for segment in range(segments):
            start = _MARGIN + segment * size + int(generator.random() * max(1, size - _MOTIF))
            partner: Partner = "none" if generator.random() < _LONE else "either"
            _plant_element(bases, start, _pick(tuple(ANCHORS), generator), partner, generator)
        sequences.append(bases[_MARGIN : _MARGIN + length].decode())
    return sequences


def _generator(seed: int) -> Generator:
    if seed < 0:
        raise UsageError(f"seed {seed}: must be 0 or more")
    return Generator(PCG64([0, seed]))


def _genome(
    variants: int, window: int, generator: Generator
) -> tuple[dict[str, str], list[_Record]]:
    """Return the contigs, and the records in their order: one variant a slot of sequence.

    Slots are wider than windows and contigs begin and end with a slot left empty, so no window
    sees the variant of another one or the end of its contig.
    """
    slot = max(2 * DEFAULT_WINDOW, window + 2 * _MARGIN)
    contigs: dict[str, str] = {}
    records: list[_Record] = []
    for contig, count in _counts(variants).items():
        rows = [bytearray(r.tobytes()) for r in _background(count + 2, slot, generator)]
        for number, bases in enumerate(rows[1:-1], start=1):
            site = _plant_variant(bases, slot // 2, generator)
            noisy = site.functional != (generator.random() < LABEL_NOISE)
            position = number * slot + site.offset + 1
            variant = Variant(contig, position, site.reference, site.alternate)
            records.append(_Record(variant, int(noisy), CONTIGS[contig][1], site))
        contigs[contig] = b"".join(rows).decode()
    return contigs, records


def _counts(variants: int) -> dict[str, int]:
    counts = {contig: int(variants * share) for contig, (share, _) in CONTIGS.items()}
    counts["chr1"] += variants - sum(counts.values())
    return counts


def _background(rows: int, length: int, generator: Generator) -> npt.NDArray[np.uint8]:
    """Return rows x length letters of a second-order Markov chain whose GC content drifts.

    The weight of each base depends on the two before it; it is multiplied by the GC level, which
    walks between 0.36 and 0.56 from row to row.
    """
    weights = 0.4 + 0.6 * Generator(PCG64(7)).random((16, 4))
    walk = np.cumsum((generator.random(rows) - 0.5) * 0.2) + 2 * generator.random()
    gc = 0.36 + 0.20 * np.abs(walk % 2 - 1)
    levels = np.stack([1 - gc, gc, gc, 1 - gc], axis=1)
    state = (generator.random(rows) * 16).astype(np.intp)
    bases = np.zeros((rows, length), dtype=np.uint8)
    for column in range(length):
        cumulative = np.cumsum(weights[state] * levels, axis=1)
        target = generator.random(rows) * cumulative[:, 3]
        base = (target[:, None] >= cumulative[:, :3]).sum(axis=1)
        bases[:, column] = base
        state = (state * 4 + base) % 16
    return np.frombuffer(b"ACGT", dtype=np.uint8)[bases]


def _plant_variant(bases: bytearray, centre: int, generator: Generator) -> _Site:
    """Plant an element so that a site of its anchor lies at `centre`, and choose a variant there.

    `bases` gets the reference; the variant is described by the site returned.
    """
    kind = _draw(KINDS, generator)
    name = _pick(tuple(ANCHORS), generator)
    pattern = ANCHORS[name]
    site = _draw_site(kind, pattern, generator)
    context = kind if kind in _BREAKING else _draw(_BREAKING, generator)
    _plant_element(bases, centre - site, name, _PARTNER_OF[context], generator)
    reference = chr(bases[centre])
    permitted = _IUPAC[pattern[site]] if site in _CORE_SITES else "ACGT"
    if kind in _BREAKING:
        alternates = [base for base in "ACGT" if base not in permitted]
    else:
        alternates = [base for base in permitted if base != reference]
    alternate = _pick(alternates, generator)
    return _Site(centre, reference, alternate, kind == "broken", name, kind)


def _draw(shares: Mapping[str, float], generator: Generator) -> str:
    """Draw a name, each as often as its part of the sum of `shares`."""
    edges = np.cumsum(list(shares.values()))
    place = generator.random() * edges[-1]
    return list(shares)[int(np.searchsorted(edges, place, side="right"))]


def _draw_site(kind: str, pattern: str, generator: Generator) -> int:
    if kind == "beside":
        return _pick(_BESIDE_SITES, generator)
    if kind == "swapped":
        return next(site for site in _CORE_SITES if len(_IUPAC[pattern[site]]) == 2)
    return _pick(_CORE_SITES, generator)


def _plant_element(
    bases: bytearray, start: int, anchor: str, partner: Partner, generator: Generator
) -> None:
    """Write an anchor at `start` and its partner where `partner` says."""
    bases[start : start + _MOTIF] = _instance(ANCHORS[anchor], generator)
    if partner == "none":
        return
    motif = _instance(PARTNERS[_pick(tuple(PARTNERS), generator)], generator)
    gap = _pick(_FAR if partner == "distant" else _NEAR, generator)
    downstream = generator.random() < 0.5
    if partner in {"working", "reversed"}:
        downstream = (anchor in _DOWNSTREAM) == (partner == "working")
    place = start + _MOTIF + gap if downstream else start - _MOTIF - gap
    bases[place : place + _MOTIF] = motif


def _instance(pattern: str, generator: Generator) -> bytes:
    """Draw a motif: core letters as the pattern permits, weak ones the consensus in 95 %."""
    letters = []
    for site, letter in enumerate(pattern):
        strong = site not in _WEAK or generator.random() < _WEAK_CONSENSUS
        letters.append(_pick(_IUPAC[letter] if strong else "ACGT", generator))
    return "".join(letters).encode()


def _pick(choices: Sequence[_T], generator: Generator) -> _T:
    return choices[int(generator.random() * len(choices))]


def _metadata(variants: int, window: int, seed: int) -> DataMetadata:
    return DataMetadata(
        window_length=window,
        assembly=ASSEMBLY,
        source="genoslim data simulate",
        licence="CC0-1.0",
        label_names=LABEL_NAMES,
        options={"variants": variants, "seed": seed, "label_noise": LABEL_NOISE},
    )


def _labelled(record: _Record) -> LabelledVariant:
    return LabelledVariant(
        variant=record.variant,
        label=record.label,
        split=record.split,
        subgroups={"kind": record.site.kind, "anchor": record.site.anchor},
    )


def _fasta(contigs: dict[str, str]) -> str:
    lines: list[str] = []
    for name, sequence in contigs.items():
        lines.append(f">{name} simulated")
        lines += [sequence[i : i + _LINE] for i in range(0, len(sequence), _LINE)]
    return "\n".join(lines) + "\n"


def _table(records: list[_Record]) -> str:
    header = ["contig", "position", "reference", "alternate", "label", "split"]
    lines = ["\t".join([*header, *(SUBGROUP_PREFIX + way for way in ("kind", "anchor"))])]
    for r in records:
        v = r.variant
        row = [v.contig, v.position, v.reference, v.alternate]
        row += [r.label, r.split, r.site.kind, r.site.anchor]
        lines.append("\t".join(map(str, row)))
    return "\n".join(lines) + "\n"


def _vcf_header(contigs: dict[str, str], info: list[str], columns: str = "") -> list[str]:
    return [
        "##fileformat=VCFv4.3",
        "##source=genoslim data simulate",
        f"##reference={ASSEMBLY}",
        *(f"##contig=<ID={name},length={len(bases)}>" for name, bases in contigs.items()),
        *info,
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO" + columns,
    ]


def _vcf(contigs: dict[str, str], records: list[_Record]) -> str:
    lines = _vcf_header(
        contigs,
        [
            '##INFO=<ID=LABEL,Number=A,Type=Integer,Description="1 functional, 0 neutral">',
            '##INFO=<ID=ANCHOR,Number=1,Type=String,Description="Planted anchor motif">',
            '##INFO=<ID=KIND,Number=1,Type=String,Description="What the variant does to it">',
        ],
    )
    for number, r in enumerate(records, start=1):
        v = r.variant
        info = f"LABEL={r.label};ANCHOR={r.site.anchor};KIND={r.site.kind}"
        lines.append(
            f"{v.contig}\t{v.position}\tsim{number}\t{v.reference}\t{v.alternate}\t.\tPASS\t{info}"
        )
    return "\n".join(lines) + "\n"


def _awkward_vcf(contigs: dict[str, str], records: list[_Record]) -> str:
    lines = _vcf_header(
        contigs,
        [
            '##ALT=<ID=DEL,Description="Deletion">',
            '##INFO=<ID=END,Number=1,Type=Integer,Description="End of the variant">',
            '##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type of structural variant">',
            '##INFO=<ID=NOTE,Number=1,Type=String,Description="What is awkward about the record">',
            '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        ],
        "\tFORMAT\tSAMPLE",
    )
    for contig, position, reference, alternate, info in _awkward_records(contigs, records):
        fields = [contig, position, ".", reference, alternate, ".", "PASS", info, "GT", "0/1"]
        lines.append("\t".join(map(str, fields)))
    return "\n".join(lines) + "\n"


def _awkward_records(
    contigs: dict[str, str], records: list[_Record]
) -> Iterator[tuple[str, int, str, str, str]]:
    """Yield (contig, position, REF, ALT, INFO), sorted, REF true unless the note says otherwise."""
    name = records[0].variant.contig
    bases = contigs[name]
    sites = [r.variant for r in records if r.variant.contig == name]
    yield name, 1, bases[0], _other(bases[0]), "NOTE=first_base"
    for variant, note in zip(sites, _NOTES, strict=False):
        yield _awkward_record(bases, variant, note)
        if note == "same_position":
            yield _awkward_record(bases, variant, note)
    end = len(bases)
    yield name, end, bases[-1], _other(bases[-1]), "NOTE=last_base"
    yield name, end + 1000, "A", "C", "NOTE=beyond_the_contig"
    yield "chrUn", 10, "A", "C", "NOTE=unknown_contig"


_NOTES = (
    "snv",
    "multi_allelic",
    "snv_and_insertion",
    "deletion",
    "insertion",
    "mnv",
    "symbolic",
    "star",
    "snv_and_star",
    "breakend",
    "reference_mismatch",
    "monomorphic",
    "lower_case",
    "long_insertion",
    "same_position",
)


def _awkward_record(bases: str, v: Variant, note: str) -> tuple[str, int, str, str, str]:
    ref, alt = v.reference, v.alternate
    others = [base for base in "ACGT" if base != ref]
    longer = bases[v.start : v.start + 3]
    info = f"NOTE={note}"
    alleles = {
        "multi_allelic": (ref, ",".join(others)),
        "snv_and_insertion": (ref, f"{alt},{ref}GATC"),
        "deletion": (longer, ref),
        "insertion": (ref, ref + "TTAGC"),
        "mnv": (longer, "".join(_other(base) for base in longer)),
        "symbolic": (ref, "<DEL>"),
        "star": (ref, "*"),
        "snv_and_star": (ref, f"{alt},*"),
        "breakend": (ref, f"{ref}[chr2:200["),
        "reference_mismatch": (_other(ref), ref),
        "monomorphic": (ref, "."),
        "lower_case": (ref.lower(), alt.lower()),
        "long_insertion": (ref, ref + "ACGTTGCA" * 64),
    }
    if note == "symbolic":
        info += f";END={v.position + 50};SVTYPE=DEL"
    return (v.contig, v.position, *alleles.get(note, (ref, alt)), info)


def _other(base: str) -> str:
    return "CGTA"["ACGT".index(base)]
