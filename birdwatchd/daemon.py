"""Run the whole system: open database, model, broker and cameras, start the stages, wait for the stop, end in order.

`run`, `watch` and `demo` are this with different settings. The order of the end is that of the work: cameras close
their visits, the mailbox empties, classify drains, record commits, publish sends `offline`. There is one deadline for
all, and a stage that misses it is named in the log.
"""

from __future__ import annotations

import ctypes
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.camera.process.supervisor import CameraProcess
from birdwatchd.channels.channel import Channel, build_channels
from birdwatchd.clock import StationClock
from birdwatchd.errors import BirdwatchError, ConfigError
from birdwatchd.flow import Crew, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.monitor.local_socket import LIVE_SOCKET_NAME, LocalSocket
from birdwatchd.monitor.masking import Mask, secrets_of
from birdwatchd.monitor.vitals import Vitals
from birdwatchd.mqtt.build import MqttService, build_mqtt
from birdwatchd.mqtt.publisher import Publisher
from birdwatchd.mqtt.states import CameraTold
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import CameraState, CameraStatus, Visit
from birdwatchd.service import ServiceStatus, notify
from birdwatchd.settings.config import Config
from birdwatchd.stages.build import build_stages
from birdwatchd.stages.classify import Classify
from birdwatchd.stages.learn import Learn
from birdwatchd.stages.live import live_answers
from birdwatchd.stages.opening import Opening
from birdwatchd.stages.record import Record
from birdwatchd.stages.review_notes import ReviewNotes
from birdwatchd.stages.selftest import SelfTest
from birdwatchd.stages.station_watch import StationWatch, build_station_watch
from birdwatchd.stages.storage import Storage
from birdwatchd.stages.timekeeping import Timekeeping
from birdwatchd.stages.upkeep import Upkeep
from birdwatchd.stages.watchdog import CHANNEL_S, LONG_S, STUCK_S, Beating, Watchdog, status_line
from birdwatchd.store import LastBackup, Store
from birdwatchd.store.database import FILE_NAME

if TYPE_CHECKING:
    from birdwatchd.species.network.network import Network

__all__ = ["Daemon"]

log = logging.getLogger(__name__)
DEADLINE_S = 9.0  # for everything after the stop; service managers and people expect ten seconds at most
DRAIN_S = 2.0  # of it for publishing what is left; what cannot be published stays in the outbox
RECALLED = timedelta(days=30)  # how far back it is looked for a camera's last picture
_MQTT_STATE: dict[CameraState, CameraTold] = {
    CameraState.STARTING: "offline",
    CameraState.ONLINE: "online",
    CameraState.OFFLINE: "offline",
    CameraState.FINISHED: "offline",
    CameraState.DISABLED: "disabled",
}


class Daemon:
    """One running system.

    Attributes:
        late: names of the threads that had not ended within the deadline, once `run` has returned.
        failure: what a thread failed with, if one did.
    """

    def __init__(
        self,
        config: Config,
        stop: Stop,
        *,
        on_visit: Callable[[Visit], None] = lambda visit: None,
        on_status: Callable[[CameraStatus], None] = lambda status: None,
        clock: StationClock | None = None,
        recent_log: Callable[[], Sequence[str]] = tuple,
        on_home: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            clock: the station's; follows the system's by default.
            on_visit: is given every visit revision once it is stored.
            on_status: is given every report of a camera, in the thread that reads the camera.
            recent_log: the newest log lines, for `birdwatchd report`.
            on_home: is called once the home can be used, or is waited for; may be called again.
        """
        self.config, self._stop = config, stop
        self._on_visit, self._on_status, self._recent_log = on_visit, on_status, recent_log
        self.metrics = Metrics()
        enabled = [key for key, camera in config.cameras.items() if camera.enabled]
        self.clock = clock if clock is not None else StationClock()
        self.vitals = Vitals(enabled, monotonic=time.monotonic, utc_now=self.clock.now)
        self.mailbox = Mailbox(self.metrics)
        self.cameras: list[CameraProcess] = []
        self._mqtt: MqttService | None = None
        self._service, self._watchdog = ServiceStatus(time.monotonic), Watchdog(time.monotonic())
        self._opening = Opening(config, self.clock, stop, self._service.starting, on_home)
        self._local: LocalSocket | None = None
        self.late: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> int:
        """Run until the stop; returns the exit status.

        Raises:
            BirdwatchError: something could not be opened (model, database).
        """
        if not self.config.metrics.bind:
            return self._open_and_run()
        from birdwatchd.monitor.build import build_monitor

        database = self.config.home / FILE_NAME
        monitor = build_monitor(
            self.config.metrics, self.metrics, self.vitals, database, self._camera_pids, self._backup_age_s
        )
        monitor.start()
        try:
            return self._open_and_run()
        finally:
            monitor.close()

    def _open_and_run(self) -> int:
        if not any(camera.enabled for camera in self.config.cameras.values()):
            raise ConfigError(
                "no camera is enabled",
                "add one below `cameras:`, let `birdwatchd init` write a configuration, or use birdwatchd watch SOURCE",
            )
        store = self._opening.open_home()
        if store is None:
            return 0
        with store:
            from birdwatchd.species.network.network import load_network  # torch: only those who run a model pay for it

            self._service.starting(f"loading the model {self.config.model.file or self.config.model.name}")
            network = load_network(self.config.model, self.config.model_cache, on_bytes=self._fetching)
            _release_memory()
            self.vitals.load(network.model_id, network.device)
            return self._run(store, network)

    def _run(self, store: Store, network: Network) -> int:
        decide = build_alert_engine(self.config, network.labels)
        if decide is not None:
            decide.log_unknown_names()
        if self.config.mqtt.url:
            self._mqtt = build_mqtt(
                store,
                self.config.mqtt,
                self.config.station.name,
                self.config.cameras,
                self.metrics,
                switch=self._switch,
                decide=decide,
                species=self.config.species,
                clock=self.clock.now,
                drain_s=DRAIN_S,
            )
        publisher = self._mqtt.publisher if self._mqtt else None
        writer = self._mqtt.writer if self._mqtt else store.writer(decide=decide)
        channels = build_channels(self.config, store.outbox, self.metrics, clock=self.clock.now, drain_s=DRAIN_S)
        self._opening.close_interrupted(writer)
        self._recall_visits(store)
        wake = publisher.wake if publisher else lambda: None
        topics = Topics(self.config.mqtt.base, self.config.station.name) if self.config.mqtt.url else None
        test = SelfTest(
            self.mailbox, writer, store.outbox, self.metrics, model=network.model_id, topics=topics, wake=wake
        )
        answers = {"selftest": test.answer, "log": self._answer_log, "masked log": self._answer_masked_log}
        self._local = LocalSocket(self.config.home, answers)
        classify, record, learn = build_stages(
            self.config,
            network,
            self.mailbox,
            self.metrics,
            store,
            writer,
            stop=self._stop,
            on_visit=self._take_visit,
            on_withdrawn=self.vitals.take_visit,
            wake=wake,
            clock=self.clock.now,
            on_test=test.take,
        )
        upkeep = Upkeep(
            self.metrics,
            on_status=lambda status: store.effort.note(
                status.camera, status.at, status.state.value, store.clocks.current, unwatched_s=status.unwatched_s
            ),
            on_change=lambda status: _publish_state(publisher, status),
            healthy=lambda: self._watchdog.healthy(time.monotonic()),
            beat_service=self._beat,
        )
        watch = build_station_watch(
            self.config,
            store.reported_faults,
            self.vitals,
            self.metrics,
            backup_age_s=self._backup_age_s,
            wake=wake,
        )
        storage = Storage(
            self.config.home,
            store.retention(self.config.retention),
            self.metrics,
            publish=publisher.storage if publisher else lambda payload: None,
            clock=self.clock.certain,
        )
        timekeeping = Timekeeping(
            self.clock,
            store.clocks,
            before_change=store.effort.flush,
            renew_note=writer.renew_note,
            on_change=self._clock_set,
        )
        notes = ReviewNotes(store.examples.reviews_version, store.visits.review_times, writer.renew_note)
        return self._start_wait_stop(
            notes, classify, record, learn, upkeep, storage, timekeeping, watch, publisher, channels
        )

    def _start_wait_stop(
        self,
        notes: ReviewNotes,
        classify: Classify,
        record: Record,
        learn: Learn,
        upkeep: Upkeep,
        storage: Storage,
        timekeeping: Timekeeping,
        watch: StationWatch | None,
        publisher: Publisher | None,
        channels: Sequence[Channel],
    ) -> int:
        visits, outlets, pushes = Crew(self._stop), Crew(self._stop), Crew(self._stop)
        closing = Stop()  # upkeep and publish go on until the last visit is stored
        self._stop.armed = True
        self._start_cameras(visits, upkeep)
        visits.start("classify", classify.run)
        visits.start("record", record.run)
        outlets.start("upkeep", lambda: upkeep.run(closing))
        outlets.start("learn", lambda: learn.run(closing))
        outlets.start("review notes", lambda: notes.run(closing))
        outlets.start("storage", lambda: storage.run(closing))
        outlets.start("timekeeping", lambda: timekeeping.run(closing))
        if self._local is not None:
            pushes.start("local socket", partial(self._local.run, self._stop))
        if self.config.web.bind:
            views = {camera.camera: camera.live for camera in self.cameras}
            live = LocalSocket(self.config.home, live_answers(self.vitals, views), LIVE_SOCKET_NAME)
            pushes.start("live pictures", partial(live.run, self._stop))
        if watch is not None:
            outlets.start("station watch", partial(watch.run, self._stop))
        if publisher is not None:
            for key, settings in self.config.cameras.items():
                if not settings.enabled:
                    publisher.camera_status(key, "disabled")
            outlets.start("publish", partial(publisher.run, closing))
        for channel in channels:
            pushes.start(f"channel {channel.name}", partial(channel.run, closing))
        self._watch({"classify": classify, "record": record, "upkeep": upkeep}, STUCK_S)
        self._watch({"publish": publisher} if publisher else {}, STUCK_S)
        self._watch({"learn": learn, "storage": storage}, LONG_S)
        self._watch({f"channel {channel.name}": channel for channel in channels}, CHANNEL_S)
        self._await_first_attempts(upkeep)
        notify("READY=1")
        while not self._stop.wait(0.5):
            self._look()
            if not visits.alive():
                self._stop.set("every camera has ended")
        log.info("stopping: %s", self._stop.reason)
        self.vitals.stop()
        notify(f"STOPPING=1\nSTATUS=stopping: {self._stop.reason}")
        self.late = visits.join(self._time_left())
        closing.set("stopping")
        self.late += outlets.join(max(1.0, self._time_left()))
        pushes.join(max(0.0, self._time_left()))  # who is late here is no failure: its message is in the outbox still
        self.failure = visits.failure or outlets.failure or pushes.failure
        if isinstance(self.failure, BirdwatchError):
            raise self.failure
        return 1 if self.late or self.failure else 0

    def _fetching(self, done: int, expected: int) -> None:
        of = f" of {expected / 1e6:.1f}" if expected else ""
        self._service.starting(f"fetching the model {self.config.model.name}: {done / 1e6:.1f}{of} MB")

    def _clock_set(self, by: timedelta) -> None:
        if self._mqtt is not None:
            self._mqtt.health.clock_set(by)
            self._mqtt.publisher.republish()

    def _time_left(self) -> float:
        return DEADLINE_S - self._stop.for_seconds(time.monotonic())

    def _start_cameras(self, crew: Crew, upkeep: Upkeep) -> None:
        for key, settings in self.config.cameras.items():
            if settings.enabled:
                camera = CameraProcess(
                    key,
                    settings,
                    self.mailbox,
                    self.metrics,
                    partial(self._take_status, upkeep),
                    home=self.config.home,
                    on=self._mqtt is None or key not in self._mqtt.switched_off,
                    clock=self.clock,
                )
                self.cameras.append(camera)
        for camera in self.cameras:
            crew.start(f"camera {camera.camera}", partial(camera.run, self._stop))

    def _take_status(self, upkeep: Upkeep, status: CameraStatus) -> None:
        status = replace(status, at=self.clock.now())  # its process may keep an older time
        if self._mqtt is not None:
            self._mqtt.health.report(status)
        upkeep.take_status(status)
        self.vitals.take_status(status)
        self._on_status(status)

    def _take_visit(self, visit: Visit) -> None:
        self.vitals.take_visit(visit)
        self._on_visit(visit)

    def _recall_visits(self, store: Store) -> None:
        """The age of a camera's last visit, and of its last picture, goes on over a restart."""
        for span in store.effort.spans(datetime.now(UTC) - RECALLED):
            if span.state == CameraState.ONLINE and span.camera in self.vitals.cameras:
                self.vitals.recall_frame(span.camera, span.end)
        for key in self.vitals.cameras:
            if (newest := store.visits.newest_bird(key)) is not None:
                self.vitals.take_visit(newest)

    def _beat(self) -> None:
        self.vitals.beat()
        notify("WATCHDOG=1")

    def _watch(self, stages: Mapping[str, Beating], patience_s: float) -> None:
        for name, stage in stages.items():
            self._watchdog.watch(name, partial(getattr, stage, "beat_s"), patience_s)

    def _look(self) -> None:
        """See whether all go on, and show the state of the station."""
        self._watchdog.look(time.monotonic())
        states = {key: self.vitals.state_of(key) for key in self.vitals.cameras}
        broker = self.metrics.get("mqtt_connected") > 0 if self._mqtt else None
        self._service.say(status_line(states, broker=broker, stuck=self._watchdog.stuck))

    def _camera_pids(self) -> dict[str, int]:
        return {camera.camera: pid for camera in self.cameras if (pid := camera.pid) is not None}

    def _answer_log(self, request: bytes) -> Iterator[dict[str, Any]]:
        del request
        return ({"line": line} for line in self._recent_log())

    def _answer_masked_log(self, request: bytes) -> Iterator[dict[str, Any]]:
        """For the page, which knows no secrets that it could take out."""
        del request
        mask, lines = Mask(secrets_of(self.config, "", os.environ)), self._recent_log()
        yield {"lines": len(lines)}
        yield from ({"line": mask.text(line)} for line in lines)

    def _backup_age_s(self) -> float | None:
        """Seconds since the last backup of the home; None where none is known."""
        last = LastBackup.read(self.config.home)
        return None if last is None else last.age_s(datetime.now(UTC))

    def _switch(self, key: str, on: bool) -> None:
        """Start or stop watching a camera."""
        for camera in self.cameras:
            if camera.camera == key:
                camera.switch(on)

    def _await_first_attempts(self, upkeep: Upkeep) -> None:
        """Wait until every camera has answered or failed once (systemd's READY means that)."""
        slowest_s = max(camera.open_timeout_s for camera in self.config.cameras.values()) + 5.0
        until_s = time.monotonic() + slowest_s
        while time.monotonic() < until_s and not self._stop.wait(0.05):
            self._look()
            if sum(s.state is not CameraState.STARTING for s in upkeep.cameras.values()) >= len(self.cameras):
                return


def _publish_state(publisher: Publisher | None, status: CameraStatus) -> None:
    if publisher is not None and status.state in _MQTT_STATE:
        publisher.camera_status(status.camera, _MQTT_STATE[status.state])


def _release_memory() -> None:
    """Return what reading the weights needed (malloc_trim(3), glibc only): measured 50 of 1079 MB with davit_tiny."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
