"""A broker that is killed, that stands still, and that comes back without anything that it had kept."""

from __future__ import annotations

import random
import signal
import time
from functools import partial

from benchmarks.faults.row import Row
from benchmarks.faults.station import Station
from tests.support.mqtt import Subscriber
from tests.support.peers import wait_for

__all__ = ["forget", "freeze", "kill"]


def kill(station: Station, times: int, chance: random.Random, longest_s: float = 8.0) -> Row:
    """SIGKILL to the broker, which is started again some seconds later with what it had on disk."""
    station.start().until_it_watches()
    for _ in range(times):
        station.wait_for_visit(time.time())
        time.sleep(chance.uniform(0.0, 2.0))
        station.broker.stop(signal.SIGKILL)
        _wait_with_messages(station, chance.uniform(1.0, longest_s))
        station.broker.start()
        station.recover(lambda: not station.home.count("outbox"), "the outbox to empty")
    return station.finish("broker killed", times)


def freeze(station: Station, times: int, chance: random.Random, seconds: float = 75.0) -> Row:
    """SIGSTOP to the broker: connections stay, nobody answers."""
    station.start().until_it_watches()
    for _ in range(times):
        station.wait_for_visit(time.time())
        time.sleep(chance.uniform(0.0, 2.0))
        assert station.broker.process is not None
        station.broker.process.send_signal(signal.SIGSTOP)
        _wait_with_messages(station, seconds)
        station.broker.process.send_signal(signal.SIGCONT)
        station.recover(lambda: not station.home.count("outbox"), "the outbox to empty")
    return station.finish(f"broker frozen for {seconds:.0f} s", times)


def forget(station: Station, times: int, chance: random.Random) -> Row:
    """The broker is installed anew: no retained messages, no sessions.

    Its subscribers are back before the line to the daemon is: what a broker accepts for nobody, nobody can count.
    """
    station.start().until_it_watches()
    for _ in range(times):
        station.wait_for_visit(time.time())
        time.sleep(chance.uniform(0.0, 2.0))
        station.broker_line.cut()
        time.sleep(0.5)  # what was accepted is delivered
        kept = _retained(station)
        station.broker.stop()
        for file in station.broker.folder.glob("mosquitto.db*"):
            file.unlink()
        station.listener.subscribed.clear()
        station.broker.start()
        wait_for(station.listener.subscribed.is_set, "the subscriber to be back", 20)
        _wait_with_messages(station, 0.0)
        if not station.problems and _retained(station):
            station.problems.append("the broker forgot nothing: the test proves nothing")
        before = len(station.listener.got)
        station.broker_line.mend()
        station.recover(partial(_has_all, station, set(kept), before), "all retained topics to be there again")
    return station.finish("broker came back without retained messages and sessions", times)


def _has_all(station: Station, topics: set[str], since: int) -> bool:
    """Whether these topics were published again, and nothing waits."""
    return topics <= {topic for topic, _, _ in station.listener.got[since:]} and not station.home.count("outbox")


def _wait_with_messages(station: Station, seconds: float) -> None:
    """Wait so long, and until a message waits for the broker."""
    assert station.life is not None
    time.sleep(seconds)
    station.life.wait_until(lambda: station.home.count("outbox WHERE key IS NOT NULL"), "a message that waits")


def _retained(station: Station) -> list[str]:
    """The topics that the broker keeps."""
    late = Subscriber(station.broker.port, "#", "late")
    late.client.publish("that is all", qos=1)
    wait_for(lambda: late.payloads("that is all"), "what is retained", 20)
    topics = [topic for topic, payload, is_retained in late.got if is_retained and payload]
    late.close()
    return topics
