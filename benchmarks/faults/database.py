"""A database that another process holds, and one that is damaged and repaired as its own message advises."""

from __future__ import annotations

import queue
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.faults.row import Row
from benchmarks.faults.station import Station
from tests.support import homes
from tests.support.accounts import begin
from tests.support.lives import ROOT, wait_until_idle

__all__ = ["flip", "holding", "lock", "truncate"]

_LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""
DAMAGED = 3  # exit status


@contextmanager
def holding(database: Path) -> Iterator[None]:
    """Hold the database from another process."""
    command = [sys.executable, "-c", _LOCK, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            other.communicate("\n")


def lock(station: Station, times: int, chance: random.Random, seconds: float = 30.0) -> Row:
    """Somebody looks into the database with another program, and leaves a transaction open."""
    life = station.start()
    life.until_it_watches()
    for _ in range(times):
        station.wait_for_visit(time.time() - 1.0)
        time.sleep(chance.uniform(0.0, 2.0))
        with holding(station.home.path):
            locked_s = time.time()
            time.sleep(seconds)
            station.note()
        station.recover(partial(station.visits_since, locked_s), "a visit that had to wait")

    return station.finish(f"database locked by another process for {seconds:.0f} s", times)


def truncate(station: Station, times: int, chance: random.Random) -> Row:
    """Half of the file is gone, as after a copy that was cut off."""
    fault = "database cut to half, `doctor --repair`"
    return _damage(station, times, chance, fault, lambda home, _: homes.truncate(home))


def flip(station: Station, times: int, chance: random.Random) -> Row:
    """Bytes are no longer what they were, as on a memory card that wears out."""
    return _damage(station, times, chance, "bytes of the database changed, `doctor --repair`", homes.flip)


def _damage(
    station: Station, times: int, chance: random.Random, fault: str, damage: Callable[[Path, int], object]
) -> Row:
    """Stop, damage, see it refused with one line, repair, and start again: this is what takes the time."""
    life = station.start()
    for _ in range(times):
        known = station.home.count("visit WHERE ended_at IS NOT NULL")
        life.until_it_writes(f"(SELECT 1 FROM visit WHERE ended_at IS NOT NULL LIMIT 1 OFFSET {known + 1})")
        station.break_watching()
        for line in station.camera_lines.values():
            line.cut()
        wait_until_idle(station.home)
        life.terminate()
        life.status()
        station.note()
        damage(station.home.folder, chance.randrange(1000))
        for line in station.camera_lines.values():
            line.mend()
        began_s = time.monotonic()
        _refused(station)
        repair = [sys.executable, "-m", "birdwatchd", "doctor", "--repair", "-c", str(station.home.config)]
        done = subprocess.run(repair, cwd=ROOT, capture_output=True, text=True, check=False)
        if "Traceback" in done.stderr:
            station.problems.append(f"`doctor --repair` ended with status {done.returncode} and a traceback")
        begin(station.home)  # the tables by which the messages are counted are none of ours to repair
        life = station.start()
        life.until_it_watches()
        station.recovered_s.append(time.monotonic() - began_s)
    return station.finish(fault, times)


def _refused(station: Station) -> None:
    """A start on a damaged database ends with status 3 and one line; where SQLite notices nothing, it is stopped."""
    life = station.start()
    until_s = time.monotonic() + 60.0
    while life.log.count(": online, ") == 0 and time.monotonic() < until_s:
        try:
            status = life.status(0.5)
        except queue.Empty:  # it runs still
            continue
        if status != DAMAGED or "Traceback" in life.log:
            station.problems.append(f"a start on the damaged database ended with status {status}: {life.log[-300:]}")
        return
    station.break_watching()
    life.terminate()
    life.status()
