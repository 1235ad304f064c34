"""Every combination of a list's filters gives what looking at each visit gives, and looks at few rows for it."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from birdwatchd.records import Label, Rank, State, Verdict
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.store.news import StoredVisit
from birdwatchd.store.pages import cards
from birdwatchd.store.pages.cards import BIRDS, CardFilter, Place
from birdwatchd.store.rescue.examine import examine_database
from birdwatchd.store.rescue.repair import repair_database
from birdwatchd.testing import START, example_moment, example_visit, temporary_store
from tests.support.homes import drop_filters

NAMES = {"House sparrow": "Passer domesticus", "Great tit": "Parus major"}
SCORES = (0.0, 0.3, 0.5, 0.85, 1.0)
VISITS = 90
CHOICES: dict[str, tuple[Any, ...]] = {
    "species": (None, "Parus major"),
    "camera": (None, "nut"),
    "states": ((), (State.CONFIRMED,), (State.UNCERTAIN,), (State.UNKNOWN, State.REJECTED)),
    "span": ((None, None), (START + timedelta(minutes=10), START + timedelta(minutes=50))),
    "firsts": (False, True),
    "rare": (False, True),
    "unreviewed": (False, True),
    "over": (False, True),
    "scores": ((None, None), (0.5, None), (0.3, 0.85)),
}


def combinations() -> Iterator[CardFilter]:
    """All filters that can be made of these choices."""
    for values in itertools.product(*CHOICES.values()):
        given = dict(zip(CHOICES, values, strict=True))
        (since, until), (least, most) = given.pop("span"), given.pop("scores")
        yield CardFilter(**given, since=since, until=until, least=least, most=most)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """Visits of all kinds in a random mixture; some began at one instant, some were reviewed, some of these undone."""
    rng = random.Random(1)
    with temporary_store() as made:
        writer = made.writer()
        for number in range(VISITS):
            name, state = rng.choice(list(NAMES)), rng.choice((*State, State.CONFIRMED))
            verdict = Verdict(state, Rank.SPECIES, name, NAMES[name], rng.choice(SCORES), ((name, 0.5),), ("why",))
            start = START + timedelta(minutes=rng.randrange(60))
            ended = start + timedelta(seconds=9) if rng.random() < 0.8 else None
            visit = example_visit(f"v{number:03}", start=start, end=ended, camera=rng.choice(("nut", "seed")))
            visit = replace(visit, verdict=replace(verdict, rare=rng.random() < 0.5))
            writer.record(visit, [example_moment()], START)
            if ended is not None and rng.random() < 0.4:
                said = Review(ReviewVerdict.SPECIES, "ann", Label(name, NAMES[name]))
                writer.review(visit.visit_id, said, START)
                if rng.random() < 0.3:
                    writer.undo_review(visit.visit_id, START)
        yield made


def passes(stored: StoredVisit, reviewed: bool, wanted: CardFilter) -> bool:
    """Whether one visit is wanted."""
    visit, verdict = stored.visit, stored.visit.verdict
    return (
        (wanted.species is None or verdict.species == wanted.species)
        and (wanted.camera is None or visit.camera == wanted.camera)
        and verdict.state in (wanted.states or BIRDS)
        and (wanted.since is None or visit.start >= wanted.since)
        and (wanted.until is None or visit.start < wanted.until)
        and (not wanted.firsts or bool(stored.firsts))
        and (not wanted.rare or verdict.rare)
        and not (wanted.unreviewed and reviewed)
        and (not wanted.over or visit.end is not None)
        and (wanted.least is None or verdict.score >= wanted.least)
        and (wanted.most is None or verdict.score <= wanted.most)
    )


@pytest.mark.parametrize("few", [0, 2000])
def test_every_combination_gives_what_looking_at_each_visit_gives(
    store: Store, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """A list that leaves a bird out is worse than a slow one; with and without a look-up of scores."""
    monkeypatch.setattr(cards, "FEW", few)
    rows = sorted(store.visits.stored(), key=lambda one: (one.visit.start, one.visit.visit_id), reverse=True)
    reviewed = {visit_id for visit_id, _, _ in store.visits.reviews()}
    assert 10 < len(reviewed) < VISITS - 10
    place = Place(START + timedelta(minutes=30), "v050")
    filled = 0
    with store._database.reading() as connection:
        for wanted in combinations():
            mine = [
                (one.visit.start, one.visit.visit_id)
                for one in rows
                if passes(one, one.visit.visit_id in reviewed, wanted)
            ]
            assert cards._in_order(connection, wanted, None, VISITS) == mine, wanted
            older = [one for one in mine if one < (place.start, place.visit_id)]
            assert cards._in_order(connection, wanted, place, 4)[:4] == older[:4], wanted
            newer = [one for one in reversed(mine) if one > (place.start, place.visit_id)]
            assert cards._in_order(connection, wanted, place, 4, newer=True)[:4] == newer[:4], wanted
            filled += bool(mine)
    assert filled > 500


def test_cards_say_what_is_reviewed(store: Store) -> None:
    """Nobody wants to be asked twice."""
    reviewed = {visit_id for visit_id, _, _ in store.visits.reviews()}
    shown = store.cards.page(CardFilter(states=tuple(State)), VISITS).cards
    assert {card.stored.visit.visit_id for card in shown if card.reviewed} == reviewed


def test_no_combination_goes_through_all_visits(store: Store) -> None:
    """With a million visits a look at each row takes a second: lists are read from indexes, in their order."""
    plans: set[tuple[str, str]] = set()
    known: set[str] = set()
    with store._database.reading() as connection:
        engine = connection.engine

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        if statement.startswith("SELECT") and statement not in known:
            known.add(statement)
            rows = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.update((row[3], statement) for row in rows.fetchall())

    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for few in (0, 2000):
                patch.setattr(cards, "FEW", few)
                for wanted in combinations():
                    for place in (None, Place(START + timedelta(minutes=30), "v050")):
                        with store._database.reading() as connection:
                            cards._in_order(connection, wanted, place, 5)
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)
    # What was looked up is looked at one by one, and put in order.
    lookups = ("SEARCH visit USING INDEX ix_visit_score", "SEARCH visit USING INDEX ix_visit_unreviewed")
    of_few = {statement for step, statement in plans if step.startswith(lookups)}
    steps = {step for step, statement in plans if statement not in of_few and "visit" in step}
    assert {step.split(" (")[0] for step in steps} == {
        "SEARCH visit USING COVERING INDEX ix_visit_score",  # these two count them
        "SEARCH visit USING COVERING INDEX ix_visit_unreviewed",
        "SEARCH visit USING INDEX ix_visit_firsts",
        "SEARCH visit USING INDEX ix_visit_of_camera",
        "SEARCH visit USING INDEX ix_visit_of_species",
        "SEARCH visit USING INDEX ix_visit_rare",
        "SEARCH visit USING INDEX ix_visit_started_at",
    }
    by_camera = {step.split(" (")[1] for step in steps if "ix_visit_of_camera" in step}
    assert all(one.startswith("camera_id=? AND state=? AND started_at<?") or "started_at>?" in one for one in by_camera)
    both = [one for one in known if "started_at <= ?" in one and "started_at < ?" in one]
    assert both == []  # of two ends SQLite takes one, and a page of years ago began at the newest visit
    sorted_ones = [one for step, one in plans if step == "USE TEMP B-TREE FOR ORDER BY" and one not in of_few]
    assert sorted_ones == []


def test_what_can_hold_nothing_is_not_asked_for(store: Store) -> None:
    """A species is remembered of confirmed visits only; both took up to half a second where they walked a list."""
    asked: list[str] = []
    with store._database.reading() as connection:
        engine = connection.engine

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        asked.extend([statement] if "FROM visit" in statement else [])

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        for nothing in (
            CardFilter(species="Parus major", states=(State.UNCERTAIN, State.REJECTED)),
            CardFilter(species="Parus major", camera="nowhere"),
            CardFilter(camera="nowhere", rare=True, least=0.5),
            CardFilter(camera="nowhere", unreviewed=True),
        ):
            assert store.cards.ids(nothing, 9) == []
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    assert asked == []


def marked(store: Store) -> set[str]:
    """The visits whose rows say that they are reviewed."""
    with closing(sqlite3.connect(store.path)) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM visit WHERE reviewed")}


def test_a_visit_is_marked_while_it_has_a_review() -> None:
    """Of two reviews one may be undone; and a new revision of the visit changes nothing of it."""
    with temporary_store() as store:
        writer = store.writer()
        for name in ("v1", "v2", "v3"):
            writer.record(example_visit(name, start=START, end=START), [], START)
        sparrow = Review(ReviewVerdict.SPECIES, "ann", Label("House sparrow", "Passer domesticus"))
        writer.review("v1", Review(ReviewVerdict.CONFIRM, "ann"), START)
        writer.review("v1", replace(sparrow, by="bob"), START)
        writer.review("v2", Review(ReviewVerdict.NOT_A_BIRD, "ann"), START)
        assert marked(store) == {"v1", "v2"}
        visit = store.visits.get("v1")
        assert visit is not None
        writer.record(replace(visit, revision=visit.revision + 1), [], START)
        writer.undo_review("v1", START)
        writer.undo_review("v2", START)
        assert marked(store) == {"v1"}
        with closing(sqlite3.connect(store.path)) as connection:  # as another program might
            connection.execute("UPDATE review SET visit_id = 'v3'")
            connection.commit()
        assert marked(store) == {"v3"}
        writer.delete("v3", START)
        assert marked(store) == set()


def test_an_older_database_knows_what_is_reviewed() -> None:
    """After an upgrade nobody is asked again for what was answered."""
    with temporary_store() as store:
        for name in ("v1", "v2"):
            store.writer().record(example_visit(name, start=START, end=START), [], START)
        store.writer().review("v1", Review(ReviewVerdict.CONFIRM, "ann"), START)
        store.close()
        with closing(sqlite3.connect(store.path)) as connection:
            drop_filters(connection)
            connection.execute("UPDATE alembic_version SET version_num = '0012'")
            connection.commit()
        with Store.open(store.home, zone=ZoneInfo("UTC")) as upgraded:
            assert upgraded.cards.ids(CardFilter(unreviewed=True), 9) == ["v2"]
            upgraded.writer().undo_review("v1", START)
            assert upgraded.cards.ids(CardFilter(unreviewed=True), 9) == ["v2", "v1"]


@pytest.mark.parametrize("salvage", [False, True])
def test_doctor_marks_anew_what_is_reviewed(salvage: bool) -> None:
    """Whatever other program wrote there, and whichever rows were lost."""
    with temporary_store() as store:
        for name in ("v1", "v2", "v3"):
            store.writer().record(example_visit(name, start=START, end=START), [example_moment()], START)
        store.writer().review("v1", Review(ReviewVerdict.CONFIRM, "ann"), START)
        store.close()
        assert not examine_database(store.home).is_damaged
        with closing(sqlite3.connect(store.path)) as connection:
            connection.execute("UPDATE visit SET reviewed = NOT reviewed WHERE id != 'v3'")
            if salvage:
                connection.execute("UPDATE visit SET state = 'nonsense' WHERE id = 'v3'")
            connection.commit()
        found = examine_database(store.home)
        assert found.is_damaged
        assert salvage or found.problems == ["2 visits say wrongly whether they are reviewed"]
        repaired = repair_database(store.home, found, START)
        assert (repaired.salvaged is not None) == salvage
        assert not examine_database(store.home).is_damaged
        with Store.open(store.home, zone=ZoneInfo("UTC")) as mended:
            assert marked(mended) == {"v1"}


def test_reviews_of_a_job_are_looked_up(store: Store) -> None:
    """A page that shows a job asks at each of its looks which visits are done."""
    plans: list[str] = []
    with store._database.reading() as connection:
        engine = connection.engine

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        if "FROM review" in statement:
            rows = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in rows.fetchall())

    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        assert len(store.visits.reviewed_at(START)) > 10
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)
    assert plans == ["SEARCH review USING INDEX ix_review_at (at=?)"]
