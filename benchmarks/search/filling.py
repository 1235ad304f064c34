"""A database with a million embeddings, written as quickly as SQLite takes them, and what float32 says of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import new_visit_id
from birdwatchd.store import Store

Floats = NDArray[np.float32]

PART = 20_000  # vectors made at once
MOMENTS = 4  # of a visit
CLASSES = 550  # of which logits are kept, as for the default weights
MODEL = "bench@1"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Looks:
    """What is drawn: so many kinds of birds, and how much pictures of one differ, of how much kinds do."""

    dim: int
    kinds: int
    spread: float

    def part(self, begin: int) -> Floats:
        """Vectors of birds of any kind, float32 (PART, dim); the same for the same `begin`."""
        kinds = np.random.default_rng(0).normal(size=(self.kinds, self.dim)).astype(np.float32)
        rng = np.random.default_rng(begin + 1)
        noise = rng.normal(0, self.spread, (PART, self.dim)).astype(np.float32)
        return kinds[rng.integers(0, self.kinds, PART)] + noise

    def parts(self, count: int) -> Iterator[Floats]:
        """All vectors that are stored, in the order of their visits."""
        for begin in range(0, count, PART):
            yield self.part(begin)[: count - begin]

    def asked(self, count: int) -> Floats:
        """Others of the same kinds."""
        return self.part(1_000_000_000)[:count].copy()


def visit_id(number: int) -> str:
    """Ids of visits half a minute apart."""
    return new_visit_id(BEGINNING + timedelta(seconds=30 * number), number)


def fill(home: Path, count: int, looks: Looks) -> None:
    """Make a home with so many embeddings; logits of zeros, as long as real ones, lie before them."""
    Store.open(home, zone=ZoneInfo("UTC")).close()
    connection = sqlite3.connect(home / "birdwatchd.sqlite3", isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("INSERT INTO camera (id, key, name, first_seen) VALUES (1, 'nut', 'nut', ?)", (_time(0),))
    connection.execute("INSERT INTO model (id, name, version, dim) VALUES (1, 'bench', '1', ?)", (looks.dim,))
    number = 0
    for vectors in looks.parts(count):
        write(connection, vectors, number)
        number += -(-len(vectors) // MOMENTS)
    connection.close()


def forget_after(home: Path, count: int) -> None:
    """Delete what was written after the first `count` embeddings."""
    connection = sqlite3.connect(home / "birdwatchd.sqlite3")
    with connection:
        for table, column in (("moment", "visit_id"), ("visit", "id")):
            connection.execute(f"DELETE FROM {table} WHERE {column} >= ?", (visit_id(-(-count // MOMENTS)),))
    connection.close()


def write(connection: sqlite3.Connection, vectors: Floats, first: int) -> None:
    """Write visits of MOMENTS vectors each, numbered from `first` on, in one transaction."""
    logits, numbers = bytes(2 * CLASSES), range(first, first - (-len(vectors) // MOMENTS))
    halves = vectors.astype("<f2")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO visit (id, camera_id, started_at, ended_at, last_seen_at, state, rank, common_name, score, top, "
        "reasons, count_max, moments, model_id, revision, phase, firsts, updated_at) VALUES "
        "(?, 1, ?, ?, ?, 'confirmed', 'species', 'Great tit', 0.9, '[]', '[]', 1, ?, 1, 1, 'final', '[]', ?)",
        ((visit_id(n), *[_time(n)] * 3, MOMENTS, _time(n)) for n in numbers),
    )
    connection.executemany(
        "INSERT INTO moment (visit_id, idx, at, box, quality, top, logits, embedding, dim, model_id, width, height) "
        "VALUES (?, ?, ?, '[0.1, 0.2, 0.3, 0.4]', 0.5, '[]', ?, ?, ?, 1, 99, 99)",
        (
            (visit_id(first + i // MOMENTS), i % MOMENTS, _time(first), logits, row.tobytes(), len(row))
            for i, row in enumerate(halves)
        ),
    )
    connection.execute("COMMIT")


def best_by_brute_force(queries: Floats, count: int, looks: Looks) -> list[list[str]]:
    """For each query, the ten visits with the highest cosine by float32, of the vectors before they became float16."""
    wanted = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    scores = []
    for vectors in looks.parts(count):
        cosines = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ wanted.T
        scores.append(np.maximum.reduceat(cosines, np.arange(0, len(cosines), MOMENTS)))
    best = np.argsort(-np.concatenate(scores), axis=0)[:10]
    return [[visit_id(number) for number in column] for column in best.T.tolist()]


def _time(number: int) -> str:
    return (BEGINNING + timedelta(seconds=30 * number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
