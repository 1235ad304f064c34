"""The other end of the connection gets what was published, and does not pretend to be subscribed when it is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from birdwatchd.errors import BrokerUnreachable
from birdwatchd.mqtt.subscriber import Subscriber
from birdwatchd.settings.mqtt import MqttSettings

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
