"""What alert rules send through the store: one alert per visit, corrected when it was wrong, in one transaction."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from birdwatchd.alerts.engine import AlertEngine, build_alert_engine, build_station, unknown_names
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.records import Box, Crop, Moment, Rank, State, Verdict, Visit
from birdwatchd.settings.config import Config
from birdwatchd.store import MomentRow, Review, ReviewVerdict, Store, schema
from tests.support.contract import EVENT
from tests.support.stored import stored_visit

CHANNELS = {
    "phone": {"apprise": "json://127.0.0.1:9", "image": True},
    "hook": {"webhook": "http://127.0.0.1:9", "max_age": "2h"},
}
HOOPOE = Verdict(State.CONFIRMED, Rank.SPECIES, "Eurasian hoopoe", "Upupa epops", 0.97, (), rare=True)
SPARROW = Verdict(State.CONFIRMED, Rank.SPECIES, "House sparrow", "Passer domesticus", 0.91, ())
NO_BIRD = Verdict(State.REJECTED, Rank.BIRD, None, None, 0.99, ())


class Bench:
    """A store and the rules of one test; `sent` is what came into the outbox since its last call."""

    def __init__(self, world: Any, *rules: dict[str, Any], broker: bool = True) -> None:
        self.world, self.store, self.seen = world, world.store, 0
        whole = {"alerts": rules, "channels": CHANNELS, "cameras": {"nut": {"source": "a.mp4"}}}
        mqtt = {"url": "mqtt://broker"} if broker else {}
        self.config = Config.model_validate({**whole, "mqtt": mqtt, "station": {"name": "reserve1"}})
        self.decide = build_alert_engine(self.config)
        self.compose = Composer(world.topics) if broker else None

    def visit(self, name: str, verdict: Verdict, **changes: Any) -> Visit:
        visit: Visit = self.world.visit(name, verdict=verdict, **changes)
        return visit

    def record(self, visit: Visit, moments: Any = (), *, late: timedelta = timedelta(0)) -> None:
        self.store.writer(self.compose, self.decide).record(visit, moments, visit.start + late)

    def over(self, visit: Visit, verdict: Verdict | None = None) -> None:
        end = visit.start + timedelta(seconds=9)
        self.record(replace(visit, revision=2, end=end, verdict=verdict or visit.verdict))

    def review(self, visit_id: str, verdict: ReviewVerdict) -> None:
        self.store.writer(self.compose, self.decide).review(visit_id, Review(verdict, "ruth"), self.world.start)

    def sent(self) -> list[tuple[str, str, str]]:
        """To whom, about which visit, in which phase; the messages of other topics left out."""
        return [(where, alert["visit_id"], alert["phase"]) for where, alert in self.alerts()]

    def alerts(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for channel in (None, *CHANNELS):
            for row in self.store.outbox.pending(self.seen, 999, channel):
                if row.message.topic in {"alert", self.world.topics.alert}:
                    found.append((row.id, channel or "mqtt", json.loads(row.message.payload)))
        everything = [
            row.id for channel in (None, *CHANNELS) for row in self.store.outbox.pending(self.seen, 999, channel)
        ]
        self.seen = max([self.seen, *everything])
        return [(where, alert) for _, where, alert in sorted(found, key=lambda one: one[0])]


@pytest.fixture
def bench(world: Any) -> Callable[..., Bench]:
    return lambda *rules, **options: Bench(world, *rules, **options)


RARITIES = {"name": "rarities", "when": ["first_ever", "rare"], "to": ["phone"]}
EVERY = {"name": "every", "to": ["phone", "hook"], "mqtt": False}


def test_an_alert_is_the_visit_with_its_rule_and_why(bench: Callable[..., Bench]) -> None:
    """The payload is a contract like the visit's own; scripts of other people read it."""
    made = bench(RARITIES)
    visit = made.visit("v1", HOOPOE)
    made.record(replace(visit, end=visit.start + timedelta(seconds=9)))
    (_, mqtt), (_, phone) = made.alerts()
    of_visit = {key: kind for key, kind in EVENT.items() if key != "was"}  # `reasons` say what it was
    assert {key: type(value) for key, value in mqtt.items()} == {**of_visit, "rule": str, "reasons": list}
    assert list(mqtt)[-2:] == ["rule", "reasons"]
    assert (mqtt["rule"], mqtt["reasons"]) == ("rarities", ["first_ever", "rare"])
    assert (mqtt["event_type"], mqtt["common_name"]) == ("first_ever", "Eurasian hoopoe")
    assert phone == mqtt
    (row,) = [row for row in made.store.outbox.pending(0, 99) if row.message.topic.endswith("/alert")]
    assert (row.message.topic, row.message.retain) == ("birdwatch/reserve1/alert", False)
    assert row.message.key == "v1:1"


def test_a_visit_is_told_once_and_by_every_channel(bench: Callable[..., Bench]) -> None:
    """Sent while the bird is present, an alert is not sent again because the bird has left."""
    made = bench(EVERY)
    visit = made.visit("v1", SPARROW)
    made.record(visit)
    assert made.sent() == [("phone", "v1", "provisional"), ("hook", "v1", "provisional")]
    made.record(replace(visit, revision=2, count_max=3))
    made.over(replace(visit, revision=3))
    made.record(replace(visit, revision=4, end=visit.start, count_max=4))
    assert made.sent() == []


def test_a_channel_that_a_rule_names_twice_is_told_once(bench: Callable[..., Bench]) -> None:
    """A slip in the file must not ring twice."""
    made = bench({**EVERY, "to": ["phone", "hook", "phone"]})
    made.record(made.visit("v1", SPARROW))
    assert [where for where, *_ in made.sent()] == ["phone", "hook"]


def test_a_bird_that_was_none_is_taken_back(bench: Callable[..., Bench]) -> None:
    """Whoever got an alert of a hoopoe gets the retraction, through the same channels; nobody else does."""
    made = bench(RARITIES, {**EVERY, "states": ["unknown"]})
    visit = made.visit("v1", HOOPOE)
    made.record(visit)
    made.sent()
    made.record(replace(visit, revision=2, verdict=NO_BIRD))
    assert made.sent() == [], "while the bird may still be there, names come and go"
    made.record(replace(visit, revision=3, verdict=NO_BIRD, end=visit.start + timedelta(seconds=5)))
    (_, mqtt), (_, phone) = made.alerts()
    assert mqtt == phone
    assert (mqtt["phase"], mqtt["event_type"], mqtt["state"]) == ("retracted", "retracted", "rejected")
    assert mqtt["reasons"] == ["not a bird; was reported as Eurasian hoopoe"]


def test_a_review_takes_back_and_its_undoing_tells_again(bench: Callable[..., Bench]) -> None:
    """The last word that a channel has is always the one that stands."""
    made = bench(RARITIES)
    visit = made.visit("v1", HOOPOE)
    made.record(visit)
    made.over(visit)
    made.sent()
    made.review("v1", ReviewVerdict.CONFIRM)
    assert made.sent() == []
    made.review("v1", ReviewVerdict.NOT_A_BIRD)
    assert [phase for *_, phase in made.sent()] == ["retracted", "retracted"]
    made.store.writer(made.compose, made.decide).undo_review("v1", made.world.start)
    (_, again), _ = made.alerts()
    assert (again["phase"], again["reasons"]) == ("corrected", ["Eurasian hoopoe after all"])


def test_what_is_corrected_to_a_match_is_told_then(bench: Callable[..., Bench]) -> None:
    """The sparrow that proves a hoopoe the next morning is still the hoopoe that everybody waits for."""
    made = bench({**RARITIES, "when": ["every"], "species": ["Upupidae"]})
    visit = made.visit("v1", SPARROW)
    made.record(visit)
    made.over(visit)
    assert made.sent() == []
    corrected = replace(visit, revision=3, end=visit.start + timedelta(seconds=9), verdict=HOOPOE)
    made.record(corrected, late=timedelta(hours=20))
    assert made.sent() == [("mqtt", "v1", "corrected"), ("phone", "v1", "corrected")]


def test_another_bird_that_fits_as_well_is_told_after_the_end_only(bench: Callable[..., Bench]) -> None:
    """Names settle while the bird is there; the last word that a phone has must be the right name."""
    made = bench(EVERY)
    visit = made.visit("v1", SPARROW)
    made.record(visit)
    made.sent()
    made.record(replace(visit, revision=2, verdict=HOOPOE))
    assert made.sent() == []
    end = visit.start + timedelta(seconds=9)
    for revision, verdict, reason in (
        (3, HOOPOE, "now Eurasian hoopoe; was reported as House sparrow"),
        (4, SPARROW, "now House sparrow; was reported as Eurasian hoopoe"),
    ):
        made.record(replace(visit, revision=revision, end=end, verdict=verdict))
        (_, alert), _ = made.alerts()
        assert (alert["phase"], alert["reasons"]) == ("corrected", [reason])


def test_a_name_that_becomes_more_precise_is_not_told_again(bench: Callable[..., Bench]) -> None:
    """Who asks for every bird, named or not, would hear of nearly each one twice."""
    made = bench({**EVERY, "states": ["confirmed", "uncertain", "unknown"]})
    genus = Verdict(State.CONFIRMED, Rank.GENUS, "Old World sparrows", "Passer", 0.8, ())
    nameless = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.2, ())
    stories = ((nameless, SPARROW, 0), (genus, SPARROW, 0), (SPARROW, genus, 2), (SPARROW, nameless, 2))
    for number, (first, last, corrections) in enumerate(stories):
        visit = made.visit(f"v{number}", first)
        made.record(visit)
        assert len(made.sent()) == 2
        made.over(visit, last)
        assert len(made.sent()) == corrections, (first, last)


def test_what_was_taken_back_starts_no_cooldown_but_counts_for_the_day(bench: Callable[..., Bench]) -> None:
    """A leaf that was reported as a hoopoe must not silence the hoopoe; a cap is about how often the phone rings."""
    made = bench({**RARITIES, "when": ["every"], "cooldown": "1d", "mqtt": False}, {**EVERY, "daily_cap": 1})
    for number, verdict in enumerate((NO_BIRD, HOOPOE, HOOPOE), 1):
        visit = made.visit(f"v{number}", HOOPOE)
        made.record(visit)
        made.over(visit, verdict)
    said = [(alert["rule"], alert["visit_id"], alert["phase"]) for where, alert in made.alerts() if where == "phone"]
    assert said == [
        ("rarities", "v1", "provisional"),
        ("every", "v1", "provisional"),
        ("rarities", "v1", "retracted"),
        ("every", "v1", "retracted"),
        ("rarities", "v2", "provisional"),
    ]


def test_an_old_visit_rings_no_phone(bench: Callable[..., Bench]) -> None:
    """Naming ten years of visits anew must not send ten years of pushes; MQTT hears of it."""
    made = bench({**EVERY, "mqtt": True})
    made.record(made.visit("v1", SPARROW), late=timedelta(hours=3))
    assert made.sent() == [("mqtt", "v1", "provisional"), ("phone", "v1", "provisional")]
    made.record(made.visit("v2", SPARROW), late=timedelta(days=2))
    assert made.sent() == [("mqtt", "v2", "provisional")]


def test_a_recording_rings_no_phone_whatever_becomes_of_it(bench: Callable[..., Bench]) -> None:
    """Cards are looked through weeks later: neither a review of such a visit nor a first it inherits is news."""
    made = bench({**EVERY, "mqtt": True, "when": ["first_ever"]})
    card = made.visit("v1", SPARROW, end=made.world.start, media="/card/1.mp4")
    live = made.visit("v2", SPARROW, end=made.world.start + timedelta(seconds=3))
    made.record(live)
    made.store.writer().record(card, (), card.start)
    assert made.sent() == [(where, "v2", "final") for where in ("mqtt", "phone", "hook")]
    made.review("v2", ReviewVerdict.NOT_A_BIRD)
    made.review("v1", ReviewVerdict.CONFIRM)
    stored = stored_visit(made.store, "v1")
    assert stored is not None
    assert stored.firsts[0] == "ever"
    assert made.sent() == [(where, "v2", "retracted") for where in ("mqtt", "phone", "hook")]


def test_the_picture_goes_where_it_is_wanted(bench: Callable[..., Bench]) -> None:
    """A picture says more than a name, and is forty times as large: only who asks for it gets it."""
    moment = Moment(0, datetime.fromisoformat("2026-05-01T06:30:00Z"), Box(0, 0, 0.1, 0.1), 0.5, Crop(b"jpeg", 8, 8))
    rows = [MomentRow(moment, np.ones(4, np.float32), ())]
    made = bench({**EVERY, "mqtt": True}, {"name": "shown", "mqtt_image": True})
    made.record(made.visit("v1", SPARROW), rows)
    images = {(where, alert["rule"]): alert.get("image_b64") for where, alert in made.alerts()}
    jpeg = base64.b64encode(b"jpeg").decode()
    assert images == {
        ("mqtt", "every"): None,
        ("phone", "every"): jpeg,
        ("hook", "every"): None,
        ("mqtt", "shown"): jpeg,
    }


def test_without_a_broker_channels_are_told_all_the_same(bench: Callable[..., Bench]) -> None:
    """Not everybody who wants a push runs a broker; nothing may pile up for one that does not exist."""
    made = bench({**EVERY, "mqtt": True}, broker=False)
    visit = made.visit("v1", SPARROW)
    made.record(visit)
    made.over(visit, NO_BIRD)
    assert made.sent() == [
        ("phone", "v1", "provisional"),
        ("hook", "v1", "provisional"),
        ("phone", "v1", "retracted"),
        ("hook", "v1", "retracted"),
    ]
    assert made.store.outbox.depth() == 0


def test_a_failing_rule_keeps_nothing(bench: Callable[..., Bench]) -> None:
    """The decision is part of the transaction: a visit without its alert, or an alert without its visit, is a lie."""
    made = bench(EVERY)
    real = made.decide
    assert isinstance(real, AlertEngine)

    class PowerCutError(BaseException):
        pass

    def cut(asked: Any) -> Any:
        real(asked)
        raise PowerCutError

    with pytest.raises(PowerCutError):
        made.store.writer(made.compose, cut).record(made.visit("v1", SPARROW), [], made.world.start)
    assert made.store.visits.get("v1") is None
    assert made.sent() == []
    made.record(made.visit("v1", SPARROW))
    assert len(made.sent()) == 2
    with made.store._database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(schema.alert)).scalar() == 1


def test_a_killed_run_leaves_nothing_untold(bench: Callable[..., Bench]) -> None:
    """The next start closes its visits, and rules that wait for the end decide then."""
    made = bench(EVERY)
    made.store.writer(made.compose).record(made.visit("v1", SPARROW), [], made.world.start)
    made.store.writer(made.compose, made.decide).close_interrupted(made.world.start)
    assert made.sent() == [("phone", "v1", "final"), ("hook", "v1", "final")]


def test_a_deleted_visit_takes_its_alerts_along(bench: Callable[..., Bench]) -> None:
    """What retention removes must not hold a cooldown, nor ring a phone with a visit that nobody finds."""
    made = bench({**EVERY, "cooldown": "30m"})
    made.record(made.visit("v1", SPARROW))
    with made.store._database.writing() as connection:
        connection.execute(sa.delete(schema.visit))
    assert made.store.outbox.depth("phone") == 0
    made.record(made.visit("v2", SPARROW))
    assert [visit for _, visit, _ in made.sent()] == ["v2", "v2"]


def test_names_that_mean_no_bird_are_found(bench: Callable[..., Bench]) -> None:
    """A misspelt name is a rule that never fires, and nobody notices until the season is over."""
    good = ["Great Tit", "great_tit", "Parus", "PARIDAE", "Passeriformes", "Upupa epops"]
    rule = {"name": "r", "species": [*good, "Grate tit"]}
    made = bench(rule)
    assert unknown_names(made.config.alerts, build_station(made.config).bird_names) == [("r", "Grate tit")]


@pytest.mark.parametrize("name", ["Downy woodpecker", "Dryobates pubescens", "Picoides pubescens", "Picidae"])
def test_birds_of_the_world_by_any_of_their_names(bench: Callable[..., Bench], name: str) -> None:
    """Also before the model is loaded, as `check` and `rules test` see them, and by the name of some years ago."""
    made = bench({"name": "r", "species": [name], "to": ["phone"]})
    assert unknown_names(made.config.alerts, build_station(made.config).bird_names) == []
    downy = Verdict(State.CONFIRMED, Rank.SPECIES, "Downy Woodpecker", "Dryobates pubescens", 0.9, ())
    made.record(made.visit("v1", downy))
    made.record(made.visit("v2", SPARROW))
    assert {visit for _, visit, _ in made.sent()} == {"v1"}


def test_a_name_that_two_birds_share_brings_no_other_bird(bench: Callable[..., Bench]) -> None:
    """Feral and rock pigeon have one scientific name: who waits for a rock pigeon is not told of each feral one."""
    made = bench({"name": "r", "species": ["Rock pigeon"], "to": ["phone"]})
    for visit_id, name in (("v1", "Feral pigeon"), ("v2", "Rock pigeon")):
        made.record(made.visit(visit_id, Verdict(State.CONFIRMED, Rank.SPECIES, name, "Columba livia", 0.9, ())))
    assert {visit for _, visit, _ in made.sent()} == {"v2"}


def test_names_in_the_users_language_work_in_rules(tmp_path: Any, world: Any) -> None:
    """Whoever reads Kohlmeise on the page writes Kohlmeise into the rule."""
    names = tmp_path / "names.csv"
    names.write_text("scientific_name,name\nParus major,Kohlmeise\n", encoding="utf-8")
    rule = {"name": "r", "species": ["Kohlmeise"]}
    config = Config.model_validate({"alerts": [rule], "species": {"names_file": names}, "mqtt": {"url": "mqtt://h"}})
    tit = Verdict(State.CONFIRMED, Rank.SPECIES, "Kohlmeise", "Parus major", 0.9, ())
    decide = build_alert_engine(config)
    store: Store = world.store
    store.writer(decide=decide).record(world.visit("v1", verdict=tit), [], world.start)
    store.writer(decide=decide).record(world.visit("v2", verdict=SPARROW), [], world.start)
    assert [row.visit_id for row in store.outbox.pending(0, 9)] == ["v1"]
