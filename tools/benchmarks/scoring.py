"""Records a second of scoring a VCF, with a model and with none.

python tools/benchmarks/scoring.py [--smoke] [--variants 2000] [--window 512] [--widths 256]
                             [--depths 12 4] [--threads N] [--repeats N]

Simulates a genome and its variants, exports DNABERT-2 networks of random weights, and scores the
VCF with each; "no model" answers 0.5 at once, so that its time is all that is not the model.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from _common import (
    HEADER,
    arguments,
    compared,
    interleaved,
    random_classifier,
    show,
    show_machine,
)
from _free import FreeModel
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from genoslim.data.simulate import simulate_data
from genoslim.export.exporter import export_bundle
from genoslim.models.checkpoint import save
from genoslim.models.tokenizer import SequenceTokenizer
from genoslim.score.vcf import score_vcf

_SPECIALS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]


def main() -> None:
    """Score with no model and with one of each depth, in turns."""
    options = arguments(
        __doc__ or "", variants=(2000,), window=(512,), widths=(256,), depths=(12, 4)
    )
    if options.smoke:
        options.variants, options.window, options.widths, options.depths = [200], [64], [64], [1]
    logging.disable(logging.WARNING)
    show_machine(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate_data(folder / "data", variants=options.variants[0], window=options.window[0])
        for width in options.widths:
            calls = _calls(folder / str(width), folder / "data", width, options)
            times = interleaved(calls, options.repeats)
            title = f"{width} wide, {options.window[0]} bp windows"
            show(title, HEADER, compared(times, options.variants[0], "records"))


def _calls(
    folder: Path, data: Path, width: int, options: argparse.Namespace
) -> dict[str, Callable[[], object]]:
    bundles = {depth: _bundle(folder / str(depth), data, width, depth) for depth in options.depths}

    def score(bundle: Path) -> object:
        return score_vcf(
            bundle,
            data / "variants.vcf",
            fasta=data / "genome.fa",
            output=folder / "scored.vcf",
            threads=options.threads,
        )

    def free() -> object:
        with mock.patch("genoslim.score.vcf.Runtime", FreeModel):
            return score(next(iter(bundles.values())))

    calls: dict[str, Callable[[], object]] = {"no model": free}
    for depth, bundle in bundles.items():
        calls[f"{depth} layers"] = lambda bundle=bundle: score(bundle)  # type: ignore[misc]
    return calls


def _bundle(folder: Path, data: Path, width: int, layers: int) -> Path:
    """Export a random network with a BPE tokenizer learnt from the simulated genome."""
    tokenizer = _tokenizer(data / "genome.fa")
    save(random_classifier(width=width, layers=layers), tokenizer, folder / "checkpoint")
    export_bundle(
        folder / "checkpoint", folder / "bundle", data=data / "dataset.parquet", allow_chance=True
    )
    return folder / "bundle"


def _tokenizer(fasta: Path) -> SequenceTokenizer:
    raw = Tokenizer(BPE(unk_token="[UNK]"))
    raw.pre_tokenizer = Whitespace()
    lines = [line for line in fasta.read_text().splitlines() if not line.startswith(">")]
    chunks = [line[at : at + 60] for line in lines for at in range(0, len(line), 60)][:3000]
    trainer = BpeTrainer(vocab_size=1024, special_tokens=_SPECIALS, show_progress=False)
    raw.train_from_iterator(chunks, trainer)
    ids = [(name, raw.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    raw.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", pair=None, special_tokens=ids)
    return SequenceTokenizer(raw)


if __name__ == "__main__":
    main()
