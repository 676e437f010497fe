"""How much of scoring a VCF is not the model: records/s with a model that costs nothing.

python tools/benchmarks/score_overhead.py [--smoke] [--vcf IN.vcf.gz --fasta REF.fa] [--repeats N]

Without --vcf the records are simulated. Prints raw wall and processor seconds of every repeat, and
the share of the whole that model-free work would be beside a model of a given speed.
"""

from __future__ import annotations

import argparse
import random
import resource
import runpy
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

from _free import FreeModel

from genoslim.score.vcf import score_vcf

_FIXTURE = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "tiny_bundle.py"
_WINDOW = 512
_MODEL_SPEEDS = (5, 50, 500)


def main() -> None:
    """Measure every kind of output."""
    arguments = _parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vcf, fasta = arguments.vcf, arguments.fasta
        if vcf is None:
            vcf, fasta = _simulate(folder, 2_000 if arguments.smoke else 50_000)
        write = runpy.run_path(str(_FIXTURE))["write_tiny_bundle"]
        bundle = write(folder / "bundle", window_length=_WINDOW)
        with mock.patch("genoslim.score.vcf.Runtime", FreeModel):
            for output in ("out.vcf", "out.vcf.gz", "out.tsv", "out.parquet"):
                _measure(bundle.folder, fasta, vcf, folder / output, arguments.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--smoke", action="store_true", help="small and quick")
    parser.add_argument("--vcf", type=Path)
    parser.add_argument("--fasta", type=Path)
    parser.add_argument("--repeats", type=int, default=None)
    arguments = parser.parse_args()
    if (arguments.vcf is None) != (arguments.fasta is None):
        parser.error("--vcf and --fasta go together")
    arguments.repeats = arguments.repeats or (1 if arguments.smoke else 5)
    return arguments


def _simulate(folder: Path, records: int) -> tuple[Path, Path]:
    letters = random.Random(1)
    sequence = "".join(letters.choices("ACGT", k=records * 10))
    (folder / "ref.fa").write_text(f">1\n{sequence}\n")
    other = dict(zip("ACGT", "CGTA", strict=True))
    lines = ["##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"]
    for place in range(5, len(sequence), 10):
        base = sequence[place]
        lines.append(f"1\t{place + 1}\t.\t{base}\t{other[base]}\t.\tPASS\tAC=1;AF=0.01;AN=5008\n")
    (folder / "in.vcf").write_text("".join(lines))
    return folder / "in.vcf", folder / "ref.fa"


def _measure(bundle: Path, fasta: Path, vcf: Path, output: Path, repeats: int) -> None:
    walls, processors, records = [], [], 0
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        tally = score_vcf(bundle, vcf, fasta=fasta, output=output)
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
        records = tally.records
    cost = statistics.median(processors) / records
    shares = [f"{cost / (cost + 1 / speed):.2%} at {speed}/s" for speed in _MODEL_SPEEDS]
    print(f"{output.suffix:>8}: {records / statistics.median(walls):,.0f} records/s without model;")
    print(f"          share of processor time beside a model of {', '.join(shares)}")
    print(f"          wall s {[round(v, 3) for v in walls]}")
    print(f"          processor s {[round(v, 3) for v in processors]}")


if __name__ == "__main__":
    main()
