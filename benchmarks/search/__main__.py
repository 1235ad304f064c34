"""Time `birdwatchd similar` beside other searches: `python -m benchmarks.search [--vectors N] [--markdown FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
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
from benchmarks.search.others import OTHERS, installed, other
from birdwatchd.search import nearest
from birdwatchd.store import StoreReader

ADDED = 100  # vectors that come between two questions
OURS, FORMER = "birdwatchd", "former"
FEW = {OURS, FORMER, "sqlite", "usearch-hnsw"}  # with smaller databases
SLOW = {"usearch-hnsw", "sqlite"}  # with a million embeddings: half an hour to build, half a minute for each use
LABELS = {OURS: "**birdwatchd** (NumPy)", FORMER: "birdwatchd, former revision"}
INTRODUCTION = """# How long `birdwatchd similar` takes

Written by `python -m benchmarks.search --markdown docs/measurements/search.md`; see `benchmarks/search/README.md`.
"""


def main() -> None:
    """Fill a home, ask, and print tables."""
    given = _arguments()
    if given.step:
        _run_step(given)
        return
    lines = [INTRODUCTION]
    with tempfile.TemporaryDirectory(prefix="birdwatchd-similar-", dir=given.work) as work:
        for number, vectors in enumerate([given.vectors, *given.smaller]):
            home = (given.keep or Path(work)) / str(vectors)
            names = [name for name in given.only if (name in FEW if number else name not in SLOW)]
            lines += measure(home, vectors, names, given)
    lines += _machine(given)
    print("\n".join(lines[1:]))
    if given.markdown:
        given.markdown.write_text("\n".join([*lines, ""]))


def _arguments() -> argparse.Namespace:
    every = [OURS, *installed()]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--smaller", type=int, nargs="*", default=[100_000, 10_000], help="a few searches only")
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--kinds", type=int, default=1000, help="of birds")
    parser.add_argument("--spread", type=float, default=0.7, help="of pictures of a kind, where that of kinds is 1")
    parser.add_argument("--queries", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=5, help="in which all searches take turns")
    parser.add_argument("--only", nargs="+", default=every, metavar="NAME", help=", ".join([OURS, *OTHERS]))
    parser.add_argument("--former", type=Path, metavar="DIR", help="another checkout, to be timed too")
    parser.add_argument("--work", type=Path, help="where databases are made: 15 GB")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make them here and leave them, or use what was left")
    parser.add_argument("--markdown", type=Path, help="write the page of the documentation here")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "NAME"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.former and FORMER not in given.only:
        given.only = [FORMER, *given.only]
    return given


@dataclass(slots=True)
class Figures:
    """Of one search: seconds by the clock and by the processor of each command, and the most memory, bytes."""

    first: list[tuple[float, float, int]] = field(default_factory=list)
    later: list[tuple[float, float, int]] = field(default_factory=list)
    added: list[tuple[float, float, int]] = field(default_factory=list)
    cold: list[tuple[float, float, int]] = field(default_factory=list)
    size: int = 0
    asked: dict[str, float] = field(default_factory=dict)


def measure(home: Path, vectors: int, names: list[str], given: argparse.Namespace) -> list[str]:
    """The table of one database."""
    if (home / "birdwatchd.sqlite3").exists():
        forget_after(home, vectors)
    else:  # by another process: the memory of this one would count as that of those it starts
        _step("fill", OURS, home, vectors, given)
    if not (home / "expected.json").exists():
        _step("expect", OURS, home, vectors, given)
    figures = {name: Figures() for name in names}
    for name in names:
        if made := [one for one in figures if figures[one].first and _folder(one) == _folder(name)]:
            figures[name].first = figures[made[0]].first  # the same file, made in the same way
        else:
            for path in _files(home, name):
                path.unlink()
            figures[name].first.append(command(home, name, given))
        figures[name].size = sum(path.stat().st_size for path in _files(home, name))
        print(f"{vectors:,} {name}: {figures[name].first}", file=sys.stderr, flush=True)
    for _ in range(given.rounds):
        for name in names:
            figures[name].later.append(command(home, name, given))
    for name in names:
        _evict(_files(home, name))
        figures[name].cold.append(command(home, name, given))
    _add_vectors(home, np.random.default_rng(5).normal(size=(ADDED, given.dim)).astype(np.float32), vectors)
    for _ in range(given.rounds):
        for name in names:
            figures[name].added.append(command(home, name, given))
    forget_after(home, vectors)
    for name in names:
        if name != FORMER:
            figures[name].asked = json.loads(_step("ask", name, home, vectors, given))
    database = sum(path.stat().st_size for path in home.glob("birdwatchd.sqlite3*")) / 1e9
    return [
        f"## {vectors:,} embeddings",
        "",
        f"{vectors // MOMENTS:,} visits of {MOMENTS} embeddings of {given.dim} numbers, around {given.kinds:,} kinds "
        f"of birds (spread {given.spread}): a database of {database:.2f} GB.",
        "",
        "| search | first use | later use | its CPU | files not cached | "
        f"after {ADDED} new embeddings | one search, CPU | right of ten | most memory | files |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(name, figures[name]) for name in names),
        "",
    ]


def _row(name: str, of: Figures) -> str:
    def seconds(runs: list[tuple[float, float, int]], which: int = 0) -> str:
        return f"{statistics.median(run[which] for run in runs):.2f} s"

    memory = max(run[2] for run in [*of.first, *of.later]) / 1e9
    cells = [
        LABELS.get(name) or OTHERS[name][0],
        *(seconds(of.first), seconds(of.later), seconds(of.later, 1), seconds(of.cold), seconds(of.added)),
        f"{of.asked['worked_ms']:.0f} ms" if of.asked else "–",
        f"{of.asked['right']:.1%}" if of.asked else "–",
        *(f"{memory:.2f} GB", f"{of.size / 1e9:.2f} GB"),
    ]
    return f"| {' | '.join(cells)} |"


def _machine(given: argparse.Namespace) -> list[str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")
    versions = []
    for package in ("numpy", "faiss-cpu", "usearch", "numkong", "torch"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return [
        f"*Use* is the whole command, from the start of the process to its end: wall time, median of {given.rounds} "
        "runs in which all searches took turns. The first use, which reads everything from the database, and the use "
        "with files that are not in the system's cache are one run each; searches that keep the same file share its "
        "first use. *One search* is the median of "
        f"{given.queries} in one process, all cores' time together. *Right* is against float32 brute force over the "
        "vectors as they were before the database kept them as float16. Memory is resident, pages of mapped files "
        "included.",
        "",
        f"Measured with: {model}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, "
        f"{', '.join(versions)}. Programs that wanted a core in the last quarter of an hour, ours included: "
        f"{os.getloadavg()[2]:.1f}; what a quiet machine would need is nearer to the CPU time.",
    ]


def _step(step: str, name: str, home: Path, vectors: int, given: argparse.Namespace) -> str:
    call = [sys.executable, "-m", "benchmarks.search", "--step", step, name, f"--home={home}", f"--vectors={vectors}"]
    call += [f"--{one}={getattr(given, one)}" for one in ("dim", "kinds", "spread", "queries")]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout


def _run_step(given: argparse.Namespace) -> None:
    step, name = given.step
    looks = Looks(given.dim, given.kinds, given.spread)
    if step == "fill":
        given.home.mkdir(parents=True, exist_ok=True)
        fill(given.home, given.vectors, looks)
    elif step == "expect":
        best = best_by_brute_force(looks.asked(given.queries), given.vectors, looks)
        (given.home / "expected.json").write_text(json.dumps(best))
    else:
        print(json.dumps(ask(given.home, name, looks.asked(given.queries))))


def command(home: Path, name: str, given: argparse.Namespace) -> tuple[float, float, int]:
    """Run `similar` once: seconds by the clock on the wall, those of all cores together, and the most memory, bytes."""
    module = ["birdwatchd"] if name in (OURS, FORMER) else ["benchmarks.search.others", name]
    call = [sys.executable, "-m", *module, "similar", visit_id(7), "--home", str(home.absolute()), "--json"]
    # With compiled modules kept, as an installation has them.
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    if name == FORMER:
        surroundings["PYTHONPATH"] = str(given.former.absolute())
    began = time.perf_counter()
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, env=surroundings, cwd=given.former if name == FORMER else None
    ) as run:
        assert run.stdout is not None
        lines = run.stdout.readlines()
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert (run.returncode, len(lines)) == (0, 10)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def ask(home: Path, name: str, queries: Floats) -> dict[str, float]:
    """Search several times in one process, with everything loaded."""
    answers, took, worked = [], [], []
    with StoreReader.open_existing(home) as store:
        if name == OURS:
            nearest.nearest_visits(store, MODEL, queries[0], 10, report=print)
            copy = nearest._open(home / nearest.FOLDER / f"{nearest._hashed(MODEL)}.f16", queries.shape[1], print)
            chunks = [copy[at : at + nearest.SPAN] for at in range(0, len(copy), nearest.SPAN)]
        else:
            search = other(name, home)
            search.open(store, MODEL, queries.shape[1])
        for query in queries:
            began, busy = time.perf_counter(), time.process_time()
            if name == OURS:
                found = nearest._best(store, chunks, nearest._unit(query), 10)
            else:
                found = search.best(store, query, 10)
            took.append(1e3 * (time.perf_counter() - began))
            worked.append(1e3 * (time.process_time() - busy))
            answers.append([match.visit_id for match in found])
    best = json.loads((home / "expected.json").read_text())
    hits = sum(len(set(one) & set(other_one)) for one, other_one in zip(answers, best, strict=True))
    return {
        "took_ms": statistics.median(took),
        "worked_ms": statistics.median(worked),
        "right": hits / sum(map(len, best)),
    }


def _add_vectors(home: Path, vectors: Floats, first: int) -> None:
    connection = sqlite3.connect(home / "birdwatchd.sqlite3", isolation_level=None)
    write(connection, vectors, first)
    connection.close()


def _files(home: Path, name: str) -> list[Path]:
    """The files that a search keeps."""
    if name in OTHERS:
        pattern = f"others/{OTHERS[name][2]}/*"
    else:
        pattern = f"{nearest.FOLDER}/*.f16" if name == OURS else f"{nearest.FOLDER}/*/*"
    return [path for path in home.glob(pattern) if path.is_file()]


def _folder(name: str) -> str:
    return OTHERS[name][2] if name in OTHERS else name


def _evict(files: list[Path]) -> None:
    """Let the system forget what it has in memory of these files."""
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
