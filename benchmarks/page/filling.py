"""A home with as many visits as a station has after some years, written as quickly as SQLite takes them."""

from __future__ import annotations

import io
import json
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from birdwatchd.records import new_visit_id
from birdwatchd.store import Store
from birdwatchd.testing import bird_image

__all__ = ["CAMERAS", "SPECIES", "fill", "newest_id"]

YEARS = 5
CAMERAS = ("nut", "seed", "water", "gate")
SPECIES = [(f"Bird number {n}", f"Avis {chr(97 + n // 26)}{chr(97 + n % 26)}us") for n in range(120)]
STATES = ("confirmed",) * 14 + ("uncertain",) * 3 + ("unknown",) * 2 + ("rejected",)
PICTURED = 40_000  # of the newest, which alone still have pictures: older ones went to keep the limits
PART = 20_000
VISIT = (
    "INSERT INTO visit (id, camera_id, started_at, ended_at, last_seen_at, state, rank, common_name, scientific_name,"
    " species, score, top, reasons, count_max, moments, model_id, revision, phase, firsts, updated_at, rare)"
    " VALUES (?, ?, ?, ?, ?, ?, 'species', ?, ?, ?, ?, ?, '[]', ?, 1, 1, 2, 'final', ?, ?, ?)"
)
MOMENT = (
    "INSERT INTO moment (visit_id, idx, at, box, quality, top, embedding, dim, model_id, crop, width, height,"
    " bird_evidence) VALUES (?, 0, ?, '[0.1, 0.2, 0.3, 0.4]', 0.5, '[]', ?, 4, 1, ?, 300, 300, 3.0)"
)
CROP = "media/nut/bird.jpg"  # of all: what is measured is not the disk


def fill(home: Path, count: int, now: datetime) -> None:
    """Make a home with so many visits, spread over five years up to now; few are firsts or rare."""
    Store.open(home, zone=ZoneInfo("UTC")).close()
    picture = io.BytesIO()
    bird_image().resize((300, 300)).save(picture, "JPEG")
    (home / CROP).parent.mkdir(parents=True)
    (home / CROP).write_bytes(picture.getvalue())
    connection = sqlite3.connect(home / "birdwatchd.sqlite3", isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    began = _time(now)
    connection.executemany(
        "INSERT INTO camera (id, key, name, first_seen) VALUES (?, ?, ?, ?)",
        [(number, key, key, began) for number, key in enumerate(CAMERAS, 1)],
    )
    connection.execute("INSERT INTO model (id, name, version, dim) VALUES (1, 'bench', '1', 4)")
    for first in range(0, count, PART):
        rows = list(_visits(range(first, min(first + PART, count)), count, now))
        connection.execute("BEGIN")
        connection.executemany(VISIT, rows)
        pictured = rows[max(0, count - PICTURED - first) :]
        connection.executemany(MOMENT, [(row[0], row[2], bytes(8), CROP) for row in pictured])
        reviewed = [row for number, row in enumerate(rows) if number % 50 == 0 or first + number > count - 3000]
        connection.executemany(
            "INSERT INTO review (visit_id, at, verdict, by) VALUES (?, ?, 'confirm', 'ann')",
            [(row[0], row[2]) for row in reviewed],
        )
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def newest_id(home: Path) -> str:
    """The id of the newest visit."""
    with sqlite3.connect(home / "birdwatchd.sqlite3") as connection:
        return str(connection.execute("SELECT id FROM visit ORDER BY started_at DESC LIMIT 1").fetchone()[0])


def _visits(numbers: range, count: int, now: datetime) -> Iterator[tuple[Any, ...]]:
    step = timedelta(days=365 * YEARS) / count
    for number in numbers:
        rng = random.Random(number)
        at = now - step * (count - number)
        state = rng.choice(STATES)
        common, scientific = SPECIES[min(int(rng.expovariate(0.08)), len(SPECIES) - 1)]
        species = scientific if state == "confirmed" else None
        rare, first = rng.random() < 0.00009, rng.random() < 0.00009
        top = json.dumps([[common, 0.8], [SPECIES[3][0], 0.1], [SPECIES[7][0], 0.05]])
        start, end = _time(at), _time(at + timedelta(seconds=20))
        yield (
            new_visit_id(at, number),
            number % len(CAMERAS) + 1,
            start,
            end,
            end,
            state,
            common if state != "unknown" else None,
            scientific if state != "unknown" else None,
            species,
            rng.random(),
            top,
            1 + number % 3,
            '["year", "season", "today"]' if first and species else "[]",
            end,
            int(rare),
        )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
