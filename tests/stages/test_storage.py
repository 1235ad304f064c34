"""The storage stage on real, small file systems: what is said when room ends, and what goes on."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.camera.clips.recorder import ClipRecorder
from birdwatchd.disk import DiskRoom
from birdwatchd.disk import Storage as Kept
from birdwatchd.errors import StoreFull
from birdwatchd.metrics import Metrics
from birdwatchd.records import new_visit_id
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.stages.storage import AGE_CHECK_S, CHECK_S, LOOK_EVERY_S, STEP_PAUSE_S, Storage
from birdwatchd.store import Store
from birdwatchd.store.retention.last_run import LastRun
from birdwatchd.store.retention.reserve import open_store
from birdwatchd.store.retention.retention import STEP
from birdwatchd.testing import example_moment, example_visit
from tests.support.small_disk import fill, small_disk

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MB = 1_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def put(store: Store, count: int, *, size: int = 100_000, first: int = 0) -> None:
    """Visits of a hundred days, oldest first, with one picture each."""
    for number in range(first, first + count):
        start = NOW - timedelta(days=200) + timedelta(hours=number)
        visit = example_visit(new_visit_id(start, number), start=start)
        store.writer().record(visit, [example_moment(jpeg=bytes(size))], NOW)


def stage(store: Store, said: list[Any], metrics: Metrics | None = None, **limits: Any) -> Storage:
    retention = store.retention(RetentionSettings(**limits))
    publish = lambda payload: said.append(json.loads(payload))  # noqa: E731
    return Storage(store.home, retention, metrics or Metrics(), publish=publish, clock=lambda: NOW)


def pictures(store: Store) -> list[Path]:
    return sorted((store.home / "media").rglob("*.jpg"))


def test_a_full_disk_is_said_without_the_database(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who reads it is far away, and the database is the first thing that does not work on a full disk."""
    said: list[Any] = []
    with Store.open(disk / "home", zone=ZoneInfo("UTC")) as store:
        one = stage(store, said)
        one.run_once(0.0)
        big = fill(disk, leave=100_000)
        with caplog.at_level(logging.INFO), store._database.writing():  # nobody else gets to write
            one.run_once(LOOK_EVERY_S)
        big.unlink()
        with caplog.at_level(logging.INFO):
            one.run_once(2 * LOOK_EVERY_S)
    assert [one["state"] for one in said] == ["ok", "full", "ok"]
    assert said[1]["free_gb"] < 0.01
    lines = [record.getMessage() for record in caplog.records if "GB free" in record.getMessage()]
    assert [line.split("; ", 1)[1] for line in lines] == [
        "visits have to wait as soon as the database finds no page; free some space",
        "clips and pictures are kept",
    ]


def test_rows_over_pictures_over_clips(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last of a disk is for what is small and matters most, and all of it comes back by itself."""
    with Store.open(disk / "home", zone=ZoneInfo("UTC")) as store:
        put(store, 3)
        big = fill(disk, leave=int(0.15 * DiskRoom.at(disk).total))
        assert DiskRoom.at(disk).storage is Kept.NO_CLIPS
        put(store, 2, first=3)
        assert len(pictures(store)) == 5
        fill(disk, leave=int(0.08 * DiskRoom.at(disk).total))
        assert DiskRoom.at(disk).storage is Kept.NO_PICTURES
        put(store, 40, first=5)
        assert len(pictures(store)) == 5
        assert len(store.visits.find()) == 45
        (moment,) = store.visits.moments(store.visits.find()[-1].visit_id)
        assert moment.crop is None
        assert moment.embedding.shape == (8,)
        big.unlink()
        put(store, 1, first=45)
        assert len(pictures(store)) == 6
    told = [record.getMessage() for record in caplog.records if "pictures" in record.getMessage()]
    assert len([line for line in told if "visits are kept without them" in line]) == 40  # 40 writers, once each


def test_clips_end_while_there_is_room_for_pictures(disk: Path) -> None:
    """A clip would take in a minute what is left for a week of visits."""
    recorder = ClipRecorder.__new__(ClipRecorder)
    recorder._home = disk
    assert recorder._has_room()
    fill(disk, leave=int(0.15 * DiskRoom.at(disk).total))
    assert not recorder._has_room()
    assert DiskRoom.at(disk).for_pictures


def test_a_disk_that_was_full_is_freed_and_visits_go_on(disk: Path) -> None:
    """Nobody is there: within minutes of being full the station must have made room by itself."""
    said: list[Any] = []
    with Store.open(disk / "home", zone=ZoneInfo("UTC")) as store:
        put(store, 250)
        fill(disk)
        assert DiskRoom.at(disk).storage is Kept.FULL
        one = stage(store, said, min_free_gb=0.020)
        now_s, before = 0.0, len(pictures(store))
        while one.run_once(now_s) == STEP_PAUSE_S:
            now_s += STEP_PAUSE_S
        assert DiskRoom.at(disk).free >= 19.5 * MB
        assert before - len(pictures(store)) == pytest.approx(20 * MB / 100_000, rel=0.1)
        put(store, 3, first=250)
        assert len(store.visits.find()) == 253
        named = {moment.crop for visit in store.visits.find() for moment in store.visits.moments(visit.visit_id)}
        assert named - {None} == set(pictures(store))


def test_recording_at_a_full_disk_for_a_long_time(disk: Path) -> None:
    """Day after day at the limit: no visit is lost, and what goes is the oldest ordinary picture."""
    with Store.open(disk / "home", zone=ZoneInfo("UTC")) as store:
        one, now_s, taken = stage(store, [], min_free_gb=0.018), 0.0, 0
        for day in range(40):
            for hour in range(24):
                try:
                    put(store, 1, first=24 * day + hour)
                    taken += 1
                except StoreFull:
                    pytest.fail(f"a visit could not be written on day {day}")
            now_s += CHECK_S
            while one.run_once(now_s) == STEP_PAUSE_S:
                now_s += STEP_PAUSE_S
            assert DiskRoom.at(disk).free >= 17.5 * MB
        visits = store.visits.find()
        assert len(visits) == taken == 960
        with_picture = [bool(store.visits.moments(visit.visit_id)[0].crop) for visit in visits]
        assert with_picture[0], "the first ever"
        newest_gone = max(number for number, kept in enumerate(with_picture) if not kept)
        assert newest_gone < 960 - 24, "what goes is old"
        assert sum(with_picture[:newest_gone]) <= 4, "of what is older stay the first ever and the best of each month"


def test_a_start_on_a_full_disk_goes_on(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SQLite cannot be opened without a free page: a restart would end what the retention could still save."""
    with Store.open(disk / "home", zone=ZoneInfo("UTC")) as store:
        put(store, 250)
        stage(store, []).run_once(0.0)
    fill(disk)
    with pytest.raises(StoreFull):
        Store.open(disk / "home", zone=ZoneInfo("UTC"))
    with open_store(disk / "home", ZoneInfo("UTC")) as store:
        store.sweep(NOW)  # as a start does
        put(store, 3, first=250)
        one = stage(store, [], min_free_gb=0.016)
        assert one.run_once(0.0) == STEP_PAUSE_S
        while one.run_once(0.0) == STEP_PAUSE_S:
            pass
        one.run_once(LOOK_EVERY_S)
        assert DiskRoom.at(disk).storage is Kept.GOOD
        assert (disk / "home/birdwatchd.reserve").stat().st_size > MB
        assert len(store.visits.find()) == 253
    assert any("starting with the room that was held for this" in record.getMessage() for record in caplog.records)


def test_steps_are_small_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The record stage waits for one step at most, and whoever wonders reads what went."""
    metrics = Metrics()
    with Store.open(tmp_path / "home", zone=ZoneInfo("UTC")) as store:
        put(store, 100, size=1000)
        one, now_s, left = stage(store, [], metrics, keep_days=30), 0.0, [100]
        with caplog.at_level(logging.INFO):
            while one.run_once(now_s) == STEP_PAUSE_S:
                now_s += STEP_PAUSE_S
                left.append(len(pictures(store)))
                assert left[-2] - left[-1] <= STEP
                put(store, 1, size=10, first=5000 + len(left))  # somebody else has a turn between two steps
                (store.home / pictures(store)[-1]).stat()
        gone = metrics.get("retention_pictures_deleted_total")
        assert gone >= 95
        assert metrics.get("retention_bytes_deleted_total") == 1000 * gone
        assert metrics.get("home_bytes") > 100_000
        last = LastRun.read(store.home)
        assert last is not None
        assert (last.pictures, last.at) == (gone, NOW)
        (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("retention: deleted")]
        assert line == f"retention: deleted {gone:.0f} pictures of {gone:.0f} visits (0.1 MB)"
        assert one.run_once(now_s + CHECK_S) == LOOK_EVERY_S
        assert one.run_once(now_s + AGE_CHECK_S) in (LOOK_EVERY_S, STEP_PAUSE_S)


def test_a_limit_that_cannot_be_kept_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line every two minutes hides all others."""
    with Store.open(tmp_path / "home", zone=ZoneInfo("UTC")) as store:
        put(store, 1)
        one = stage(store, [], min_free_gb=99_999)
        for number in range(5):
            while one.run_once(number * CHECK_S) == STEP_PAUSE_S:
                pass
        said = [record.getMessage() for record in caplog.records]
        assert len([line for line in said if "are missing to min_free_gb" in line]) == 1
        assert len(pictures(store)) == 1, "it is the first ever"


def test_a_home_that_is_not_there_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A disk that was pulled out must not end the daemon, nor fill what is left with log lines."""
    with Store.open(tmp_path / "home", zone=ZoneInfo("UTC")) as store:
        one = Storage(tmp_path / "gone", store.retention(RetentionSettings()), Metrics())
        for number in range(3):
            assert one.run_once(number * LOOK_EVERY_S) == LOOK_EVERY_S
    assert len([record for record in caplog.records if "check that its disk is mounted" in record.getMessage()]) == 1


@pytest.mark.parametrize(
    ("free", "total", "kept"),
    [
        (1500, 64_000, Kept.FULL),
        (6000, 64_000, Kept.NO_PICTURES),
        (12_000, 64_000, Kept.NO_CLIPS),
        (13_000, 64_000, Kept.GOOD),
        (900 * MB, 10**15, Kept.NO_CLIPS),
        (1100 * MB, 10**15, Kept.GOOD),
        (200 * MB, 10**15, Kept.NO_PICTURES),
        (10 * MB, 10**15, Kept.FULL),
    ],
)
def test_what_room_is_enough_for(free: int, total: int, kept: Kept) -> None:
    """By share on a small disk, by bytes on a large one: a petabyte must not keep forty terabytes free."""
    assert DiskRoom(free, total).storage is kept
    assert os.statvfs("/").f_blocks > 0
