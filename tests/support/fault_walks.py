"""Provoke every fault that lasts, and end it: a function for each, which `tests/test_every_fault_ends.py` calls."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.alerts.station import LONGEST_SETTLE_S
from birdwatchd.camera.process.supervisor import CameraProcess
from birdwatchd.channels.channel import Channel
from birdwatchd.clock import ClockChange, StationClock
from birdwatchd.disk import DiskRoom
from birdwatchd.errors import BrokerUnreachable, ChannelUnreachable, StoreBusy, StoreFull
from birdwatchd.flow import Handover, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.monitor import local_socket
from birdwatchd.monitor.server import MonitorServer
from birdwatchd.monitor.vitals import Vitals
from birdwatchd.mqtt.answers import Limits
from birdwatchd.mqtt.build import build_mqtt
from birdwatchd.mqtt.connection import Ack, Link, ProtocolVersion
from birdwatchd.mqtt.publisher import Publisher
from birdwatchd.mqtt.reconnect import CLIENT_ID_CONFLICTS, STABLE_S, ReconnectPolicy
from birdwatchd.records import Blindness, CameraState, CameraStatus, Evidence, Message, Rank, State, Verdict
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.stages.classify import ClassifiedEvidence
from birdwatchd.stages.learn import Learn
from birdwatchd.stages.opening import Opening
from birdwatchd.stages.page_process import PageProcess
from birdwatchd.stages.record import Record
from birdwatchd.stages.review_notes import ReviewNotes
from birdwatchd.stages.station_watch import build_station_watch
from birdwatchd.stages.storage import CHECK_S, LOOK_EVERY_S, Storage
from birdwatchd.stages.timekeeping import Timekeeping
from birdwatchd.stages.upkeep import Upkeep
from birdwatchd.stages.watchdog import Watchdog
from birdwatchd.store import ReportedFaults, Store
from birdwatchd.store.retention.retention import Retention
from birdwatchd.store.timekeeping.shift import Shifted
from birdwatchd.testing import example_moment, example_visit
from tests.support.mqtt import free_port
from tests.support.peers import wait_for
from tests.support.stored import enqueue

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
BUSY = StoreBusy("the database is busy")
GB = 10**9


def status(state: CameraState = CameraState.ONLINE, **more: Any) -> CameraStatus:
    return CameraStatus("nut", state, NOW, **more)


def upkeep(on_status: Callable[[CameraStatus], None] = lambda status: None) -> Callable[..., None]:
    """Gives reports of a camera to the stage, one after another."""
    stage = Upkeep(
        Metrics(), on_status=on_status, on_change=lambda s: None, healthy=lambda: True, beat_service=lambda: None
    )

    def report(*statuses: CameraStatus) -> None:
        for one in statuses:
            stage.take_status(one)
            stage.run_once()

    return report


def failing(times: int, error: Exception = BUSY) -> Callable[..., Any]:
    """Raises a few times, and does nothing after that."""
    left = [error] * times

    def call(*_: object, **__: object) -> Any:
        if left:
            raise left.pop()
        return None

    return call


class FakeConnection:
    """A broker that answers as the test says."""

    def __init__(self) -> None:
        self.link, self.protocol, self.limits = Link.UP, ProtocolVersion.V5, Limits()
        self.acks: list[Ack] = []
        self.received: list[Any] = []
        self.subscribe_refused: bool | None = None
        self.sent = 0

    def loop(self, *_: object) -> None:
        """Nothing comes by itself."""

    def subscribe(self, filters: object) -> None:
        """The test sets the answer."""

    def packet_size(self, message: Message) -> int:
        return len(message.payload)

    def publish(self, message: Message) -> int:
        self.sent += 1
        return self.sent


class World:
    """What a walk may need.

    Attributes:
        patch: undone at the end of the test.
    """

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self.home, self.patch, self.caplog = home, patch, caplog
        self.store = Store.open(home, zone=ZoneInfo("UTC"))

    def publisher(self) -> tuple[Publisher, FakeConnection]:
        config = Config.model_validate({"mqtt": {"url": "mqtt://127.0.0.1:1"}, "cameras": {"nut": {"source": "x.mp4"}}})
        service = build_mqtt(self.store, config.mqtt, "reserve1", config.cameras, Metrics(), clock=lambda: NOW)
        connection = FakeConnection()
        service.publisher._connection = connection  # type: ignore[assignment]
        service.publisher.run_once(0.0)
        return service.publisher, connection

    def storage(self, **limits: Any) -> Storage:
        return Storage(self.home, self.store.retention(RetentionSettings(**limits)), Metrics(), clock=lambda: NOW)

    def room(self, free: int) -> None:
        self.patch.setattr(DiskRoom, "at", classmethod(lambda cls, folder: cls(free, 100 * GB)))


def refused_subscription(world: World) -> None:
    publisher, connection = world.publisher()
    for now_s, answer in enumerate((True, True, None, False)):
        connection.subscribe_refused = answer
        publisher.run_once(float(now_s))


def refused_topic(world: World) -> None:
    publisher, connection = world.publisher()
    topic = "homeassistant/device/nut/config"
    for now_s, code in enumerate((0x87, 0x00)):
        publisher._in_flight[900 + now_s] = topic
        connection.acks.append(Ack(900 + now_s, code, "Not authorized" if code else "Success"))
        publisher.run_once(float(now_s))


def too_large(world: World) -> None:
    publisher, connection = world.publisher()
    connection.limits = Limits(maximum_packet_size=1000)
    for size in (5000, 5000, 10):
        enqueue(world.store, [Message("birdwatch/reserve1/nut/visit", bytes(size))], NOW)
        publisher._in_flight.clear()
        publisher.run_once(1.0)


def busy_outbox(world: World) -> None:
    publisher, _ = world.publisher()
    fails = failing(1)
    world.patch.setattr(publisher._outbox, "pending", lambda *_: fails() or [])
    publisher._in_flight.clear()
    publisher.run_once(1.0)
    publisher.run_once(2.0)


def another_client(world: World) -> None:
    policy = ReconnectPolicy("broker h:1", "birdwatchd-a", lambda: 0.0)
    for now_s in range(CLIENT_ID_CONFLICTS):
        policy.still_up(float(now_s))
        policy.disconnected(BrokerUnreachable("lost"), now_s + 0.5, True, False)
    policy.connected("MQTT 5")
    policy.still_up(100.0)
    policy.still_up(100.0 + STABLE_S)


def no_broker(world: World) -> None:
    policy = ReconnectPolicy("broker h:1", "birdwatchd-a", lambda: 0.0)
    policy.disconnected(BrokerUnreachable("broker h:1: no route"), 0.0, False, False)
    policy.connected("MQTT 5")


def busy_retention(world: World) -> None:
    storage = world.storage(max_gb=1.0)
    plan, fails = Retention.plan, failing(1)
    world.patch.setattr(Retention, "plan", lambda *given: fails() or plan(*given))
    storage.run_once(0.0)
    storage.run_once(CHECK_S)


def lost_home(world: World) -> None:
    storage = world.storage()

    def gone(folder: Path) -> DiskRoom:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiskRoom, "at", gone)
        storage.run_once(0.0)
        storage.run_once(LOOK_EVERY_S)
    storage.run_once(2 * LOOK_EVERY_S)


def full_disk(world: World) -> None:
    storage = world.storage()
    for number, free in enumerate((50 * GB, GB // 10, 50 * GB)):
        world.room(free)
        storage.run_once(number * LOOK_EVERY_S)


def spent_reserve(world: World) -> None:
    storage = world.storage()
    for number, free in enumerate((50 * GB, 10**6, 50 * GB)):
        world.room(free)
        storage.run_once(number * LOOK_EVERY_S)


def impossible_limit(world: World) -> None:
    storage = world.storage(min_free_gb=5.0)
    for free, now_s in ((GB, 0.0), (50 * GB, 2 * CHECK_S)):
        world.room(free)
        for step in range(4):
            storage.run_once(now_s + step * LOOK_EVERY_S)
        storage.run_once(now_s + CHECK_S)


def busy_record(world: World) -> None:
    world.patch.setattr("birdwatchd.stages.record.RETRY_WRITE_S", 0.0)
    inbox: Handover[Any] = Handover("record", Metrics())
    verdict = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.0, ())
    evidence = Evidence("v", "nut", 1, NOW, None, NOW, (), 1)
    inbox.put((ClassifiedEvidence(evidence, (), verdict, 0),))
    fails = failing(2)
    record = Record(
        inbox,
        lambda *given: bool(fails()),
        "m@1",
        Metrics(),
        stop=Stop(),
        wake=lambda: None,
        on_visit=lambda visit: None,
    )
    record.run_once()


def busy_effort(world: World) -> None:
    report = upkeep(failing(2))
    report(*(status() for _ in range(4)))


def no_clips(world: World) -> None:
    report = upkeep()
    notices = ("no clips: the disk is nearly full", "no clips: the disk is nearly full", "clips are recorded again")
    report(*(status(notice=text) for text in notices))


def lost_stream(world: World) -> None:
    upkeep()(status(), status(detail="gate_source is lost"), status())


def blind(world: World) -> None:
    upkeep()(status(blind=Blindness.FLAT), status())


def busy_alerts(world: World) -> None:
    rule = {"name": "station", "when": ["disk_full"], "mqtt": False}
    config = Config.model_validate({"home": world.home, "alerts": [rule]})
    vitals = Vitals([], monotonic=lambda: 0.0, utc_now=lambda: NOW)
    told, metrics = world.store.reported_faults, Metrics()
    watch = build_station_watch(config, told, vitals, metrics, backup_age_s=lambda: None, wake=lambda: None)
    assert watch is not None
    fails, tell = failing(2), ReportedFaults.report
    world.patch.setattr(ReportedFaults, "report", lambda *given: fails() or tell(*given))
    world.room(10**6)
    for now_s in range(4):
        watch.run_once(float(now_s))


def station_fault(world: World) -> None:
    busy_alerts(world)
    world.room(50 * GB)
    config = Config.model_validate({"home": world.home, "alerts": [{"name": "station", "when": ["disk_full"]}]})
    vitals = Vitals([], monotonic=lambda: 0.0, utc_now=lambda: NOW)
    told, metrics = world.store.reported_faults, Metrics()
    watch = build_station_watch(config, told, vitals, metrics, backup_age_s=lambda: None, wake=lambda: None)
    assert watch is not None
    watch.run_once(0.0)
    watch.run_once(LONGEST_SETTLE_S)


def offline(world: World) -> None:
    upkeep()(status(CameraState.OFFLINE, detail="no route to host"), status(width=640, height=480))


def busy_learning(world: World) -> None:
    fails = failing(1)
    stored = SimpleNamespace(reviews_version=lambda: fails() or (0, 0), of_model=lambda *_: ())
    fusion = SimpleNamespace(by_species=SimpleNamespace(labels=()), experience=None)
    learn = Learn(stored, SimpleNamespace(model_id="m@1", reference=()), fusion, SpeciesSettings())  # type: ignore[arg-type]
    world.patch.setattr("birdwatchd.stages.learn.experience_of", lambda *_: None)
    learn.run_once(0.0)
    learn.run_once(5.0)


def busy_review_notes(world: World) -> None:
    fails = failing(1)
    notes = ReviewNotes(lambda: fails() or 0, dict, lambda visit_id: None)
    notes.run_once(Stop())
    notes.run_once(Stop())


def channel(world: World, send: Callable[[bytes], None], at: datetime = NOW) -> Channel:
    settings = ChannelSettings.model_validate({"webhook": "http://192.0.2.1/"})
    return Channel("phone", settings, send, world.store.outbox, Metrics(), clock=lambda: at, chance=lambda: 0.0)


def enqueued(world: World, at: datetime = NOW) -> None:
    enqueue(world.store, [Message("alert", b"{}", channel="phone")], at)


def unreachable_channel(world: World) -> None:
    enqueued(world)
    phone = channel(world, failing(1, ChannelUnreachable("the server does not answer")))
    phone.run_once(0.0)
    phone.run_once(10.0)


def busy_channel(world: World) -> None:
    enqueued(world)
    phone = channel(world, failing(0))
    fails, pending = failing(1), world.store.outbox.pending
    world.patch.setattr(world.store.outbox, "pending", lambda *given: fails() or pending(*given))
    phone._metrics_at_s = 1e9
    phone.run_once(0.0)
    phone.run_once(10.0)


def old_messages(world: World) -> None:
    enqueued(world, NOW - timedelta(days=9))
    phone = channel(world, failing(0))
    phone.run_once(0.0)
    enqueued(world)
    phone.run_once(10.0)


def busy_start(world: World) -> None:
    world.patch.setattr("birdwatchd.stages.opening.RETRY_S", 0.0)
    fails, opened = failing(2, StoreFull("no room on the disk")), world.store
    world.patch.setattr("birdwatchd.stages.opening.open_store", lambda *_, **__: fails() or opened)
    config = Config.model_validate({"home": world.home, "cameras": {"nut": {"source": "x.mp4"}}})
    assert Opening(config, StationClock(), Stop(), lambda text: None).open_home() is not None


def taken_port(world: World) -> None:
    port = free_port()
    world.patch.setattr("birdwatchd.monitor.server.RETRY_S", 0.1)
    first = MonitorServer("127.0.0.1", port, {})
    first.start()
    wait_for(lambda: (not first._thread.is_alive()) or taken(port), "the first server", 10)
    second = MonitorServer("127.0.0.1", port, {})
    second.start()
    wait_for(lambda: "metrics are not served" in world.caplog.text, "the second server to fail", 10)
    first.close()
    wait_for(lambda: world.caplog.text.count("metrics are served at") == 2, "the second server", 10)
    second.close()


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def no_pictures(world: World) -> None:
    writer = world.store.writer()
    for number, free in enumerate((10**6, 50 * GB)):
        world.room(free)
        writer.record(example_visit(f"v{number}"), [example_moment()], NOW)


def dead_process(world: World) -> None:
    """It is started again; that it works is said by the camera, which gives pictures."""
    stop, report, mailbox = Stop(), upkeep(), Mailbox(Metrics())
    world.patch.setattr("birdwatchd.camera.process.supervisor.RESTART_FIRST_S", 0.01)
    says: list[CameraStatus | None] = [status(width=640, height=480), None]

    class Child:
        """A process that gives one picture."""

        pid = None

        def receive(self, *_: object) -> CameraStatus | None:
            return says.pop(0)

        def bury(self) -> str:
            stop.set("the test is over")
            return "ended"

        def stop(self) -> bool:
            return True

    fails = failing(1, OSError(11, "Resource temporarily unavailable"))
    world.patch.setattr("birdwatchd.camera.process.supervisor.spawn", lambda order, write: fails() or Child())
    camera = CameraSettings.model_validate({"source": "rtsp://192.0.2.1/"})
    CameraProcess("nut", camera, mailbox, Metrics(), report).run(stop)


def page_of(world: World, port: int, module: str) -> tuple[threading.Thread, Stop]:
    """The page, whose process is a stand-in."""
    world.patch.setattr("birdwatchd.stages.page_process.MODULE", module)
    world.patch.setenv("PYTHONPATH", str(world.home))
    stop = Stop()
    config = Config.model_validate({"home": world.home, "web": {"bind": f"127.0.0.1:{port}"}})
    thread = threading.Thread(target=PageProcess(config).run, args=(stop,))
    thread.start()
    return thread, stop


def taken_page(world: World) -> None:
    port = free_port()
    world.patch.setattr("birdwatchd.stages.page_process.TAKEN_S", 0.02)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        thread, stop = page_of(world, port, "there_is_no_such_module")
        wait_for(lambda: "there is no page" in world.caplog.text, "the page to fail", 10)
    wait_for(lambda: "the page is at" in world.caplog.text, "the page", 10)
    stop.set("the test is over")
    thread.join()


def ended_page(world: World) -> None:
    for name, value in (("RESTART_FIRST_S", 0.01), ("HEALTHY_S", 0.0)):
        world.patch.setattr(f"birdwatchd.stages.page_process.{name}", value)
    ended = world.home / "ended"
    (world.home / "ends_once.py").write_text(
        "import pathlib, sys\nsys.stdin.readline()\n"
        f"ended = pathlib.Path({str(ended)!r})\n"
        "if not ended.exists():\n    ended.touch()\n    sys.exit(1)\nsys.stdin.read()\n"
    )
    thread, stop = page_of(world, free_port(), "ends_once")
    wait_for(lambda: "the page is served again" in world.caplog.text, "the page to be there again", 20)
    stop.set("the test is over")
    thread.join()


def out_of_files(world: World) -> None:
    stop, (near, far) = Stop(), socket.socketpair()
    fails = failing(1, OSError(errno.EMFILE, "Too many open files"))

    def accept() -> tuple[socket.socket, str]:
        fails()
        stop.set("the test is over")
        return near, ""

    listener = SimpleNamespace(accept=accept, close=far.close)
    world.patch.setattr(local_socket, "_listen", lambda home, name: listener)
    world.patch.setattr(local_socket, "POLL_S", 0.01)
    far.shutdown(socket.SHUT_RDWR)
    local_socket.LocalSocket(world.home, {}).run(stop)


def standing_stage(world: World) -> None:
    watchdog, beats = Watchdog(0.0), [0.0]
    watchdog.watch("classify", lambda: beats[0], patience_s=1.0)
    for now_s in (0.5, 2.0, 2.5):
        watchdog.look(now_s)
    beats[0] = 3.0
    watchdog.look(3.0)


def busy_clock(world: World) -> None:
    fails = failing(1)
    change = ClockChange(by=timedelta(days=1), synchronised=True, was_synchronised=True)
    clock = SimpleNamespace(look=lambda: change)
    clocks = SimpleNamespace(change=lambda *_: fails() or Shifted())
    timekeeping = Timekeeping(clock, clocks)  # type: ignore[arg-type]
    timekeeping.run_once()
    timekeeping.run_once()
