"""Programs, proxies and large stations that ask the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from birdwatchd.settings.config import Config
from birdwatchd.store import Store
from birdwatchd.store.pages.cards import CardFilter
from birdwatchd.testing import START, example_visit, temporary_store
from birdwatchd.web.access import tries
from birdwatchd.web.access.login import Login
from birdwatchd.web.home import Home
from birdwatchd.web.routes import api
from tests.support.page import browser

PASSWORD = "correct horse battery"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # as it is kept, but made quickly


@pytest.fixture
def store() -> Iterator[Store]:
    with temporary_store() as made:
        yield made


def test_one_device_behind_a_proxy_locks_out_nobody_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a tunnel on the same machine a few mistyped passwords from any device lock out every device.

    Must: The device that guesses waits; another one behind the same proxy logs in.
    Report: https://github.com/TecFancy/dsh-auth-gate/issues/74
    Report: https://github.com/danbyte-net/danbyte/issues/226
    """
    monkeypatch.setattr(tries, "FREE_TRIES", 1)
    web = {"password_file": store.home / "none", "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}
    somebody = browser(store.home, login=Login(HASH), web=web)
    invented = "203.0.113.1, 192.0.2.66, 10.0.0.2"  # the guesser writes the first, the outer proxy the second
    assert somebody.post("/login", {"password": "wrong"}, x_forwarded_for=invented).status == 429
    again = invented.replace("203.0.113.1", "203.0.113.2")
    assert somebody.post("/login", {"password": PASSWORD}, x_forwarded_for=again).status == 429
    assert somebody.post("/login", {"password": PASSWORD}, x_forwarded_for="192.0.2.7, 10.0.0.2").status == 303


def test_species_of_a_large_station_are_looked_up(store: Store) -> None:
    """With 1.7 million detections on a card, what is asked of each species goes through the whole table.

    Must: The names and the counts of the species are read from the index of species, and no visit is gone through.
    Report: https://github.com/tphakala/birdnet-go/issues/3840
    Report: https://github.com/mcguirepr89/BirdNET-Pi/issues/521
    """
    store.writer().record(example_visit("v1"), [], START)
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        rows = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in rows.fetchall() if statement.startswith(("SELECT", "WITH")))

    with store._database.reading() as connection:
        engine = connection.engine
    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        assert [one.visits for one in store.species.all()] == [1]
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)
    of_visits = [plan for plan in plans if " visit" in plan]
    assert len(of_visits) > 3
    assert [plan for plan in of_visits if "ix_visit_of_species" not in plan] == []


def test_a_table_of_many_visits_begins_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporting all detections as CSV takes ages with more than 100,000, and may be short of memory.

    Must: The first lines are there before the last visit is read; the table is never in memory as a whole.
    Report: https://github.com/Mattk70/Chirpity-Electron/issues/273
    """
    monkeypatch.setattr(api, "CSV_PART", 5)
    writer = store.writer()
    for number in range(6):
        writer.record(example_visit(f"v{number:04}"), [], START)
    lines = api._csv_lines(Home(Config.model_validate({"home": store.home})), CardFilter())
    assert next(lines).count("\n") == 6  # with the line of columns
    assert next(lines).startswith("v0000,")
