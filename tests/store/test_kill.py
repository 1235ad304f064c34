"""kill -9 at any moment: the database says exactly what was seen and what of it was told."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.store import Store
from birdwatchd.store.media import Media, Swept

KILLS = 16
WRITER = Path(__file__).parents[1] / "support" / "killed_writer.py"


def write_and_kill(home: Path, after_s: float) -> None:
    writer = subprocess.Popen([sys.executable, str(WRITER), str(home)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    threading.Event().wait(after_s)
    writer.kill()
    writer.wait(10)
    writer.stdout.close()


def files(home: Path) -> set[str]:
    return {str(p.relative_to(home)) for p in (home / "media").rglob("*") if p.is_file() and p.name != ".swept"}


def test_nothing_is_half_written_after_kill_9(tmp_path: Path) -> None:
    """Power cuts and OOM kills happen at feeders; afterwards rows, files and messages must still agree."""
    chance = random.Random(2026)
    strays = 0
    for _ in range(KILLS):
        write_and_kill(tmp_path, chance.uniform(0.0, 0.4))
        database = sqlite3.connect(tmp_path / "birdwatchd.sqlite3")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        orphans = "SELECT count(*) FROM moment WHERE visit_id NOT IN (SELECT id FROM visit)"
        assert database.execute(orphans).fetchone() == (0,)
        named = {row[0] for row in database.execute("SELECT crop FROM moment")}
        assert named <= files(tmp_path), "a row names a crop that is not there"
        told = defaultdict(set)
        keyed = "SELECT visit_id, revision FROM outbox WHERE key IS NOT NULL AND channel IS NULL"
        for visit_id, revision in database.execute(keyed):
            told[visit_id].add(revision)
        revisions = dict(database.execute("SELECT id, revision FROM visit").fetchall())
        assert told == {visit: {1, 3} if revision == 3 else {1} for visit, revision in revisions.items()}
        rung = database.execute("SELECT visit_id, revision FROM outbox WHERE channel = 'phone' ORDER BY id").fetchall()
        assert sorted(rung) == sorted((visit, 2) for visit, revision in revisions.items() if revision >= 2)
        noted = database.execute("SELECT visit_id FROM alert").fetchall()
        assert sorted(visit for (visit,) in noted) == sorted(visit for visit, _ in rung)
        moments = dict(database.execute("SELECT visit_id, count(*) FROM moment GROUP BY visit_id").fetchall())
        assert moments == {visit: 2 * revision for visit, revision in revisions.items()}
        database.close()
        with Store.open(tmp_path, zone=ZoneInfo("UTC")) as store:
            swept = store.sweep(datetime.now(UTC))
            strays += swept.moved + swept.deleted
            assert swept.left == 0
        assert files(tmp_path) == named
    assert len(revisions) >= 3
    print(f"{KILLS} kills, {len(revisions)} visits, {strays} stray files swept")


def test_a_sweep_finds_what_a_crash_left(tmp_path: Path) -> None:
    """Strays are found in a folder that changed, and a folder that did not change is not even listed."""
    with Store.open(tmp_path, zone=ZoneInfo("UTC")) as store:
        folder = tmp_path / "media/nut/2024/02/29"
        folder.mkdir(parents=True)
        for name in ("V1-0.jpg", ".V1-1.jpg.part", "notes.txt"):
            (folder / name).write_bytes(b"x")
        assert store.sweep(datetime.now(UTC)) == Swept(moved=1, deleted=1)
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]
        assert (tmp_path / "lost+found/media/nut/2024/02/29/V1-0.jpg").read_bytes() == b"x"
        assert store.sweep(datetime.now(UTC)) == Swept()


def test_a_sweep_that_was_killed_is_done_again(tmp_path: Path) -> None:
    """The next start must not take a folder for swept because the last start had meant to."""
    folder = tmp_path / "media/nut/2024/02/29"
    folder.mkdir(parents=True)
    (folder / "V1-0.jpg").write_bytes(b"x")

    def killed(visit_ids: list[str]) -> set[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Media(tmp_path).sweep(killed, datetime.now(UTC))
    assert Media(tmp_path).sweep(lambda visit_ids: set(), datetime.now(UTC)).moved == 1
    assert list(folder.iterdir()) == []
