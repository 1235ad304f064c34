"""The other end of the connection gets what was published, and does not pretend to be subscribed when it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from birdwatchd.errors import BrokerRefused, BrokerUnreachable
from birdwatchd.mqtt.subscriber import Subscriber, received_visits
from birdwatchd.settings.mqtt import MqttSettings
from tests.support.certificates import certificates

Wait = Callable[..., None]


def test_messages_come_with_their_time_of_arrival(world: Any, wait_until: Wait) -> None:
    """The demo's latency is measured with it."""
    broker = world.mosquitto()
    sender = world.subscriber(broker.port, "nothing", client_id="sender")
    got: list[tuple[str, bytes, datetime]] = []
    with Subscriber(MqttSettings(url=broker.url), ("a/+", "b"), lambda *message: got.append(message)):
        for topic in ("a/1", "c", "b"):
            sender.client.publish(topic, topic.encode(), qos=1)
        wait_until(lambda: len(got) == 2)
    assert [(topic, payload) for topic, payload, _ in got] == [("a/1", b"a/1"), ("b", b"b")]
    assert all(timedelta(0) <= datetime.now(UTC) - at < timedelta(minutes=1) for _, _, at in got)


def test_a_broker_that_refuses_us_is_an_error(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the demo would wait for messages that cannot come, and report that none was published."""
    monkeypatch.setattr("birdwatchd.mqtt.subscriber.SUBSCRIBE_TIMEOUT_S", 0.5)
    broker = world.mosquitto("allow_anonymous false")
    with pytest.raises(BrokerUnreachable, match="did not confirm the subscription"):
        Subscriber(MqttSettings(url=broker.url), ("a",), lambda *_: None).__enter__()


def test_tls_is_used_where_the_address_says_so(world: Any, wait_until: Wait) -> None:
    """A password that was meant for TLS must not be sent in the clear."""
    certificates(world.folder)
    files = [f"{name} {world.folder / file}" for name, file in (("certfile", "srv.pem"), ("keyfile", "srv.key"))]
    broker = world.mosquitto("allow_anonymous true", *files)
    settings = MqttSettings(url=f"mqtts://127.0.0.1:{broker.port}", ca_file=world.folder / "ca.pem")
    got: list[bytes] = []
    with Subscriber(settings, ("birdwatch/#",), lambda topic, payload, at: got.append(payload)):
        world.publisher(settings.url, ca_file=settings.ca_file).start()
        wait_until(lambda: b"online" in got)
    with pytest.raises(BrokerRefused, match="not trusted"):
        Subscriber(MqttSettings(url=settings.url), ("a",), lambda *_: None).__enter__()


def test_visits_of_one_camera_are_received_until_closed(world: Any) -> None:
    """A program that loops over visits gets those it asked for, and lets go of the broker when it stops."""
    broker = world.mosquitto()
    sender = world.subscriber(broker.port, "nothing", client_id="sender")
    for topic, payload in (("home/nut", b"no JSON"), ("home/pond", b'{"n": 1}'), ("home/nut", b'{"n": 2}')):
        sender.client.publish(f"birdwatch/{topic}/visit", payload, qos=1, retain=True)
    before = threading.active_count()
    visits = received_visits(MqttSettings(url=broker.url), station="home", camera="nut")
    assert next(visits) == {"n": 2}
    visits.close()
    assert threading.active_count() == before
