"""What pages read: lists a page at a time, species, what became of a visit, and that something changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from birdwatchd.records import Label, State, Visit
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.store.database import FILE_NAME
from birdwatchd.store.pages.cards import CardFilter, Place
from birdwatchd.store.pages.changes import Changes
from birdwatchd.store.pages.clip_span import clip_span
from birdwatchd.testing import START, example_moment, example_visit, temporary_store

STATES = (State.CONFIRMED, State.UNCERTAIN, State.UNKNOWN, State.REJECTED)


def visit_of(number: int, **changes: Any) -> Visit:
    """Visits a minute apart, at two cameras, of two species, in all four states in turn; two began at one instant."""
    start = START + timedelta(minutes=number - number % 7 // 6)
    name = ("House sparrow", "Great tit")[number % 2]
    visit = example_visit(f"v{number:03}", name, start=start, camera=("nut", "seed")[number % 3 % 2], **changes)
    return replace(visit, verdict=replace(visit.verdict, state=STATES[number % 5 % 4], rare=number % 4 == 0))


@pytest.fixture(scope="module")
def full_store() -> Iterator[Store]:
    """Made once, for tests that only read."""
    with filled_store() as made:
        yield made


@pytest.fixture
def store() -> Iterator[Store]:
    with filled_store() as made:
        yield made


@contextmanager
def filled_store() -> Iterator[Store]:
    with temporary_store() as made:
        writer = made.writer()
        for number in range(60):
            writer.record(visit_of(number), [example_moment(0), example_moment(1, quality=0.9)], START)
        writer.review("v001", Review(ReviewVerdict.CONFIRM, "ann"), START)
        yield made


FILTERS = [
    CardFilter(),
    CardFilter(camera="nut"),
    CardFilter(states=(State.UNCERTAIN, State.REJECTED)),
    CardFilter(camera="seed", states=(State.CONFIRMED,)),
    CardFilter(species="Parus major"),
    CardFilter(species="Parus major", camera="nut", states=(State.CONFIRMED,)),
    CardFilter(since=START + timedelta(minutes=10), until=START + timedelta(minutes=30)),
    CardFilter(species="Parus major", since=START + timedelta(minutes=10), until=START + timedelta(minutes=30)),
    CardFilter(firsts=True),
    CardFilter(rare=True, firsts=True, camera="nut", states=(State.CONFIRMED,)),
    CardFilter(rare=True, species="Passer domesticus"),
    CardFilter(rare=True, unreviewed=True, over=True),
]


def matches(store: Store, wanted: CardFilter) -> list[str]:
    """The same list by looking at every visit."""
    found = []
    for stored in store.visits.stored():
        visit, verdict = stored.visit, stored.visit.verdict
        reviewed = visit.visit_id == "v001"
        if (
            (wanted.species is None or verdict.species == wanted.species)
            and (wanted.camera is None or visit.camera == wanted.camera)
            and verdict.state in (wanted.states or STATES[:3])
            and (wanted.since is None or visit.start >= wanted.since)
            and (wanted.until is None or visit.start < wanted.until)
            and (not wanted.firsts or stored.firsts)
            and (not wanted.rare or verdict.rare)
            and not (wanted.unreviewed and reviewed)
        ):
            found.append((visit.start, visit.visit_id))
    return [visit_id for _, visit_id in sorted(found, reverse=True)]


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_pages_put_together_are_the_whole_list(full_store: Store, wanted: CardFilter) -> None:
    """Whoever leafs through the years sees each visit once, also where several began at the same instant."""
    seen: list[str] = []
    place: Place | None = None
    while True:
        page = full_store.cards.page(wanted, 7, place)
        seen += [card.stored.visit.visit_id for card in page.cards]
        place = page.older
        if place is None:
            break
        assert len(page.cards) == 7
    assert seen == matches(full_store, wanted)
    assert seen


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_no_list_looks_at_every_visit(full_store: Store, wanted: CardFilter) -> None:
    """A station has a million visits after some years; a page that goes through them all takes seconds."""
    plans: list[tuple[str, str]] = []
    with full_store._database.reading() as connection:
        engine = connection.engine

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        if statement.startswith("SELECT"):
            rows = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend((row[3], statement) for row in rows.fetchall())

    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        for place in (None, Place(START + timedelta(minutes=40), "v040")):
            page = full_store.cards.page(wanted, 5, place)
            for asked in (CardFilter(), wanted):
                full_store.cards.neighbours(page.cards[0].stored.visit.visit_id, asked)
            full_store.cards.are_in([(START, START + timedelta(hours=1))])
            full_store.species.names()
            full_store.species.total()
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)
    assert any(step.startswith("SEARCH visit ") for step, _ in plans)
    if wanted.rare or wanted.firsts:  # of a million visits few are: looked up, and not on the way through all others
        few = ("ix_visit_rare", "ix_visit_firsts", "ix_visit_unreviewed")
        assert any(step.startswith("SEARCH visit USING INDEX") and any(one in step for one in few) for step, _ in plans)
    assert [step for step, _ in plans if step.startswith(("SCAN visit", "SCAN moment", "SCAN review"))] == []
    # Read in order, not put in order; only the ids of visits that began at one instant are, and the few looked up.
    in_order = [statement for step, statement in plans if step == "USE TEMP B-TREE FOR ORDER BY"]
    assert [statement for statement in in_order if not statement.startswith("SELECT few.")] == []


def test_a_card_has_its_best_picture_and_says_whether_it_was_judged(store: Store) -> None:
    """A list of birds shows the picture with most of the bird, and what somebody has said already."""
    card = store.cards.of("v001")
    assert card is not None
    assert (card.picture, card.reviewed) == (1, True)
    assert store.cards.of("nothing") is None
    assert store.cards.cameras() == ["nut", "seed"]
    assert store.cards.picture("v001", 1) == store.visits.moments("v001")[1].crop.relative_to(store.home).as_posix()  # type: ignore[union-attr]
    assert [store.cards.picture("v001", number) for number in (-1, 9, 2**80)] == [None, None, None]


def test_neighbours_are_those_that_began_next(store: Store) -> None:
    """j and k on a visit's page lead through the birds in the order in which they came; not to leaves."""
    order = list(reversed(matches(store, CardFilter())))
    for before, middle, after in zip(order, order[1:], order[2:], strict=False):
        assert store.cards.neighbours(middle) == (after, before)
    assert store.cards.neighbours(order[-1])[0] is None
    assert store.cards.neighbours("nothing") == (None, None)


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_neighbours_of_a_list_are_in_it(full_store: Store, wanted: CardFilter) -> None:
    """Who goes through the unreviewed sparrows with j is led to the next of them, and not to a tit in between."""
    listed = matches(full_store, wanted)
    for visit_id in matches(full_store, CardFilter()):
        visit = full_store.visits.get(visit_id)
        assert visit is not None
        here = (visit.start, visit_id)
        places = [(found.start, one) for one in listed if (found := full_store.visits.get(one)) is not None]
        newer = min((one for one in places if one > here), default=(None, None))[1]
        older = max((one for one in places if one < here), default=(None, None))[1]
        assert full_store.cards.neighbours(visit_id, wanted) == (newer, older)


def test_a_span_without_birds_is_told_apart(store: Store) -> None:
    """The days to jump to are those on which a bird came; a leaf that was rejected is none."""
    leaf = store.visits.get("v003")
    assert leaf is not None
    assert leaf.verdict.state is State.REJECTED
    minute = timedelta(minutes=1)
    spans = [(START, START + minute), (START - minute, START), (leaf.start, leaf.start + minute)]
    assert store.cards.are_in(spans) == [True, False, False]


def test_a_species_that_is_taken_back_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody corrects its only visit while the list of species is read: that was an error in the page's log."""
    monkeypatch.setattr(store.species, "names", list)  # as they are read a moment later
    assert {one.name for one in store.species.all()} == {"Great tit", "House sparrow"}


@pytest.mark.parametrize("version", [0, 1])
def test_a_clip_that_ends_anywhere_in_its_header(tmp_path: Path, version: int) -> None:
    """A power cut leaves clips of any length, and none of them takes the page of its visit down."""
    movie = b"mvhd" + bytes((version, 0, 0, 0)) + bytes(7) + b"\1" + bytes(20)
    whole = b"\0\0\0\x40moov\0\0\0\x38" + movie
    for size in range(len(whole)):
        (tmp_path / "clip.mp4").write_bytes(whole[:size])
        assert clip_span(tmp_path / "clip.mp4") is None


def test_species_are_counted_from_their_confirmed_visits(store: Store) -> None:
    """The life list: when first and last, how often, and a picture."""
    listed = {one.species: one for one in store.species.all()}
    assert set(listed) == {"Passer domesticus", "Parus major"}
    mine = [v for v in store.visits.find() if v.verdict.species == "Parus major"]
    tit = listed["Parus major"]
    assert tit == store.species.of("Parus major")
    assert (tit.name, tit.visits, tit.first, tit.last) == ("Great tit", len(mine), mine[0].start, mine[-1].start)
    assert tit.picture is not None
    assert store.species.times("Parus major") == [visit.start for visit in reversed(mine)]
    assert store.species.of("Corvus corax") is None
    assert store.species.names() == [("Parus major", "Great tit"), ("Passer domesticus", "House sparrow")]
    assert store.species.total() == 2


def test_the_history_says_what_people_said(store: Store) -> None:
    """A name that a person gave should say who gave it, and what it was."""
    store.writer().review("v001", Review(ReviewVerdict.SPECIES, "bob", Label("Great tit", "Parus major")), START)
    history = store.histories.of("v001")
    assert [(one.verdict, one.species, one.by) for one in history.reviews] == [
        ("confirm", None, "ann"),
        ("species", "Parus major", "bob"),
    ]
    assert store.histories.of("nothing").reviews == ()


def test_a_write_of_somebody_else_is_noticed_once(tmp_path: Path) -> None:
    """The page shows a new bird within a second, and asks no table for it."""
    changes = Changes(tmp_path / FILE_NAME)
    assert not changes.look()  # there is no database yet
    with temporary_store() as store:
        changes = Changes(store.path)
        assert changes.look()
        assert not changes.look()
        store.writer().record(example_visit(), [], START)
        assert [changes.look(), changes.look()] == [True, False]
        list(store.visits.stored())
        assert not changes.look()  # reading is no change
        kept = store.path.with_name("copy")
        kept.write_bytes(store.path.read_bytes())
        kept.replace(store.path)  # as a restore does
        assert changes.look()
        changes.close()
