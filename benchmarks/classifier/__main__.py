"""Run every way of inference in turns, and write the table: `python -m benchmarks.classifier`."""

from __future__ import annotations

# Before torch: it prepares OpenMP, as in the daemon.
from birdwatchd.species.network import torch_errors  # noqa: F401

# isort: split
import argparse
import os
import statistics
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.classifier.machine import described, flops_per_crop, matrix_rate
from benchmarks.classifier.ways import Batch, Way, network, ways
from birdwatchd.species.network.cpu import has_fast_bfloat16

__all__ = ["main"]

_BASE = "birder, eager, float32"
# So many times as slow as the base in the first turn is not worth more turns (bfloat16 on a CPU that has none).
_HOPELESS = 5


@dataclass(frozen=True)
class Row:
    """One way with one batch size.

    Attributes:
        wall_s: seconds of each turn.
        cpu_s: processor time of all cores in each turn: the steadier measure on a CPU that does other things too.
        max_error: the largest difference of a logit from birder's.
    """

    way: str
    batch: int
    wall_s: list[float]
    cpu_s: list[float]
    max_error: float

    @property
    def latency_s(self) -> float:
        """Median seconds from crops on the host to logits on the host."""
        return statistics.median(self.wall_s)


def main() -> None:
    """Everything the command line asks for."""
    given = _arguments()
    device, load = torch.device(given.device), os.getloadavg()[0]
    if given.threads:
        torch.set_num_threads(given.threads)
    net = network(given.model, given.classes, given.size)
    flops = flops_per_crop(net, given.size)
    every = ways(net, given.model, given.size, device, given.compile)
    batches = given.batches or ((1, 2, 4, 8) if device.type == "cpu" else (1, 2, 4, 8, 16, 32, 64, 128, 256))
    rates = {"float32": matrix_rate(device, torch.float32)}
    if device.type == "cpu" and has_fast_bfloat16():
        rates["bfloat16"] = matrix_rate(device, torch.bfloat16)
    if device.type == "cuda":
        rates |= {"bfloat16": matrix_rate(device, torch.bfloat16), "float16": matrix_rate(device, torch.float16)}
    left_out: set[str] = set()
    rows = [row for batch in batches for row in _in_turns(every, _crops(batch, given.size), given.runs, left_out)]
    rates["float32"] = statistics.median([rates["float32"], matrix_rate(device, torch.float32)])
    text = "\n".join(
        [
            f"{given.model}, {given.classes} classes, {given.size} × {given.size}, random weights;"
            f" {flops / 1e9:.1f} GFLOP per crop, counted (a multiplication and an addition are two);"
            f" median of {given.runs} turns after one that is not counted.",
            "",
            *_table(rows, flops, rates),
            "",
            "One large matrix product: "
            + "; ".join(f"{rate / 1e12:.3g} TFLOP/s in {kind}" for kind, rate in rates.items())
            + ".",
            "",
            f"Measured with: {'; '.join(described(device))}. Programs that wanted a core meanwhile, ours included:"
            f" {load:.1f} before, {os.getloadavg()[0]:.1f} after.",
        ]
    )
    print(text)
    if given.markdown is not None:
        given.markdown.write_text(f"{_INTRODUCTION}\n{text}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifier", description=__doc__)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", default="davit_tiny", help="a DaViT of birder's registry")
    parser.add_argument("--classes", type=int, default=550)
    parser.add_argument("--size", type=int, default=384, help="pixels of each side")
    parser.add_argument("--batches", type=_counts, help="with commas; default 1 … 8 on a CPU, 1 … 256 on CUDA")
    parser.add_argument("--runs", type=int, default=5, help="turns that are counted")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 for its own choice")
    parser.add_argument("--compile", action="store_true", help="also birder with torch.compile: needs a C compiler")
    parser.add_argument("--markdown", type=Path, help="write the page of the documentation here")
    return parser.parse_args()


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(number) for number in text.split(","))
    if min(counts) < 1:
        raise argparse.ArgumentTypeError("numbers of crops must be 1 or more")
    return counts


def _crops(batch: int, size: int) -> Batch:
    return np.random.default_rng(batch).integers(0, 256, (batch, 3, size, size), np.uint8)


def _in_turns(every: dict[str, Way], pixels: Batch, runs: int, left_out: set[str]) -> list[Row]:
    """Each way once per turn, so that a machine that is busy for a while is busy for all of them.

    Those that fail or are hopelessly slow join `left_out`, and are not run again, with larger batches either.
    """
    rows: dict[str, Row] = {}
    base_s, reference = 0.0, np.zeros(0, np.float32)
    for turn in range(runs + 1):
        for name, way in every.items():
            if name in left_out:
                continue
            prepared = way.prepare(pixels)
            begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
            try:
                logits = way.infer(prepared)
            except Exception as failure:  # noqa: BLE001 - another program's failure is a result, not an end
                print(f"{name}, batch {len(pixels)}: left out, {str(failure).splitlines()[:1]}", file=sys.stderr)
                rows.pop(name, None)
                left_out.add(name)
                continue
            wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
            if turn:
                rows[name].wall_s.append(wall_s)
                rows[name].cpu_s.append(cpu_s)
                continue
            if not rows:
                base_s, reference = wall_s, logits
            # timm's weights are others: nothing can be said of its numbers.
            error = float("nan") if name.startswith("timm") else float(np.abs(logits - reference).max())
            rows[name] = Row(name, len(pixels), [], [], error)
            if wall_s > _HOPELESS * base_s and "compile" not in name:
                rows[name].wall_s.append(wall_s)
                rows[name].cpu_s.append(cpu_s)
                left_out.add(name)
    for row in rows.values():
        print(f"{row.way}, batch {row.batch}: {row.latency_s:.3f} s", file=sys.stderr)
    return list(rows.values())


def _table(rows: list[Row], flops: int, rates: dict[str, float]) -> list[str]:
    lines = [
        "| batch | way | latency, ms | crops/s | times birder eager | processor, ms/crop | times birder eager"
        " | of the matrix rate | a logit differs by |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        base = next((other for other in rows if (other.way, other.batch) == (_BASE, row.batch)), row)
        rate = rates.get(row.way.rsplit(", ", 1)[-1], rates["float32"])
        lines.append(
            f"| {row.batch} | {row.way} | {_digits(1000 * row.latency_s)} | {_digits(row.batch / row.latency_s)}"
            f" | {_ratio(base.wall_s, row.wall_s)}"
            f" | {_digits(1000 * statistics.median(row.cpu_s) / row.batch)} | {_ratio(base.cpu_s, row.cpu_s)}"
            f" | {100 * row.batch * flops / row.latency_s / rate:.0f} % | {row.max_error:.1g} |"
        )
    return lines


def _ratio(theirs: list[float], ours: list[float]) -> str:
    """Median, smallest and largest of the turns' ratios."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=False)]
    return f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} … {max(ratios):.2f})"


def _digits(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


_INTRODUCTION = """\
# How quickly birds are named

Written by `python -m benchmarks.classifier --markdown docs/measurements/classifier.md`; see
`benchmarks/classifier/README.md`.

From resized crops in the host's memory to logits in the host's memory: the way to the device and back and the
network are in it, and for ours (which takes bytes) normalising; birder's is given floats that were normalised before.
Decoding JPEGs, resizing, the queue before the network and the database behind it are not. All ways ask the same
network about the same crops, one after the other, turn by turn; ratios are taken within a turn, with the smallest
and largest in brackets. Latency is by the clock on the wall; processor time is that of all cores together, which other
programs on the machine disturb less (on a GPU it is the host's share). What took five times as long as birder's eager
module in the first turn was not asked again, nor with larger batches.
"""


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    main()
