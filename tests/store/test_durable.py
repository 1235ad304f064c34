"""What a power cut may cost: nothing of a visit that was recorded. On a real disk: `python -m benchmarks.faults`."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.records import clip_path, new_visit_id
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.store.revision import Revision
from birdwatchd.testing import START, example_moment, example_visit

FULL = 2  # PRAGMA synchronous: the write-ahead log is synced at the end of the transaction


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str | int]:
    """What is synced before a transaction on a visit ends, in order, and how the database syncs the transaction."""
    seen: list[str | int] = []
    fsync, write = os.fsync, Revision.write

    def sync(descriptor: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def write_revision(self: Revision, *arguments: Any, **more: Any) -> Any:
        seen.append(int(self._connection.exec_driver_sql("PRAGMA synchronous").scalar_one()))
        return write(self, *arguments, **more)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Revision, "write", write_revision)
    return seen


def test_a_visit_that_is_recorded_survives_a_power_cut(tmp_path: Path, synced: list[str | int]) -> None:
    """Home Assistant was told of it: it must not be gone, nor its picture, when the power is back."""
    with Store.open(tmp_path, zone=ZoneInfo("UTC")) as store:
        writer, visit_id = store.writer(), new_visit_id(START)
        here = example_visit(visit_id, start=START, end=None)
        writer.record(here, [example_moment(0), example_moment(1)], START)
        assert synced == ["file", "file", "folder", FULL]
        synced.clear()
        over = example_visit(visit_id, start=START, revision=2)
        writer.record(over, [], START)
        assert synced[0] == FULL, "nothing new lies on the disk"
        synced.clear()
        clip = clip_path("nut", visit_id)
        (tmp_path / clip).write_bytes(b"video")
        writer.record(example_visit(visit_id, start=START, revision=3, clip=clip), [], START)
        assert synced == ["folder"], "the name of the clip"
        synced.clear()
        writer.review(visit_id, Review(ReviewVerdict.CONFIRM, "ann"), START + timedelta(hours=1))
        assert synced[0] == FULL


def test_what_may_be_lost_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """Effort of eight cameras would wear out a memory card."""
    with Store.open(tmp_path, zone=ZoneInfo("UTC")) as store, store._database.writing() as connection:
        assert int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one()) < FULL
