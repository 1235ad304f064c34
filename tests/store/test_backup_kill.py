"""kill -9 of a backup or a restore at any moment: there is always a usable backup, and the home is as it was."""

from __future__ import annotations

import hashlib
import os
import platform
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.store import Store, back_up, restore
from birdwatchd.testing import START, example_moment, example_visit

KILLS = int(os.environ.get("BIRDWATCHD_KILLS", "5"))
SUPPORT = Path(__file__).parents[1] / "support"
NOW = datetime(2026, 5, 2, tzinfo=UTC)


@contextmanager
def started(script: str, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has loaded everything, killed at the end."""
    command = [sys.executable, str(SUPPORT / script), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
        assert process.poll() is None, process.stderr.read().decode()  # it was the kill that ended it
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
        process.stderr.close()


def contents(folder: Path) -> dict[str, str]:
    """Every file with a digest; of databases what they say, since opening one may move its log into it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(".sqlite3"):
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                found[path.name] = hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()
        elif path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock")):
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def check_home(home: Path) -> int:
    """A whole database, and no row names a file that is not there; how many visits it has."""
    with closing(sqlite3.connect(home / "birdwatchd.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        named = {row[0] for row in database.execute("SELECT crop FROM moment WHERE crop IS NOT NULL")}
        assert named
        assert all((home / name).stat().st_size for name in named)
        return int(database.execute("SELECT count(*) FROM visit").fetchone()[0])


def write_some(home: Path) -> None:
    """Let a process write some visits, and kill it."""
    with started("killed_writer.py", home):
        while len(list(home.glob("media/*/*/*/*/*.jpg"))) < 20:
            threading.Event().wait(0.05)


@pytest.fixture(params=["same disk", "other disk"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on the same file system, where files are linked, or on another one, where they are copied."""
    if request.param == "same disk":
        yield tmp_path / "backup"
        return
    memory = Path("/dev/shm")  # a file system in memory
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system: /dev/shm that can be written")
    with tempfile.TemporaryDirectory(dir=memory, prefix="birdwatchd-") as folder:
        yield Path(folder) / "backup"


def test_a_killed_backup_leaves_a_usable_one(tmp_path: Path, target: Path) -> None:
    """Power cuts do not wait for the nightly backup, and on that day it is the one that is needed."""
    chance, home, counts = random.Random(2026), tmp_path / "home", [0]
    write_some(home)
    with started("killed_writer.py", home) as writer:
        back_up(home, target, NOW, machine=platform.node())
        for number in range(KILLS):
            with started("killed_command.py", "backup", target, "--home", home, "--keep", "2"):
                threading.Event().wait(chance.uniform(0.0, 0.8))
            assert 1 <= len(list(target.glob("birdwatchd-*.sqlite3"))) <= 3
            restored = restore(target, tmp_path / f"again{number}")
            assert restored.media.missing == 0
            counts.append(check_home(tmp_path / f"again{number}"))
            shutil.rmtree(tmp_path / f"again{number}")
        assert writer.poll() is None
    assert counts == sorted(counts), "a newer backup has less than an older one"
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        store.sweep(datetime.now(UTC))
    assert check_home(home) >= counts[-1]
    last = back_up(home, target, NOW, machine=platform.node(), keep=1)
    left = {path.name for path in target.iterdir()}
    assert left == {"birdwatchd-backup.json", "birdwatchd-backup.lock", "media", last.database.name}
    named = {path.relative_to(home) for path in (home / "media").rglob("*.jpg")}
    assert {path.relative_to(target) for path in (target / "media").rglob("*") if path.is_file()} == named
    print(f"{KILLS} kills, visits in the backups: {counts}")


def test_a_killed_backup_leaves_the_home_alone(tmp_path: Path) -> None:
    """A backup only reads: not a byte of what a home says may change, whenever it is cut off; it says when it was."""
    chance, home = random.Random(7), tmp_path / "home"
    write_some(home)
    Store.open(home, zone=ZoneInfo("UTC")).close()
    before = contents(home)
    for _ in range(KILLS):
        with started("killed_command.py", "backup", tmp_path / "backup", "--home", home):
            threading.Event().wait(chance.uniform(0.0, 0.3))
        now = contents(home)
        assert set(now) - set(before) <= {"last-backup.json"}
        assert {name: digest for name, digest in now.items() if name in before} == before


def test_a_killed_restore_is_none_and_can_be_run_again(tmp_path: Path, target: Path) -> None:
    """Half a home must never be taken for a whole one, and the backup must outlive every try."""
    chance, home = random.Random(11), tmp_path / "home"
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        for number in range(300):
            visit = example_visit(f"v{number}", start=START + timedelta(hours=number))
            store.writer().record(visit, [example_moment(0, jpeg=bytes(20_000))], NOW)
        back_up(home, target, NOW, machine=platform.node())
    before, whole, cut, kills = contents(target), 0, 0, 0
    fresh, began_s = tmp_path / "fresh", time.monotonic()
    restore(target, tmp_path / "first")
    took_s = time.monotonic() - began_s
    while kills < KILLS or (not cut and kills < 10 * KILLS):
        kills += 1
        with started("killed_command.py", "restore", target, "--home", f"{fresh}{{}}"):
            threading.Event().wait(chance.uniform(0.0, 0.2 + 2 * took_s))  # the first one loads what it needs
        assert contents(target) == before
        for one in sorted(tmp_path.glob("fresh*")):
            if (one / "birdwatchd.sqlite3").exists():
                whole += 1
            else:
                cut += 1
                restore(target, one)
            assert check_home(one) == 300
            shutil.rmtree(one)
    assert cut
    print(f"{kills} kills: {whole} restores were whole, {cut} were run again")


def test_a_killed_replacement_keeps_a_whole_database(tmp_path: Path) -> None:
    """`--replace` is typed on a bad day; a power cut on top of it must not cost what was still there."""
    chance, home, folder = random.Random(13), tmp_path / "home", tmp_path / "backup"
    with Store.open(home, zone=ZoneInfo("UTC")) as store:
        for number in range(50):
            visit = example_visit(f"v{number}", start=START + timedelta(hours=number))
            store.writer().record(visit, [example_moment(0)], NOW)
        back_up(home, folder, NOW, machine=platform.node())
        store.writer().record(example_visit("newer", start=START), [example_moment(0)], NOW)
    for _ in range(KILLS):
        with started("killed_command.py", "restore", folder, "--home", home, "--replace"):
            threading.Event().wait(chance.uniform(0.0, 0.3))
        assert check_home(home) in (50, 51)
    assert any(check_home_file(path) == 51 for path in home.glob("*.sqlite3"))


def check_home_file(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(database.execute("SELECT count(*) FROM visit").fetchone()[0])
