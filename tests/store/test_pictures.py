"""Which pictures a camera keeps: crops, whole frames beside them, or nothing; a frame goes where its crop goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.records import Message, new_visit_id
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store import MomentRow, NewsContext, Store, back_up, restore
from birdwatchd.store.media import LOST, frame_path
from birdwatchd.store.rescue.examine import examine_media
from birdwatchd.store.rescue.rebuild import rebuild_rows
from birdwatchd.store.retention.retention import Retention
from birdwatchd.testing import START, example_moment, example_visit
from tests.support import homes

UTC = ZoneInfo("UTC")
NOW = START + timedelta(days=2)


def with_frame(index: int = 0, **given: Any) -> MomentRow:
    row = example_moment(index, jpeg=homes.picture(index), **given)
    return replace(row, moment=replace(row.moment, frame=homes.picture(100 + index)))


def pictures(home: Path) -> set[str]:
    """The names of crops (by index) and frames, without that of their visit."""
    return {path.name.split("-", 1)[1] for path in (home / "media").rglob("*.jpg")}


def execute(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(homes.database(home))) as connection, connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(statement)


def record(store: Store, rows: Sequence[MomentRow], number: int = 0, **changes: Any) -> str:
    visit_id = new_visit_id(START, number)
    store.writer().record(example_visit(visit_id, **changes), rows, NOW)
    return visit_id


def test_a_frame_lies_beside_its_crop_and_goes_with_it(store: Store) -> None:
    """Eight crops are kept; frames of the others would fill the disk, named by nobody."""
    visit_id = record(store, [with_frame(i, quality=0.1 + i / 100) for i in range(8)], end=None)
    names = {f"{i}{kind}.jpg" for i in range(8) for kind in ("", "-frame")}
    assert pictures(store.home) == names
    store.writer().record(example_visit(visit_id, revision=2), [with_frame(8, quality=0.9)], NOW)
    assert pictures(store.home) == names - {"0.jpg", "0-frame.jpg"} | {"8.jpg", "8-frame.jpg"}
    (path,) = (store.home / "media").rglob("*-8-frame.jpg")
    assert path.read_bytes() == homes.picture(108)
    assert store.sweep(NOW).moved == 0


def test_a_frame_without_a_row_is_moved_aside_and_comes_back(store: Store) -> None:
    """No picture is deleted because an index is missing, and this holds for whole frames."""
    record(store, [with_frame(0), with_frame(1)])
    frames = {path.name: path.read_bytes() for path in (store.home / "media").rglob("*-frame.jpg")}
    execute(store.home, "DELETE FROM visit")
    assert store.sweep(NOW).moved == 4
    assert len(list((store.home / LOST).rglob("*-frame.jpg"))) == 2
    rebuilt = rebuild_rows(store._database, UTC, NOW)
    assert (rebuilt.visits, rebuilt.crops, rebuilt.kept) == (1, 2, 0)
    assert {path.name: path.read_bytes() for path in (store.home / "media").rglob("*-frame.jpg")} == frames
    found = examine_media(store.home, NOW, database=True)
    assert (found.unnamed_crops, found.missing_crops, found.lost) == (0, 0, 0)
    assert store.sweep(NOW).moved == 0


def test_backup_and_restore_bring_frames(store: Store, tmp_path: Path) -> None:
    """And where there is no frame, none is missed."""
    visit_id = record(store, [with_frame(0), example_moment(1)])
    made = back_up(store.home, tmp_path / "backup", NOW, machine="test", keep=1)
    assert (made.media.linked + made.media.copied, made.media.missing) == (3, 0)
    again = back_up(store.home, tmp_path / "backup", NOW + timedelta(days=1), machine="test", keep=1)
    assert (again.media.there, again.removed_files) == (3, 0)
    restore(tmp_path / "backup", tmp_path / "again")
    assert pictures(tmp_path / "again") == pictures(store.home) == {"0.jpg", "0-frame.jpg", "1.jpg"}
    execute(store.home, f"DELETE FROM visit WHERE id = '{visit_id}'")
    third = back_up(store.home, tmp_path / "backup", NOW + timedelta(days=2), machine="test", keep=1)
    assert third.removed_files == 3


def test_retention_counts_and_deletes_frames_with_their_crops(store: Store) -> None:
    """Frames are most of what is on the disk; a limit that does not see them is none."""
    for number in range(2):
        start = NOW - timedelta(days=90 + number)
        record(store, [with_frame(0), with_frame(1)], number, start=start)
    one = Retention(store._database, RetentionSettings(keep_days=30))
    on_disk = sum(path.stat().st_size for path in (store.home / "media").rglob("*.jpg"))
    assert one.usage().pictures == on_disk
    for _ in one.steps(one.plan(NOW).items(), NOW):
        pass
    for crop in (store.home / "media").rglob("*.jpg"):
        assert crop.name.endswith("-frame.jpg") or Path(frame_path(str(crop))).exists()
    left = pictures(store.home)
    assert {name for name in left if "-frame" in name} == {frame_path(name) for name in left if "-frame" not in name}
    assert len(list((store.home / "media").rglob("*.jpg"))) < 8


def test_of_a_camera_that_keeps_nothing_rows_are_written_and_no_picture(tmp_path: Path) -> None:
    """The station counts birds at a place where no picture may be kept; and none of before is sent any more."""
    sent: list[bytes | None] = []

    def compose(context: NewsContext) -> list[Message]:
        sent.append(context.image)
        return [Message("t", b"{}")]

    with Store.open(tmp_path, zone=UTC) as before:
        record(before, [with_frame(0)], 0, camera="path")
        record(before, [with_frame(0)], 1, camera="nut")
        before.writer(compose).record(example_visit(new_visit_id(START, 2), camera="path"), [with_frame(0)], NOW)
    assert sent == [homes.picture(0)]
    before_it = {path: path.read_bytes() for path in (tmp_path / "media").rglob("*.jpg")}
    with Store.open(tmp_path, zone=UTC, without_pictures={"path"}) as store:
        assert store.cameras.summary("path", NOW).image is None
        assert store.cameras.summary("nut", NOW).image == homes.picture(0)
        visit = example_visit(new_visit_id(START + timedelta(days=1), 3), camera="path")
        store.writer(compose).record(visit, [with_frame(0), with_frame(1)], NOW)
        assert sent[-1] is None
        moments = store.visits.moments(visit.visit_id)
        assert [(moment.idx, moment.crop) for moment in moments] == [(0, None), (1, None)]
        assert all(len(moment.embedding) for moment in moments)
        assert store.sweep(NOW).moved == 0
    assert {path: path.read_bytes() for path in (tmp_path / "media").rglob("*.jpg")} == before_it


@pytest.mark.parametrize("crop", ["media/nut/2026/05/01/v1-3.jpg", "media/nut/2026/05/01/v1-12~2.jpg"])
def test_the_name_of_a_frame(crop: str) -> None:
    """Older versions do not know the name and leave such files alone."""
    assert frame_path(crop) == f"{crop[:-4]}-frame.jpg"
