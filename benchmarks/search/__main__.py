"""Measure `birdwatchd similar`: `python -m benchmarks.search [--vectors N] [--dim D] [--markdown FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.search.filling import (
    MODEL,
    MOMENTS,
    Floats,
    Looks,
    best_by_brute_force,
    fill,
    forget_after,
    visit_id,
    write,
)
from birdwatchd.search.likeness import FOLDER, Likeness
from birdwatchd.store import StoreReader

ADDED = 100  # vectors that come between two questions
INTRODUCTION = """# What it costs to find what looks alike

Written by `python -m benchmarks.search --markdown docs/measurements/search.md`; see `benchmarks/search/README.md`.
"""


def main() -> None:
    """Fill a home, ask, and print a table."""
    given = _arguments()
    looks = Looks(given.dim, given.kinds, given.spread)
    if given.step == "fill":
        fill(given.home, given.vectors, looks)
    elif given.step == "ask":
        print(json.dumps(ask(given.home, given.vectors, looks, given.queries)))
    else:
        _whole(given)


def _whole(given: argparse.Namespace) -> None:
    if given.keep:
        lines = measure(given.keep, given)
    else:
        with tempfile.TemporaryDirectory(prefix="birdwatchd-similar-", dir=given.work) as work:
            lines = measure(Path(work) / "home", given)
    print("\n".join(lines))
    if given.markdown:
        given.markdown.write_text("\n".join([INTRODUCTION, *lines, ""]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--kinds", type=int, default=1000, help="of birds")
    parser.add_argument("--spread", type=float, default=0.7, help="of pictures of a kind, where that of kinds is 1")
    parser.add_argument("--queries", type=int, default=21)
    parser.add_argument("--work", type=Path, help="where the database is made: 4 GB and more")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make it here and leave it, or use what was left here")
    parser.add_argument("--markdown", type=Path, help="write the page of the documentation here")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(home: Path, given: argparse.Namespace) -> list[str]:
    """All lines of the page."""
    busy = os.getloadavg()[0]
    if (home / "birdwatchd.sqlite3").exists():
        shutil.rmtree(home / FOLDER, ignore_errors=True)
        forget_after(home, given.vectors)
    else:  # by another process: the memory of this one would count as that of those it starts
        _step("fill", home, given)
    rows = []
    for text, prepare in (
        ("first use: everything is read from the database", lambda: None),
        ("second use", lambda: None),
        ("the same, files not in memory", lambda: _evict(home / FOLDER)),
        (f"after {ADDED} more vectors", lambda: _add(home, given)),
    ):
        prepare()
        wall, peak = command(home)
        rows.append(f"| `birdwatchd similar VISIT`, {text} | {wall:.2f} s | {peak:.2f} GB |")
    said = json.loads(_step("ask", home, given))
    database, files = _size(home, "birdwatchd.sqlite3*"), _size(home / FOLDER, "*/*")
    cores, spent = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return [
        f"{given.vectors:,} embeddings of {given.dim} numbers, {MOMENTS} a visit, around {given.kinds:,} kinds (spread "
        f"{given.spread}): a database of {database:.2f} GB, and {files:.2f} GB of files below `{FOLDER}`.",
        "",
        "| | wall | most memory |",
        "|---|---:|---:|",
        *rows,
        "",
        "| in a process that stays | |",
        "|---|---:|",
        f"| to load what was kept, s | {said['load_s']:.2f} |",
        f"| one query, median of {given.queries}, ms | {said['median_ms']:.0f} |",
        f"| quickest and slowest, ms | {said['quickest_ms']:.0f} … {said['slowest_ms']:.0f} |",
        f"| processor time of a query, all cores together, median, ms | {said['worked_ms']:.0f} |",
        f"| visits whose embeddings were read for it, median | {said['read']:.0f} |",
        f"| of the ten visits that are best by float32 brute force | {said['right']:.1%} |",
        f"| to learn of {ADDED} more vectors, ms | {said['added_ms']:.0f} |",
        f"| resident memory, GB | {said['resident_gb']:.2f} |",
        "",
        f"Measured with: {_processor()}, {cores} cores; NumPy {np.__version__}. Programs that wanted a core meanwhile, "
        f"ours included: {busy:.1f} before, {spent:.1f} after.",
    ]


def _step(name: str, home: Path, given: argparse.Namespace) -> str:
    call = [sys.executable, "-m", "benchmarks.search", "--step", name, "--home", str(home)]
    call += [f"--{one}={getattr(given, one)}" for one in ("vectors", "dim", "kinds", "spread", "queries")]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout


def command(home: Path) -> tuple[float, float]:
    """Run the command once: seconds by the clock on the wall, and the most memory that it held, GB."""
    call = [sys.executable, "-m", "birdwatchd", "similar", visit_id(7), "--home", str(home), "--json"]
    began = time.perf_counter()
    with subprocess.Popen(call, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        lines = run.stdout.readlines()
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert (run.returncode, len(lines)) == (0, 10)
    return time.perf_counter() - began, usage.ru_maxrss * 1024 / 1e9


def ask(home: Path, vectors: int, looks: Looks, count: int) -> dict[str, float]:
    """What a process sees that asks more than once."""
    queries, read = looks.asked(count), [0]
    took, worked, answers, reads = [], [], [], []
    with StoreReader.open_existing(home) as store:
        likeness = Likeness(store, MODEL, looks.dim, say=print)
        real = store.embeddings.read

        def counted(versions: list[int]) -> list[object]:
            found = real(versions)
            read[0] += len(found)
            return list(found)

        store.embeddings.read = counted  # type: ignore[method-assign, assignment]
        load_s = _timed(likeness.catch_up)
        for query in queries:
            before = read[0]
            began, busy = time.perf_counter(), time.process_time()
            answers.append([found.visit_id for found in likeness.nearest(query, 10)])
            took.append(1e3 * (time.perf_counter() - began))
            worked.append(1e3 * (time.process_time() - busy))
            reads.append(read[0] - before)
        _add_vectors(home, queries[:1].repeat(ADDED, axis=0), vectors // MOMENTS + ADDED)
        added_ms = 1e3 * _timed(likeness.catch_up)
        newest = {found.visit_id for found in likeness.nearest(queries[0], ADDED // MOMENTS)}
        assert newest == {visit_id(vectors // MOMENTS + ADDED + n) for n in range(ADDED // MOMENTS)}
        resident_gb = _resident_gb()
    best = best_by_brute_force(queries, vectors, looks)
    hits = sum(len(set(one) & set(other)) for one, other in zip(answers, best, strict=True))
    return {
        "load_s": load_s,
        "median_ms": statistics.median(took),
        "quickest_ms": min(took),
        "slowest_ms": max(took),
        "worked_ms": statistics.median(worked),
        "read": statistics.median(reads),
        "right": hits / (10 * len(answers)),
        "added_ms": added_ms,
        "resident_gb": resident_gb,
    }


def _timed(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def _add(home: Path, given: argparse.Namespace) -> None:
    # Like nothing that is asked for, so that they are no part of the answers.
    _add_vectors(home, np.random.default_rng(5).normal(size=(ADDED, given.dim)).astype(np.float32), given.vectors)


def _add_vectors(home: Path, vectors: Floats, first: int) -> None:
    connection = sqlite3.connect(home / "birdwatchd.sqlite3", isolation_level=None)
    write(connection, vectors, first)
    connection.close()


def _evict(folder: Path) -> None:
    """Let the system forget what it has in memory of these files."""
    for path in folder.glob("*/*"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _size(folder: Path, pattern: str) -> float:
    return sum(path.stat().st_size for path in folder.glob(pattern)) / 1e9


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")


def _resident_gb() -> float:
    """Resident memory of this process (Linux), pages of mapped files included."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e9


if __name__ == "__main__":
    main()
