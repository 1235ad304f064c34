"""The sums of species and months are what counting the visits gives, whatever happens to these."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from birdwatchd.errors import StoreError
from birdwatchd.records import Label, Rank, State, Verdict, Visit
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store import Review, ReviewVerdict, Store, schema
from birdwatchd.store.database import FILE_NAME
from birdwatchd.store.pages.species import SpeciesSeen
from birdwatchd.store.rescue import salvage as salvaging
from birdwatchd.store.rescue.examine import examine_database
from birdwatchd.store.rescue.repair import repair_database
from birdwatchd.store.rescue.sums import wrong_sums
from birdwatchd.store.retention.value import Item, Kind, Value
from birdwatchd.store.timekeeping.doubt import is_dated
from birdwatchd.testing import example_moment, example_visit, temporary_store
from tests.support.clocks import Clocks
from tests.support.homes import drop_filters, drop_sums

NOW = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
NAMES = {"House sparrow": "Passer domesticus", "Great tit": "Parus major", "Eurasian hoopoe": "Upupa epops"}
Counted = dict[str, tuple[int, datetime, datetime, int]]


def counted(store: Store, since: datetime | None = None, until: datetime | None = None) -> Counted:
    """What the visits themselves say."""
    visit, found = schema.visit.c, Counted()
    query = sa.select(visit.species, visit.started_at, visit.count_max).where(visit.species.is_not(None))
    with store._database.reading() as connection:
        for species, at, most in connection.execute(query.where(is_dated(visit.clock))):
            if (since is None or at >= since) and (until is None or at < until):
                number, first, last, most_so_far = found.get(species, (0, at, at, 0))
                found[species] = number + 1, min(first, at), max(last, at), max(most_so_far, most)
    return found


def listed(seen: SpeciesSeen, since: datetime | None = None, until: datetime | None = None) -> Counted:
    """What the list of species says."""
    return {one.species: (one.visits, one.first, one.last, one.most) for one in seen.all(since, until)}


def wrong(store: Store) -> int:
    with closing(sqlite3.connect(store.path)) as connection:
        return wrong_sums(connection)


class Walk:
    """A station to which everything happens that changes visits, in a random order."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.rng = store, random.Random(seed)
        self.computer = Clocks(wall=NOW)
        self.ids: list[str] = []
        self.reviewed: list[str] = []
        self.done: set[str] = set()
        self.begin_run()

    def verdict(self) -> Verdict:
        name = self.rng.choice(list(NAMES))
        state = self.rng.choice((State.CONFIRMED, State.CONFIRMED, State.UNCERTAIN))
        return Verdict(state, Rank.SPECIES, name, NAMES[name], 0.9, ((name, 0.9),), ("why",))

    def new_visit(self) -> None:
        start = self.computer.clock.now() - timedelta(hours=self.rng.choice((0, 0, 1, 2, 400, 9000)))
        ended = start + timedelta(seconds=9) if self.rng.random() < 0.7 else None
        visit = example_visit(f"v{len(self.ids):04}", start=start, end=ended, count_max=self.rng.randint(1, 4))
        self.ids.append(visit.visit_id)
        clock = self.store.clocks.current if self.rng.random() < 0.9 else None
        self.record(replace(visit, verdict=self.verdict(), clock=clock))

    def record(self, visit: Visit) -> None:
        self.store.writer().record(visit, [example_moment()], self.computer.clock.now())

    def one(self) -> Visit | None:
        return self.store.visits.get(self.rng.choice(self.ids)) if self.ids else None

    def revise(self) -> None:
        visit = self.one()
        if visit is not None:
            changes: dict[str, Any] = {"revision": visit.revision + 1}
            if self.rng.random() < 0.5:
                changes["count_max"] = self.rng.randint(1, 6)
            if self.rng.random() < 0.5:
                changes["verdict"] = self.verdict()
            if self.rng.random() < 0.5:
                changes["end"] = visit.start + timedelta(seconds=20)
            self.record(replace(visit, **changes))

    def review(self) -> None:
        visit = self.one()
        if visit is not None:
            name = self.rng.choice(list(NAMES))
            label = Label(name, NAMES[name])
            said = (ReviewVerdict.CONFIRM, ReviewVerdict.NOT_A_BIRD, ReviewVerdict.SPECIES)
            verdict = self.rng.choice(said)
            review = Review(verdict, "ann", label if verdict is ReviewVerdict.SPECIES else None)
            self.store.writer().review(visit.visit_id, review, self.computer.clock.now())
            self.reviewed.append(visit.visit_id)

    def undo_review(self) -> None:
        if self.reviewed:
            self.store.writer().undo_review(self.reviewed.pop(), self.computer.clock.now())

    def relabel(self) -> None:
        if self.ids:
            writer, now = self.store.writer(), self.computer.clock.now()
            writer.relabel(self.rng.choice(self.ids), self.verdict(), "other@1", [], now)

    def begin_run(self) -> None:
        self.computer.restart()
        self.store.clocks.begin(self.computer.clock)

    def set_clock(self) -> None:
        self.computer.wall += timedelta(hours=self.rng.choice((-900, -30, 30, 900)))
        self.computer.synchronised = self.rng.random() < 0.5
        change = self.computer.clock.look()
        if change is not None:
            self.store.clocks.change(self.computer.clock, change)

    def trust(self) -> None:
        ahead = self.rng.choice((0, 0, 100, 1000))
        self.store.clocks.trust(self.computer.clock.now() - timedelta(hours=ahead))

    def shift(self) -> None:
        chosen = self.rng.choice([*(one for one in self.store.stretches() if one.doubt)] or self.store.stretches())
        by = timedelta(hours=self.rng.choice((-1500, -20, 3)))
        self.store.clocks.shift(by, self.computer.clock.now(), stretch=chosen.number)

    def dry_shift(self) -> None:
        stretch = self.rng.choice(self.store.stretches()).number
        self.store.clocks.shift(timedelta(hours=-40), self.computer.clock.now(), stretch=stretch, dry_run=True)

    def retention(self) -> None:
        gone = self.rng.sample(self.ids, len(self.ids) // 8)
        items = [Item(Kind.VISIT, one, Value.ORDINARY, 9.0, (), 0, 0) for one in gone]
        self.store.retention(RetentionSettings()).delete(items, self.computer.clock.now())

    def wait(self) -> None:
        self.computer.wait(3600.0 * self.rng.choice((1, 30, 300)))

    def step(self) -> None:
        often = (*[self.new_visit] * 4, self.revise, self.revise, self.review, self.undo_review, self.relabel)
        seldom = (self.begin_run, self.set_clock, self.trust, self.shift, self.dry_shift, self.retention, self.wait)
        action = self.rng.choice(often * 2 + seldom)
        try:
            action()
        except StoreError:  # a review of a visit that goes on, an undo of none, a shift into the future
            return
        self.done.add(action.__name__)


@pytest.fixture
def store() -> Iterator[Store]:
    """Forty visits of three species in fourteen months; the five newest were stamped by a clock that was ahead."""
    with temporary_store() as made:
        for number in range(40):
            name = list(NAMES)[number % 3]
            start = NOW + timedelta(days=10 * number)
            visit = example_visit(f"v{number:03}", name, start=start, end=start, count_max=1 + number % 4)
            made.writer().record(visit, [example_moment()], start)
        made.clocks.trust(NOW + timedelta(days=345))
        yield made


@pytest.mark.parametrize("seed", range(6))
def test_sums_are_those_of_the_visits_whatever_happens(seed: int) -> None:
    """A list that says 311 where 312 came is worse than a slow one."""
    with temporary_store() as store:
        walk = Walk(store, seed)
        for _ in range(120):
            walk.step()
            assert wrong(store) == 0, walk.done
        assert {"new_visit", "revise", "review", "undo_review", "relabel", "trust", "retention"} <= walk.done
        assert listed(store.species) == counted(store)
        for _ in range(20):
            span = sorted(NOW + timedelta(hours=walk.rng.uniform(-9500, 2500)) for _ in range(2))
            assert listed(store.species, *span) == counted(store, *span)
            assert listed(store.species, until=span[0]) == counted(store, until=span[0])
            assert listed(store.species, span[1]) == counted(store, span[1])


MONTH = datetime(2026, 7, 1, tzinfo=UTC)
SPANS = {
    "a local year": (datetime(2026, 12, 31, 22, tzinfo=UTC), datetime(2027, 12, 31, 22, tzinfo=UTC)),
    "whole months": (MONTH, datetime(2026, 9, 1, tzinfo=UTC)),
    "one whole month": (MONTH, datetime(2026, 8, 1, tzinfo=UTC)),
    "within a month": (MONTH + timedelta(days=2), MONTH + timedelta(days=20)),
    "the end of a month": (MONTH + timedelta(days=9), datetime(2026, 8, 1, tzinfo=UTC)),
    "two parts of months": (MONTH - timedelta(days=9), MONTH + timedelta(days=9)),
    "nothing": (MONTH, MONTH),
    "the wrong way round": (MONTH + timedelta(days=50), MONTH),
    "in another zone": (MONTH.astimezone(ZoneInfo("Asia/Jerusalem")), MONTH + timedelta(days=40)),
    "a visit at each end": (NOW + timedelta(days=10), NOW + timedelta(days=100)),
}


@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_a_span_has_its_whole_months_and_parts_of_others(store: Store, span: tuple[datetime, datetime]) -> None:
    """A year of the station's calendar begins hours before or after a month of UTC."""
    assert listed(store.species, *span) == counted(store, *span)
    assert listed(store.species, since=span[0]) == counted(store, since=span[0])
    assert listed(store.species, until=span[1]) == counted(store, until=span[1])


def test_no_list_of_species_looks_at_every_visit(store: Store) -> None:
    """Counted anew, the list of species of a million visits took a quarter of a second."""
    plans: list[str] = []
    with store._database.reading() as connection:
        engine = connection.engine

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        if statement.startswith("SELECT"):
            rows = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in rows.fetchall())

    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        for span in ((None, None), *SPANS.values()):
            store.species.all(*span)
        store.species.of("Parus major")
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)
    assert [step for step in plans if step.startswith(("SCAN visit", "SCAN moment"))] == []
    assert [step for step in plans if "visit USING INDEX ix_visit_started_at" in step] == []
    index = "USING COVERING INDEX ix_visit_of_species (species=? AND started_at>?"
    assert any(step.startswith(f"SEARCH visit {index}") for step in plans)
    assert "SEARCH species_month USING PRIMARY KEY (species=?)" in plans


def test_visits_count_again_when_their_clock_is_put_right(store: Store) -> None:
    """What a clock that was ahead stamped is in no list until it is shifted; then it is, in its month."""
    assert sum(one.visits for one in store.species.all()) == 35
    (stretch,) = [one.number for one in store.stretches() if one.doubt]
    store.clocks.shift(timedelta(days=-300), NOW + timedelta(days=345), stretch=stretch)
    assert sum(one.visits for one in store.species.all()) == 40
    assert listed(store.species) == counted(store)


def test_a_visit_that_is_moved_costs_no_look_at_all_others() -> None:
    """A clock that was put right moved 3000 visits of a month in half a minute, and nothing else was written meanwhile.

    What SQLite does is counted, in steps of its virtual machine.
    """
    steps: list[int] = []
    with temporary_store() as store, closing(sqlite3.connect(store.path)) as connection:
        store.writer().record(example_visit("v0", start=NOW, end=NOW), [], NOW)
        names = [row[1] for row in connection.execute("PRAGMA table_info(visit)")]
        given = {"id": "'v' || n.i", "started_at": "strftime('2026-05-02T%H:%M:%S.000000Z', n.i, 'unixepoch')"}
        copied = f"SELECT {', '.join(given.get(one, one) for one in names)} FROM visit, n WHERE id = 'v0'"
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        connection.execute(f"{numbers} INSERT INTO visit ({', '.join(names)}) {copied}")
        connection.set_progress_handler(lambda: steps.append(100), 100)
        connection.execute("UPDATE visit SET started_at = replace(started_at, '2026-05-02', '2026-05-03')")
        connection.commit()
        assert wrong(store) == 0
    assert 0 < sum(steps) / 1000 < 2000


def test_an_older_database_gets_its_sums(store: Store) -> None:
    """The list of species is the same before and after an upgrade."""
    before = store.species.all()
    store.close()
    with closing(sqlite3.connect(store.path)) as connection:
        drop_filters(connection)
        drop_sums(connection)
        connection.execute("UPDATE alembic_version SET version_num = '0011'")
        connection.commit()
    with Store.open(store.home, zone=ZoneInfo("UTC")) as upgraded:
        assert upgraded.species.all() == before
        upgraded.writer().record(example_visit("new", start=NOW, end=NOW), [example_moment()], NOW)
        assert listed(upgraded.species) == counted(upgraded)


SPOILT = {
    "lost": "DELETE FROM species_month WHERE month = '2026-07'",
    "wrong": "UPDATE species_month SET visits = visits + 1 WHERE month = '2026-07'",
    "of no visit": "INSERT INTO species_month SELECT 'Corvus corax', '2026-07', 1, first_at, last_at, 1"
    " FROM species_month LIMIT 1",
    "triggers lost": "DROP TRIGGER species_month_delete; DELETE FROM moment; DELETE FROM visit WHERE id = 'v003'",
}


@pytest.mark.parametrize("how", SPOILT)
def test_doctor_counts_wrong_sums_anew(store: Store, how: str) -> None:
    """Whatever other program wrote there, no list says for ever what is not so."""
    store.close()
    assert not examine_database(store.home).is_damaged
    with closing(sqlite3.connect(store.path)) as connection:
        connection.executescript(SPOILT[how])
    found = examine_database(store.home)
    assert ["sums of a species and month are wrong" in one for one in found.problems] == [True]
    repaired = repair_database(store.home, found, NOW)
    assert repaired.salvaged is None
    assert not examine_database(store.home).is_damaged
    with Store.open(store.home, zone=ZoneInfo("UTC")) as mended:
        assert listed(mended.species) == counted(mended)


def test_salvaged_visits_have_their_sums(store: Store) -> None:
    """A new database that the rows of a damaged one are saved into lists the same species."""
    before = [replace(one, picture=None) for one in store.species.all()]
    store.close()
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("UPDATE visit SET state = 'nonsense' WHERE id = 'v039'")  # which costs one that is ahead
        connection.commit()
    repaired = repair_database(store.home, examine_database(store.home), NOW)
    assert repaired.salvaged is not None
    assert not examine_database(store.home).is_damaged
    with Store.open(store.home, zone=ZoneInfo("UTC")) as mended:
        assert [replace(one, picture=None) for one in mended.species.all()] == before
        mended.writer().record(example_visit("new", start=NOW, end=NOW), [example_moment()], NOW)
        assert listed(mended.species) == counted(mended)


def test_a_clock_that_is_found_after_its_visits_counts_them_not(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a damaged file the visits may be read from its tables, and the clock that was ahead by `.recover` only."""
    store.close()
    whole = store.path.with_name("whole")
    shutil.copy(store.path, whole)
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("DROP TABLE clock")
        connection.commit()
    monkeypatch.setattr(salvaging, "_recovered", lambda damaged: whole)
    new = store.home / "new"
    Store.open(new, zone=ZoneInfo("UTC")).close()
    salvaging.salvage(store.path, new / FILE_NAME)
    with Store.open(new, zone=ZoneInfo("UTC")) as saved:
        assert sum(one.visits for one in saved.species.all()) == 35
        assert wrong(saved) == 0
