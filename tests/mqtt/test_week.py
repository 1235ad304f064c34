"""A week of visits, broker restarts, cut wires and kill -9: all is published, in order, and states are the newest."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.mqtt.payloads import Composer
from birdwatchd.store import Store
from tests.support.mqtt import TOPICS
from tests.support.publishing_process import CAMERAS, KILLS, START, STEP, WEEK, ZONE
from tests.support.wire_cutter import WireCutter

SEED = int(os.environ.get("BIRDWATCHD_SEED", "2026"))
BELOW = "birdwatch/reserve1/"


class Lives:
    """The process that forks lives, and kills them."""

    def __init__(self, home: Path, url: str) -> None:
        command = [sys.executable, "-m", "tests.support.publishing_process", str(home), url]
        self.process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def begin(self, kind: str) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def kill_after(self, seconds: float, *, early: Callable[[], object] = lambda: False) -> None:
        """Let one live for so long, or until `early` holds."""
        child, until = self.begin("life"), time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not early():
            time.sleep(min(left, 0.01))
        os.kill(child, signal.SIGKILL)
        assert self._line() == "-9", "it ended by itself"

    def end(self) -> None:
        self.begin("last")
        assert self._line() == "0"

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)  # a kill takes no time of its own, but a busy machine does


@pytest.fixture
def later() -> Iterator[Callable[[Any], Any]]:
    things: list[Any] = []

    def keep(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield keep
    for thing in reversed(things):
        thing.close()


def live_through(lives: Lives, broker: Any, cutter: WireCutter, chance: random.Random) -> None:
    """Kill the publishing process at random points, meanwhile cutting wires and restarting the broker."""
    for number in range(KILLS):
        cutter.chance = chance.choice((0.0, 0.05, 0.4))
        if number % 12 == 7:
            broker.stop(signal.SIGTERM)
        lives.kill_after(chance.uniform(1.2, 1.6) if number % 16 == 3 else chance.uniform(0.02, 0.4))
        if (number % 12 == 9 or number == KILLS - 1) and broker.process.poll() is not None:
            broker.start()
    if not cutter.cuts:  # on a busy machine they were all killed before they had connected
        cutter.chance = 1.0
        lives.kill_after(30.0, early=lambda: cutter.cuts)
    cutter.chance, cutter.left = 0.3, 2  # twice more while the last life publishes the rest


def events(messages: list[tuple[str, bytes, bool]]) -> list[dict[str, Any]]:
    return [json.loads(payload) for topic, payload, _ in messages if topic.endswith("/visit")]


def check_events(published: list[dict[str, Any]], home: Path) -> None:
    """None is missing, each visit's come in order, and a repeat says the same as the first."""
    truth = sqlite3.connect(home / "birdwatchd.sqlite3").execute("SELECT visit_id, revision FROM audit").fetchall()
    texts: dict[tuple[str, int], set[str]] = defaultdict(set)
    for event in published:
        texts[event["visit_id"], event["revision"]].add(json.dumps(event))
    assert len(set(truth)) == len(truth)
    assert set(texts) == set(truth)
    assert all(len(said) == 1 for said in texts.values())
    order: dict[str, list[int]] = defaultdict(list)
    for visit_id, revision in texts:  # in order of first arrival
        order[visit_id].append(revision)
    assert all(revisions == sorted(revisions) for revisions in order.values())
    assert len(order) >= WEEK / STEP


def check_states(held: dict[str, bytes], home: Path) -> None:
    """What the broker keeps is what the database says now."""
    with Store.open(home, zone=ZONE) as store:
        now = START + len(store.visits.find()) * STEP
        wanted = {}
        for camera in CAMERAS:
            for message in Composer(TOPICS).states(store.cameras.summary(camera, now)):
                wanted[message.topic] = message.payload
        assert store.outbox.depth() == 0
    assert {topic: held.get(topic) for topic in wanted} == wanted
    assert held[f"{BELOW}status"] == b"offline"
    assert {held[f"{BELOW}{camera}/enabled"] for camera in CAMERAS} == {b"ON"}


def check_heartbeats(messages: list[tuple[str, bytes, bool]], home: Path) -> None:
    """One a day, whatever was killed, and the newest is of the last day.

    It is sent again when the broker is back, which may have lost it: then it says what waits and what is free now.
    """
    dates = [json.loads(payload)["date"] for topic, payload, _ in messages if topic == f"{BELOW}heartbeat"]
    assert dates == sorted(dates)
    assert dates[-1] == "2026-10-26"  # the week ends at five in the morning of the 28th, and six is the time
    now = {"unsent", "oldest_unsent_s", "disk_free_gb", "disk_free_percent"}
    summaries = (json.loads(payload) for topic, payload, _ in messages if topic == f"{BELOW}heartbeat")
    texts = {json.dumps({key: value for key, value in one.items() if key not in now}) for one in summaries}
    assert max(Counter(json.loads(text)["date"] for text in texts).values()) == 1


@pytest.mark.timeout(100 + 2 * KILLS)
def test_a_week_of_kills_cuts_and_restarts(world: Any, tmp_path: Path, wait_until: Any, later: Any) -> None:
    """Nothing that happened may be missing afterwards, and nothing may be shown that is no longer so."""
    broker = world.mosquitto()
    listener = world.subscriber(broker.port, client_id="patient", keep=True)
    cutter = later(WireCutter(broker.port, SEED))
    home = tmp_path / "week"
    lives = later(Lives(home, cutter.url))
    began = time.monotonic()
    live_through(lives, broker, cutter, random.Random(SEED))
    with Store.open(home, zone=ZONE) as store:
        killed_at = len(store.visits.find())
    lives.end()
    took = time.monotonic() - began
    wait_until(lambda: (f"{BELOW}status", b"offline") in [message[:2] for message in listener.got[-3:]])
    late = world.subscriber(broker.port, client_id="after the week")
    wait_until(lambda: len({topic for topic, _, _ in late.got}) >= 14)
    published = events(listener.got)
    check_events(published, home)
    check_states({topic: payload for topic, payload, _ in late.got}, home)
    check_heartbeats(listener.got, home)
    keys = {(event["visit_id"], event["revision"]) for event in published}
    assert cutter.cuts >= 3
    print(f"{KILLS} kills within {killed_at} visits, {cutter.cuts} cut wires, {len(keys)} messages about visits,")
    print(f"{len(published) - len(keys)} of them repeated, {took:.1f} s")
