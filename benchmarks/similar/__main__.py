"""Measure `birdwatchd.species.memory`: `python -m benchmarks.similar [--vectors N] [--dim D]`."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from birdwatchd.species.memory import Memory

PART = 20_000  # vectors made at once
MOMENTS = 4  # of a visit


def main() -> None:
    """Fill a memory, ask it, ask float32 the same, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.similar", description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--queries", type=int, default=21)
    given = parser.parse_args()
    memory, filled_s = Memory(given.dim), 0.0
    for begin in range(0, given.vectors, PART):
        vectors = part(begin, given.dim)[: given.vectors - begin]
        began = time.perf_counter()
        numbers = range(begin, begin + len(vectors))
        visits, indices = [f"{n // MOMENTS:026d}" for n in numbers], [n % MOMENTS for n in numbers]
        memory.add(visits, indices, vectors.astype(np.float16))
        filled_s += time.perf_counter() - began
    del vectors
    asked = part(-PART, given.dim)[: given.queries].copy()
    resident = resident_mb()
    took, answers = [], []
    for query in asked:
        began = time.perf_counter()
        answers.append([int(found.visit_id) * MOMENTS + found.index for found in memory.nearest(query, 10)])
        took.append(time.perf_counter() - began)
    began = time.perf_counter()
    memory.add(["new"], [0], asked[:1])
    added_s = time.perf_counter() - began
    right = agreement(asked, answers, given)
    print(f"| {given.vectors:,} × {given.dim} on {torch.get_num_threads()} threads | |\n|---|---:|")
    print(f"| one query, median of {len(took)}, ms | {1e3 * statistics.median(took):.0f} |")
    print(f"| slowest, ms | {1e3 * max(took):.0f} |")
    print(f"| of float32's ten best | {right:.1%} |")
    print(f"| resident memory of the process, GB | {resident / 1e3:.2f} |")
    print(f"| adding one, ms | {1e3 * added_s:.2f} |")
    print(f"| adding all, s | {filled_s:.1f} |")


def part(begin: int, dim: int) -> np.ndarray:
    """Vectors around a thousand kinds of birds, float32 (PART, dim); the same for the same `begin`."""
    kinds = np.random.default_rng(0).normal(size=(1000, dim)).astype(np.float32)
    rng = np.random.default_rng(abs(begin) + 1)
    noise = rng.normal(0, 0.7, (PART, dim)).astype(np.float32)
    return kinds[rng.integers(0, len(kinds), PART)] + noise


def agreement(asked: np.ndarray, answers: list[list[int]], given: argparse.Namespace) -> float:
    """Share of the ten best by float32 brute force that the memory found."""
    wanted = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    scores = []
    for begin in range(0, given.vectors, PART):
        vectors = part(begin, given.dim)[: given.vectors - begin]
        scores.append((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ wanted.T)
    best = np.argsort(-np.concatenate(scores), axis=0)[:10]
    hits = sum(len(set(best[:, i].tolist()) & set(answer)) for i, answer in enumerate(answers))
    return hits / (10 * len(answers))


def resident_mb() -> float:
    """Resident memory of this process, MB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024 * 1.048576


if __name__ == "__main__":
    main()
