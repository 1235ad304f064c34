"""A recording is known again with its visits, and forgotten whole: rows, moments and crops."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.errors import StoreError
from birdwatchd.flow import Handover, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import Evidence
from birdwatchd.stages.classify import ClassifiedEvidence
from birdwatchd.stages.record import Record
from birdwatchd.store import Recording, Store, VisitIds, content_of, schema
from birdwatchd.store.media import Media

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
RECORDING = Recording("/card/1.mp4", 100, 5, "demo@1", "min_bird 24")


def record(store: Store, sightings: Any, recording: Recording, number: int = 0) -> str:
    """Keep one finished visit of a recording, with a crop; returns its id."""
    visit_id = recording.visit_id(sightings.start, number)
    visit = replace(sightings.visit(visit_id, ended=True, model=recording.model), media=recording.path)
    store.writer().record(visit, [sightings.moment(0)], NOW)
    return visit_id


def crops(store: Store) -> list[str]:
    return sorted(path.name for path in (store.home / "media").rglob("*.jpg"))


def test_ids_tell_recording_settings_and_number(sightings: Any) -> None:
    """Scanning again the same way must write the same ids; any other way must not run into them."""
    others: list[dict[str, Any]] = [{"path": "/b"}, {"size": 101}, {"mtime_ns": 6}, {"model": "demo@2"}]
    changes = [{}, *others, {"settings": "min_bird 16"}]
    ids = [replace(RECORDING, **change).visit_id(sightings.start, n) for change in changes for n in range(2)]
    assert len(set(ids)) == 12
    assert all(len(one) == 26 and one[:10] == ids[0][:10] for one in ids)
    assert ids[0] == RECORDING.visit_id(sightings.start, 0)
    assert RECORDING.visit_id(sightings.start + timedelta(seconds=1), 0) > ids[0], "ids sort by time"


def test_a_visit_that_began_earlier_than_it_seemed_is_one_visit(store: Store, sightings: Any) -> None:
    """A bird that sat there from the first picture on is known to have done so when it leaves.

    Its first revision, under an id of its own, would stay open for ever.
    """
    ids, inbox = VisitIds(RECORDING), Handover[tuple[ClassifiedEvidence, ...]]("record", Metrics())
    for revision, start_s in enumerate((5, 5, 0), start=1):
        start, last = NOW + timedelta(seconds=start_s), NOW + timedelta(seconds=6 + revision)
        visit_id = ids.of("of the worker", start)
        end = last if revision == 3 else None
        evidence = Evidence(visit_id, "scan", revision, start, end, last, (), 1, RECORDING.path, float(start_s), None)
        inbox.put((ClassifiedEvidence(evidence, (), sightings.verdict(), 0, None),))
    writer = store.writer()
    record = Record(
        inbox,
        lambda visit, _: writer.record(visit, (), NOW).recorded,
        RECORDING.model,
        Metrics(),
        stop=Stop(),
        wake=lambda: None,
        on_visit=lambda visit: None,
    )
    inbox.close()
    record.run()
    (visit,) = store.scans.visits_of(RECORDING)
    assert visit.end is not None
    assert (visit.start, visit.start_s, visit.revision) == (NOW, 0.0, 3)
    assert [one.visit_id for one in store.visits.find()] == [visit.visit_id]


def test_two_visits_of_a_recording_have_two_ids() -> None:
    """Two birds may come in the same picture."""
    ids = VisitIds(RECORDING)
    assert ids.of("a", NOW) != ids.of("b", NOW)
    assert ids.of("a", NOW) == VisitIds(RECORDING).of("x", NOW), "and be found again by the next pass"


def test_visits_of_exactly_this_recording(store: Store, sightings: Any) -> None:
    """IMG_0001.MP4 of another card, other settings and other models are not this recording's visits."""
    mine = [record(store, sightings, RECORDING, number) for number in range(2)]
    for change in ({"size": 101}, {"mtime_ns": 6}, {"model": "demo@2"}, {"settings": "min_bird 16"}):
        record(store, sightings, replace(RECORDING, **change))
    assert [visit.visit_id for visit in store.scans.visits_of(RECORDING)] == sorted(mine)


def test_forgetting_takes_all_passes_of_this_model_and_no_other_recording(store: Store, sightings: Any) -> None:
    """What a pass with other settings found, finished or cut off, would be doubled by the next one."""
    old = [record(store, sightings, RECORDING), record(store, sightings, replace(RECORDING, settings="other"))]
    kept = [record(store, sightings, replace(RECORDING, **change)) for change in ({"size": 101}, {"model": "demo@2"})]
    store.scans.mark_done(RECORDING, visits=1, error=None, now=NOW)
    store.scans.forget(RECORDING)
    assert {visit.visit_id for visit in store.visits.find()} == set(kept)
    assert crops(store) == sorted(f"{one}-0.jpg" for one in kept)
    assert not any(store.visits.moments(one) for one in old)
    assert store.scans.done_as(RECORDING) is None, "or the visits would be gone and the file be called done"


def test_what_was_found_while_the_file_grew_goes_too(store: Store, sightings: Any) -> None:
    """The whole file takes the place of the part that was there when a copy was still running."""
    part = replace(RECORDING, size=50, mtime_ns=4)
    record(store, sightings, part)
    store.scans.mark_done(part, visits=1, error=None, now=NOW, growing=True)
    store.scans.forget(RECORDING)
    assert store.visits.find() == []
    assert sqlite3.connect(store.path).execute("SELECT count(*) FROM scanned").fetchone() == (0,)


def test_a_reviewed_visit_stays(store: Store, sightings: Any) -> None:
    """A person's judgement is worth more than a second pass."""
    reviewed, other = (record(store, sightings, RECORDING, number) for number in range(2))
    with store._database.writing() as connection:
        connection.execute(
            schema.review.insert().values(visit_id=reviewed, at=NOW, verdict="right", species=None, by="ann")
        )
    store.scans.forget(RECORDING)
    assert [visit.visit_id for visit in store.visits.find()] == [reviewed]
    assert crops(store) == [f"{reviewed}-0.jpg"]
    assert record(store, sightings, RECORDING, 0) == reviewed, "and the next pass does not double it"
    assert len(store.visits.find()) == 1
    assert other not in {visit.visit_id for visit in store.visits.find()}


def test_rows_are_forgotten_before_files(store: Store, sightings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose picture is gone is an error on every page; a picture without a row is moved aside."""
    record(store, sightings, RECORDING)

    def remove(self: Media, name: str) -> None:
        assert (self.home / name).is_file()
        assert store.visits.find() == []
        raise StoreError("killed here")

    monkeypatch.setattr(Media, "remove", remove)
    with pytest.raises(StoreError, match="killed here"):
        store.scans.forget(RECORDING)
    monkeypatch.undo()
    assert store.sweep(NOW).moved == 1


def test_media_is_looked_up_by_index(store: Store, tmp_path: Path) -> None:
    """Each of 20,000 files asks once; a search of the whole table each time would take hours."""
    plan = sqlite3.connect(store.path).execute("EXPLAIN QUERY PLAN SELECT id FROM visit WHERE media = 'a'").fetchall()
    assert "ix_visit_media" in str(plan)


def test_a_recording_of_an_older_version_is_known_by_its_place_and_then_by_what_is_in_it(
    store: Store, sightings: Any
) -> None:
    """An upgrade must not have everybody's cards scanned anew; from then on they may lie anywhere."""
    kept = record(store, sightings, RECORDING)
    store.scans.mark_done(RECORDING, visits=1, error=None, now=NOW)
    here = replace(RECORDING, content="abc")
    assert store.scans.done_as(here) == RECORDING
    store.scans.note_content(here)
    there = replace(here, path="/mnt/1.mp4", mtime_ns=9)
    assert store.scans.done_as(there) == here
    assert [visit.visit_id for visit in store.scans.visits_of(here)] == [kept]
    assert store.scans.done_as(replace(here, content="another card")) is None
    store.scans.forget(there)
    assert store.visits.find() == []


def test_what_is_hashed_of_a_recording(tmp_path: Path) -> None:
    """A card of 200 GB must not be read twice; and a change anywhere that a camera would make is seen."""
    whole = bytearray(os.urandom(1_000_000))
    file = tmp_path / "a.mp4"

    def content() -> str:
        file.write_bytes(whole)
        return content_of(file, len(whole))

    seen = [content()]
    for at in (0, 500_000, 999_999):
        whole[at] ^= 1
        seen.append(content())
    assert len(set(seen)) == 4
    assert content_of(file, len(whole)) == seen[-1]
    small = tmp_path / "b.mp4"
    small.write_bytes(b"x")
    assert content_of(small, 1) != content_of(file, len(whole))
