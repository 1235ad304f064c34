"""What the log says of a broker's behaviour is what a person must know, from the first trouble to its end."""

from __future__ import annotations

import logging

import pytest

from birdwatchd.errors import BrokerRefused, BrokerUnreachable
from birdwatchd.mqtt.reconnect import QUARREL, STEADY_S, Temper


def test_the_end_of_a_quarrel_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    """Else the last line is an error, and whoever stopped the second daemon never learns that it helped."""
    caplog.set_level(logging.INFO)
    temper, now = Temper("broker h:1883", "birdwatchd-reserve1", lambda: 0.0), 0.0
    for _ in range(QUARREL + 2):
        temper.came_up("MQTT 5")
        temper.is_up(now)
        now += 1 + temper.went_down(BrokerUnreachable("broker h:1883 is away"), now + 1, True, False)
    for passed in (0, STEADY_S, 2 * STEADY_S):
        temper.is_up(now + passed)
    assert [line for line in caplog.messages if "our id" in line] == [
        "broker h:1883: another client may be taking our id birdwatchd-reserve1; "
        "does a second birdwatchd use the same station.name?",
        "broker h:1883: connected, nobody takes our id birdwatchd-reserve1 any more",
    ]


def test_a_refusal_is_no_quarrel(caplog: pytest.LogCaptureFixture) -> None:
    """A topic that may not be written ends each connection at once; nobody else is at fault, and only rights help."""
    temper, now = Temper("broker h:1883", "birdwatchd-reserve1", lambda: 0.0), 0.0
    for _ in range(QUARREL + 2):
        temper.is_up(now)
        now += 1 + temper.went_down(BrokerRefused("broker h:1883 refused a message"), now + 1, True, False)
    assert caplog.messages == ["broker h:1883 refused a message"]
