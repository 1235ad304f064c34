"""Others may ask a few things of us, if the owner allows it; nothing they send does any harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from birdwatchd.address import Source
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.build import build_mqtt
from birdwatchd.mqtt.commands import Commands
from birdwatchd.mqtt.connection import Received
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.records import State
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.settings.species import SpeciesSettings
from tests.support.mqtt_service import BELOW, Daemon, kept

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
Wait = Callable[..., None]


class CommandBench:
    """Commands for three cameras, and what they did."""

    def __init__(self, world: Any, *allowed: str, species: SpeciesSettings | None = None) -> None:
        self.world, self.metrics = world, Metrics()
        self.switched: list[tuple[str, bool]] = []
        self.commands = Commands(
            world.store,
            world.store.writer(Composer(world.topics)),
            world.topics,
            self.metrics,
            allowed=allowed or ("enable", "confirm", "retract", "species"),
            cameras=("nut", "pond", "attic"),
            switched_off=world.store.cameras.switched_off(),
            disabled=("attic",),
            switch=lambda camera, on: self.switched.append((camera, on)),
            species=species,
        )

    def send(self, leaf: str, payload: bytes, *, at: datetime = NOW, retained: bool = False) -> list[tuple[str, bytes]]:
        topic = leaf if leaf.startswith("/") else f"{BELOW}{leaf}"
        return [(m.topic, m.payload) for m in self.commands.execute(Received(topic, payload, retained), at)]


@pytest.fixture
def bench(world: Any) -> CommandBench:
    return CommandBench(world)


def over(world: Any, visit_id: str, **changes: Any) -> None:
    """A finished visit that was published."""
    visit = world.visit(visit_id, **changes)
    world.record(world.visit(visit_id, **({"end": visit.start + timedelta(seconds=1)} | changes)))


def test_a_camera_is_switched_and_says_so(bench: CommandBench, world: Any) -> None:
    """The switch in Home Assistant shows what is so, and a restart of the daemon does not change it."""
    assert bench.send("nut/set/enabled", b"OFF") == [(f"{BELOW}nut/enabled", b"OFF")]
    assert bench.switched == [("nut", False)]
    again = CommandBench(world)
    assert [m.payload for m in again.commands.states()] == [b"OFF", b"ON", b"OFF"]
    assert again.send("nut/set/enabled", b"ON") == [(f"{BELOW}nut/enabled", b"ON")]
    assert world.store.cameras.switched_off() == set()


def test_what_the_configuration_switches_off_stays_off(bench: CommandBench) -> None:
    """The file is the owner's word; the switch goes back to where it was."""
    assert bench.send("attic/set/enabled", b"ON") == [(f"{BELOW}attic/enabled", b"OFF")]
    assert bench.switched == []


def test_the_last_visit_is_confirmed(bench: CommandBench, world: Any) -> None:
    """One tap on a phone for the bird that was `perhaps a hoopoe`, and those who listen hear of it."""
    over(world, "v1")
    over(world, "v2", verdict=world.verdict(State.UNCERTAIN))
    bench.send("nut/set/confirm", b"last")
    visit = world.store.visits.get("v2")
    assert (visit.verdict.state, visit.verdict.reasons) == (State.CONFIRMED, ("reviewed by MQTT",))
    published = [json.loads(row.message.payload) for row in world.store.outbox.pending(0, 99) if row.visit_id == "v2"]
    assert [(event["state"], event["phase"]) for event in published] == [
        ("uncertain", "final"),
        ("confirmed", "corrected"),
    ]


def test_a_visit_named_by_its_id_is_retracted(bench: CommandBench, world: Any) -> None:
    """A notification names its visit; another bird may have come before the button is pressed."""
    over(world, "v1")
    over(world, "v2")
    bench.send("nut/set/retract", b"v1")
    assert [world.store.visits.get(one).verdict.state for one in ("v1", "v2")] == [State.REJECTED, State.CONFIRMED]


@pytest.mark.parametrize("name", ["Eurasian hoopoe", "upupa epops", "eurasian_hoopoe "])
def test_a_visit_gets_its_right_name(bench: CommandBench, world: Any, name: str) -> None:
    """By the visit's id and a name, common or scientific; those who listen hear what it was."""
    over(world, "v1")
    over(world, "v2")
    bench.send("nut/set/species", f"v1 {name}".encode())
    verdicts = {one: world.store.visits.get(one).verdict for one in ("v1", "v2")}
    assert {one: verdict.common_name for one, verdict in verdicts.items()} == {
        "v1": "Eurasian hoopoe",
        "v2": "House sparrow",
    }
    assert (verdicts["v1"].state, verdicts["v1"].reasons) == (State.CONFIRMED, ("reviewed by MQTT",))
    events = [json.loads(row.message.payload) for row in world.store.outbox.pending(0, 99) if row.visit_id == "v1"]
    assert [(event["phase"], event["common_name"], event["was"]) for event in events][-1:] == [
        ("corrected", "Eurasian hoopoe", "House sparrow")
    ]
    bench.send("nut/set/species", b"v1 Eurasian hoopoe", at=NOW + timedelta(seconds=9))
    assert len(world.store.visits.reviews()) == 1
    bench.send("nut/set/species", b"v1 Great tit", at=NOW + timedelta(seconds=18))
    assert world.store.visits.get("v1").verdict.common_name == "Great tit", "another name is another review"


def test_the_last_visit_gets_its_right_name(bench: CommandBench, world: Any) -> None:
    """Also a bird without a name; a long name is not too large."""
    nothing = replace(world.verdict(State.UNKNOWN), common_name=None, scientific_name=None)
    over(world, "v1", verdict=nothing)
    bench.send("nut/set/species", b"last " + b"Black-throated Thistletail ".ljust(60))
    assert world.store.visits.get("v1").verdict.common_name == "Black-throated Thistletail"


def test_a_name_is_one_of_the_users_language(world: Any) -> None:
    """Who sees `Wiedehopf` types `Wiedehopf`."""
    table = world.folder / "names.csv"
    table.write_text("scientific_name,name\nUpupa epops,Wiedehopf\n")
    bench = CommandBench(world, species=SpeciesSettings(names_file=table))
    over(world, "v1")
    bench.send("nut/set/species", b"v1 wiedehopf")
    assert world.store.visits.get("v1").verdict.common_name == "Wiedehopf"
    table.unlink()
    bench.send("nut/set/species", b"v1 House sparrow")
    assert world.store.visits.get("v1").verdict.common_name == "Wiedehopf"


def test_a_button_pressed_twice_means_one_visit(bench: CommandBench, world: Any) -> None:
    """QoS 1 may bring a message twice, and fingers tremble; the visit before must not go as well."""
    for number in (1, 2, 3):
        over(world, f"v{number}")
    bench.send("nut/set/retract", b"last")
    bench.send("nut/set/retract", b"last", at=NOW + timedelta(seconds=1))
    states = [world.store.visits.get(f"v{number}").verdict.state.value for number in (1, 2, 3)]
    assert states == ["confirmed", "confirmed", "rejected"]
    bench.send("nut/set/retract", b"last", at=NOW + timedelta(seconds=5))
    assert world.store.visits.get("v2").verdict.state is State.REJECTED
    bench.send("nut/set/retract", b"v2", at=NOW + timedelta(seconds=9))
    assert len(world.store.visits.reviews()) == 2, "the same word again is no new review"


@pytest.mark.parametrize(
    ("leaf", "payload", "retained", "complaint"),
    [
        ("nut/set/enabled", b"OFF", True, "it is retained; clear it"),
        ("nut/set/enabled", b"x" * 65, False, "too large (65 bytes)"),
        ("nut/set/enabled", b"off", False, "send ON or OFF"),
        ("nut/set/enabled", b"\xff\x00", False, "send ON or OFF"),
        ("nut/set/reboot", b"ON", False, "unknown camera or command"),
        ("barn/set/enabled", b"ON", False, "unknown camera or command"),
        ("nut/set/", b"ON", False, "unknown camera or command"),
        ("/etc/passwd", b"ON", False, "unknown camera or command"),
        ("nut/set/confirm", b"last", False, ": no such visit"),
        ("nut/set/confirm", b"V1", False, ": no such visit"),
        ("nut/set/confirm", b"'; DROP TABLE visit", False, "send `last` or a visit id"),
        ("nut/set/retract", b"", False, "send `last` or a visit id"),
        ("nut/set/species", b"last", False, "send `last` or a visit id, a space, and a name"),
        ("nut/set/species", b"last House sparow", False, "unknown species 'House sparow'; did you mean House sparrow"),
        ("nut/set/species", b"last \xff\x00", False, "unknown species"),
        ("nut/set/species", b"last House sparrow", False, ": no such visit"),
        ("nut/set/species", b"last " + b"x" * 252, False, "too large (257 bytes)"),
    ],
)
def test_what_makes_no_sense_is_ignored_and_said_once(
    bench: CommandBench, caplog: pytest.LogCaptureFixture, leaf: str, payload: bytes, retained: bool, complaint: str
) -> None:
    """A script that went wild must neither change anything nor fill the log."""
    for second in range(0, 30, 3):
        assert bench.send(leaf, payload, retained=retained, at=NOW + timedelta(seconds=second)) == []
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert complaint in said[0]
    assert bench.metrics.get("mqtt_commands_ignored_total") == 10
    assert bench.switched == []


def test_only_what_is_allowed_is_done(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Off by default, and each kind by itself: who may confirm birds need not be able to blind a camera."""
    bench = CommandBench(world, "confirm")
    over(world, "v1")
    bench.send("nut/set/enabled", b"OFF")
    bench.send("nut/set/retract", b"last")
    assert (bench.switched, world.store.visits.get("v1").verdict.state) == ([], State.CONFIRMED)
    assert "add enable to mqtt.commands" in caplog.text
    assert bench.commands.states() == []


def test_a_visit_of_another_camera_is_left_alone(bench: CommandBench, world: Any) -> None:
    """Access rules at the broker are per camera; a topic must not reach beyond its own."""
    over(world, "v1")
    bench.send("pond/set/retract", b"v1")
    assert world.store.visits.get("v1").verdict.state is State.CONFIRMED


def test_a_bird_that_is_still_there_is_not_reviewed(
    bench: CommandBench, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """`last` is the last that is over; for one named by its id the log says that the bird is still there."""
    over(world, "v1")
    world.record(world.visit("v2"))
    bench.send("nut/set/retract", b"last")
    assert [world.store.visits.get(one).verdict.state for one in ("v1", "v2")] == [State.REJECTED, State.CONFIRMED]
    bench.send("nut/set/retract", b"v2")
    assert "is not over yet" in caplog.text


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(topic=st.text(max_size=40), payload=st.binary(max_size=80), retained=st.booleans(), below=st.booleans())
def test_nothing_that_is_sent_raises(
    bench: CommandBench, topic: str, payload: bytes, retained: bool, below: bool
) -> None:
    """Whoever can write to a topic must not be able to end the daemon."""
    where = f"{BELOW}nut/set/{topic}" if below else topic
    assert bench.commands.execute(Received(where, payload, retained), NOW) == []
    assert bench.switched == []


def test_commands_come_over_the_wire(world: Any, wait_until: Wait) -> None:
    """From a real broker: the switch is echoed, retained ones are ignored, without permission nobody listens."""
    broker = world.mosquitto()
    sender = world.subscriber(broker.port, f"{BELOW}+/enabled", client_id="home assistant")
    sender.client.publish(f"{BELOW}pond/set/enabled", b"OFF", qos=1, retain=True)
    daemon = Daemon(world, broker.url, commands=("enable", "retract"))
    wait_until(lambda: len(sender.got) == 2)
    over(world, "v1")
    sender.client.publish(f"{BELOW}nut/set/enabled", b"OFF", qos=1)
    sender.client.publish(f"{BELOW}nut/set/retract", b"last", qos=1)
    sender.client.publish(f"{BELOW}nut/set/retract", b"x" * 40_000, qos=1)
    wait_until(lambda: sender.payloads(f"{BELOW}nut/enabled")[-1] == b"OFF")
    wait_until(lambda: world.store.visits.get("v1").verdict.state is State.REJECTED)
    assert sender.payloads(f"{BELOW}pond/enabled") == [b"ON"]
    daemon.end()
    quiet = Daemon(world, broker.url)
    wait_until(quiet.all_sent)
    sender.client.publish(f"{BELOW}nut/set/enabled", b"ON", qos=1)
    held = kept(world, broker.port, wait_until)
    assert f"{BELOW}nut/enabled" not in held, "the echo of a switch that is no more is removed"
    assert world.store.cameras.switched_off() == {"nut"}


def test_without_permission_no_camera_stays_off(world: Any) -> None:
    """Who takes the switch away must not be left with a camera that nothing can switch on."""
    world.store.cameras.switch("nut", on=False, now=NOW)
    cameras = {"nut": CameraSettings(source=Source("x.mp4"))}
    off = {
        commands: build_mqtt(
            world.store, MqttSettings(url="mqtt://x", commands=commands), "reserve1", cameras, Metrics()
        ).switched_off
        for commands in (("enable",), ("confirm",))
    }
    assert off == {("enable",): {"nut"}, ("confirm",): frozenset()}


def test_a_refused_subscription_is_logged_once(world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture) -> None:
    """A broker that lets us write but not read makes every button dead; the log must say why."""
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url, commands=("enable",))
    wait_until(daemon.all_sent)
    connection, refusal = daemon.mqtt.publisher._connection, ReasonCode(PacketTypes.SUBACK, identifier=0x87)
    assert not connection.subscribe_refused
    for _ in range(3):
        connection._on_subscribe(connection.client, None, 1, [refusal], None)
        daemon.mqtt.publisher.wake()
        wait_until(
            lambda: "refused a subscription; the MQTT user needs read access to homeassistant/status and" in caplog.text
        )
    assert caplog.text.count("refused a subscription") == 1
