"""What was reviewed by a process that may write no picture is in the pictures all the same, soon."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from birdwatchd.errors import StoreBusy
from birdwatchd.flow import Stop
from birdwatchd.records import Label
from birdwatchd.stages.review_notes import MISSED, ReviewNotes
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.store.rescue.notes import read_note
from birdwatchd.testing import START, bird_image, example_moment, example_visit, temporary_store

TIT = Review(ReviewVerdict.SPECIES, "somebody", Label("Great tit", "Parus major"))
ROBIN = Review(ReviewVerdict.SPECIES, "somebody", Label("European robin", "Erithacus rubecula"))
CROP = "media/nut/2026/05/01/v1-0.jpg"


def picture() -> bytes:
    written = io.BytesIO()
    bird_image().save(written, "JPEG")
    return written.getvalue()


@pytest.fixture
def store() -> Iterator[Store]:
    with temporary_store() as made:
        made.writer().record(example_visit("v1"), [example_moment(jpeg=picture())], START)
        yield made


def noted(store: Store) -> list[str | None]:
    """The species of the reviews that the picture says."""
    note = read_note(store.home / CROP)
    assert note is not None
    return [one.species for one in note.reviews]


def notes_of(store: Store, renew: Callable[[str], None], began: datetime = START) -> ReviewNotes:
    return ReviewNotes(store.examples.reviews_version, store.visits.review_times, renew, lambda: began)


@contextmanager
def confined() -> Iterator[None]:
    """As the page's process is: it may write no picture."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", CROP)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("birdwatchd.store.media.Media.write", refused)
        yield


def test_a_picture_says_what_the_page_was_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Where the database is lost, the reviews are found in the pictures; also those of before the daemon's start."""
    with confined():
        store.writer().review("v1", TIT, START)
    assert noted(store) == []
    assert "does not say" not in caplog.text
    notes = notes_of(store, store.writer().renew_note, START + MISSED)
    notes.run_once(Stop())
    assert noted(store) == ["Parus major"]


def test_an_undo_is_said_too_and_nothing_is_renewed_twice(store: Store) -> None:
    """A visit without a review any more is none of those that were reviewed."""
    renewed: list[str] = []
    notes = notes_of(store, renewed.append)
    store.writer().review("v1", TIT, START)
    for _ in range(2):
        notes.run_once(Stop())
    store.writer().undo_review("v1", START)
    for _ in range(2):
        notes.run_once(Stop())
    assert renewed == ["v1", "v1"]


def test_another_review_in_place_of_one_that_was_undone_is_said(store: Store) -> None:
    """Two keys within seconds: SQLite gave the second review the id of the first, and the picture kept the first."""
    store.writer().review("v1", TIT, START)
    notes = notes_of(store, store.writer().renew_note)
    notes.run_once(Stop())
    with confined():
        store.writer().undo_review("v1", START)
        store.writer().review("v1", ROBIN, START + timedelta(seconds=1))
    notes.run_once(Stop())
    assert noted(store) == ["Erithacus rubecula"]


def test_an_undo_of_a_review_of_last_year_is_said(store: Store) -> None:
    """A picture that still says it would bring the review back with a database that is made of pictures."""
    store.writer().review("v1", TIT, START)
    notes = notes_of(store, store.writer().renew_note, START + timedelta(days=300))
    notes.run_once(Stop())
    with confined():
        store.writer().undo_review("v1", START)
    notes.run_once(Stop())
    assert noted(store) == []


def test_a_picture_that_the_daemon_itself_may_not_write_is_said(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else does it then; somebody copied the home as root."""
    store.writer().review("v1", TIT, START)
    (store.home / CROP).write_bytes(picture())
    with confined():
        notes_of(store, store.writer().renew_note).run_once(Stop())
    assert "visit v1 is stored, but its picture does not say how it ended" in caplog.text


def test_a_busy_database_is_asked_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The first refusal is a line of the log."""
    renewed: list[str] = []

    def busy() -> int:
        raise StoreBusy("busy")

    ReviewNotes(busy, dict, renewed.append).run_once(Stop())
    assert renewed == []
    assert "do not say yet what was reviewed: busy" in caplog.text
