"""Windows tokenized a second, one at a time and many at once.

python tools/benchmarks/tokenization.py [--smoke] [--windows 2000] [--length 512] [--folders PATH]

Tokenizes random windows with the shipped tokenizers, and with those of further checkpoint folders.
(Not called tokenizers.py: a script of that name would hide the library from itself.)
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from _common import HEADER, compared, interleaved, show, show_machine

from genoslim.bench.environment import usable_cores
from genoslim.models import shipped
from genoslim.models.tokenizer import SequenceTokenizer, nucleotide_transformer_tokenizer

_SINGLE = 50


def main() -> None:
    """Measure every tokenizer."""
    options = _parse()
    letters = random.Random(0)
    windows = ["".join(letters.choices("ACGT", k=options.length)) for _ in range(options.windows)]
    show_machine(usable_cores())
    for name, tokenizer in _tokenizers(options.folders).items():
        many = interleaved({"many at once": lambda t=tokenizer: t.encode(windows)}, options.repeats)
        single = interleaved(
            {"one at a time": lambda t=tokenizer: _each(t, windows)}, options.repeats
        )
        tokens = len(tokenizer.encode(windows[:1])[0])
        rows = compared(many, len(windows), "windows") + compared(single, _SINGLE, "windows")
        show(f"{name}: {options.length} bp, {tokens} tokens", HEADER[:4], [row[:4] for row in rows])


def _each(tokenizer: SequenceTokenizer, windows: Sequence[str]) -> None:
    for window in windows[:_SINGLE]:
        tokenizer.pad(tokenizer.encode([window]))


def _tokenizers(folders: Sequence[Path]) -> dict[str, SequenceTokenizer]:
    kmers = map("".join, product("ATCG", repeat=6))
    vocabulary = ["<unk>", "<pad>", "<mask>", "<cls>", *kmers, *"ATCGN"]
    found = {"6-mers": SequenceTokenizer(nucleotide_transformer_tokenizer(vocabulary))}
    places = {f"shipped:{name}": path for name, path in shipped().items()}
    for name, path in (places | {str(path): path for path in folders}).items():
        found[name] = SequenceTokenizer(SequenceTokenizer.from_folder(path).raw)
    return found


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, seconds only")
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folders", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    if options.smoke:
        options.windows, options.length, options.repeats = 60, 128, 2
    return options


if __name__ == "__main__":
    main()
