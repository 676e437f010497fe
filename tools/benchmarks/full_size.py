"""Take a full-size model of random weights through load, drop, save, export, verify and score.

    python tools/benchmarks/full_size.py dnabert2 nt_v2_50m --vcf in.vcf.gz --fasta genome.fa

The model is first written in the official checkpoint's layout (a pickled `.bin` of the masked
language model). Each step then runs in a process of its own, so that the peak memory is its own.
Without `--vcf` and `--fasta` simulated variants are scored; `--official DIR` takes the tokenizer
files of the published models from `DIR/dnabert2` and `DIR/nt_v2` instead of our equivalents.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

VARIANTS = 200
WINDOW = 512
DROPPED = (2, 5, 8)
PROGRAM = "from genoslim.__main__ import main; main()"
COMMON: dict[str, Any] = {
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "num_hidden_layers": 12,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "dnabert2": COMMON
    | {
        "alibi_starting_size": 512,
        "hidden_dropout_prob": 0.1,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "max_position_embeddings": 512,
        "num_attention_heads": 12,
        "type_vocab_size": 2,
        "vocab_size": 4096,
    },
    "nt_v2_50m": COMMON
    | {
        "add_bias_fnn": False,
        "emb_layer_norm_before": False,
        "hidden_dropout_prob": 0.0,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "mask_token_id": 2,
        "max_position_embeddings": 2050,
        "num_attention_heads": 16,
        "pad_token_id": 1,
        "position_embedding_type": "rotary",
        "token_dropout": False,
        "vocab_size": 4107,
    },
}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}


def make_official(name: str, folder: Path, *, small: bool, official: Path | None) -> None:
    """Write a pretrained model of random weights as the official repository lays it out."""
    import torch

    from genoslim.files import write_json
    from genoslim.models import load_tokenizer
    from genoslim.models.checkpoint import new_masked_lm

    config = CONFIGS[name] | (SMALL if small else {})
    weights = new_masked_lm(config, seed=0).state_dict()
    if name == "dnabert2":
        weights["cls.predictions.decoder.weight"] = weights[
            "bert.embeddings.word_embeddings.weight"
        ]
    folder.mkdir(parents=True)
    write_json(folder / "config.json", config)
    torch.save(weights, folder / "pytorch_model.bin")
    if official is None:
        load_tokenizer(f"shipped:{name.removesuffix('_50m')}").save(folder)
    else:
        for path in (official / name.removesuffix("_50m")).iterdir():
            if path.name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
                shutil.copyfile(path, folder / path.name)


def load_drop_save(official: Path, checkpoint: Path) -> None:
    """Load the official layout, drop layers, save; a fresh head takes the place of the missing."""
    from genoslim.models import load, load_tokenizer
    from genoslim.models.checkpoint import save
    from genoslim.models.layers import remove_layers
    from genoslim.models.record import TrainingRecord

    model = remove_layers(load(official), set(DROPPED))
    training = TrainingRecord(window_length=WINDOW, assembly="simulated", dropped_layers=DROPPED)
    save(model, load_tokenizer(official), checkpoint, training=training)


def run(arguments: Sequence[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its own peak memory in MB, or end with its output."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        child = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        if child.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(arguments)}\n{output.read().decode(errors='replace')}")
    return seconds, usage.ru_maxrss / 1024


def head_of_vcf(source: Path, target: Path, records: int) -> None:
    """Copy the header and the first records."""
    opened = gzip.open if source.suffix == ".gz" else Path.open
    with opened(source, "rt", encoding="utf-8") as stream, target.open("w") as out:
        header = sum(1 for _ in takewhile(lambda line: line.startswith("#"), stream))
        stream.seek(0)
        out.writelines(islice(stream, header + records))


def measure(name: str, folder: Path, options: argparse.Namespace) -> list[list[str]]:
    """Take one model the whole way; return a row a step."""
    python = [sys.executable]
    genoslim = [*python, "-c", PROGRAM]
    data, checkpoint, bundle = folder / "data", folder / "pruned", folder / "bundle"
    make = [*python, __file__, "--step", "make", name, str(folder)]
    if options.official:
        make += ["--official", str(options.official)]
    if options.smoke:
        make.append("--smoke")
    vcf, fasta = folder / "in.vcf", options.fasta or data / "genome.fa"
    windows = ["--variants", str(VARIANTS), "--window", str(WINDOW)]
    steps = {
        "make (official layout)": make,
        "load, drop, save": [*python, __file__, "--step", "prune", name, str(folder)],
        "data": [*genoslim, "data", "simulate", "-o", str(data), *windows],
        "export, verify": [
            *(*genoslim, "export", str(checkpoint), "--allow-chance"),
            *("-d", str(data / "dataset.parquet"), "-o", str(bundle)),
        ],
        "show (every hash)": [*genoslim, "show", str(bundle)],
        f"score {VARIANTS} variants": [
            *(*genoslim, "score", "-m", str(bundle), "-f", str(fasta)),
            *("-i", str(vcf), "-o", str(folder / "out.vcf")),
        ],
    }
    rows = []
    for step, arguments in steps.items():
        if step.startswith("score"):
            head_of_vcf(options.vcf or data / "variants.vcf", vcf, VARIANTS)
        seconds, peak = run(arguments)
        rows.append([name, step, f"{seconds:.1f} s", f"{peak:,.0f} MB"])
    sizes = {"pruned checkpoint": checkpoint, "bundle": bundle}
    for what, place in sizes.items():
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        rows.append([name, what, f"{size / 1e6:.0f} MB on disk", ""])
    return rows


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(CONFIGS))
    parser.add_argument("--smoke", action="store_true", help="the same road with small networks")
    parser.add_argument("--vcf", type=Path)
    parser.add_argument("--fasta", type=Path)
    parser.add_argument("--official", type=Path, help="folder with the official tokenizer files")
    parser.add_argument("--step", choices=["make", "prune"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        name, folder = options.names[0], Path(options.names[1])
        official = folder / "official"
        if options.step == "make":
            make_official(name, official, small=options.smoke, official=options.official)
        else:
            load_drop_save(official, folder / "pruned")
        return
    if bool(options.vcf) != bool(options.fasta):
        parser.error("--vcf and --fasta go together")
    rows = []
    for name in options.names[:1] if options.smoke else options.names:
        if name not in CONFIGS:
            parser.error(f"{name}: not one of {', '.join(CONFIGS)}")
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(name, Path(folder), options)
    # Only now: it imports torch, and a child's peak memory counts what its parent held at the fork.
    from _common import show, show_machine

    show_machine(len(os.sched_getaffinity(0)))
    show(f"random weights, {WINDOW} bp", ["model", "step", "time", "peak memory"], rows)


if __name__ == "__main__":
    main()
