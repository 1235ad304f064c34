"""Supervise child processes: start them, read what they send, start them again when they die.

A camera's process is restarted for ever with back-off. When it dies in the middle of a visit, the visit is closed here
with its last sighting, so that no visit stays open for ever. Imports neither libav nor OpenCV.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from birdwatchd.camera.process.hearing import Hearing, Stand, Standing, WatchGaps, process_state
from birdwatchd.camera.process.live_views import LiveViews
from birdwatchd.camera.process.spawn import STOP_S, ChildProcess, spawn
from birdwatchd.camera.process.wire import ChildFailed, WireError
from birdwatchd.clock import StationClock, steady_s
from birdwatchd.flow import Backoff, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraState, CameraStatus, Evidence, LiveView, clip_part, clip_path
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["CameraProcess", "ChildProcess", "probe_camera", "spawn"]

log = logging.getLogger(__name__)

RESTART_FIRST_S, RESTART_LAST_S = 0.5, 60.0
HEALTHY_S = 60.0  # a process that lived this long is restarted at once
FIRST_PICTURE_S = 130.0  # how long a probe waits for pictures once there is video; a key frame may take that long
POLL_S = 0.2  # between looks whether a process lives, and whether it is still wanted
KEPT_ENDED = 64  # visits that are over and may still get a clip
MOST_OPEN = 1000  # visits at once; a flock has dozens


class CameraProcess:
    """One camera as the main process sees it: `run` ends only after the stop (or the end of a file).

    Attributes:
        live: its newest picture, for who looks.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        mailbox: Mailbox,
        metrics: Metrics,
        on_status: Callable[[CameraStatus], None],
        *,
        home: Path | None = None,
        on: bool = True,
        clock: StationClock | None = None,
    ) -> None:
        """
        Args:
            home: where clips are kept, if the camera's settings want any.
            on: whether it starts switched on; see `switch`.
            clock: the station's; by default the system's as it stands now.
        """
        self._clock = clock if clock is not None else StationClock()
        self._zero = self._clock.dial().zero  # of the process that runs
        self._moved: dict[str, tuple[timedelta, int | None]] = {}  # visits: what to add to their times, their stretch
        self.camera, self._settings, self._mailbox = camera, settings, mailbox
        self._metrics, self._on_status = metrics, on_status
        self._home = home.absolute() if home is not None and settings.keeps_clips else None
        self._open: dict[str, Evidence] = {}
        self._ended: OrderedDict[str, Evidence] = OrderedDict()
        self._child: ChildProcess | None = None
        self._finished = False
        self.live = LiveViews(time.monotonic, allowed=settings.store != "nothing")
        self._off = threading.Event()
        self.switch(on)
        self._received_s, self._online = 0.0, False  # when the process said something last, and what
        self._stands_since_s: float | None = None  # as `steady_s`, while it was said that the process stands still
        self._gaps = WatchGaps()
        self._hearing = Hearing(camera, metrics, time.monotonic)
        mailbox.open_lane(camera)

    @property
    def pid(self) -> int | None:
        """Process id while one runs."""
        child = self._child
        return child.pid if child is not None else None

    def switch(self, on: bool) -> None:
        """Start or stop watching, from any thread; while it is off there is no process. Returns at once."""
        (self._off.clear if on else self._off.set)()
        if not on:
            self.live.forget()

    def run(self, stop: Stop) -> None:
        """Keep the camera's process running; closes the camera's lane at the end."""
        backoff = Backoff(RESTART_FIRST_S, RESTART_LAST_S, random.random)
        try:
            while not stop.is_set() and not self._finished:
                if self._off.is_set():
                    self._stay_off(stop)
                    backoff.reset()
                    continue
                start_s = time.monotonic()
                ending = self._run_process(stop)
                self._close_lost()
                if stop.is_set() or self._finished or self._off.is_set():
                    continue
                if time.monotonic() - start_s > HEALTHY_S:
                    backoff.reset()
                wait_s = backoff.next_wait_s()
                self._metrics.add("camera_restarts_total", camera=self.camera)
                log.warning(
                    "camera %s: its process ended (%s); starting it again in %.1f s", self.camera, ending, wait_s
                )
                self._report(CameraState.OFFLINE, f"camera process ended ({ending})")
                again_s = time.monotonic() + wait_s
                while time.monotonic() < again_s and not (self._off.is_set() or stop.wait(min(wait_s, POLL_S))):
                    pass
        finally:
            self._close_lost()
            self._mailbox.close_lane(self.camera)

    def _stay_off(self, stop: Stop) -> None:
        """Run no process until somebody switches on, or the stop."""
        self.live.forget()  # also what the process said before it ended
        self._report(CameraState.DISABLED, "switched off")
        while self._off.is_set() and not stop.wait(POLL_S):
            pass
        if not stop.is_set():
            self._report(CameraState.STARTING, "switched on")

    def _run_process(self, stop: Stop) -> str:
        order = {"mode": "camera", "camera": self.camera, "settings": self._settings.reveal(), "home": self._home}
        clips = self._home / "media" / self.camera if self._home is not None else None
        self._zero = self._clock.dial().zero
        order["zero"] = self._zero.isoformat()
        if clips is not None:
            with suppress(OSError):  # the process may write below it only; a full disk costs clips, and not the camera
                clips.mkdir(parents=True, exist_ok=True)
        try:
            child = self._child = spawn(order, write=[str(clips)] if clips is not None else [])
        except OSError as error:  # out of processes, files or memory: this camera waits, the others go on
            return f"cannot be started: {os.strerror(error.errno or 0)}"
        self._received_s, self._online, self._stands_since_s = time.monotonic(), False, None
        self.live.begin()
        guard = threading.Thread(target=self._guard, args=(child, stop), daemon=True)
        guard.start()
        failure = ""
        try:
            self._read(child, stop)
        except ChildFailed as error:
            failure = str(error)
        except WireError as error:
            log.error("camera %s: %s", self.camera, error)
            child.kill()
        ending = child.bury()
        guard.join()
        return failure or ending

    def _guard(self, child: ChildProcess, stop: Stop) -> None:
        """Watch over one process: kill it when it hangs, stop it when it is to stop."""
        told = self._zero
        standing = Standing(self._settings.open_timeout_s, self._settings.read_timeout_s, time.monotonic())
        while not (self._off.is_set() or stop.wait(POLL_S)):
            pid = child.pid
            if pid is None:
                return
            stand = standing.look(time.monotonic(), self._received_s, process_state(pid), online=self._online)
            if stand is Stand.NOTICED:
                self._stands_since_s = steady_s() - standing.silent_s
                self._report(CameraState.OFFLINE, standing.notice())
            elif stand is Stand.HANGS:
                child.kill(f"it stood still for {standing.silent_s:.0f} s: {standing.why}")
            child.check_memory()
            if self.live.order_due():
                child.command({"live": True})
            if (zero := self._clock.dial().zero) != told:
                told = zero
                child.command({"ids_by": zero.isoformat()})
        if not child.stop():
            log.warning("camera %s: its process did not stop within %.0f s and is killed", self.camera, STOP_S)

    def _read(self, child: ChildProcess, stop: Stop) -> None:
        while (item := child.receive(Evidence, CameraStatus, LiveView)) is not None:
            self._received_s = time.monotonic()
            if self._stands_since_s is not None:
                silent_s, self._stands_since_s = steady_s() - self._stands_since_s, None
                log.info("camera %s: its process goes on again after %.0f s", self.camera, silent_s)
            if isinstance(item, Evidence):
                item = self._checked(item)
                stop.wait(self._hearing.evidence_wait_s(new=item.revision == 1))
                if item.end is None:
                    self._open[item.visit_id] = item
                else:
                    self._close(item)
                self._metrics.add("evidence_total", camera=self.camera)
                self._mailbox.put(self.camera, item)
            elif isinstance(item, LiveView):
                if not self.live.take(item):
                    raise WireError("a live picture that nobody asked for")
            elif isinstance(item, CameraStatus):
                if item.state is CameraState.DISABLED:
                    raise WireError("it says that it was switched off, which only the main process can say")
                over = stop.is_set() or not (self._settings.source.is_live or self._off.is_set())
                self._finished = item.state is CameraState.FINISHED and over
                self._online = item.state is CameraState.ONLINE
                if self._hearing.passes(item):
                    self._pass_on(item)

    def _dated(self, item: Evidence) -> Evidence:
        """Evidence in the station's time, which may have been set since the process was started.

        A visit stays on the time at which it began, so that it is as long as it was.
        """
        if item.visit_id not in self._moved:
            dial = self._clock.dial()
            self._moved[item.visit_id] = dial.zero - self._zero, dial.stretch
        by, stretch = self._moved[item.visit_id]
        if not by:
            return replace(item, clock=stretch)
        return replace(
            item,
            clock=stretch,
            start=item.start + by,
            end=None if item.end is None else item.end + by,
            last_seen=item.last_seen + by,
            moments=tuple(replace(moment, at=moment.at + by) for moment in item.moments),
        )

    def _checked(self, item: Evidence) -> Evidence:
        """Evidence of a visit that the process began itself, in the station's time: it could have been taken over.

        Of a visit that is over it can only say which clip it has; everything else stays as it was.

        Raises:
            WireError: the visit is not new and not one of its own, or has a clip before its end.
        """
        ended = self._ended.pop(item.visit_id, None)
        if ended is not None:
            if item.clip is None or item.revision <= ended.revision:
                raise WireError(f"evidence of a visit '{item.visit_id}' that is over")
            self._metrics.add("clips_cut_total", float(item.clip_cut), camera=self.camera)
            return replace(ended, revision=item.revision, clip=item.clip, clip_cut=item.clip_cut, moments=())
        new = item.revision == 1 and item.visit_id not in self._open
        if new and len(self._open) >= MOST_OPEN:
            raise WireError(f"more than {MOST_OPEN} visits at once")
        if not new and item.visit_id not in self._open:
            raise WireError(f"evidence of a visit '{item.visit_id}' that it did not begin")
        if item.clip is not None:
            raise WireError(f"a clip of a visit '{item.visit_id}' that is not over")
        return self._dated(item)

    def _close(self, item: Evidence) -> None:
        self._open.pop(item.visit_id, None)
        self._moved.pop(item.visit_id, None)
        if self._home is not None and item.clip is None:
            self._ended[item.visit_id] = replace(item, moments=())
            if len(self._ended) > KEPT_ENDED:
                self._ended.popitem(last=False)

    def _close_lost(self) -> None:
        self._remove_parts()
        self._ended.clear()
        self._moved.clear()
        for item in self._open.values():
            closing = replace(item, revision=item.revision + 1, end=item.last_seen, moments=())
            self._mailbox.put(self.camera, closing)
            self._metrics.add("visits_cut_short_total", camera=self.camera)
        self._open.clear()

    def _remove_parts(self) -> None:
        """Delete the unfinished clips of a process that died; they are of visits that it began."""
        if self._home is not None:
            for visit_id in (*self._open, *self._ended):
                with suppress(OSError):  # most have none; what cannot be deleted is found by the next sweep
                    (self._home / clip_part(clip_path(self.camera, visit_id))).unlink()

    def _report(self, state: CameraState, detail: str) -> None:
        self._pass_on(CameraStatus(self.camera, state, self._clock.now(), detail=detail))

    def _pass_on(self, status: CameraStatus) -> None:
        """Hand a report on, with how long nothing was seen before it."""
        unwatched_s = self._gaps.unwatched_s(status.state, steady_s())
        if unwatched_s and status.state is CameraState.ONLINE:
            log.info("camera %s: no pictures came for %.0f s; nothing was watched meanwhile", self.camera, unwatched_s)
        self._on_status(replace(status, unwatched_s=unwatched_s))


def probe_camera(camera: str, settings: CameraSettings) -> CameraStatus:
    """Open a camera in a process of its own until it gives a frame or fails; returns which."""
    child = spawn({"mode": "camera", "camera": camera, "settings": settings.reveal()})
    timer = threading.Timer(settings.open_timeout_s + settings.read_timeout_s + 5.0, child.kill)
    timer.start()
    patient = False
    answer = CameraStatus(camera, CameraState.OFFLINE, datetime.now(UTC), detail="no answer in time")
    try:
        while (item := child.receive(Evidence, CameraStatus)) is not None:
            if isinstance(item, CameraStatus) and item.state in (CameraState.ONLINE, CameraState.OFFLINE):
                return item
            if isinstance(item, CameraStatus) and item.detail and not patient:  # video comes, but no key frame yet
                timer.cancel()
                timer, patient = threading.Timer(FIRST_PICTURE_S, child.kill), True
                timer.start()
    except WireError as error:
        return replace(answer, detail=str(error))
    finally:
        timer.cancel()
        child.kill()
        child.bury()
    return answer
