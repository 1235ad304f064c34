"""Brokers with limits, access rules and memories of their own."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from birdwatchd.errors import BrokerError, BrokerRefused
from birdwatchd.mqtt.connection import Connection, Credentials, Link, ProtocolVersion
from birdwatchd.mqtt.packet_limit import PacketLimit
from birdwatchd.mqtt.probe import probe, probe_broker
from birdwatchd.records import Message
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import parse_config
from birdwatchd.settings.mqtt import MqttSettings
from tests.support.mqtt import TOPICS
from tests.support.mqtt_service import Daemon, kept
from tests.support.stored import enqueue

Wait = Callable[..., None]
OPEN = "allow_anonymous true"
OLD = "MQTT 3.1.1"


def tried(
    world: Any, monkeypatch: pytest.MonkeyPatch, *lines: str, protocol: str = "MQTT 5", **settings: Any
) -> tuple[str, int]:
    """What `birdwatchd check --probe` says of a mosquitto with these lines, and the broker's port.

    Args:
        protocol: MQTT 3.1.1 is what a broker speaks that has no MQTT 5.
    """
    if protocol == OLD:
        versions = (ProtocolVersion.V311, ProtocolVersion.V311)
        monkeypatch.setattr("birdwatchd.mqtt.probe.PROTOCOLS", versions)
    broker = world.mosquitto(OPEN, *lines)
    try:
        return probe(MqttSettings(url=broker.url, **settings), TOPICS, 10, 7_000), broker.port
    except BrokerError as error:
        return str(error), broker.port


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["MQTT 5", OLD])
def test_a_probe_leaves_nothing_behind(
    world: Any, monkeypatch: pytest.MonkeyPatch, wait_until: Wait, protocol: str
) -> None:
    """`check --probe` beside a daemon that runs.

    Must: A message was kept and read back, the daemon notices nothing, and nothing of it stays at the broker.
    Now: `broker 127.0.0.1:1883 answers, MQTT 5; a message was kept and read back`
    """
    said, port = tried(world, monkeypatch, protocol=protocol)
    assert said == f"broker 127.0.0.1:{port} answers, {protocol}; a message was kept and read back"
    assert kept(world, port, wait_until) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "protocol", "no"),
    [
        ("retain_available false", "MQTT 5", "it keeps no messages, and states must be kept; allow retained messages"),
        ("retain_available false", OLD, "takes the connection without a last will only; allow retained messages"),
        ("max_qos 0", "MQTT 5", "it takes messages with QoS 0 only, which may be lost; allow QoS 1"),
        ("max_qos 0", OLD, "takes the connection without a last will only; allow retained messages, and messages with"),
        ("max_qos 1", "MQTT 5", ""),
    ],
)
def test_a_broker_without_what_a_station_needs(
    world: Any, monkeypatch: pytest.MonkeyPatch, line: str, protocol: str, no: str
) -> None:
    """mosquitto with `retain_available false` or `max_qos 0`: `check --probe` said "answers", `run` never connected.

    Must: `check --probe` says no, and what to allow. `max_qos 1` is enough.
    Now: `refused the connection: it keeps no messages, and states must be kept; allow retained messages …`
    """
    said, _ = tried(world, monkeypatch, line, protocol=protocol)
    assert (no or "a message was kept and read back") in said


def test_a_broker_that_keeps_nothing_and_takes_the_connection(world: Any, wait_until: Wait) -> None:
    """A broker announces that it keeps no messages, and accepts a last will that is to be kept all the same.

    Must: `run` says that it cannot be used, and why, as if the broker had refused.
    Now: `broker …:1883 cannot be used: it keeps no messages, and states must be kept; allow retained messages …`
    Report: https://github.com/rmqtt/rmqtt/pull/460
    Report: https://github.com/emqx/emqx/pull/16781
    """
    listening = socket.create_server(("127.0.0.1", 0))
    world.endings.append(listening.close)

    def broker() -> None:
        client, _ = listening.accept()
        client.recv(4096)
        client.sendall(b"\x20\x05\x00\x00\x02\x25\x00")  # CONNACK: success, retain available: no
        client.recv(4096)
        client.close()

    threading.Thread(target=broker, daemon=True).start()
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{listening.getsockname()[1]}")
    will = Message(TOPICS.status, b"offline", retain=True)
    connection = Connection.make(settings, "x", ProtocolVersion.V5, Credentials.read(settings), will)
    connection.open()

    def over() -> bool:
        connection.loop(0.05)
        return connection.link is Link.DOWN

    wait_until(over)
    assert isinstance(connection.error, BrokerRefused)
    assert "cannot be used: it keeps no messages, and states must be kept" in str(connection.error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "protocol", "said"),
    [
        ("topic read birdwatch/#", "MQTT 5", "refused a message: not authorized; the MQTT user (mqtt.username) needs"),
        ("topic readwrite birdwatch/#", "MQTT 5", "needs write access to homeassistant/#, or set mqtt.discovery to"),
        ("topic readwrite birdwatch/#\ntopic write homeassistant/#", "MQTT 5", "a message was kept and read back"),
        ("topic write birdwatch/#\ntopic write homeassistant/#", "MQTT 5", "taken (the user has no right to read it)"),
        ("topic read birdwatch/#", OLD, "does not come back; give the MQTT user (mqtt.username) the right to write"),
        ("topic readwrite birdwatch/#", OLD, "the right to write and to read homeassistant/#"),
    ],
)
def test_access_rules_that_forbid_writing(
    world: Any, monkeypatch: pytest.MonkeyPatch, rules: str, protocol: str, said: str
) -> None:
    """An access rule lets the user connect and read: `check --probe` said "answers", and no message ever arrived.

    Must: `check --probe` says no and names the topics, also with MQTT 3.1.1, which acknowledges what it throws away.
    Now: `refused a message: not authorized; the MQTT user (mqtt.username) needs write access to birdwatch/reserve1/#`
    """
    (world.folder / "acl").write_text(rules + "\n")
    monkeypatch.setattr("birdwatchd.mqtt.probe.ANSWER_S", 0.2)
    assert said in tried(world, monkeypatch, f"acl_file {world.folder / 'acl'}", protocol=protocol)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "protocol", "said"),
    [
        (
            "max_packet_size 1000",
            "MQTT 5",
            "does not take messages of 2,000 bytes, which a message about a visit needs",
        ),
        ("max_packet_size 2000", "MQTT 5", "does not take messages of 7,000 bytes, which the description of a camera"),
        ("max_packet_size 20000", "MQTT 5", "read back; no pictures, for it takes 20,000 bytes, not 60,000"),
        ("max_packet_size 20000", OLD, "read back; no pictures, for it takes 7,000 bytes, not 60,000"),
        ("message_size_limit 2000", "MQTT 5", "does not take messages of 7,000 bytes, which the description of a"),
        ("message_size_limit 1000", OLD, "does not take messages of 2,000 bytes, which a message about a visit needs"),
        ("max_packet_size 20000\nmessage_size_limit 9000", "MQTT 5", "no pictures, for it takes 7,000 bytes, not"),
    ],
)
def test_a_broker_that_takes_small_messages_only(
    world: Any, monkeypatch: pytest.MonkeyPatch, line: str, protocol: str, said: str
) -> None:
    """`max_packet_size 2000`, or `message_size_limit`, which older versions do not announce, or acknowledge silently.

    Must: `check --probe` tries sizes, also where the broker announces one, says what does not fit, and says no where
    visits or descriptions do not.
    Now: `does not take messages of 7,000 bytes, which the description of a camera for Home Assistant needs; …`
    Report: https://github.com/aws/aws-iot-device-sdk-js-v2/issues/535
    """
    monkeypatch.setattr("birdwatchd.mqtt.probe.ANSWER_S", 0.2)
    assert said in tried(world, monkeypatch, line, protocol=protocol)[0]


@pytest.mark.slow
def test_what_is_needed_comes_from_the_configuration(world: Any) -> None:
    """A station of two cameras and a broker that takes 4 kB: what Home Assistant is told of each camera is larger.

    Must: The size that is tried is that of the configured cameras; without discovery it is enough.
    """
    broker = world.mosquitto(OPEN, "max_packet_size 4096")
    cameras = "cameras: {nut: {source: rtsp://h/1}, pond: {source: rtsp://h/2}}\n"

    def config(**mqtt: str) -> Config:
        keys = ", ".join(f"{key}: {value}" for key, value in {"url": broker.url, **mqtt}.items())
        return parse_config(f"{cameras}mqtt: {{{keys}}}\n", "site.yaml", {})

    with pytest.raises(BrokerRefused, match="which the description of a camera for Home Assistant needs"):
        probe_broker(config(), 10)
    assert "no pictures, for it takes 4,096 bytes" in probe_broker(config(discovery="false"), 10)


def run_until_sent(world: Any, publisher: Any, *, virtual_s: float) -> None:
    """Run a publisher with a clock of its own, so that waits for the next attempt take no time."""
    now_s, tries = 0.0, 0
    while world.store.outbox.depth() and now_s < virtual_s and tries < 5_000:
        wait_s, tries = publisher.run_once(now_s), tries + 1
        if publisher._connection.link.value == "down":
            now_s += max(0.01, wait_s)
        else:
            publisher._connection.loop(0.01)
            now_s += 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "protocol"),
    [
        ("message_size_limit 1000", ProtocolVersion.V5),
        ("max_packet_size 20000\nmessage_size_limit 1000", ProtocolVersion.V5),  # announces the one, keeps to the other
        ("max_packet_size 1000", ProtocolVersion.V311),
    ],
)
def test_a_limit_below_four_kilobytes_is_learned(
    world: Any, caplog: pytest.LogCaptureFixture, line: str, protocol: ProtocolVersion
) -> None:
    """A broker that hangs up on more than 1 kB and does not say so: "is a second birdwatchd running?", for ever.

    Must: The limit is learned, larger messages are left out, all others arrive, and no second client is blamed.
    Now: `the broker closes the connection on messages larger than 1534 bytes; larger ones are left out`
    Report: https://github.com/tillsteinbach/CarConnectivity-plugin-mqtt/issues/155
    Report: https://github.com/aws/aws-iot-device-sdk-js-v2/issues/535
    """
    broker = world.mosquitto(OPEN, line)
    listener = world.subscriber(broker.port)
    sizes = (300, 3_000, 500, 1_500, 900)
    for number, size in enumerate(sizes):
        message = Message(f"birdwatch/reserve1/nut/m{number}", b"x" * size)
        enqueue(world.store, [message], datetime.now(UTC))
    publisher = world.publisher(broker.url).publisher
    publisher._replace(protocol)
    with caplog.at_level(logging.INFO):
        run_until_sent(world, publisher, virtual_s=60)
    assert world.store.outbox.depth() == 0
    assert {len(payload) for topic, payload, _ in listener.got if "/nut/" in topic} == {300, 500, 900}
    assert [text for text in caplog.messages if "our id" in text] == []
    assert "messages larger than 1534 bytes; larger ones are left out" in "\n".join(caplog.messages)


def test_a_bad_line_is_no_limit() -> None:
    """A line that breaks all the time, with a message about a visit in flight.

    Must: No message is taken for too large where it was not alone on a connection that had just carried others.
    """
    packets = PacketLimit()
    for _ in range(9):
        packets.sent(1, "visit", 700)
        packets.sent(2, "last", 600)
        assert not packets.connection_lost(short=True)
        packets.reset_in_flight()
    for _ in range(9):
        packets.sent(1, "visit", 700)  # alone, and the connection carried nothing before
        assert not packets.connection_lost(short=True)
    for topic in ("visit", "last", "today") * 3:  # each time another one
        packets.acknowledged(1)
        packets.sent(1, topic, 700)
        assert not packets.connection_lost(short=True)
    assert packets.limit is None


def test_a_broker_that_says_too_large_is_believed_at_once() -> None:
    """MQTT 5 has a word for it, when the broker hangs up: "packet too large".

    Must: The limit is known after the first time.
    """
    packets = PacketLimit()
    packets.sent(1, "last", 600)
    packets.sent(2, "image", 3_000)
    assert packets.connection_lost(too_large=True)
    assert packets.limit == 2_999


@pytest.mark.slow
def test_a_broker_that_lost_what_it_kept_is_told_all_of_it(world: Any, wait_until: Wait) -> None:
    """A broker without persistence, after a power cut: sensors `unknown` until the next bird, no heartbeat for a day.

    Must: All that was kept is told again: descriptions, states, pictures, health, storage, and the daily summary.
    """
    world.store.writer().record(world.visit("v1"), [], world.start)
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url, heartbeat="07:00", commands=("enable",))
    daemon.mqtt.publisher.camera_status("nut", "online")
    daemon.mqtt.publisher.storage(b'{"free_gb":12}')
    wait_until(daemon.all_sent)
    before = kept(world, broker.port, wait_until)
    leaves = {topic.removeprefix("birdwatch/reserve1/") for topic in before}
    assert {"status", "storage", "heartbeat", "health", "today", "nut/last", "nut/status", "nut/enabled"} <= leaves
    broker.stop(signal.SIGKILL)
    for file in world.folder.glob("mosquitto.db*"):
        file.unlink()
    broker.start()
    wait_until(lambda: daemon.metrics.get("mqtt_connects_total") == 2)
    wait_until(daemon.all_sent)
    after = kept(world, broker.port, wait_until)
    waiting = "birdwatch/reserve1/health"  # how many messages wait
    assert after.pop(waiting)
    assert after == {topic: payload for topic, payload in before.items() if topic != waiting}
