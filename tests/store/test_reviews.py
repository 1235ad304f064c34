"""A person's word: it stands against the network, is told, and can be taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from birdwatchd.errors import StoreError
from birdwatchd.records import Label, Phase, Rank, State, clip_path, new_visit_id
from birdwatchd.store import Review, ReviewVerdict, Store, schema

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
TIT = Label("Great tit", "Parus major")
CONFIRM, NOT_A_BIRD = Review(ReviewVerdict.CONFIRM, "ann"), Review(ReviewVerdict.NOT_A_BIRD, "ann")
IS_A_TIT = Review(ReviewVerdict.SPECIES, "ann", TIT)


def phase(store: Store, visit_id: str = "v1") -> Phase:
    stored = store.stored(visit_id)
    assert stored is not None
    return stored.phase


@pytest.fixture
def seen(store: Store, sightings: Any) -> Store:
    """A store with one visit that is over and was told as a house sparrow."""
    store.record(sightings.visit(ended=True), [sightings.moment(0)], sightings.compose, NOW)
    sightings.contexts.clear()
    return store


def test_a_correction_stands_and_is_told(seen: Store, sightings: Any) -> None:
    """The name in the database, on the phone and in the export is the person's from now on."""
    visit = seen.review("v1", IS_A_TIT, sightings.compose, NOW)
    assert seen.visit("v1") == visit
    verdict = visit.verdict
    assert (verdict.state, verdict.rank, verdict.common_name) == (State.CONFIRMED, Rank.SPECIES, "Great tit")
    assert verdict.reasons == ("reviewed by ann",)
    assert visit.revision == 2
    assert phase(seen) is Phase.CORRECTED
    (context,) = sightings.contexts
    assert context.stored.visit.verdict.common_name == "Great tit"


def test_not_a_bird_is_retracted(seen: Store, sightings: Any) -> None:
    """Home Assistant must be able to take the alert back."""
    visit = seen.review("v1", NOT_A_BIRD, sightings.compose, NOW)
    assert (visit.verdict.state, visit.verdict.common_name, visit.verdict.rank) == (State.REJECTED, None, Rank.BIRD)
    assert phase(seen) is Phase.RETRACTED
    assert [context.stored.phase for context in sightings.contexts] == [Phase.RETRACTED]


def test_what_is_confirmed_as_it_was_told_is_no_news(seen: Store, sightings: Any) -> None:
    """Nobody wants a second alert because somebody agreed with the first."""
    seen.review("v1", CONFIRM, sightings.compose, NOW)
    assert sightings.contexts == []
    assert phase(seen) is Phase.FINAL


def test_an_uncertain_name_that_is_confirmed_is_told(store: Store, sightings: Any) -> None:
    """Then it counts, as a first as well."""
    store.record(
        sightings.visit(ended=True, verdict=sightings.verdict(state=State.UNCERTAIN)), [], sightings.compose, NOW
    )
    store.review("v1", CONFIRM, sightings.compose, NOW)
    stored = store.stored("v1")
    assert stored is not None
    assert stored.visit.verdict.state is State.CONFIRMED
    assert stored.firsts[0] == "ever"
    assert sightings.contexts[-1].stored.phase is Phase.CORRECTED


@pytest.mark.parametrize("first", [CONFIRM, IS_A_TIT, NOT_A_BIRD])
def test_a_review_can_be_taken_back(seen: Store, sightings: Any, first: Review) -> None:
    """A slip of the finger must not cost the network's verdict."""
    before = seen.visit("v1")
    assert before is not None
    seen.review("v1", first, sightings.compose, NOW)
    after = seen.undo_review("v1", sightings.compose, NOW)
    assert after == replace(before, revision=3)
    with pytest.raises(StoreError, match="no review to take back"):
        seen.undo_review("v1", None, NOW)


def test_reviews_are_taken_back_one_by_one(seen: Store, sightings: Any) -> None:
    """Two people, two opinions: the last word goes first."""
    seen.review("v1", NOT_A_BIRD, sightings.compose, NOW)
    seen.review("v1", IS_A_TIT, sightings.compose, NOW)
    assert seen.undo_review("v1", sightings.compose, NOW).verdict.state is State.REJECTED
    assert seen.undo_review("v1", sightings.compose, NOW).verdict.common_name == "House sparrow"


def test_a_retraction_that_is_taken_back_is_told_again(seen: Store, sightings: Any) -> None:
    """Whoever removed the bird from the list has to put it back."""
    seen.review("v1", NOT_A_BIRD, sightings.compose, NOW)
    seen.undo_review("v1", sightings.compose, NOW)
    last = sightings.contexts[-1].stored
    assert (last.phase, last.visit.verdict.common_name, last.visit.revision) == (Phase.CORRECTED, "House sparrow", 3)


def test_the_network_does_not_overrule_a_person(seen: Store, sightings: Any) -> None:
    """A recording scanned again, a late message: the correction must be there the day after."""
    seen.review("v1", IS_A_TIT, sightings.compose, NOW)
    seen.record(sightings.visit(revision=9, ended=True), [], sightings.compose, NOW)
    visit = seen.visit("v1")
    assert visit is not None
    assert (visit.revision, visit.verdict.common_name) == (9, "Great tit")


def test_a_clip_that_comes_after_the_review_is_kept(store: Store, sightings: Any) -> None:
    """People are quick and clips take seconds; both count revisions on from the same number."""
    visit_id = new_visit_id(sightings.start, 7)
    visit = sightings.visit(visit_id, ended=True)
    store.record(visit, [], sightings.compose, NOW)
    store.review(visit_id, IS_A_TIT, sightings.compose, NOW)
    store.review(visit_id, NOT_A_BIRD, sightings.compose, NOW)
    name = clip_path("nut", visit_id)
    (store.home / name).parent.mkdir(parents=True, exist_ok=True)
    (store.home / name).write_bytes(b"clip")
    late = replace(visit, revision=2, clip=name)
    assert store.record(late, [], sightings.compose, NOW).only_clip
    kept = store.visit(visit_id)
    assert kept is not None
    assert (kept.clip, kept.revision, kept.verdict.state) == (name, 3, State.REJECTED)
    assert not store.record(late, [], sightings.compose, NOW).recorded


def test_what_cannot_be_reviewed_says_why(store: Store, sightings: Any) -> None:
    """A mistyped id, a bird that is still there, a name that is not there."""
    with pytest.raises(StoreError, match="there is no visit v9"):
        store.review("v9", CONFIRM, None, NOW)
    store.record(sightings.visit("v1"), [], sightings.compose, NOW)
    with pytest.raises(StoreError, match="still there"):
        store.review("v1", CONFIRM, None, NOW)
    unknown = sightings.verdict(name=None, state=State.UNKNOWN, rank=Rank.BIRD)
    store.record(sightings.visit("v2", ended=True, verdict=unknown), [], sightings.compose, NOW)
    with pytest.raises(StoreError, match="no name to confirm"):
        store.review("v2", CONFIRM, None, NOW)


def test_a_review_that_fails_changes_nothing(seen: Store, sightings: Any) -> None:
    """All in one transaction: no review without its verdict, no message without its review."""

    def broken(context: object) -> list[Any]:
        raise RuntimeError("composer")

    before = seen.visit("v1")
    with pytest.raises(RuntimeError, match="composer"):
        seen.review("v1", IS_A_TIT, broken, NOW + timedelta(seconds=1))
    assert seen.visit("v1") == before
    with seen._engine.connect() as connection:
        for table in (schema.review, schema.superseded):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0
