"""Make homes with visits, and break them as disks, people and power cuts do."""

from __future__ import annotations

import io
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image

from birdwatchd.records import Crop, Visit, clip_path, new_visit_id
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.testing import START, example_moment, example_visit

UTC = ZoneInfo("UTC")
NAMES = ("House sparrow", "Great tit", "Eurasian hoopoe")


def picture(seed: int) -> bytes:
    """A JPEG of noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "JPEG")
    return data.getvalue()


def fill(home: Path, visits: int = 12, crops: int = 3, *, first: int = 0) -> list[Visit]:
    """Write visits, one an hour, with real pictures; every third has a clip, and the first of all a review."""
    written = []
    with Store.open(home, zone=UTC) as store:
        writer = store.writer()
        for number in range(first, first + visits):
            start = START + timedelta(hours=number)
            name = NAMES[number % len(NAMES)]
            visit_id = new_visit_id(start, number)
            rows = []
            for index in range(crops):
                row = example_moment(index, quality=0.3 + index / 10)
                crop = Crop(picture(number * 100 + index), 24, 24)
                at = start + timedelta(seconds=index)
                rows.append(replace(row, moment=replace(row.moment, at=at, crop=crop)))
            here = example_visit(visit_id, name, camera="nut", start=start, end=None, moments=1, revision=1)
            writer.record(here, rows[:1], start)
            over = replace(here, revision=2, moments=crops, end=start + timedelta(seconds=9))
            writer.record(over, rows[1:], start)
            if number % 3 == 0:
                clip = home / clip_path("nut", visit_id)
                clip.write_bytes(b"video")
                writer.record(replace(over, revision=3, clip=clip_path("nut", visit_id)), [], start)
            if number == 0:
                writer.review(visit_id, Review(ReviewVerdict.CONFIRM, "ann"), start)
            found = store.visits.get(visit_id)
            assert found is not None
            written.append(found)
    return written


def database(home: Path) -> Path:
    """The database file of a home."""
    return home / "birdwatchd.sqlite3"


def media(home: Path) -> set[str]:
    """All crops and clips, relative to home."""
    return {path.relative_to(home).as_posix() for path in (home / "media").rglob("*.[jm]p[g4]")}


def named(home: Path) -> set[str]:
    """What rows name."""
    with closing(sqlite3.connect(database(home))) as connection:
        query = "SELECT crop FROM moment WHERE crop IS NOT NULL UNION SELECT clip FROM visit WHERE clip IS NOT NULL"
        return {name for (name,) in connection.execute(query)}


def drop_sums(connection: sqlite3.Connection) -> None:
    """Take away the sums of schema 0012."""
    for trigger in ("insert", "update", "count", "delete", "doubt"):
        connection.execute(f"DROP TRIGGER species_month_{trigger}")
    connection.execute("DROP TABLE species_month")


def drop_filters(connection: sqlite3.Connection) -> None:
    """Take away what schema 0013 added; the indexes that it replaced are those of 0012 again."""
    connection.executescript("""
        DROP TRIGGER reviewed_insert; DROP TRIGGER reviewed_update; DROP TRIGGER reviewed_delete;
        DROP INDEX ix_visit_of_camera; DROP INDEX ix_visit_of_species; DROP INDEX ix_review_at;
        DROP INDEX ix_visit_rare; DROP INDEX ix_visit_firsts; DROP INDEX ix_visit_score; DROP INDEX ix_visit_unreviewed;
        ALTER TABLE visit DROP COLUMN reviewed;
        CREATE INDEX ix_visit_camera_id_state_started_at ON visit (camera_id, state, started_at);
        CREATE INDEX ix_visit_species_started_at_count_max_clock ON visit (species, started_at, count_max, clock);
        CREATE INDEX ix_visit_rare ON visit (started_at) WHERE rare IS 1;
        CREATE INDEX ix_visit_firsts ON visit (started_at) WHERE firsts != '[]';
    """)


def drop_lists(connection: sqlite3.Connection) -> None:
    """Take away the indexes of schema 0011."""
    for index in ("ix_visit_rare", "ix_visit_firsts", "ix_visit_species_started_at_count_max_clock"):
        connection.execute(f"DROP INDEX {index}")


def make_older(connection: sqlite3.Connection) -> None:
    """Make a database what it was with schema 0006, before moments said how much of a bird they show."""
    drop_filters(connection)
    drop_sums(connection)
    drop_lists(connection)
    connection.execute("ALTER TABLE moment DROP COLUMN bird_evidence")
    connection.execute("DROP INDEX ix_visit_clock")
    connection.executescript("DROP INDEX ix_scanned_content; ALTER TABLE scanned DROP COLUMN content")
    for table in ("visit", "effort"):
        connection.execute(f"ALTER TABLE {table} DROP COLUMN clock")
    for table in ("clock", "going"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("UPDATE alembic_version SET version_num = '0006'")


def truncate(home: Path) -> None:
    """A copy that was cut off."""
    data = database(home).read_bytes()
    database(home).write_bytes(data[: len(data) // 2])


def empty(home: Path) -> None:
    """What a full disk makes of a file that is written anew."""
    database(home).write_bytes(b"")


def replace_by_text(home: Path) -> None:
    """Somebody saved something else there."""
    database(home).write_bytes(b"<html>not found</html>" * 999)


def lose(home: Path) -> None:
    """The old advice: move it away."""
    database(home).unlink()


def lose_all_but_log(home: Path) -> None:
    """Only the write-ahead log was copied."""
    database(home).rename(home / "birdwatchd.sqlite3-wal")


def wipe_index(home: Path) -> None:
    """A page of an index is full of zeros."""
    with closing(sqlite3.connect(database(home))) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_visit_started_at'"
        (page,) = connection.execute(query).fetchone()
    data = bytearray(database(home).read_bytes())
    data[(page - 1) * size : page * size] = bytes(size)
    database(home).write_bytes(data)


def spoil_index(home: Path) -> None:
    """The entries of an index are gone, its page is not."""
    with closing(sqlite3.connect(database(home))) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_visit_started_at'"
        (page,) = connection.execute(query).fetchone()
    data = bytearray(database(home).read_bytes())
    start = (page - 1) * size
    data[start + 3 : start + 7] = b"\x00\x00\x00\x00"  # no cells; their content begins at the end of the page
    database(home).write_bytes(data)


def flip(home: Path, seed: int) -> None:
    """Bytes change at random places."""
    chance = random.Random(seed)
    data = bytearray(database(home).read_bytes())
    for _ in range(chance.choice((1, 3, 10, 40))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    database(home).write_bytes(data)


BREAKS: dict[str, Callable[[Path], None]] = {
    "cut off": truncate,
    "empty": empty,
    "no database": replace_by_text,
    "lost": lose,
    "only the log is left": lose_all_but_log,
    "index page wiped": wipe_index,
    "index entries lost": spoil_index,
}
