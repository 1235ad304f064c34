"""The outbox keeps what is to be told; queries answer what was seen; effort and scans are remembered."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from birdwatchd.errors import StoreBusy, StoreError
from birdwatchd.records import Message, State
from birdwatchd.store import Recording, Store, StoreReader, Writer, database
from tests.support.stored import enqueue

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)


def test_states_are_kept_only_in_their_newest_form(store: Store) -> None:
    """After a week without a broker, Home Assistant wants today's state, not ten thousand old ones."""
    state = Message("b/s/nut/last", b"1", retain=True, coalesce=True)
    event = Message("b/s/nut/visit", b"e", key="v:1")
    enqueue(store, [state, event, state.with_payload(b"2")], NOW)
    enqueue(store, [state.with_payload(b"3"), Message("b/s/tit/last", b"9", coalesce=True)], NOW)
    assert [row.message.payload for row in store.outbox.pending(0, 10)] == [b"e", b"3", b"9"]
    assert store.outbox.depth() == 3


def test_delivered_rows_go_and_their_ids_never_come_back(store: Store, writer: Writer, sightings: Any) -> None:
    """A publisher that remembers "sent up to 7" must not skip a new row that got number 7 again."""
    writer.record(sightings.visit(), [], NOW)
    (row,) = store.outbox.pending(0, 10)
    store.outbox.delivered([row.id], NOW)
    assert store.outbox.pending(0, 10) == []
    enqueue(store, [Message("t", b"")], NOW)
    assert store.outbox.pending(0, 10)[0].id > row.id
    told = sqlite3.connect(store.path).execute("SELECT told_at, told_revision FROM visit").fetchone()
    assert told == ("2026-05-01T07:00:00.000000Z", 1)


def test_told_at_is_the_first_time(store: Store, writer: Writer, sightings: Any) -> None:
    """How fast an alert was is measured to the first telling, not the last."""
    for revision, at in [(1, NOW), (2, NOW + timedelta(hours=1))]:
        writer.record(sightings.visit(revision=revision, count_max=revision), [], at)
        store.outbox.delivered([row.id for row in store.outbox.pending(0, 10)], at)
    assert sqlite3.connect(store.path).execute("SELECT told_at FROM visit").fetchone()[0].startswith("2026-05-01T07")


def test_the_age_of_the_oldest_message(store: Store) -> None:
    """A dead broker shows as a growing number."""
    assert store.outbox.oldest_s(NOW) is None
    enqueue(store, [Message("t", b"")], NOW)
    assert store.outbox.oldest_s(NOW + timedelta(seconds=90)) == 90.0


def test_visits_are_found_by_what_people_ask(store: Store, sightings: Any) -> None:
    """Since when, which camera, which species in any spelling of case, the newest so many."""
    store.writer().record(sightings.visit("v1"), [], NOW)
    tit = sightings.verdict("Great tit", State.UNCERTAIN)
    store.writer().record(sightings.visit("v2", start=sightings.start + timedelta(hours=1), verdict=tit), [], NOW)
    other = sightings.visit("v3", start=sightings.start + timedelta(hours=2), camera="pond")
    store.writer().record(other, [], NOW)

    def ids(**wanted: Any) -> list[str]:
        return [visit.visit_id for visit in store.visits.find(**wanted)]

    assert ids() == ["v1", "v2", "v3"]
    assert ids(limit=2) == ["v2", "v3"]
    assert ids(since=sightings.start + timedelta(minutes=1)) == ["v2", "v3"]
    assert ids(camera="nut") == ["v1", "v2"]
    assert ids(species="house SPARROW") == ids(species="passer domesticus") == ["v1", "v3"]
    assert store.visits.get("nobody") is None


def test_effort_is_one_span_while_nothing_changes(open_store: Callable[[], Store]) -> None:
    """Visits per hour of watching need the hours of watching, also over a restart of a few seconds."""
    store, start = open_store(), NOW
    for second in range(0, 120, 1):
        store.effort.note("nut", start + timedelta(seconds=second), "online")
    store.close()
    again = open_store()
    again.effort.note("nut", start + timedelta(seconds=150), "online")
    again.effort.note("nut", start + timedelta(seconds=200), "offline")
    again.effort.note("nut", start + timedelta(hours=2), "online")
    spans = [((s.start - start).seconds, (s.end - start).seconds, s.state) for s in again.effort.spans()]
    assert spans == [(0, 200, "online"), (200, 200, "offline"), (7200, 7200, "online")]


def test_seconds_in_which_nothing_was_seen_are_no_effort(open_store: Callable[[], Store]) -> None:
    """A camera's process that stood still, or a laptop that slept: no bird and no watching must not look the same."""
    store, start = open_store(), NOW
    for second in range(61):
        store.effort.note("nut", start + timedelta(seconds=second), "online")
    store.effort.note("nut", start + timedelta(seconds=65), "offline", unwatched_s=5.0)
    store.effort.note("nut", start + timedelta(seconds=80), "online")
    store.effort.note("nut", start + timedelta(seconds=81), "online")
    store.effort.note("nut", start + timedelta(seconds=901), "online", unwatched_s=820.0)
    store.effort.note("nut", start + timedelta(seconds=940), "online")
    spans = [((s.start - start).seconds, (s.end - start).seconds, s.state) for s in store.effort.spans()]
    assert spans == [(0, 60, "online"), (60, 80, "offline"), (80, 81, "online"), (901, 940, "online")]


def test_a_scan_knows_what_it_has_done(store: Store) -> None:
    """A card with 20,000 files is not begun again; a changed file, other settings or another model are."""
    done = Recording("/card/1.mp4", 100, 5, "demo@1", "{}")
    failed, growing = replace(done, path="/card/2.mp4"), replace(done, path="/card/3.mp4")
    store.scans.mark_done(failed, visits=0, error="is no video", now=NOW)
    store.scans.mark_done(growing, visits=0, error=None, now=NOW, growing=True)
    for _ in range(2):
        store.scans.mark_done(done, visits=2, error=None, now=NOW)
    assert store.scans.done_as(done) is not None
    others = ({"path": "/card/4.mp4"}, {"size": 101}, {"mtime_ns": 6}, {"model": "demo@2"}, {"settings": "{1}"})
    for one in (failed, growing, *(replace(done, **other) for other in others)):
        assert store.scans.done_as(one) is None


def test_reading_creates_nothing(tmp_path: Any, store: Store, sightings: Any) -> None:
    """A mistyped --home is an error, not an empty list and a new folder."""
    with pytest.raises(StoreError, match="no database"):
        StoreReader.open_existing(tmp_path / "typo")
    assert not (tmp_path / "typo").exists()
    store.writer().record(sightings.visit(), [], NOW)
    with StoreReader.open_existing(store.home) as catalogue:
        assert [visit.visit_id for visit in catalogue.visits.find()] == ["v1"]


def test_another_process_in_the_way_is_busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`database is locked` is a thing to try again, and the caller must be able to tell."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 100)
    with Store.open(store.home, zone=store.zone) as impatient:
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="try again"):
            enqueue(impatient, [Message("t", b"")], NOW)
        assert impatient.outbox.pending(0, 1) == []
        other.execute("ROLLBACK")
        enqueue(impatient, [Message("t", b"")], NOW)


def test_a_writer_and_a_publisher_thread(store: Store, writer: Writer, sightings: Any) -> None:
    """The record thread writes while the publisher deletes: nothing is lost, doubled or locked."""
    delivered: list[str] = []
    done = threading.Event()

    def publish() -> None:
        while not done.is_set() or store.outbox.depth():
            rows = store.outbox.pending(0, 8)
            delivered.extend(row.message.key or "" for row in rows)
            store.outbox.delivered([row.id for row in rows], NOW)

    thread = threading.Thread(target=publish)
    thread.start()
    for number in range(60):
        writer.record(sightings.visit(f"v{number:02}"), [sightings.moment(0)], NOW)
    done.set()
    thread.join(30)
    assert delivered == [f"v{number:02}:1" for number in range(60)]
