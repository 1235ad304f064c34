"""The payload is a contract: these keys, these types, on these topics."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from birdwatchd.mqtt.payloads import Composer, event_type
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Box, Crop, Moment, Phase, State
from birdwatchd.store import MomentRow, NewsContext, StoredVisit
from tests.support.contract import EVENT, MAY_BE_NULL


def row(index: int, quality: float, jpeg: bytes, world: Any) -> MomentRow:
    moment = Moment(index, world.start, Box(0, 0, 0.1, 0.1), quality, Crop(jpeg, 8, 8))
    return MomentRow(moment, np.ones(4, np.float32), ())


def sent(world: Any) -> dict[str, bytes]:
    """What is in the outbox, by the topic's last word; the newest of each."""
    return {r.message.topic.rsplit("/")[-1]: r.message.payload for r in world.store.outbox.pending(0, 100)}


def test_the_payload_is_frozen(world: Any) -> None:
    """Home Assistant templates name these keys; a renamed one is a sensor that says `unknown` for ever."""
    visit = world.visit("v0", end=world.start + timedelta(seconds=9))
    stored = StoredVisit(visit, Phase.FINAL, ("ever", "today"))
    message, *states = Composer(world.topics)(NewsContext(stored, stored, True, b"jpeg", was="Great tit"))
    event = json.loads(message.payload)
    assert {key: type(value) for key, value in event.items()} == EVENT
    assert list(event) == list(EVENT)
    assert (message.topic, message.retain, message.coalesce) == ("birdwatch/reserve1/nut/visit", False, False)
    assert message.key == "v0:1"
    assert (event["start"], event["score"]) == ("2026-05-01T06:30:00.000Z", 0.9123)
    last, image = states
    of_event = {"event_type", "was"}
    kept = {key: value for key, value in event.items() if key not in of_event}
    assert json.loads(last.payload) == kept | {"image": True}
    assert [(s.topic, s.retain, s.coalesce) for s in states] == [
        ("birdwatch/reserve1/nut/last", True, True),
        ("birdwatch/reserve1/nut/image", True, True),
    ]
    assert image.payload == b"jpeg"


def test_only_these_keys_may_be_null(world: Any) -> None:
    """A template that meets an unexpected null shows an error instead of a bird."""
    unnamed = world.visit("v0", box=None, verdict=world.verdict(State.UNKNOWN))
    nameless = StoredVisit(unnamed, Phase.PROVISIONAL, ())
    (message,) = Composer(world.topics)(NewsContext(nameless, None, False, None))
    event = json.loads(message.payload)
    assert {key for key, value in event.items() if value is None} <= MAY_BE_NULL
    assert event["event_type"] == "visit"


def test_no_place_is_told(world: Any) -> None:
    """A rare nest's position is worth money to the wrong people."""
    world.bird()
    text = b"".join(r.message.payload for r in world.store.outbox.pending(0, 100)).lower()
    assert b"latitude" not in text
    assert b"longitude" not in text


def test_the_most_notable_first_names_the_event(world: Any) -> None:
    """One event per visit revision: `first_ever` outranks `first_today`; a retraction outranks all."""
    visit = world.visit("v0")
    assert event_type(StoredVisit(visit, Phase.FINAL, ("ever", "year", "season", "today"))) == "first_ever"
    assert event_type(StoredVisit(visit, Phase.FINAL, ("season", "today"))) == "first_season"
    assert event_type(StoredVisit(visit, Phase.RETRACTED, ())) == "retracted"


def test_image_is_the_best_so_far_and_last_goes_back(world: Any) -> None:
    """The retained picture is the sharpest of the newest bird, and a retracted bird takes its picture along."""
    world.record(world.visit("v1"), [row(0, 0.9, b"good", world), row(1, 0.2, b"bad", world)])
    assert sent(world)["image"] == b"good"
    world.record(world.visit("v2"), [row(0, 0.4, b"second", world)])
    world.record(world.visit("v2", 2, count_max=2), [row(1, 0.8, b"sharper", world)])
    assert sent(world)["image"] == b"sharper"
    assert json.loads(sent(world)["last"])["revision"] == 2
    world.record(world.visit("v2", 3, verdict=world.verdict(State.REJECTED)))
    assert json.loads(sent(world)["visit"])["event_type"] == "retracted"
    assert (json.loads(sent(world)["last"])["visit_id"], sent(world)["image"]) == ("v1", b"good")
    world.record(world.visit("v1", 2, verdict=world.verdict(State.REJECTED)))
    assert (sent(world)["last"], sent(world)["image"]) == (b"", b"")


def test_a_retraction_says_which_bird_it_was(world: Any) -> None:
    """`No bird` without a name tells nobody which notification to forget; the same of a bird with another name."""
    world.record(world.visit("v1"))
    assert json.loads(sent(world)["visit"])["was"] is None
    hoopoe = replace(world.verdict(), common_name="Eurasian hoopoe", scientific_name="Upupa epops")
    world.record(world.visit("v1", 2, verdict=hoopoe))
    event = json.loads(sent(world)["visit"])
    assert (event["common_name"], event["was"]) == ("Eurasian hoopoe", "House sparrow")
    nothing = replace(world.verdict(State.REJECTED), common_name=None, scientific_name=None)
    world.record(world.visit("v1", 3, verdict=nothing))
    event = json.loads(sent(world)["visit"])
    assert (event["event_type"], event["common_name"], event["was"]) == ("retracted", None, "Eurasian hoopoe")


def test_last_says_whether_there_is_a_picture(world: Any) -> None:
    """A visit whose picture was deleted, or never was, must not be shown with an empty one."""
    world.record(world.visit("v1"))
    assert json.loads(sent(world)["last"])["image"] is False
    world.record(world.visit("v2"), [row(0, 0.9, b"good", world)])
    assert json.loads(sent(world)["last"])["image"] is True


def test_images_can_be_switched_off(world: Any) -> None:
    """A retained picture outlives the daemon; not everybody wants that."""
    stored = StoredVisit(world.visit("v0"), Phase.FINAL, ())
    messages = Composer(Topics("b", "s"), images=False)(NewsContext(stored, stored, True, b"jpeg"))
    assert [message.topic for message in messages] == ["b/s/nut/visit", "b/s/nut/last"]


def test_a_rarity_is_told_as_one(world: Any) -> None:
    """The automation `event_type: rare` wakes people up: confirmed rarities only, and a first ever says more."""
    visit = world.visit("v0")
    rare = replace(visit, verdict=replace(visit.verdict, rare=True))
    unsure = replace(rare, verdict=replace(rare.verdict, state=State.UNCERTAIN))
    assert event_type(StoredVisit(rare, Phase.FINAL, ("today",))) == "rare"
    assert event_type(StoredVisit(rare, Phase.FINAL, ("ever", "today"))) == "first_ever"
    assert event_type(StoredVisit(unsure, Phase.FINAL, ())) == "visit"
    assert event_type(StoredVisit(rare, Phase.RETRACTED, ())) == "retracted"
