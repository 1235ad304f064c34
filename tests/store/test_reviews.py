"""A person's word: it stands against the network, is told, and can be taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from birdwatchd.errors import StoreError
from birdwatchd.records import Label, Phase, Rank, State, clip_path, new_visit_id
from birdwatchd.store import Review, ReviewVerdict, Store, Writer, schema
from tests.support.stored import stored_visit

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
TIT = Label("Great tit", "Parus major")
CONFIRM, NOT_A_BIRD = Review(ReviewVerdict.CONFIRM, "ann"), Review(ReviewVerdict.NOT_A_BIRD, "ann")
IS_A_TIT = Review(ReviewVerdict.SPECIES, "ann", TIT)


def phase(store: Store, visit_id: str = "v1") -> Phase:
    stored = stored_visit(store, visit_id)
    assert stored is not None
    return stored.phase


@pytest.fixture
def seen(store: Store, writer: Writer, sightings: Any) -> Store:
    """A store with one visit that is over and was told as a house sparrow."""
    writer.record(sightings.visit(ended=True), [sightings.moment(0)], NOW)
    sightings.contexts.clear()
    return store


def test_a_correction_stands_and_is_told(seen: Store, writer: Writer, sightings: Any) -> None:
    """The name in the database, on the phone and in the export is the person's from now on."""
    visit = writer.review("v1", IS_A_TIT, NOW)
    assert seen.visits.get("v1") == visit
    verdict = visit.verdict
    assert (verdict.state, verdict.rank, verdict.common_name) == (State.CONFIRMED, Rank.SPECIES, "Great tit")
    assert verdict.reasons == ("reviewed by ann",)
    assert visit.revision == 2
    assert phase(seen) is Phase.CORRECTED
    (context,) = sightings.contexts
    assert context.stored.visit.verdict.common_name == "Great tit"


def test_not_a_bird_is_retracted(seen: Store, writer: Writer, sightings: Any) -> None:
    """Home Assistant must be able to take the alert back."""
    visit = writer.review("v1", NOT_A_BIRD, NOW)
    assert (visit.verdict.state, visit.verdict.common_name, visit.verdict.rank) == (State.REJECTED, None, Rank.BIRD)
    assert phase(seen) is Phase.RETRACTED
    assert [context.stored.phase for context in sightings.contexts] == [Phase.RETRACTED]


def test_what_is_confirmed_as_it_was_told_is_no_news(seen: Store, writer: Writer, sightings: Any) -> None:
    """Nobody wants a second alert because somebody agreed with the first."""
    writer.review("v1", CONFIRM, NOW)
    assert sightings.contexts == []
    assert phase(seen) is Phase.FINAL


def test_an_uncertain_name_that_is_confirmed_is_told(store: Store, writer: Writer, sightings: Any) -> None:
    """Then it counts, as a first as well."""
    writer.record(sightings.visit(ended=True, verdict=sightings.verdict(state=State.UNCERTAIN)), [], NOW)
    writer.review("v1", CONFIRM, NOW)
    stored = stored_visit(store, "v1")
    assert stored is not None
    assert stored.visit.verdict.state is State.CONFIRMED
    assert stored.firsts[0] == "ever"
    assert sightings.contexts[-1].stored.phase is Phase.CORRECTED


@pytest.mark.parametrize("said", [CONFIRM, IS_A_TIT, NOT_A_BIRD])
def test_the_same_said_twice_is_one_review(seen: Store, writer: Writer, sightings: Any, said: Review) -> None:
    """A key that was pressed twice, or a form that was sent twice: one undo takes all of it back, and nobody is told
    twice. Another person's word, or another answer, is a review of its own.
    """
    before = seen.visits.get("v1")
    assert before is not None
    first, told = writer.review("v1", said, NOW), len(sightings.contexts)
    assert writer.review("v1", said, NOW + timedelta(seconds=1)) == first
    assert len(sightings.contexts) == told
    assert writer.undo_review("v1", NOW).verdict == before.verdict
    with pytest.raises(StoreError, match="no review to take back"):
        writer.undo_review("v1", NOW)
    writer.review("v1", said, NOW)
    writer.review("v1", replace(said, by="bob"), NOW)
    writer.undo_review("v1", NOW)
    assert writer.undo_review("v1", NOW).verdict == before.verdict


@pytest.mark.parametrize("first", [CONFIRM, IS_A_TIT, NOT_A_BIRD])
def test_a_review_can_be_taken_back(seen: Store, writer: Writer, first: Review) -> None:
    """A slip of the finger must not cost the network's verdict."""
    before = seen.visits.get("v1")
    assert before is not None
    writer.review("v1", first, NOW)
    after = writer.undo_review("v1", NOW)
    assert after == replace(before, revision=3)
    with pytest.raises(StoreError, match="no review to take back"):
        seen.writer().undo_review("v1", NOW)


def test_reviews_are_taken_back_one_by_one(seen: Store, writer: Writer) -> None:
    """Two people, two opinions: the last word goes first."""
    writer.review("v1", NOT_A_BIRD, NOW)
    writer.review("v1", IS_A_TIT, NOW)
    assert writer.undo_review("v1", NOW).verdict.state is State.REJECTED
    assert writer.undo_review("v1", NOW).verdict.common_name == "House sparrow"


def test_a_retraction_that_is_taken_back_is_told_again(seen: Store, writer: Writer, sightings: Any) -> None:
    """Whoever removed the bird from the list has to put it back."""
    writer.review("v1", NOT_A_BIRD, NOW)
    writer.undo_review("v1", NOW)
    last = sightings.contexts[-1].stored
    assert (last.phase, last.visit.verdict.common_name, last.visit.revision) == (Phase.CORRECTED, "House sparrow", 3)


def test_the_network_does_not_overrule_a_person(seen: Store, writer: Writer, sightings: Any) -> None:
    """A recording scanned again, a late message: the correction must be there the day after."""
    writer.review("v1", IS_A_TIT, NOW)
    writer.record(sightings.visit(revision=9, ended=True), [], NOW)
    visit = seen.visits.get("v1")
    assert visit is not None
    assert (visit.revision, visit.verdict.common_name) == (9, "Great tit")


def test_a_clip_that_comes_after_the_review_is_kept(store: Store, writer: Writer, sightings: Any) -> None:
    """People are quick and clips take seconds; both count revisions on from the same number."""
    visit_id = new_visit_id(sightings.start, 7)
    visit = sightings.visit(visit_id, ended=True)
    writer.record(visit, [], NOW)
    writer.review(visit_id, IS_A_TIT, NOW)
    writer.review(visit_id, NOT_A_BIRD, NOW)
    name = clip_path("nut", visit_id)
    (store.home / name).parent.mkdir(parents=True, exist_ok=True)
    (store.home / name).write_bytes(b"clip")
    late = replace(visit, revision=2, clip=name)
    assert writer.record(late, [], NOW).only_clip
    kept = store.visits.get(visit_id)
    assert kept is not None
    assert (kept.clip, kept.revision, kept.verdict.state) == (name, 3, State.REJECTED)
    assert not writer.record(late, [], NOW).recorded


def test_what_cannot_be_reviewed_says_why(store: Store, writer: Writer, sightings: Any) -> None:
    """A mistyped id, a bird that is still there, a name that is not there."""
    with pytest.raises(StoreError, match="there is no visit v9"):
        store.writer().review("v9", CONFIRM, NOW)
    writer.record(sightings.visit("v1"), [], NOW)
    with pytest.raises(StoreError, match="is not over yet"):
        store.writer().review("v1", CONFIRM, NOW)
    unknown = sightings.verdict(name=None, state=State.UNKNOWN, rank=Rank.BIRD)
    writer.record(sightings.visit("v2", ended=True, verdict=unknown), [], NOW)
    with pytest.raises(StoreError, match="no name to confirm"):
        store.writer().review("v2", CONFIRM, NOW)


def test_a_review_that_fails_changes_nothing(seen: Store, sightings: Any) -> None:
    """All in one transaction: no review without its verdict, no message without its review."""

    def broken(context: object) -> list[Any]:
        raise RuntimeError("composer")

    before = seen.visits.get("v1")
    with pytest.raises(RuntimeError, match="composer"):
        seen.writer(broken).review("v1", IS_A_TIT, NOW + timedelta(seconds=1))
    assert seen.visits.get("v1") == before
    with seen._database.reading() as connection:
        for table in (schema.review, schema.superseded):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0


def test_each_review_and_each_undo_is_another_version(seen: Store, writer: Writer) -> None:
    """Naming learns from reviews when the version changes; SQLite gives the id of an undone review to the next one."""
    versions = [seen.examples.reviews_version()]
    writer.review("v1", IS_A_TIT, NOW)
    versions.append(seen.examples.reviews_version())
    writer.undo_review("v1", NOW)
    assert seen.examples.reviews_version() == versions[0]
    writer.review("v1", NOT_A_BIRD, NOW + timedelta(seconds=1))
    versions.append(seen.examples.reviews_version())
    assert len(set(versions)) == 3
