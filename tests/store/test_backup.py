"""Backups and restores: what is copied, what is refused, what an upgrade keeps."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.errors import ConfigError, StoreBusy, StoreError, StoreFull, StoreTooNew
from birdwatchd.records import clip_path, new_visit_id
from birdwatchd.store import Store, Writer, back_up, migrations, restore
from birdwatchd.store.backup.database_copy import copy_database, verify
from birdwatchd.testing import START, example_moment, example_visit
from tests.support.homes import drop_filters

NOW = datetime(2026, 5, 2, tzinfo=UTC)
MACHINE = "test"


def fill(store: Store, visits: int = 5, first: int = 0) -> None:
    """Visits with two pictures and a clip each."""
    for number in range(first, first + visits):
        start = START + timedelta(hours=number)
        visit = example_visit(new_visit_id(start, number), start=start)
        store.writer().record(visit, [example_moment(0), example_moment(1)], NOW)
        clip = store.home / clip_path(visit.camera, visit.visit_id)
        clip.write_bytes(b"video" * number)
        with_clip = replace(visit, revision=2, clip=clip_path(visit.camera, visit.visit_id))
        store.writer().record(with_clip, [], NOW)


def files(folder: Path) -> dict[str, bytes]:
    media = folder / "media"
    return {str(path.relative_to(folder)): path.read_bytes() for path in media.rglob("[!.]*") if path.is_file()}


def test_a_restored_home_is_the_home(store: Store, tmp_path: Path, sightings: Any) -> None:
    """The only proof of a backup is a restore."""
    fill(store)
    made = back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE)
    assert (made.visits, made.media.linked, made.media.missing) == (5, 15, 0)
    restored = restore(tmp_path / "backup", tmp_path / "again")
    assert (restored.visits, restored.media.missing, restored.replaced) == (5, 0, None)
    assert files(tmp_path / "again") == files(store.home)
    with Store.open(tmp_path / "again", zone=sightings.zone) as again:
        assert again.visits.find() == store.visits.find()
        again.sweep(NOW)
    assert files(tmp_path / "again") == files(store.home), "every file is named by a row"


def test_nothing_is_copied_twice_and_nothing_stays_for_ever(store: Store, tmp_path: Path) -> None:
    """Every night for years: only what is new is written, and the folder holds no more than what is kept."""
    fill(store)
    folder = tmp_path / "backup"
    back_up(store.home, folder, NOW, machine=MACHINE, keep=2)
    fill(store, 2, first=5)
    made = back_up(store.home, folder, NOW + timedelta(days=1), machine=MACHINE, keep=2)
    assert (made.media.there, made.media.linked + made.media.copied) == (15, 6)
    first = store.visits.find()[0].visit_id
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("DELETE FROM visit WHERE id = ?", (first,))
    store.sweep(NOW + timedelta(days=2))
    for path in store.home.rglob(f"{first}*"):
        path.unlink()
    third = back_up(store.home, folder, NOW + timedelta(days=2), machine=MACHINE, keep=2)
    assert (third.removed_databases, third.removed_files) == (1, 0)
    assert len(files(folder)) == 21, "a database that is kept still names them"
    fourth = back_up(store.home, folder, NOW + timedelta(days=3), machine=MACHINE, keep=2)
    assert (fourth.removed_databases, fourth.removed_files) == (1, 3)
    assert [path.name[11:19] for path in sorted(folder.glob("*.sqlite3"))] == ["20260504", "20260505"]
    assert files(folder) == files(store.home)


def test_what_a_killed_backup_left_goes_with_the_next(store: Store, tmp_path: Path) -> None:
    """SQLite writes files beside a copy; one that was killed between their going left two of them for ever."""
    fill(store, 1)
    folder = tmp_path / "backup"
    back_up(store.home, folder, NOW, machine=MACHINE)
    before = {path.name for path in folder.iterdir()}
    for ending in ("", "-journal", "-wal", "-shm"):
        (folder / f".birdwatchd-20260501T000000Z.sqlite3.part{ending}").touch()
    (folder / ".birdwatchd-20260430T000000Z.sqlite3.part-wal").touch()
    made = back_up(store.home, folder, NOW + timedelta(days=1), machine=MACHINE)
    assert {path.name for path in folder.iterdir()} == before | {made.database.name}


def test_a_clock_that_was_set_back_costs_no_backup(store: Store, tmp_path: Path) -> None:
    """A Raspberry Pi has no clock: it may boot in the past, and the newest backup must still be the newest."""
    fill(store, 1)
    back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE, keep=1)
    fill(store, 1, first=1)
    made = back_up(store.home, tmp_path / "backup", datetime(1970, 1, 1, tzinfo=UTC), machine=MACHINE, keep=1)
    assert made.database.name == "birdwatchd-20260502T000001Z.sqlite3"
    assert restore(tmp_path / "backup", tmp_path / "again").visits == 2


def test_a_copy_is_of_one_moment_while_others_write(store: Store, tmp_path: Path, writer: Writer) -> None:
    """A copy of several moments would be a database that never was; and writers must not wait for it."""
    fill(store, 40)
    written = 0

    def on_pages(done: int, total: int) -> None:
        nonlocal written
        written += 1
        writer.record(example_visit(f"late{written}"), [example_moment(0)], NOW)

    import birdwatchd.store.backup.database_copy as module

    pages, module.PAGES = module.PAGES, 4
    try:
        copy_database(store.path, tmp_path / "copy", on_pages)
    finally:
        module.PAGES = pages
    assert written > 5
    assert verify(tmp_path / "copy") == 40
    assert len(store.visits.find()) == 40 + written


def test_a_file_that_is_gone_is_named_by_no_row_of_the_copy(store: Store, tmp_path: Path, sightings: Any) -> None:
    """Between the copy of the database and that of the files a visit may get a better picture."""
    fill(store, 2)
    for path in list(store.home.rglob("*-1.jpg"))[:1] + list(store.home.rglob("*.mp4"))[:1]:
        path.unlink()
    made = back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE)
    assert made.media.missing == 2
    assert restore(tmp_path / "backup", tmp_path / "again").media.missing == 0
    with Store.open(tmp_path / "again", zone=sightings.zone) as again:
        visits = again.visits.find()
        assert sorted(bool(visit.clip) for visit in visits) == [False, True]
        crops = [moment.crop for visit in visits for moment in again.visits.moments(visit.visit_id)]
        assert sorted(crop is None for crop in crops) == [False, False, False, True]


def test_a_backup_keeps_what_the_home_lost(store: Store, tmp_path: Path) -> None:
    """A file that a broken disk lost, and that an earlier backup has, is what backups are for."""
    fill(store, 1)
    back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE, keep=1)
    shutil.rmtree(store.home / "media")
    made = back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE, keep=1)
    assert (made.media.there, made.media.missing) == (3, 0)
    assert len(files(tmp_path / "backup")) == 3


def test_a_picture_that_cannot_be_read_costs_no_backup(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad block on an old card must not be the end of all backups."""
    fill(store, 2)
    real = shutil.copyfile

    def reading(source: Path, target: Path, **keys: Any) -> None:
        if source.name.endswith("-1.jpg"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(source))
        real(source, target, **keys)

    def refused(*args: object, **keys: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(shutil, "copyfile", reading)
    monkeypatch.setattr(os, "link", refused)
    made = back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE)
    assert (made.media.copied, made.media.missing) == (4, 2)
    monkeypatch.undo()
    assert restore(tmp_path / "backup", tmp_path / "again").media.missing == 0


def test_a_name_that_leads_elsewhere_is_not_followed(store: Store, tmp_path: Path) -> None:
    """A backup may come from anybody, and `restore` is typed by root."""
    fill(store, 1)
    folder = tmp_path / "backup"
    database = back_up(store.home, folder, NOW, machine=MACHINE).database
    (tmp_path / "secret.jpg").write_bytes(b"x")
    with closing(sqlite3.connect(database)) as connection:
        for name in ("media/../../secret.jpg", "../secret.jpg", f"{tmp_path}/secret.jpg"):
            connection.execute("UPDATE moment SET crop = ? WHERE idx = 0", (name,))
            connection.commit()
            restored = restore(folder, tmp_path / "a" / name.replace("/", "-") / "home")
            assert restored.media.missing == 1
    assert list((tmp_path / "a").rglob("secret*")) == []


def test_a_damaged_home_does_not_replace_a_good_backup(store: Store, tmp_path: Path) -> None:
    """It would be copied night after night until no good one is left."""
    fill(store, 30)
    folder = tmp_path / "backup"
    back_up(store.home, folder, NOW, machine=MACHINE, keep=1)
    store.close()
    with store.path.open("r+b") as file:
        file.seek(4096 * 6)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(StoreError, match=r"home/birdwatchd.sqlite3: the database is damaged .*; nothing was copied"):
        back_up(store.home, folder, NOW, machine=MACHINE, keep=1)
    assert [path.name for path in folder.glob("*birdwatchd-2*")] == ["birdwatchd-20260502T000000Z.sqlite3"]
    restored = restore(folder, store.home, replace=True)
    assert restored.visits == 30
    assert restored.replaced is not None
    assert restored.replaced.exists()
    assert verify(store.path) == 30


def test_a_damaged_older_backup_stops_no_new_one(store: Store, tmp_path: Path) -> None:
    """Nobody looks into that folder for years; a bad block in last week's file must not be the end of all backups."""
    fill(store, 2)
    folder = tmp_path / "backup"
    bad = back_up(store.home, folder, NOW, machine=MACHINE).database
    back_up(store.home, folder, NOW + timedelta(days=1), machine=MACHINE)
    bad.write_bytes(b"\xff" * 5000)
    made = back_up(store.home, folder, NOW + timedelta(days=2), machine=MACHINE)
    assert f"{bad}: the database is damaged" in made.problem
    assert restore(folder, tmp_path / "again").visits == 2
    with pytest.raises(StoreError, match=r"this backup is damaged .*; choose an earlier one with --at"):
        restore(folder, tmp_path / "other", name="20260502")
    assert back_up(store.home, folder, NOW + timedelta(days=3), machine=MACHINE).problem == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda home, folder: home, "is the home itself"),
        (lambda home, folder: home / "backup", "lies in the home"),
        (lambda home, folder: folder / "a" / "b", "does not exist; make the folder above it"),
        (lambda home, folder: Path("/proc/birdwatchd"), "/proc/birdwatchd: does not exist"),
    ],
)
def test_targets_that_cannot_be_are_refused(
    store: Store, tmp_path: Path, change: Callable[[Path, Path], Path], says: str
) -> None:
    """Each with what to do about it; a backup inside the home is lost with it."""
    with pytest.raises((ConfigError, StoreError)) as caught:
        back_up(store.home, change(store.home, tmp_path / "backup"), NOW, machine=MACHINE)
    assert says in str(caught.value)


def test_folders_of_others_are_refused(store: Store, tmp_path: Path) -> None:
    """Two stations in one folder would delete each other's pictures; and a folder of holiday photos is no backup."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "beach.jpg").touch()
    with pytest.raises(StoreError, match=r"photos: is not empty; choose an empty"):
        back_up(store.home, photos, NOW, machine=MACHINE)
    back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE)
    with pytest.raises(StoreError, match=r"holds the backups of .*home on test; choose another folder"):
        back_up(store.home, tmp_path / "backup", NOW, machine="another")
    with pytest.raises(StoreError, match="there is no database"):
        back_up(tmp_path / "nothing", tmp_path / "backup2", NOW, machine=MACHINE)
    with pytest.raises(StoreError, match="holds no backup; give the folder"):
        restore(photos, tmp_path / "again")
    with pytest.raises(StoreError, match="does not exist; give the folder"):
        restore(tmp_path / "nothing", tmp_path / "again")


READS = """
import sqlite3, sys
it = sqlite3.connect(sys.argv[1])
it.execute("SELECT count(*) FROM sqlite_master").fetchall()
print(flush=True)
sys.stdin.read()
"""


def test_who_has_the_database_open_is_named(store: Store, tmp_path: Path) -> None:
    """`birdwatchd web` by itself keeps it open: "stop birdwatchd" was said to somebody whose service was stopped."""
    fill(store, 1)
    folder = tmp_path / "backup"
    back_up(store.home, folder, NOW, machine=MACHINE)
    store.close()
    command = [sys.executable, "-c", READS, str(store.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        named = rf"has it open \(python[\d.]*, pid {other.pid}\); stop it first: kill {other.pid}"
        with pytest.raises(StoreBusy, match=named):
            restore(folder, store.home, replace=True)
        other.stdin.close()
    restore(folder, store.home, replace=True)


def test_a_home_with_visits_is_replaced_only_when_told(store: Store, tmp_path: Path) -> None:
    """A restore into the wrong home would cost a season; the one that is open would be torn."""
    fill(store, 3)
    folder = tmp_path / "backup"
    back_up(store.home, folder, NOW, machine=MACHINE)
    with pytest.raises(ConfigError, match=r"has a database; choose an empty home, or use --replace"):
        restore(folder, store.home)
    with pytest.raises(StoreBusy, match="another process has it open; stop birdwatchd first"):
        restore(folder, store.home, replace=True)
    fill(store, 1, first=3)
    store.close()
    restored = restore(folder, store.home, replace=True)
    assert restored.replaced is not None
    assert (verify(store.path), verify(restored.replaced)) == (3, 4)
    store.path.unlink()
    with pytest.raises(ConfigError, match="has pictures or clips"):
        restore(folder, store.home)


@pytest.mark.parametrize("spoilt", [0, 100])
def test_a_replaced_database_is_one_file_with_all_its_visits(store: Store, tmp_path: Path, spoilt: int) -> None:
    """A killed daemon leaves visits in the log beside its database: they belong to that one, and no new one meets them.

    What SQLite leaves beside it looked like a log that somebody has to keep.
    """
    folder, killed = tmp_path / "backup", tmp_path / "killed"
    fill(store, 3)
    back_up(store.home, folder, NOW, machine=MACHINE)
    fill(store, 1, first=3)
    shutil.copytree(store.home, killed)
    database = killed / store.path.name
    assert database.with_name(f"{database.name}-wal").stat().st_size > 0
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * spoilt)
    restored = restore(folder, killed, replace=True)
    assert restored.replaced is not None
    assert (verify(database), verify(restored.replaced)) == (3, 4)
    assert {path.name for path in killed.glob("*.sqlite3*")} == {database.name, restored.replaced.name}


def test_an_older_backup_can_be_chosen(store: Store, tmp_path: Path) -> None:
    """What was deleted by mistake last week is not in the newest one."""
    for day in range(3):
        fill(store, 1, first=day)
        back_up(store.home, tmp_path / "backup", NOW + timedelta(days=day), machine=MACHINE)
    assert restore(tmp_path / "backup", tmp_path / "again", name="20260503").visits == 2
    with pytest.raises(StoreError, match="holds no backup 2025; choose one of birdwatchd-20260502T"):
        restore(tmp_path / "backup", tmp_path / "other", name="2025")


def test_two_backups_at_once_do_not_mix(store: Store, tmp_path: Path) -> None:
    """The timer and a person may start one in the same minute."""
    folder, refused = tmp_path / "backup", []

    def again() -> None:
        with pytest.raises(StoreBusy, match="another backup or restore is running") as caught:
            back_up(store.home, folder, NOW, machine=MACHINE)
        refused.append(caught.value)

    fill(store, 1)
    back_up(store.home, folder, NOW, machine=MACHINE, on_file=again)
    assert len(refused) == 3


def test_an_upgrade_keeps_a_copy_from_before(store: Store, sightings: Any) -> None:
    """A migration that goes wrong, or a version that somebody wants to leave again; but not for ever one more."""
    fill(store, 2)
    store.close()
    copies = []
    for day in range(5):
        with closing(sqlite3.connect(store.path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (migrations.REVISIONS[-2],))
            connection.commit()
        os.utime(store.path, (NOW.timestamp() + 86400 * day,) * 2)
        Store.open(store.home, zone=sightings.zone).close()
        copies = sorted(path.name for path in store.home.glob("birdwatchd-before-*"))
    newest = migrations.REVISIONS[-1]
    assert copies == [f"birdwatchd-before-{newest}-2026050{day}T000000Z.sqlite3" for day in (4, 5, 6)]
    assert verify(store.home / copies[-1]) == 2
    with closing(sqlite3.connect(store.home / copies[-1])) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (migrations.REVISIONS[-2],)


def test_a_new_home_has_no_copy_from_before(store: Store) -> None:
    """There is nothing to keep."""
    assert list(store.home.glob("birdwatchd-before-*")) == []


def test_no_upgrade_without_its_copy(store: Store, sightings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is the worst moment to go on without a way back."""
    fill(store, 1)
    store.close()
    with closing(sqlite3.connect(store.path)) as connection:
        drop_filters(connection)
        connection.execute("UPDATE alembic_version SET version_num = ?", (migrations.REVISIONS[-2],))
        connection.commit()

    def full(*args: object) -> None:
        raise StoreFull("no room on the disk")

    monkeypatch.setattr("birdwatchd.store.backup.database_copy.copy_database", full)
    with pytest.raises(StoreFull):
        Store.open(store.home, zone=sightings.zone)
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (migrations.REVISIONS[-2],)


def test_databases_of_newer_versions_are_refused(store: Store, tmp_path: Path) -> None:
    """Whatever they name that this version does not know would be missing from the backup."""
    fill(store, 1)
    back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew, match="newer birdwatchd"):
        back_up(store.home, tmp_path / "backup", NOW, machine=MACHINE)
    assert len(list((tmp_path / "backup").glob("*.sqlite3"))) == 1
