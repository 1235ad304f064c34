"""Inject the faults asked for, live the day and the full disk, write the page: `python -m benchmarks.faults`."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.camera_cost.part import Part, as_json, from_json
from benchmarks.faults import small_home
from benchmarks.faults.day import run_day
from benchmarks.faults.film import Film, draw_film
from benchmarks.faults.page import PARTS, day_part, faults_part, full_part, page
from benchmarks.faults.row import Row, row_from_json
from benchmarks.faults.trials import TRIALS, run_trial
from tests.support.lives import Nursery

__all__ = ["main"]

BIRDS = 16
LOADING_S = 600.0  # PyTorch, on a busy machine
VISITS = 200  # by camera and day, in the day and on the full disk


def main() -> None:
    """Everything the command line asks for."""
    given = _arguments()
    given.work.mkdir(parents=True, exist_ok=True)
    done = {part.name: part for part in from_json(json.loads(given.add.read_text()))} if given.add else {}
    measures: dict[str, Callable[[], Part]] = {
        "faults": lambda: faults_part(_rows(given, done)),
        "day": lambda: _day(given),
        "full-fast": lambda: full_part("full-fast", _full_fast(given)),
        "full-real": lambda: full_part("full-real", _full_real(given)),
    }
    for name in given.only:
        part = measures[name]()
        done[name] = part
        print(part.as_markdown(), flush=True)
        if given.json is not None:  # after each part: they take long, and what is measured is measured
            given.json.write_text(json.dumps(as_json(list(done.values())), indent=1) + "\n")
    if given.markdown is not None:
        given.markdown.write_text(page([done[name] for name in PARTS if name in done]))
    if any("lost" in part.data and part.data["lost"] for part in done.values()):
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--only", type=_names(PARTS), default=PARTS, help=f"parts with commas, of {', '.join(PARTS)}")
    faults = tuple(TRIALS)
    parser.add_argument("--faults", type=_names(faults), default=faults, help=f"with commas, of {', '.join(faults)}")
    parser.add_argument("--times", type=int, help="inject each so often (default: as the page says)")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the real clock, for the day and each full disk")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "birdwatchd-faults")
    parser.add_argument("--markdown", type=Path, help="write the page of the documentation here")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument("--add", type=Path, help="an earlier --json: parts and faults that are not tried now")
    return parser.parse_args()


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        found = tuple(filter(None, text.split(",")))
        unknown = [name for name in found if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return found

    return names


def _rows(given: argparse.Namespace, done: dict[str, Part]) -> dict[str, Row]:
    """The rows of the table: those tried before, then those tried now."""
    before = done["faults"].data["rows"] if "faults" in done else {}
    rows = {name: row_from_json(row) for name, row in before.items()}
    film = draw_film(given.work, BIRDS)
    nurseries = [Nursery() for _ in range(max(TRIALS[name].homes for name in given.faults))]
    folder = _folder(given, "faults")
    try:
        for nursery in nurseries:
            nursery.wait_ready(LOADING_S)
        for name in given.faults:
            try:
                row = run_trial(name, folder, film, given.times or TRIALS[name].times, nurseries, seed=given.seed)
            except pytest.skip.Exception as error:
                print(f"{name}: not tried: {error}", file=sys.stderr, flush=True)
                continue
            print(" | ".join(row.cells), file=sys.stderr, flush=True)
            rows[name] = row
            if given.json is not None:
                parts = done | {"faults": faults_part(rows)}
                given.json.write_text(json.dumps(as_json(list(parts.values())), indent=1) + "\n")
    finally:
        for nursery in nurseries:
            nursery.close()
    return {name: rows[name] for name in TRIALS if name in rows}


def _day(given: argparse.Namespace) -> Part:
    with run_day(given.work, _folder(given, "day"), given.minutes, VISITS, retention={"max_gb": 0.1}) as day:
        day.live(24.0, random.Random(given.seed))
        day.end()
        return day_part(day)


def _full_fast(given: argparse.Namespace) -> dict[str, object]:
    return asdict(small_home.fast(given.work, _folder(given, "full-fast"), given.minutes, VISITS, 24.0))


def _full_real(given: argparse.Namespace) -> dict[str, object]:
    film: Film = draw_film(given.work, BIRDS)
    nursery = Nursery()
    try:
        nursery.wait_ready(LOADING_S)
        return asdict(small_home.real(film, _folder(given, "full-real"), nursery, given.minutes))
    finally:
        nursery.close()


def _folder(given: argparse.Namespace, name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=given.work))


if __name__ == "__main__":
    main()
