"""Clips in the store: a row names only what is there, and what no row names does not stay."""

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.records import Visit, clip_part, clip_path, new_visit_id
from birdwatchd.store import Store, Writer
from birdwatchd.store.media import Swept

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)


def put(home: Path, name: str, *, age_s: float = 0.0) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")
    written = NOW.timestamp() - age_s
    os.utime(path, (written, written))
    return path


def over(sightings: Any, visit_id: str) -> Visit:
    visit: Visit = sightings.visit(visit_id, ended=True)
    return visit


def with_clip(visit: Visit, verdict: Any) -> Visit:
    """What comes when the clip is whole: by then the running verdict is gone."""
    name = clip_path(visit.camera, visit.visit_id)
    return replace(visit, revision=visit.revision + 1, verdict=verdict, moments=0, box=None, clip=name, clip_cut=True)


def test_a_clip_changes_nothing_else_of_its_visit_and_tells_nobody(
    store: Store, writer: Writer, sightings: Any
) -> None:
    """It comes when all has been said; a second message, or a lost name, would be a correction of nothing."""
    visit = over(sightings, new_visit_id(sightings.start))
    writer.record(visit, [sightings.moment(0)], NOW)
    told = len(sightings.contexts)
    put(store.home, clip_path("nut", visit.visit_id))
    recorded = writer.record(with_clip(visit, sightings.verdict(None)), [], NOW)
    assert recorded.recorded
    assert recorded.only_clip
    assert not recorded.queued
    assert len(sightings.contexts) == told
    kept = store.visits.get(visit.visit_id)
    clip = clip_path("nut", visit.visit_id)
    assert kept == replace(visit, revision=2, clip=clip, clip_cut=True, last_seen=visit.end)


@pytest.mark.parametrize("trick", ["nothing", "folder", "link", "linked folder"])
def test_a_clip_that_is_no_file_of_ours_is_not_named(
    store: Store, writer: Writer, sightings: Any, tmp_path: Path, trick: str
) -> None:
    """A camera process that was taken over must not make the web page show /etc/shadow."""
    visit = over(sightings, new_visit_id(sightings.start))
    path = store.home / clip_path("nut", visit.visit_id)
    secret = put(tmp_path, f"secret/{path.name}")
    writer.record(visit, [], NOW)
    path.parent.parent.mkdir(parents=True)
    if trick == "linked folder":
        path.parent.symlink_to(secret.parent)
    else:
        path.parent.mkdir()
    if trick == "folder":
        path.mkdir()
    if trick == "link":
        path.symlink_to(secret)
    assert not writer.record(with_clip(visit, visit.verdict), [], NOW).recorded
    kept = store.visits.get(visit.visit_id)
    assert kept is not None
    assert (kept.clip, kept.revision) == (None, 1)


def test_stray_clips_are_swept_but_not_those_that_are_on_their_way(
    store: Store, writer: Writer, sightings: Any
) -> None:
    """A crash leaves half a clip, or a whole one without a row; another process may be writing right now."""
    ids = [new_visit_id(sightings.start, number) for number in range(5)]
    named, stray, fresh, dead, live = (clip_path("nut", visit_id) for visit_id in ids)
    put(store.home, named, age_s=9999)
    visit = over(sightings, ids[0])
    writer.record(visit, [], NOW)
    writer.record(with_clip(visit, visit.verdict), [], NOW)
    put(store.home, stray, age_s=9999)
    put(store.home, fresh)
    put(store.home, clip_part(dead))
    with put(store.home, clip_part(live)).open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        assert store.sweep(NOW) == Swept(moved=1, deleted=1)
        names = {path.name for path in (store.home / named).parent.iterdir()}
        assert names == {Path(name).name for name in (named, fresh, clip_part(live))}
    assert store.sweep(NOW + timedelta(hours=2)) == Swept(
        moved=1, deleted=1
    )  # its process has died; and nobody named the other
    assert [path.name for path in (store.home / named).parent.iterdir()] == [Path(named).name]
    assert all((store.home / "lost+found" / name).read_bytes() == b"video" for name in (stray, fresh))
