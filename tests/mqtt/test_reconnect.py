"""What the log says of a broker's behaviour is what a person must know, from the first trouble to its end."""

from __future__ import annotations

import logging

import pytest

from birdwatchd.errors import BrokerRefused, BrokerUnreachable
from birdwatchd.mqtt.reconnect import CLIENT_ID_CONFLICTS, STABLE_S, ReconnectPolicy


def test_the_end_of_a_client_id_conflict_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    """Else the last line is an error, and whoever stopped the second daemon never learns that it helped."""
    caplog.set_level(logging.INFO)
    policy, now = ReconnectPolicy("broker h:1883", "birdwatchd-reserve1", lambda: 0.0), 0.0
    for _ in range(CLIENT_ID_CONFLICTS + 2):
        policy.connected("MQTT 5")
        policy.still_up(now)
        now += 1 + policy.disconnected(BrokerUnreachable("broker h:1883 is away"), now + 1, True, False)
    for passed in (0, STABLE_S, 2 * STABLE_S):
        policy.still_up(now + passed)
    assert [line for line in caplog.messages if "our id" in line] == [
        "broker h:1883: another client may be using our id birdwatchd-reserve1; "
        "is a second birdwatchd running with the same station.name?",
        "broker h:1883: connected, no other client uses our id birdwatchd-reserve1 now",
    ]


def test_a_refusal_is_no_client_id_conflict(caplog: pytest.LogCaptureFixture) -> None:
    """A topic that may not be written ends each connection at once; nobody else is at fault, and only rights help."""
    policy, now = ReconnectPolicy("broker h:1883", "birdwatchd-reserve1", lambda: 0.0), 0.0
    for _ in range(CLIENT_ID_CONFLICTS + 2):
        policy.still_up(now)
        now += 1 + policy.disconnected(BrokerRefused("broker h:1883 refused a message"), now + 1, True, False)
    assert caplog.messages == ["broker h:1883 refused a message"]
