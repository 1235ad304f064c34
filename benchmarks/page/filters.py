"""Ask for every combination of filters, with values that many, few and no visits have, and find the slowest ones."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.page.filling import CAMERAS, SPECIES
from birdwatchd.records import State
from birdwatchd.store import StoreReader
from birdwatchd.store.pages.cards import CardFilter, Place

__all__ = ["make_hard", "slowest"]

SIZE = 24  # of a page
SHOWN = 20
SCORES = ((None, None), (1.0, None), (0.5, 0.5), (0.85, None), (0.995, 0.9951))
AGAIN_S = 0.02  # whatever takes longer is asked twice more: other programs use the processor's caches
HARD = """
UPDATE visit SET score = score / 1.25 WHERE started_at > :middle;
UPDATE visit SET rare = 1 WHERE rowid % 5 = 0;
UPDATE visit SET firsts = '["today"]' WHERE species IS NOT NULL AND rowid % 20 = 1;
INSERT INTO review (visit_id, at, verdict, by) SELECT id, started_at, 'confirm', 'ann' FROM visit WHERE NOT reviewed;
"""


def combinations(now: datetime) -> Iterator[tuple[CardFilter, Place | None]]:
    """All of them; a span is none, an hour four years ago, or one in which there was nothing yet."""
    old = now - timedelta(days=1500)
    before = now - timedelta(days=9000)
    choices: dict[str, Sequence[Any]] = {
        "species": (None, SPECIES[0][1], SPECIES[90][1], "Nullus nullus"),
        "camera": (None, CAMERAS[0], "nowhere"),
        "states": ((), *((state,) for state in State)),
        "span": ((None, None), (old, old + timedelta(hours=1)), (before, before + timedelta(days=1))),
        **dict.fromkeys(("firsts", "rare", "unreviewed"), (False, True)),
        "scores": SCORES,
        "after": (None, Place(now - timedelta(days=900), "x")),
    }
    for values in itertools.product(*choices.values()):
        given = dict(zip(choices, values, strict=True))
        (since, until), (least, most), after = given.pop("span"), given.pop("scores"), given.pop("after")
        yield CardFilter(**given, since=since, until=until, least=least, most=most), after


def make_hard(home: Path, now: datetime) -> None:
    """Let every visit be reviewed, scores from 80 % on be old ones only, a fifth be rare, and many be firsts."""
    middle = f"{now - timedelta(days=900):%Y-%m-%d}"
    connection = sqlite3.connect(home / "birdwatchd.sqlite3", isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    for statement in filter(str.strip, HARD.split(";")):
        connection.execute(statement, {"middle": middle} if ":middle" in statement else {})
    connection.execute("COMMIT")
    connection.close()


def slowest(home: Path, now: datetime) -> str:
    """The slowest of them in processor time of the database's answer."""
    took: list[tuple[float, CardFilter, Place | None]] = []
    with StoreReader.open_existing(home) as store:
        for wanted, after in combinations(now):
            seconds = _asked(store, wanted, after)
            if seconds > AGAIN_S:
                seconds = min(seconds, *(_asked(store, wanted, after) for _ in range(2)))
            took.append((seconds, wanted, after))
    took.sort(key=lambda one: one[0], reverse=True)
    lines = [f"{seconds * 1000:6.0f} ms  {_words(wanted, after)}" for seconds, wanted, after in took[:SHOWN]]
    return "\n".join([f"{len(took)} combinations of filters; the slowest, in processor time:", *lines])


def _asked(store: StoreReader, wanted: CardFilter, after: Place | None) -> float:
    began_s = time.process_time()
    store.cards.page(wanted, SIZE, after)
    return time.process_time() - began_s


def _words(wanted: CardFilter, after: Place | None) -> str:
    """What is set of a filter."""
    plain = CardFilter()
    given: dict[str, Any] = {one.name: getattr(wanted, one.name) for one in fields(CardFilter)}
    said = [f"{name}={_word(value)}" for name, value in given.items() if value != getattr(plain, name)]
    return ", ".join([*said, *(["after=…"] if after is not None else [])]) or "all"


def _word(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    return "/".join(value) if isinstance(value, tuple) else str(value)
