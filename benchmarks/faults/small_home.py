"""A small file system that is full, with retention on: do visits go on, and are the newest rarities' pictures there?"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.faults.day import run_day
from benchmarks.faults.film import BIRDS, RARE, Film
from benchmarks.faults.station import station
from birdwatchd.records import Visit, new_visit_id
from birdwatchd.store import Store, StoreReader
from birdwatchd.testing import example_moment, example_visit
from tests.support.accounts import ZONE
from tests.support.lives import Home, Nursery
from tests.support.small_disk import fill, small_disk

__all__ = ["Full", "fast", "real"]

MEGABYTES = 128
OLD, OLD_BYTES = 250, 200_000  # visits of last year, and the size of their pictures
NEWEST = 20  # rarities whose pictures must be there
RETENTION = {"min_free_gb": 0.001}  # less than what clips need, which counts as that


@dataclass(frozen=True, slots=True)
class Full:
    """What came of it.

    Attributes:
        hours: that passed for the cameras, in `real_s` seconds of the real clock.
        least_free, most_free: bytes, after the file system was full for the first time.
        visits: that came, and `stored`: of these, in the database in the end.
        rare: stored visits of the rare species; `newest`: of the newest, so many were looked at, and so many of these
            have a picture (`newest_with_picture`).
        old_pictures: of visits of last year that are left, of `OLD`.
        problems: what else went wrong.
    """

    title: str
    hours: float
    real_s: float
    least_free: int
    most_free: int
    visits: int
    stored: int
    with_picture: int
    rare: int
    newest: int
    newest_with_picture: int
    old_pictures: int
    problems: tuple[str, ...]


def fast(work: Path, folder: Path, minutes: float, visits: int, hours: float) -> Full:
    """Some hours of eight cameras, faster than they pass (see `benchmarks.faults.day`)."""
    folder.mkdir(parents=True, exist_ok=True)
    with small_disk(folder / "disk", MEGABYTES) as disk:
        home = disk / "home"
        write_old(home)
        began_s = time.monotonic()
        with run_day(work, folder / "day", minutes, visits, home=home, retention=RETENTION) as day:
            fill(disk)
            day.live(hours, None)
            day.end()
            free = [sample.free for sample in day.samples]
            return _counted(
                "faster than time passes", day.home, day.hour, time.monotonic() - began_s, free, day.begun, day.problems
            )


def real(film: Film, folder: Path, nursery: Nursery, minutes: float) -> Full:
    """Two cameras in real time, clips included."""
    folder.mkdir(parents=True, exist_ok=True)
    with small_disk(folder / "disk", MEGABYTES) as disk:
        home = disk / "home"
        write_old(home)
        expected = [name for name in BIRDS if name != RARE]
        with station(
            folder / "station", film, nursery, home=home, retention=RETENTION, species={"allow": expected}
        ) as here:
            here.start().until_it_watches()
            fill(disk)
            free, began_s = [], time.monotonic()
            while time.monotonic() - began_s < minutes * 60:
                free.append(_free(home))
                time.sleep(2.0)
            real_s = time.monotonic() - began_s
            row = here.finish("", 1)
            came, stored = row.birds, row.birds_stored
            full = _counted("in real time", here.home, real_s / 3600, real_s, free, set(), list(row.lost))
            return Full(**{name: getattr(full, name) for name in Full.__slots__} | {"visits": came, "stored": stored})


def write_old(home: Path) -> None:
    """Fill the home with visits of last year."""
    now = datetime.now(UTC)
    with Store.open(home, zone=ZONE) as store:
        for number in range(OLD):
            start = now - timedelta(days=300) + timedelta(minutes=10 * number)
            visit = example_visit(new_visit_id(start, number), start=start)
            jpeg = b"\xff\xd8" + os.urandom(OLD_BYTES) + b"\xff\xd9"  # what is looked at of a picture
            store.writer().record(visit, [example_moment(jpeg=jpeg)], now)


def _free(home: Path) -> int:
    facts = os.statvfs(home)
    return facts.f_bavail * facts.f_frsize


def _counted(
    title: str, home: Home, hours: float, real_s: float, free: Sequence[int], begun: set[str], problems: Sequence[str]
) -> Full:
    with StoreReader.open_existing(home.folder) as store:
        found = store.visits.find()
        pictured = {visit.visit_id for visit in found if _has_picture(store, visit)}
    old = {visit.visit_id for visit in found[:OLD]}
    rare = [visit.visit_id for visit in found if visit.verdict.rare]
    newest = rare[-NEWEST:]
    first_full = next((n for n, size in enumerate(free) if size == 0), 0)
    return Full(
        title,
        hours,
        real_s,
        min(free[first_full:]),
        max(free[first_full + 1 :], default=0),
        len(begun),
        len(begun & {visit.visit_id for visit in found}),
        len(pictured - old),
        len(rare),
        len(newest),
        len(pictured & set(newest)),
        len(pictured & old),
        tuple(problems),
    )


def _has_picture(store: StoreReader, visit: Visit) -> bool:
    return any(m.crop is not None and m.crop.exists() for m in store.visits.moments(visit.visit_id))
