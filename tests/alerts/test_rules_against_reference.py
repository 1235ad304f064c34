"""Random visits through random rules: what is sent must be what a slow reading of docs/reference/alerts.md says.

The reference keeps everything in lists and looks at all of it for every question. It shares no code with the rules.
Which visit is a first is the store's business and tested there; the reference takes it from the store, together with
visits that were rewritten because another one lost a first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdwatchd.alerts.engine import AlertEngine, build_station
from birdwatchd.alerts.rules import Station
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Box, Rank, State, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.store import Store, schema
from tests.support.stored import stored_visit

ZONE = "Asia/Jerusalem"
ROOM = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]  # the left half of the picture of camera `nut`
CORNER = [(0.0, 0.0), (0.01, 0.0), (0.0, 0.01)]  # what is called so at camera `pond`; no bird is ever there

# state, rank, common name, scientific name, and by which of the names that rules below use it may be meant
BIRDS: tuple[tuple[str, str, str | None, str | None, set[str]], ...] = (
    ("confirmed", "species", "House sparrow", "Passer domesticus", {"House sparrow", "Passeridae"}),
    ("confirmed", "species", "Great tit", "Parus major", {"great_tit", "Paridae", "Parus"}),
    ("confirmed", "species", "Coal tit", "Periparus ater", {"Paridae"}),
    ("confirmed", "genus", "Parus sp.", "Parus", {"Paridae", "Parus"}),
    ("uncertain", "species", "Great tit", "Parus major", {"great_tit", "Paridae", "Parus"}),
    ("unknown", "bird", None, None, set()),
    ("rejected", "bird", None, None, set()),
)
NAMES = ("House sparrow", "Passeridae", "great_tit", "Paridae", "Parus")
WHEN = ("every", "first_ever", "first_year", "first_season", "first_today", "rare", "unseen_1d", "unseen_30d")
HOURS = ("06:00..12:30", "22:00..02:30", "00:00..24:00", "02:15..03:00", "13:07..13:08")
# Around both changes of the clock in Jerusalem in 2026, New Year, the change of a season, and a plain day.
NIGHTS = tuple(
    datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE))
    for text in ("2026-03-26T20:00", "2026-10-24T20:00", "2026-12-31T12:00", "2027-02-28T09:00", "2026-05-01T01:00")
)


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True)


# What narrows a rule down; few of them at once, else nothing ever fits.
NARROW = st.one_of(
    st.fixed_dictionaries({"species": some(NAMES)}),
    st.fixed_dictionaries({"states": st.sampled_from([["confirmed", "uncertain"], ["unknown", "confirmed"]])}),
    st.fixed_dictionaries({"cameras": some(("nut", "pond")), "min_count": st.just(2)}),
    st.fixed_dictionaries({"zones": st.just(["left"])}),
    st.fixed_dictionaries({"hours": some(HOURS)}),
    st.fixed_dictionaries({"quiet": some(HOURS)}),
)
OFTEN = st.fixed_dictionaries(
    {
        "when": st.just(["every"]) | st.lists(st.sampled_from(WHEN), min_size=1, max_size=2, unique=True),
        "cooldown": st.sampled_from(["0s", "20m", "3h", "2d"]),
        "daily_cap": st.sampled_from([None, None, 1, 2]),
    }
)
RULE = st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, OFTEN, st.just({}) | NARROW, NARROW)
RULE = RULE | OFTEN
# of which visit; bird; rare; count; left or right; is it over
STEP = st.tuples(
    st.integers(0, 3),
    st.sampled_from(BIRDS[:2]) | st.sampled_from(BIRDS),
    st.booleans(),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
)
# Minutes after the beginning of a night that all visits of an example share; some as far apart as a cooldown is long.
START = st.tuples(st.sampled_from([0, 20, 40, 180, 200]) | st.integers(0, 2000), st.sampled_from(("nut", "pond")))


@dataclass
class Seen:
    """One visit as the reference knows it; `alerts`: the last alert of each rule."""

    number: int
    start: datetime
    camera: str
    revision: int = 0
    over: bool = False
    bird: Any = None
    rare: bool = False
    count: int = 0
    left: bool = True
    firsts: set[str] = field(default_factory=set)
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def species(self) -> str | None:
        return self.bird[3] if self.bird and self.bird[:2] == ("confirmed", "species") else None

    @property
    def local(self) -> datetime:
        return self.start.astimezone(ZoneInfo(ZONE))


class Reference:
    """What docs/reference/alerts.md says, word by word."""

    def __init__(self, rules: list[dict[str, Any]], visits: list[Seen]) -> None:
        self.rules, self.visits = rules, visits
        self.said: list[tuple[str, str, int, str]] = []

    def revised(self, visit: Seen, store: Store) -> None:
        """A visit was written; others may have been rewritten with it."""
        written = [visit]
        for one in self.visits:
            stored = stored_visit(store, f"v{one.number}") if one.revision else None
            if stored is not None:
                one.firsts = set(stored.firsts)
                if stored.visit.revision > one.revision:
                    written.append(one)
                one.revision = stored.visit.revision
        for one in written:
            for rule in self.rules:
                self.ask(rule, one)

    def others(self, visit: Seen) -> list[Seen]:
        return [other for other in self.visits if other is not visit and other.revision]

    def ask(self, rule: dict[str, Any], visit: Seen) -> None:
        name = rule["name"]
        note = visit.alerts.get(name)
        if note is None:
            if self.matches(rule, visit) and not self.too_much(rule, visit):
                phase = "final" if visit.over else "provisional"
                visit.alerts[name] = {"bird": visit.bird, "settled": visit.over, "stands": True}
                self.say(name, visit, phase)
            return
        if not visit.over or (note["settled"] and note["bird"] == visit.bird):
            return
        stands = note["stands"] if note["bird"] == visit.bird else self.matches(rule, visit)
        if note["stands"] and not stands:
            self.say(name, visit, "retracted" if visit.bird[0] == "rejected" else "corrected")
        was, now = note["bird"][3], visit.bird[3]
        another = was != now if note["settled"] else was is not None and was not in {now, *visit.bird[4]}
        if stands and (another or not note["stands"]):
            self.say(name, visit, "corrected")
        visit.alerts[name] = {"bird": visit.bird, "settled": True, "stands": stands}

    def say(self, rule: str, visit: Seen, phase: str) -> None:
        self.said.append((rule, f"v{visit.number}", visit.revision, phase))

    def matches(self, rule: dict[str, Any], visit: Seen) -> bool:
        if visit.bird[0] not in rule.get("states", ["confirmed"]):
            return False
        wrong_bird = rule.get("species") and not set(rule["species"]) & visit.bird[4]
        wrong_camera = rule.get("cameras") and visit.camera not in rule["cameras"]
        wrong_place = rule.get("zones") and not (visit.camera == "nut" and visit.left)
        if wrong_bird or wrong_camera or wrong_place or visit.count < rule.get("min_count", 1):
            return False
        minute = visit.local.hour * 60 + visit.local.minute
        if rule.get("hours") and not any(minute in minutes(text) for text in rule["hours"]):
            return False
        if any(minute in minutes(text) for text in rule.get("quiet", [])):
            return False
        return any(self.happens(occasion, visit) for occasion in rule["when"])

    def happens(self, occasion: str, visit: Seen) -> bool:
        if occasion.startswith("first_"):
            return occasion[6:] in visit.firsts
        if occasion.startswith("unseen_"):
            span = timedelta(days=int(occasion[7:-1]))
            near = [o for o in self.others(visit) if o.species == visit.species and o.start <= visit.start]
            return visit.species is not None and all(visit.start - other.start >= span for other in near)
        return occasion == "every" or visit.rare

    def too_much(self, rule: dict[str, Any], visit: Seen) -> bool:
        fired = [(other, other.alerts[rule["name"]]) for other in self.others(visit) if rule["name"] in other.alerts]
        pause = {"0s": 0, "20m": 20, "3h": 180, "2d": 2880}[rule["cooldown"]]
        for other, note in fired:
            near = abs(other.start - visit.start) < timedelta(minutes=pause)
            if near and note["stands"] and note["bird"][3] == visit.bird[3]:
                return True
        today = [other for other, _ in fired if other.local.date() == visit.local.date()]
        return rule["daily_cap"] is not None and len(today) >= rule["daily_cap"]


def minutes(text: str) -> set[int]:
    """Every minute of the day in `22:00..02:30`, one by one."""
    first, last = (int(t[:2]) * 60 + int(t[3:]) for t in text.split(".."))
    found: set[int] = set()
    minute = first
    while minute % 1440 != last % 1440 or not found:
        found.add(minute % 1440)
        minute += 1
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    home: Path = tmp_path_factory.mktemp("rules")
    with Store.open(home, zone=ZoneInfo(ZONE)) as opened:
        yield opened


@pytest.fixture(scope="module")
def station() -> Station:
    """Its table of birds is the same for all rules."""
    return build_station(config_of([]))


def config_of(rules: list[dict[str, Any]]) -> Config:
    cameras = {key: {"source": "a.mp4", "zones": {"left": left}} for key, left in (("nut", ROOM), ("pond", CORNER))}
    return Config.model_validate({"station": {"timezone": ZONE}, "cameras": cameras, "alerts": rules})


def stored(visit: Seen) -> Visit:
    state, rank, common, scientific, _ = visit.bird
    verdict = Verdict(State(state), Rank(rank), common, scientific, 0.9, (), rare=visit.rare)
    box = Box(0.1 if visit.left else 0.7, 0.4, 0.2, 0.2)
    end = visit.start + timedelta(seconds=9) if visit.over else None
    return Visit(
        f"v{visit.number}", visit.camera, visit.revision, visit.start, end, verdict, 1, visit.count, box, "demo@1",
        last_seen=visit.start,
    )  # fmt: skip


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(RULE, min_size=1, max_size=3),
    st.sampled_from(NIGHTS),
    st.lists(START, min_size=4, max_size=4),
    st.lists(STEP, max_size=14),
)
def test_what_is_told_is_what_the_reference_tells(
    store: Store, station: Station, rules: list[dict[str, Any]], night: datetime, starts: list[Any], steps: list[Any]
) -> None:
    """One alert too many trains people to ignore them; one too few is the hoopoe that nobody came out to see."""
    with store._database.writing() as connection:
        connection.execute(sa.delete(schema.visit))
    named = [{**rule, "name": f"r{number}"} for number, rule in enumerate(rules)]
    decide = AlertEngine(config_of(named).alerts, station, Topics("b", "s"), {})
    moments = [(night.astimezone(UTC) + timedelta(minutes=after), camera) for after, camera in starts]
    reference = Reference(named, [Seen(number, *one) for number, one in enumerate(moments)])
    for step in steps:
        number, bird, rare, count, left, over = step
        visit = reference.visits[number]
        visit.bird, visit.rare, visit.count, visit.left = bird, rare, count, left
        visit.over, visit.revision = visit.over or over, visit.revision + 1
        store.writer(decide=decide).record(stored(visit), [], visit.start)
        reference.revised(visit, store)
    sent = []
    for row in store.outbox.pending(0, 999):
        alert = json.loads(row.message.payload)
        sent.append((alert["rule"], alert["visit_id"], alert["revision"], alert["phase"]))
    assert sent == reference.said
