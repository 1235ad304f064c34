"""What a broker keeps for us is what it should keep: nothing is missing after a restart, nothing stays that is gone."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from birdwatchd.errors import StoreBusy
from birdwatchd.mqtt.connection import Received
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.records import Message, State
from tests.support.mqtt_service import BELOW, Daemon, kept
from tests.support.stored import enqueue

DEVICE = "homeassistant/device/birdwatch_reserve1"
Wait = Callable[..., None]


def bird(world: Any, camera: str = "nut", visit_id: str = "v1", **changes: Any) -> None:
    world.record(world.visit(visit_id, camera=camera, **changes))


def test_the_broker_is_told_everything_at_once(world: Any, wait_until: Wait) -> None:
    """Who switches MQTT on after a season of birds sees the newest one at once, not after the next one came."""
    bird(world, end=world.start + timedelta(seconds=9))
    world.store.outbox.delivered([row.id for row in world.store.outbox.pending(0, 99)], world.start)
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    held = kept(world, broker.port, wait_until)
    assert json.loads(held[f"{BELOW}nut/last"])["visit_id"] == "v1"
    assert json.loads(held[f"{BELOW}nut/today"]) == {
        "date": "2026-05-01",
        "visits": 1,
        "species": {"House sparrow": 1},
    }
    assert json.loads(held[f"{BELOW}pond/today"])["visits"] == 0
    assert (held[f"{BELOW}nut/present"], held[f"{BELOW}status"]) == (b"OFF", b"online")
    assert set(json.loads(held[f"{BELOW}pond/health"])) == {
        "fps", "last_frame_age_s", "reconnects_1h", "dropped_crops_1h", "blind",
    }  # fmt: skip
    of_all = {"date": "2026-05-01", "visits": 1, "species": {"House sparrow": 1}, "species_total": 1}
    assert json.loads(held[f"{BELOW}today"]) == of_all
    assert json.loads(held[f"{BELOW}health"]) == {"unsent": 0, "oldest_unsent_s": None}
    assert {f"{DEVICE}/config", f"{DEVICE}_nut/config", f"{DEVICE}_pond/config"} <= set(held)


def test_no_older_state_follows_the_newest(world: Any, wait_until: Wait) -> None:
    """What changed while the broker was away and is no news (a score, a better picture) is published, and stays."""
    bird(world)
    bird(world, revision=2, moments=5)
    broker = world.mosquitto()
    listener = world.subscriber(broker.port, f"{BELOW}nut/+")
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    assert json.loads(kept(world, broker.port, wait_until)[f"{BELOW}nut/last"])["moments"] == 5
    assert [json.loads(payload)["revision"] for payload in listener.payloads(f"{BELOW}nut/last")] == [2]
    assert [json.loads(payload)["revision"] for payload in listener.payloads(f"{BELOW}nut/visit")] == [1]


def test_present_and_today_follow_the_birds(world: Any, wait_until: Wait) -> None:
    """Present from the first message on until the end, or until it turns out to be a leaf."""
    broker = world.mosquitto()
    listener = world.subscriber(broker.port, f"{BELOW}nut/+")
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    now = datetime(2026, 5, 1, 6, 45, tzinfo=UTC)
    end = world.start + timedelta(seconds=5)
    states = [
        ({}, b"ON", 1),
        ({"revision": 2, "end": end}, b"OFF", 1),
        ({"revision": 3, "end": end, "verdict": world.verdict(State.REJECTED)}, b"OFF", 0),
    ]
    for changes, present, visits in states:
        daemon.mqtt.writer.record(world.visit("v1", **changes), [], now)
        daemon.mqtt.publisher.wake()
        wait_until(lambda present=present: listener.payloads(f"{BELOW}nut/present")[-1] == present)
        wait_until(daemon.all_sent)
        assert json.loads(listener.payloads(f"{BELOW}nut/today")[-1])["visits"] == visits


def test_today_begins_anew_at_midnight(world: Any, wait_until: Wait) -> None:
    """Nobody must read yesterday's forty sparrows as today's until the first bird comes."""
    at = [datetime(2026, 5, 1, 20, 59, tzinfo=UTC)]  # a minute before midnight in Jerusalem
    world.store.writer().record(world.visit("v1", start=at[0]), [], at[0])
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url, clock=lambda: at[0])
    wait_until(daemon.all_sent)
    retained = daemon.mqtt.publisher._retained
    assert retained is not None
    at[0] += timedelta(minutes=1)
    retained._next_update_s = float("-inf")  # a minute is over
    daemon.mqtt.publisher.wake()
    listener = world.subscriber(broker.port, f"{BELOW}nut/today")
    wait_until(lambda: listener.got and json.loads(listener.got[-1][1])["date"] == "2026-05-02")
    assert json.loads(listener.got[-1][1]) == {"date": "2026-05-02", "visits": 0, "species": {}}


def test_what_waited_over_midnight_is_not_told_as_today(world: Any, wait_until: Wait) -> None:
    """A broker that came back in the morning got today first, and then yesterday as if it were today."""
    evening = datetime(2026, 5, 1, 20, 59, tzinfo=UTC)
    world.store.writer(Composer(world.topics)).record(world.visit("v1", start=evening), [], evening)
    broker = world.mosquitto()
    listener = world.subscriber(broker.port, f"{BELOW}nut/#")
    daemon = Daemon(world, broker.url, clock=lambda: evening + timedelta(hours=9))
    wait_until(daemon.all_sent)
    assert [json.loads(text)["date"] for text in listener.payloads(f"{BELOW}nut/today")] == ["2026-05-02"]
    assert [json.loads(text)["visit_id"] for text in listener.payloads(f"{BELOW}nut/visit")] == ["v1"]
    daemon.mqtt.writer.record(world.visit("v1", 2, start=evening, count_max=2), [], evening)
    daemon.mqtt.publisher.wake()
    wait_until(lambda: b'"revision":2' in listener.payloads(f"{BELOW}nut/last")[-1])


def test_home_assistants_birth_is_answered(world: Any, wait_until: Wait) -> None:
    """After a restart of Home Assistant no entity may show `unknown`: descriptions again, then states."""
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    assistant = world.subscriber(broker.port, "#", client_id="home assistant")
    wait_until(lambda: any(topic == f"{BELOW}nut/health" for topic, _, _ in assistant.got))
    before = len(assistant.got)
    assistant.client.publish("homeassistant/status", b"offline", qos=1)
    for _ in range(20):  # somebody plays with it
        assistant.client.publish("homeassistant/status", b"online", qos=1)
    wait_until(lambda: any(topic == f"{BELOW}pond/health" for topic, _, _ in assistant.got[before:]))
    wait_until(daemon.all_sent)
    again = [topic for topic, _, _ in assistant.got[before:] if topic != "homeassistant/status"]
    assert again[:3] == [f"{DEVICE}/config", f"{DEVICE}_nut/config", f"{DEVICE}_pond/config"]
    leaves = ("last", "image", "today", "present", "health")
    assert set(again[3:-2]) == {f"{BELOW}{camera}/{leaf}" for camera in ("nut", "pond") for leaf in leaves}
    assert again[-2:] == [f"{BELOW}today", f"{BELOW}health"]
    assert len(again) == 15, "each once"


def test_home_assistant_is_born_where_it_always_is(world: Any, wait_until: Wait) -> None:
    """Its birth topic does not follow the discovery prefix unless somebody changes both."""
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url, discovery="ha")
    wait_until(daemon.all_sent)
    for number, topic in enumerate(("homeassistant/status", "ha/status")):
        assistant = world.subscriber(broker.port, "ha/device/#", client_id=f"home assistant {number}")
        wait_until(lambda assistant=assistant: len(assistant.got) == 3)
        assistant.client.publish(topic, b"online", qos=1)
        wait_until(lambda assistant=assistant: len(assistant.got) == 6)
        daemon.mqtt.publisher._retained._republish_from_s = float("-inf")  # type: ignore[union-attr]


def test_commands_that_cannot_be_carried_out_do_not_pile_up(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds the database, somebody may go on sending."""

    def busy(*_: Any) -> Any:
        raise StoreBusy("held")

    monkeypatch.setattr(world.store.retained, "announce", busy)
    running = Daemon(world, "mqtt://127.0.0.1:1", commands=("enable",))
    retained = running.mqtt.publisher._retained
    for _ in range(1000):
        retained.receive(Received(f"{BELOW}nut/set/enabled", b"OFF", False))  # type: ignore[union-attr]
    assert len(retained._received) <= 100  # type: ignore[union-attr]


def test_a_broker_that_forgot_everything_is_told_again(world: Any, wait_until: Wait) -> None:
    """A broker without persistence comes back empty after every power cut."""
    bird(world)
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    before = kept(world, broker.port, wait_until)
    broker.stop(signal.SIGKILL)
    wait_until(lambda: daemon.metrics.get("mqtt_connected") == 0)
    (world.folder / "mosquitto.db").unlink(missing_ok=True)
    broker.start()
    wait_until(daemon.all_sent)
    after = kept(world, broker.port, wait_until)
    assert set(after) == set(before)
    assert after[f"{BELOW}nut/last"] == before[f"{BELOW}nut/last"]


def of_camera(held: dict[str, bytes], camera: str) -> set[str]:
    return {topic for topic in held if f"/{camera}/" in topic or topic == f"{DEVICE}_{camera}/config"}


@pytest.mark.parametrize("away", [False, True], ids=["broker there", "broker away when the config changed"])
def test_a_removed_camera_leaves_no_ghost(world: Any, wait_until: Wait, away: bool) -> None:
    """The sensors of a feeder that was taken down stayed in people's dashboards for ever."""
    bird(world)
    bird(world, "pond", "v2")
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url)
    daemon.mqtt.publisher.camera_status("pond", "online")
    wait_until(daemon.all_sent)
    assert len(of_camera(kept(world, broker.port, wait_until), "pond")) == 6
    if away:
        broker.stop()
        wait_until(lambda: daemon.metrics.get("mqtt_connected") == 0)
        bird(world, "pond", "v3")  # waits in the outbox, and must not bring the ghost back
    daemon.end()
    after = Daemon(world, broker.url, cameras=("nut",))
    if away:
        after.stop.wait(0.3)
        after.end()  # stopped again before the broker came back
        broker.start()
        after = Daemon(world, broker.url, cameras=("nut",))
    wait_until(after.all_sent)
    held = kept(world, broker.port, wait_until)
    assert of_camera(held, "pond") == set()
    assert len(of_camera(held, "nut")) >= 5
    wait_until(lambda: world.store.retained.announce(after.mqtt.publisher._retained._topics_in_use) == [])  # type: ignore[union-attr]


def test_a_review_of_a_removed_camera_brings_no_ghost(world: Any, wait_until: Wait) -> None:
    """`birdwatchd review` writes messages for a camera of last year; its retained topics stay gone."""
    bird(world, "pond", "v2")
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url, cameras=("nut",))
    wait_until(daemon.all_sent)
    bird(world, "pond", "v2", revision=2, count_max=2)
    daemon.mqtt.publisher.wake()
    wait_until(daemon.all_sent)
    assert of_camera(kept(world, broker.port, wait_until), "pond") == set()


def test_ghosts_go_also_after_kill_9(world: Any, wait_until: Wait) -> None:
    """What was announced is written down before it is sent, so that also a killed daemon's topics are known."""
    broker = world.mosquitto()
    script = f"""
import threading
from pathlib import Path
from zoneinfo import ZoneInfo
from birdwatchd.mqtt.build import build_mqtt
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.address import Source
from birdwatchd.metrics import Metrics
from birdwatchd.store import Store
store = Store.open(Path({str(world.folder / "home")!r}), zone=ZoneInfo("Asia/Jerusalem"))
cameras = {{"gone": CameraSettings(source=Source("x.mp4"))}}
build_mqtt(store, MqttSettings(url={broker.url!r}), "reserve1", cameras, Metrics()).publisher.run(threading.Event())
"""
    killed = subprocess.Popen([sys.executable, "-c", script])
    listener = world.subscriber(broker.port, f"{BELOW}gone/health")
    wait_until(lambda: listener.got)
    killed.kill()
    killed.wait(10)
    assert of_camera(kept(world, broker.port, wait_until), "gone")
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    held = kept(world, broker.port, wait_until)
    assert of_camera(held, "gone") == set()
    assert f"{BELOW}heartbeat" not in held, "nobody wants a heartbeat any more"


def test_a_new_station_name_takes_its_old_topics_along(world: Any, wait_until: Wait) -> None:
    """Also discovery that is switched off, and pictures that are no longer wanted."""
    bird(world)
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    daemon.end()
    quiet = Daemon(world, broker.url, discovery="", images=False)
    wait_until(quiet.all_sent)
    held = kept(world, broker.port, wait_until)
    assert not [topic for topic in held if topic.startswith("homeassistant/") or topic.endswith("/image")]
    assert f"{BELOW}nut/last" in held
    quiet.end()
    moved = Daemon(world, broker.url, station="reserve2", discovery="ha")
    wait_until(moved.all_sent)
    held = kept(world, broker.port, wait_until)
    assert {topic.split("/")[1] for topic in held if topic.startswith("birdwatch/")} == {"reserve2"}
    assert "ha/device/birdwatch_reserve2_nut/config" in held


def test_a_damaged_topic_holds_nothing_back(world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture) -> None:
    """A bit flipped in the database: the broker closed every connection, and pictures were called too large for it."""
    caplog.set_level(logging.INFO, "birdwatchd")
    bird(world)
    damaged = f"{BELOW}nut/la\x05t"
    world.store.retained.announce([damaged])
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    assert f"{BELOW}nut/last" in kept(world, broker.port, wait_until)
    assert "topics in the database are damaged" in caplog.text
    assert "connection lost" not in caplog.text
    assert damaged not in world.store.retained.announce([])


def test_discovery_that_is_forbidden_holds_nothing_back(
    world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    """Brokers that let us write below birdwatch/ only must still get every visit; the log names the topic."""
    rules = world.folder / "rules"
    rules.write_text("topic readwrite birdwatch/#\n")
    broker = world.mosquitto("allow_anonymous true", f"acl_file {rules}")
    bird(world)
    daemon = Daemon(world, broker.url)
    wait_until(daemon.all_sent)
    assert f"{BELOW}nut/last" in kept(world, broker.port, wait_until)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len([text for text in said if f"refused {DEVICE}_nut/config" in text]) == 1
    assert not [text for text in said if "refused a message" in text]


def test_an_old_broker_that_hangs_up_on_a_picture_loses_only_the_picture(
    world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MQTT 3.1.1 has no word for "too large": without learning it, one picture would block every visit after it."""
    from birdwatchd.mqtt.connection import ProtocolVersion

    broker = world.mosquitto("allow_anonymous true", "max_packet_size 20000")
    listener = world.subscriber(broker.port)
    now = datetime.now(UTC)
    enqueue(world.store, [Message(f"{BELOW}nut/image", b"x" * 30_000, retain=True, coalesce=True)], now)
    enqueue(world.store, [Message("birdwatch/after", b"still here")], now)
    running = world.publisher(broker.url)
    running.publisher._replace(ProtocolVersion.V311)
    running.publisher._connection.ever_connected = True
    monkeypatch.setattr(running.publisher._reconnect._unreachable, "next_wait_s", lambda: 0.05)
    running.start()
    wait_until(lambda: listener.payloads("birdwatch/after"))
    wait_until(lambda: world.store.outbox.depth() == 0)
    assert listener.payloads(f"{BELOW}nut/image") == [b""]
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([text for text in said if "closes the connection on messages larger than" in text]) == 1
    assert not [text for text in said if "our id" in text]


def test_no_message_names_a_place(world: Any, wait_until: Wait) -> None:
    """The station knows where it stands, for seasons and species lists; nobody else learns it."""
    bird(world)
    broker = world.mosquitto()
    everything = world.subscriber(broker.port, "#")
    daemon = Daemon(world, broker.url, heartbeat="00:00", commands=("enable", "confirm", "retract"))
    wait_until(daemon.all_sent)
    daemon.mqtt.writer.record(replace(world.visit("v2"), end=world.start), [], world.start)
    daemon.mqtt.publisher.wake()
    wait_until(lambda: any(b'"v2"' in payload for _, payload, _ in everything.got))
    assert any(topic == f"{BELOW}heartbeat" for topic, _, _ in everything.got)
    for topic, payload, _ in everything.got:
        assert b"latitude" not in payload.lower(), topic
        assert b"longitude" not in payload.lower(), topic
