"""Home Assistant takes what we describe to it, and the rules it is held against notice every known mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jinja2
import pytest

from birdwatchd.mqtt.home_assistant import EVENT_TYPES, Discovery
from birdwatchd.mqtt.payloads import event_type, visit_json
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Phase
from birdwatchd.store import StoredVisit
from tests.support.ha_rules import problems

TOPICS = Topics("birdwatch", "reserve1")
CAMERAS = {"nut_feeder": "Nut feeder", "pond-2": ""}
CAMERA = "homeassistant/device/birdwatch_reserve1_nut_feeder/config"
Spoil = Callable[[dict[str, Any]], object]


def configs(**changes: Any) -> dict[str, dict[str, Any]]:
    """The descriptions by topic."""
    keys: dict[str, Any] = {"prefix": "homeassistant", "topics": TOPICS, "cameras": CAMERAS} | changes
    discovery = Discovery(**keys)
    return {message.topic: json.loads(message.payload) for message in discovery.messages}


def check(found: dict[str, dict[str, Any]]) -> list[str]:
    return problems({topic: json.dumps(config).encode() for topic, config in found.items()})


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("commands", [(), ("enable",), ("enable", "confirm", "retract", "species")])
@pytest.mark.parametrize("heartbeat", [True, False])
def test_home_assistant_takes_every_description(images: bool, commands: tuple[str, ...], heartbeat: bool) -> None:
    """A description that is refused is a camera that does not exist; Home Assistant only logs it."""
    found = configs(images=images, commands=commands, heartbeat=heartbeat)
    assert check(found) == []
    assert list(found) == [
        "homeassistant/device/birdwatch_reserve1/config",
        CAMERA,
        "homeassistant/device/birdwatch_reserve1_pond-2/config",
    ]


def test_a_camera_without_pictures_has_no_image() -> None:
    """An image entity that never shows one looks like a fault; the platform alone removes one of before."""
    found = configs(without_pictures=("nut_feeder",))
    assert found[CAMERA]["cmps"]["image"] == {"p": "image"}
    assert "image_topic" in found["homeassistant/device/birdwatch_reserve1_pond-2/config"]["cmps"]["image"]
    assert check(found) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda c: c["cmps"]["species"].pop("p"), "p is missing"),
        (lambda c: c["cmps"]["species"].pop("unique_id"), "unique_id is missing"),
        (lambda c: c["o"].pop("name"), "o.name is missing"),
        (lambda c: c.pop("o"), "o.name is missing"),
        (lambda c: c["dev"].pop("ids"), "dev.ids is missing"),
        (lambda c: c.update(cmps={}), "cmps is missing"),
        (lambda c: c["cmps"]["species"].update(object_id="x"), "object_id in species"),
        (lambda c: c["dev"].update(object_id="x"), "object_id in dev"),
        (lambda c: c["cmps"]["image"].update(url_topic="a/b"), "one of image_topic and url_topic"),
        (lambda c: c["cmps"]["image"].pop("image_topic"), "one of image_topic and url_topic"),
        (lambda c: c.update(state_topic="a/b"), "shared state topic"),
        (lambda c: c["cmps"]["species"].update(state_topic="birdwatch/reserve1/pond-2/last"), "shared state topic"),
        (lambda c: c["cmps"]["species"].update(default_entity_id="sensor.Nut feeder"), "bad slug"),
        (lambda c: c["cmps"]["species"].update(default_entity_id="switch.nut"), "bad slug or domain"),
        (lambda c: c["cmps"].update({"my bird": c["cmps"]["species"]}), "bad slug of the component"),
        (lambda c: c["cmps"]["score"].update(unique_id=c["cmps"]["today"]["unique_id"]), "2 times"),
        (lambda c: c["cmps"]["visit"].pop("event_types"), "event_types is missing"),
        (lambda c: c["cmps"]["present"].pop("state_topic"), "state_topic is missing"),
        (lambda c: c["cmps"]["present"].update(device_class="bird"), "unknown device_class"),
        (lambda c: c["cmps"]["present"].update(p="bird_sensor"), "unknown platform"),
        (lambda c: c["cmps"]["present"].update(pay_load="x"), "unknown key"),
        (lambda c: c["cmps"]["fps"].update(entity_category="x"), "unknown entity_category"),
        (lambda c: c["cmps"]["fps"].update(state_class="x"), "unknown state_class"),
        (lambda c: c["cmps"]["today"].update(state_class="total_increasing"), "needs state_class total"),
        (lambda c: c.pop("availability_mode"), "availability_mode"),
        (lambda c: c.update(qos=1), "qos of all components"),
        (lambda c: c["dev"].update(url="x"), "unknown key url of the device"),
        (lambda c: c["cmps"]["species"].pop("json_attributes_template"), "attributes of a topic that may be empty"),
        (lambda c: c["cmps"]["status"].pop("options"), "options and device_class enum"),
        (lambda c: c.update(availability=[{}]), "availability without topic"),
    ],
)
def test_the_rules_notice_a_mistake(spoil: Spoil, complaint: str) -> None:
    """A validator that finds nothing proves nothing."""
    found = configs()
    spoil(found[CAMERA])
    assert any(complaint in text for text in check(found)), check(found)


def test_the_rules_notice_a_bad_topic() -> None:
    """A device id with a dot or a space is ignored by Home Assistant without a word."""
    found = configs()
    for bad in ("homeassistant/device/nut feeder/config", "homeassistant/device/a.b/config", "homeassistant/a/config"):
        assert any("bad slug" in text for text in check({bad: found[CAMERA]}))


def test_the_description_is_that_of_the_contract() -> None:
    """Device, availability and topics as other people's dashboards know them; another name would be another entity."""
    camera = configs()[CAMERA]
    assert camera["dev"]["ids"] == ["birdwatch_reserve1_nut_feeder"]
    assert camera["dev"]["via_device"] == "birdwatch_reserve1"
    status = ["birdwatch/reserve1/status", "birdwatch/reserve1/nut_feeder/status"]
    assert [one["topic"] for one in camera["availability"]] == status
    assert camera["availability_mode"] == "all"
    assert {cmp.get("qos") for cmp in camera["cmps"].values() if len(cmp) > 1} == {1}
    below = "birdwatch/reserve1/nut_feeder/"
    topics = {key: cmp.get("state_topic") or cmp.get("image_topic") for key, cmp in camera["cmps"].items()}
    assert {key: topic.removeprefix(below) for key, topic in topics.items() if topic} == {
        "species": "last",
        "score": "last",
        "last_seen": "last",
        "today": "today",
        "species_today": "today",
        "present": "present",
        "image": "image",
        "visit": "visit",
        "status": "status",
        "fps": "health",
        "frame_age": "health",
        "reconnects": "health",
        "dropped": "health",
        "blind": "health",
    }
    assert camera["cmps"]["species"]["unique_id"] == "birdwatch_reserve1_nut_feeder_species"
    assert camera["cmps"]["species"]["default_entity_id"] == "sensor.reserve1_nut_feeder_species"


def test_a_camera_that_is_disabled_is_not_available() -> None:
    """Home Assistant knows `online` and `offline`; after any other word it would go on showing the last picture."""
    station, watching = configs()[CAMERA]["availability"]
    assert station == {"topic": "birdwatch/reserve1/status"}, "here these two are all there is"
    said = {word: rendered(watching["value_template"], word.encode()) for word in ("online", "offline", "disabled")}
    assert said == {"online": "online", "offline": "offline", "disabled": "offline"}


def rendered(template: str, payload: bytes) -> str:
    """A template as Home Assistant renders it: `value`, and `value_json` where there is any."""
    try:
        known = {"value_json": json.loads(payload)}
    except ValueError:
        known = {}
    return jinja2.Environment(autoescape=False).from_string(template).render(value=payload.decode(), **known)


def test_visits_of_the_day_may_fall() -> None:
    """A visit that proves a leaf is counted back. `total_increasing` takes a fall for a new day: all come twice."""
    today = configs()[CAMERA]["cmps"]["today"]
    payload = b'{"date":"2026-05-01","visits":3,"species":{}}'
    assert rendered(today["value_template"], payload) == "3"
    assert rendered(today["last_reset_value_template"], payload) == "2026-05-01T00:00:00"
    assert today["state_class"] == "total"


def test_templates_find_what_is_sent(world: Any) -> None:
    """`None` is what Home Assistant shows as unknown; an error in a template only stands in its log."""
    cmps = configs()[CAMERA]["cmps"]
    last = json.dumps(visit_json(StoredVisit(world.visit("v0"), Phase.FINAL, ()))).encode()
    health = b'{"fps":14.9,"last_frame_age_s":null,"reconnects_1h":0,"dropped_crops_1h":0,"blind":null}'
    said = {key: rendered(cmps[key]["value_template"], last) for key in ("species", "score", "last_seen")}
    assert said == {"species": "House sparrow", "score": "91.2", "last_seen": "2026-05-01T06:30:00.000Z"}
    assert {rendered(cmps[key]["value_template"], b"") for key in said} == {"None"}
    attributes = cmps["species"]["json_attributes_template"]
    assert json.loads(rendered(attributes, last))["certainty"] == "confirmed"
    assert rendered(attributes, b"") == "{}"
    assert rendered(cmps["fps"]["value_template"], health) == "14.9"
    assert rendered(cmps["frame_age"]["value_template"], health) == "None"
    kept = b'{"fps":14.9}'  # the broker may still have what an older version published
    said_of = {rendered(cmps["blind"]["value_template"], each) for each in (health, kept)}
    assert said_of == {"OFF"}
    assert rendered(cmps["blind"]["value_template"], health.replace(b"null}", b'"shaking"}')) == "ON"


def test_a_picture_that_is_not_there_is_not_available(world: Any) -> None:
    """An empty picture is a broken one on every dashboard; whether there is one is said in `last`."""
    _, of_picture = configs()[CAMERA]["cmps"]["image"]["availability"]
    assert of_picture["topic"] == "birdwatch/reserve1/nut_feeder/last"
    payloads = (b'{"image":true}', b'{"image":false}', b"", b'{"state":"confirmed"}')
    said = [rendered(of_picture["value_template"], payload) for payload in payloads]
    assert said == ["online", "offline", "offline", "online"], "the last is what an older version left at the broker"


def test_an_alert_is_shown_without_its_picture() -> None:
    """Home Assistant's database takes 16 kB of attributes; a picture is more."""
    station = configs()["homeassistant/device/birdwatch_reserve1/config"]["cmps"]
    alert = b'{"event_type":"rare","rule":"rarities","image_b64":"/9j/4AAQ"}'
    assert json.loads(rendered(station["alert"]["value_template"], alert)) == {"event_type": "rare", "rule": "rarities"}
    without = configs(alerts=False)["homeassistant/device/birdwatch_reserve1/config"]["cmps"]
    assert without["alert"] == {"p": "event"}


def test_a_device_says_where_it_is_and_where_its_page_is() -> None:
    """Home Assistant suggests the area, and links the page."""
    device = configs(areas={"nut_feeder": "Garden"}, page_url="http://192.0.2.5/")[CAMERA]["dev"]
    assert (device["sa"], device["cu"], device["mdl"]) == ("Garden", "http://192.0.2.5/", "Bird camera")
    assert not {"sa", "cu"} & set(configs()[CAMERA]["dev"])


def test_a_name_is_corrected_by_the_id_of_what_is_shown() -> None:
    """Another bird may have come while somebody typed."""
    text = configs(commands=("species",))[CAMERA]["cmps"]["correct"]
    jinja = jinja2.Environment(autoescape=False).from_string(text["command_template"])
    shown = {"attributes": {"visit_id": "01KTB2Z9V8M4Q6W3E5R7T9Y1AB"}}
    assert jinja.render(value="Great tit", this=shown) == "01KTB2Z9V8M4Q6W3E5R7T9Y1AB Great tit"
    assert jinja.render(value="Great tit", this={"attributes": {}}) == "last Great tit"
    assert (rendered(text["value_template"], b""), text["command_topic"].rsplit("/")[-1]) == ("", "species")


def test_the_species_comes_first_on_the_card_of_its_device() -> None:
    """Home Assistant sorts by name what is no control and no diagnostic."""
    shown = {
        key: cmp["name"]
        for key, cmp in configs()[CAMERA]["cmps"].items()
        if cmp["p"] in ("sensor", "binary_sensor", "image") and "entity_category" not in cmp
    }
    assert min(shown, key=lambda key: shown[key].casefold()) == "species"


def test_a_new_display_name_keeps_every_entity() -> None:
    """People rename their feeders; their history and automations must not notice."""
    before, after = configs()[CAMERA], configs(cameras={"nut_feeder": "Peanuts!", "pond-2": ""})[CAMERA]
    assert before["dev"].pop("name") == "Nut feeder"
    assert after["dev"].pop("name") == "Peanuts!"
    assert before == after


def test_what_is_not_allowed_is_no_entity() -> None:
    """A switch that nobody listens to is worse than none; one from before is taken away by its bare platform."""
    cmps = configs(commands=("retract",), images=False)[CAMERA]["cmps"]
    assert cmps["retract"]["command_topic"] == "birdwatch/reserve1/nut_feeder/set/retract"
    assert (cmps["enabled"], cmps["confirm"], cmps["image"]) == ({"p": "switch"}, {"p": "button"}, {"p": "image"})


def test_a_camera_that_is_switched_off_can_be_switched_on() -> None:
    """A switch that becomes unavailable with its camera could never be used again."""
    switch = configs(commands=("enable",))[CAMERA]["cmps"]["enabled"]
    assert switch["availability"] == [{"topic": "birdwatch/reserve1/status"}]
    assert switch["state_topic"] == "birdwatch/reserve1/nut_feeder/enabled"


def test_no_discovery_without_prefix_and_another_prefix() -> None:
    """Not everybody has Home Assistant, and some have two."""
    assert configs(prefix="") == {}
    assert all(topic.startswith("ha2/device/") for topic in configs(prefix="ha2"))


def test_every_event_type_that_is_sent_is_announced(world: Any) -> None:
    """Home Assistant drops an event whose type was not announced."""
    visit = world.visit("v0")
    firsts = [("ever", "today"), ("year",), ("season",), ("today",), ()]
    sent = {event_type(StoredVisit(visit, Phase.FINAL, first)) for first in firsts}
    assert sent | {event_type(StoredVisit(visit, Phase.RETRACTED, ())), "rare"} == set(EVENT_TYPES)


def test_no_place_is_described() -> None:
    """A map of feeders is a map of nests."""
    text = json.dumps(configs(commands=("enable", "confirm", "retract"))).lower()
    assert "latitude" not in text
    assert "longitude" not in text
