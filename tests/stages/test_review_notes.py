"""What was reviewed by a process that may write no picture is in the pictures all the same, soon."""

from __future__ import annotations

import io
from collections.abc import Iterator
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
CROP = "media/nut/2026/05/01/v1-0.jpg"


@pytest.fixture
def store() -> Iterator[Store]:
    with temporary_store() as made:
        picture = io.BytesIO()
        bird_image().save(picture, "JPEG")
        made.writer().record(example_visit("v1"), [example_moment(jpeg=picture.getvalue())], START)
        yield made


def noted(store: Store) -> list[str | None]:
    """The species of the reviews that the picture says."""
    note = read_note(store.home / CROP)
    assert note is not None
    return [one.species for one in note.reviews]


def page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Review as the confined page does: its process may write no picture."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", CROP)

    with monkeypatch.context() as confined:
        confined.setattr("birdwatchd.store.media.Media.write", refused)
        store.writer().review("v1", TIT, START)


def test_a_picture_says_what_the_page_was_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the database is lost, the reviews are found in the pictures; also those of before the daemon's start."""
    page(store, monkeypatch)
    assert noted(store) == []
    assert "does not say" not in caplog.text
    notes = ReviewNotes(store.visits, store.writer().renew_note, lambda: START + MISSED)
    notes.run_once(Stop())
    assert noted(store) == ["Parus major"]


def test_an_undo_is_said_too_and_nothing_is_renewed_twice(store: Store) -> None:
    """A visit without a review any more is none of those that were reviewed."""
    renewed: list[str] = []
    notes = ReviewNotes(store.visits, renewed.append, lambda: START)
    store.writer().review("v1", TIT, START)
    for _ in range(2):
        notes.run_once(Stop())
    store.writer().undo_review("v1", START)
    for _ in range(2):
        notes.run_once(Stop())
    assert renewed == ["v1", "v1"]


def test_another_answer_right_after_an_undo_is_noticed(store: Store) -> None:
    """Whoever presses the wrong key undoes it and says another thing, within the seconds between two looks."""
    renewed: list[str] = []
    notes, writer = ReviewNotes(store.visits, renewed.append, lambda: START), store.writer()
    writer.review("v1", TIT, START)
    notes.run_once(Stop())
    writer.undo_review("v1", START)
    writer.review("v1", Review(ReviewVerdict.NOT_A_BIRD, "somebody"), START + timedelta(seconds=2))
    notes.run_once(Stop())
    assert renewed == ["v1", "v1"]


def test_a_busy_database_is_asked_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The first refusal is a line of the log."""
    renewed: list[str] = []

    class Busy:
        def newest_reviews(self, since: object) -> dict[str, tuple[datetime, int]]:
            raise StoreBusy("busy")

    ReviewNotes(Busy(), renewed.append).run_once(Stop())
    assert renewed == []
    assert "do not say yet what was reviewed: busy" in caplog.text
