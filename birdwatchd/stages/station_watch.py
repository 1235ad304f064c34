"""The station watch: look at cameras, disk, broker, channels and backups, and report by the alert rules what is broken.

What was reported and the messages about it are written in one transaction. While the database cannot be written
nothing is reported, and nothing is forgotten: it is tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from birdwatchd.alerts.station import Change, FaultRules, Finding, messages_of
from birdwatchd.camera.blindness import explain
from birdwatchd.disk import DiskRoom
from birdwatchd.disk import Storage as Kept
from birdwatchd.flow import Stop, StoreRetry
from birdwatchd.metrics import Metrics
from birdwatchd.monitor.vitals import Vitals
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Blindness, CameraState
from birdwatchd.settings.config import Config
from birdwatchd.store import ReportedFaults

__all__ = ["StationWatch", "build_station_watch"]

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
STARTING_S = 120.0  # in which nothing that has lasted since before the start counts: cameras and broker connect first
_OFF = (CameraState.DISABLED, CameraState.FINISHED)  # gives no pictures, and is not to


class StationWatch:
    """Watches one station. `run` it in a thread."""

    def __init__(
        self,
        rules: FaultRules,
        reported: ReportedFaults,
        vitals: Vitals,
        metrics: Metrics,
        home: Path,
        *,
        topics: Topics | None,
        channels: Collection[str],
        station: str,
        zone: ZoneInfo,
        backup_age_s: Callable[[], float | None],
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            topics: None if no broker is configured.
            channels: names of those that are configured.
            backup_age_s: seconds since the last backup; None where there was none.
            wake: wakes the publisher, since there may be a message.
            clock: wall time, for messages.
        """
        self._rules, self._reported, self._vitals, self._metrics, self._home = rules, reported, vitals, metrics, home
        self._topics, self._channels, self._station, self._zone = topics, tuple(channels), station, zone
        self._backup_age_s, self._wake, self._clock = backup_age_s, wake, clock
        self._bad_since_s: dict[tuple[str, str], float] = {}
        self._retry = StoreRetry(
            on_first=lambda error: log.error("alerts about the station wait: %s", error),
            on_each=lambda: metrics.add("store_retries_total"),
            on_again=lambda: log.info("alerts about the station are sent again"),
        )

    def run(self, stop: Stop) -> None:
        """Look until the stop."""
        while not stop.wait(LOOK_EVERY_S):
            self.run_once(time.monotonic())

    def run_once(self, now_s: float) -> None:
        """Look once, and report what is to be reported.

        Args:
            now_s: monotonic seconds.
        """
        for change in self._rules.look(self._findings(now_s), now_s):
            if not self._retry.attempt(lambda change=change: self._report(change), False):  # type: ignore[misc]
                return

    def _report(self, change: Change) -> bool:
        """Put a change into the outbox and note that it was reported, both or neither.

        Raises:
            StoreBusy, StoreFull: nothing was written.
        """
        at, fault = self._clock(), change.fault
        rule = self._rules.rule(fault)
        messages = messages_of(change, rule, self._topics, self._channels, self._station, at)
        if change.phase == "raised":
            self._reported.report(fault.name, at.astimezone(self._zone).date(), messages, at)
        else:
            self._reported.report_end(fault.name, messages, at)
        self._rules.confirmed(change)
        log.log(logging.WARNING if change.phase == "raised" else logging.INFO, "station: %s", change.text)
        self._wake()
        return True

    def _findings(self, now_s: float) -> dict[tuple[str, str], Finding]:
        found = {("disk_full", ""): self._since("disk_full", "", now_s, *self._disk())}
        for camera in self._vitals.cameras:
            found |= self._of_camera(camera, now_s)
        for name in self._channels:
            failing = self._metrics.get("channel_failing", channel=name) > 0
            found["channel_failing", name] = self._since("channel_failing", name, now_s, failing)
        if self._topics is not None:
            away = self._metrics.get("mqtt_connected") == 0
            found["broker_offline", ""] = self._since("broker_offline", "", now_s, away)
        if self._vitals.uptime_s() >= STARTING_S:
            age_s = self._backup_age_s()
            found["backup_old", ""] = Finding(float("inf") if age_s is None else age_s)
        return found

    def _of_camera(self, camera: str, now_s: float) -> dict[tuple[str, str], Finding]:
        state, ages_s, uptime_s = self._vitals.state_of(camera), self._vitals.ages_s(camera), self._vitals.uptime_s()
        found = {}
        if state is CameraState.ONLINE or state in _OFF:
            found["camera_offline", camera] = Finding()
        elif uptime_s >= STARTING_S or ages_s.get("frame", 0.0) < uptime_s:
            found["camera_offline", camera] = Finding(ages_s.get("frame", uptime_s), self._vitals.detail_of(camera))
        if state is CameraState.ONLINE:
            why = self._vitals.blindness_of(camera)
            blind = why is not None and why is not Blindness.DARK  # every night is dark
            reason = explain(why) if why is not None else ""
            found["camera_blind", camera] = self._since("camera_blind", camera, now_s, blind, reason)
        if uptime_s >= STARTING_S:
            found["no_visit_for", camera] = Finding(ages_s.get("visit", uptime_s))
        return found

    def _disk(self) -> tuple[bool, str]:
        try:
            room = DiskRoom.at(self._home)
        except OSError as error:
            return True, f"{error.strerror}"
        return room.storage is not Kept.GOOD, f"{room.free / 1e9:.2f} GB are free"

    def _since(self, fault: str, thing: str, now_s: float, bad: bool, detail: str = "") -> Finding:
        """What is found bad, with for how long it has been found so."""
        if not bad:
            self._bad_since_s.pop((fault, thing), None)
            return Finding()
        return Finding(now_s - self._bad_since_s.setdefault((fault, thing), now_s), detail)


def build_station_watch(
    config: Config,
    reported: ReportedFaults,
    vitals: Vitals,
    metrics: Metrics,
    *,
    backup_age_s: Callable[[], float | None],
    wake: Callable[[], None],
) -> StationWatch | None:
    """The watch of a configuration; None if no alert rule is about the station.

    Raises:
        StoreBusy, StoreFull: what was reported before cannot be read.
    """
    if not config.station_alerts:
        reported.forget(sorted(reported.names()))
        return None
    rules = FaultRules(config.station_alerts, vitals.cameras, config.channels, reported.names())
    reported.forget(rules.stale)
    return StationWatch(
        rules,
        reported,
        vitals,
        metrics,
        config.home,
        topics=Topics(config.mqtt.base, config.station.name) if config.mqtt.url else None,
        channels=config.channels.keys(),
        station=config.station.name,
        zone=config.station.zone,
        backup_age_s=backup_age_s,
        wake=wake,
    )
