"""A real mosquitto on a free loopback port, a subscriber, and visits to publish."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import paho.mqtt.client as paho
import pytest

from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.payloads import Composer
from birdwatchd.mqtt.publisher import Publisher
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Box, Rank, State, Verdict, Visit
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.store import Store

TOPICS = Topics("birdwatch", "reserve1")
START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
DEFAULTS = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def installed(name: str) -> str:
    """The path of one of mosquitto's programs; skips the test where it is not installed."""
    program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs mosquitto: these tests are about a real broker")
        pytest.skip("install mosquitto")
    return program


def eventually(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    until, pause = time.monotonic() + timeout_s, threading.Event()
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        pause.wait(0.02)


@dataclass
class Mosquitto:
    """A broker process that can be stopped, killed and started again on the same port."""

    folder: Path
    lines: Sequence[str] = DEFAULTS
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> Mosquitto:
        program = installed("mosquitto")
        keep = ("persistence true", f"persistence_location {self.folder}/", "autosave_interval 1")
        user = ("user root",) if os.geteuid() == 0 else ()
        lines = (f"listener {self.port} 127.0.0.1", *self.lines, *keep, *user)
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=subprocess.STDOUT
            )
        eventually(self.answers)
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(10)


class Subscriber:
    """Collects (topic, payload, retained) of everything below one topic; optionally with a session that persists."""

    def __init__(
        self, port: int, topic: str = "birdwatch/#", client_id: str = "listener", *, keep: bool = False
    ) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self.subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, clean_session=not keep)  # type: ignore[attr-defined]
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *rest: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *rest: self.subscribed.set()
        self.client.on_message = lambda client, data, m: self.got.append((m.topic, bytes(m.payload), m.retain))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.subscribed.wait(10)

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for where, payload, _ in self.got if where == topic]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@dataclass
class Running:
    """A publisher in its thread."""

    publisher: Publisher
    store: Store
    metrics: Metrics
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> Running:
        self.thread = threading.Thread(target=self.publisher.run, args=(self.stop,), daemon=True)
        self.thread.start()
        return self

    def end(self) -> None:
        self.stop.set()
        if self.thread is not None:
            self.thread.join(15)
            assert not self.thread.is_alive()

    def connected(self) -> bool:
        return self.metrics.get("mqtt_connected") == 1


@dataclass
class World:
    """What a test of MQTT or alerts needs, cleaned up at its end."""

    folder: Path
    store: Store
    endings: list[Callable[[], object]] = field(default_factory=list)
    topics: Topics = TOPICS
    start: datetime = START
    count: int = 0

    def mosquitto(self, *lines: str) -> Mosquitto:
        broker = Mosquitto(self.folder, lines or DEFAULTS).start()
        self.endings.append(broker.stop)
        return broker

    def subscriber(self, port: int, *args: Any, **keys: Any) -> Subscriber:
        subscriber = Subscriber(port, *args, **keys)
        self.endings.append(subscriber.close)
        return subscriber

    def publisher(self, url: str, **settings: Any) -> Running:
        metrics = Metrics()
        publisher = Publisher(self.store.outbox, MqttSettings(url=url, **settings), "reserve1", TOPICS, metrics)
        running = Running(publisher, self.store, metrics)
        self.endings.append(running.end)
        return running

    def verdict(self, state: State = State.CONFIRMED) -> Verdict:
        return Verdict(state, Rank.SPECIES, "House sparrow", "Passer domesticus", 0.91234, (("House sparrow", 0.9),))

    def visit(self, visit_id: str, revision: int = 1, **changes: Any) -> Visit:
        at = self.start + timedelta(seconds=int(visit_id.strip("v") or 0))
        box = Box(0.1, 0.2, 0.3, 0.4)
        plain = Visit(visit_id, "nut", revision, at, None, self.verdict(), 1, 1, box, "demo@1", last_seen=at)
        return replace(plain, **changes)

    def record(self, visit: Visit, moments: Sequence[Any] = ()) -> None:
        self.store.writer(Composer(TOPICS)).record(visit, moments, datetime.now(UTC))

    def bird(self) -> None:
        """One whole visit, published when it begins and when it ends."""
        visit_id = f"v{self.count}"
        self.count += 1
        begun = self.visit(visit_id)
        self.record(begun)
        self.record(replace(begun, revision=2, end=begun.start + timedelta(seconds=5)))

    def expected(self) -> list[tuple[str, int]]:
        return [(f"v{number}", revision) for number in range(self.count) for revision in (1, 2)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store.open(tmp_path / "home", zone=ZoneInfo("Asia/Jerusalem")) as store:
        world = World(tmp_path, store)
        yield world
        for end in reversed(world.endings):
            end()


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return eventually
