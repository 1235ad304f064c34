"""The child process of one camera: watch its stream for ever, or scan files, and send what was seen to the parent.

Started as `python -P -m birdwatchd.camera.process.worker`; see `birdwatchd.camera.process.child`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from birdwatchd.camera.capture.clock import Playback, station_time, utc_now
from birdwatchd.camera.capture.decoder import Acceleration, devices_here, devices_to_try
from birdwatchd.camera.capture.dual_stream import DualStream
from birdwatchd.camera.capture.feed import Retry
from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.recorded import Zones
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.shedding import LoadShedder, ShedWatch
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.clips.recorder import ClipRecorder, ClipSettings, VisitClips
from birdwatchd.camera.live_view import LiveViewMaker
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.place import Places
from birdwatchd.camera.process.child import Parent, run_child
from birdwatchd.camera.process.scan import scan_file, tell_date
from birdwatchd.camera.process.wire import Pipe
from birdwatchd.camera.sampling import FrameSampler
from birdwatchd.camera.view import SAME_VIEW
from birdwatchd.errors import SourceError, SourceRefused, SourceUnusable
from birdwatchd.flow import Stop
from birdwatchd.records import CameraState, CameraStatus, Evidence, new_visit_id
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["main"]

REPORT_EVERY_S = 1.0
REPORT_WAITING_S = 5.0
WAITS_FOR_KEY_FRAME = (
    "video comes, and its first key frame is waited for; let the camera send one (GOP, I-frame interval) every 2 s"
)
OTHER_VIEW = (
    "gate_source shows another part of the picture than source: places are converted for crops;"
    " ignore is in fractions of gate_source, zones and boxes in those of source; draw mask wide enough for both"
)
AnyFrame = TypeVar("AnyFrame", DecodedFrame, Frame)
STOP_GRACE_S = 1.5  # how long a read may finish by itself before the visits are closed without it


class CameraWatch:
    """Watches one camera until the stop: connect, look, lose it, connect again.

    Attributes:
        ids_later: what the ids of visits are to say more than this process's clock, since the station's was set.
        live_asked: somebody looks: the next frame is sent as a live picture.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        pipe: Pipe,
        stop: Stop,
        *,
        home: Path | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """
        Args:
            home: where clips are kept; None keeps none.
            clock: UTC, never set while the process lives.
        """
        self._clock, self.ids_later = clock, timedelta()
        self.live_asked, self._live = False, LiveViewMaker(camera, settings)
        self._camera, self._settings, self._pipe, self._stop = camera, settings, pipe, stop
        self._ring = Ring(settings.ring_mb * 2**20)
        self._acceleration = Acceleration(devices_to_try(settings.decode, devices_here()), self._notify)
        self._shedder = LoadShedder()
        self._shed_watch = ShedWatch(self._shedder, self._notify)
        self._sampler = FrameSampler(settings.max_fps, self._shedder)
        self._dual: DualStream | None = None
        if settings.gate_source is not None:
            self._dual = DualStream(
                settings, self._ring, stop, clock, self._shedder, self._acceleration, lambda: self._observer.quiet
            )
        self._observer = Observer(
            camera,
            settings,
            replay=self._replay,
            full=self._dual.full if self._dual is not None else None,
            new_id=lambda start: new_visit_id(start + self.ids_later),
        )
        self._last_status = CameraStatus(camera, CameraState.STARTING, clock())
        self._clips: ClipRecorder | None = None
        if home is not None and settings.keeps_clips:
            of_visit = ClipSettings(settings.pre_roll_s, settings.post_roll_s, settings.clip_max_s)
            fallback = self._dual.gate_feed.ring if self._dual is not None else None
            self._clips = ClipRecorder(camera, of_visit, home, self._ring, clock, self._notify, fallback=fallback)
            self._visit_clips = VisitClips(self._clips)
        self._retry = Retry()
        self._lock = threading.Lock()
        self._view_said = False
        self._frames = 0
        self._ended = False
        self._online_since_s: float | None = None
        self._motion_s: float | None = None
        self._reported_s, self._frames_before, self._online = float("-inf"), 0, False

    def run(self) -> None:
        """Watch until the stop, or until a file that plays the camera has ended."""
        self._report(CameraState.STARTING)
        if self._clips is not None:
            threading.Thread(target=self._clips.run, name="clips", daemon=True).start()
        while not self._stop.is_set() and not self._ended:
            self._online_since_s, self._online, self._reported_s = None, False, time.monotonic()
            try:
                if self._dual is not None:
                    self._watch_dual(self._dual)
                else:
                    self._watch_stream()
            except SourceError as error:
                if not self._stop.is_set():
                    self._try_later(error)
        self.finish(CameraState.FINISHED)

    def _try_later(self, error: SourceError) -> None:
        """Report why there are no frames, and wait; a file that cannot be read further is over instead."""
        if isinstance(error, SourceUnusable) and not self._settings.source.is_live:
            self._report(CameraState.OFFLINE, detail=str(error))
            self._ended = True
            return
        lasted_s = time.monotonic() - self._online_since_s if self._online_since_s is not None else None
        until_s = time.monotonic() + self._retry.wait_s(error, lasted_s)
        while True:  # report all the while: a process that says nothing is taken for one that hangs
            self._report_error(error)
            if not self._wait_out(min(REPORT_WAITING_S, max(0.0, until_s - time.monotonic()))):
                return
            if time.monotonic() >= until_s:
                return

    def finish(self, state: CameraState) -> None:
        """Close every open visit and report the end. May be called from the thread that waits for the stop."""
        with self._lock:
            self._send(self._observer.finish())
            if self._clips is not None:
                self._clips.close()
            self._send_clips()
            self._report(state)

    def _watch_stream(self) -> None:
        self._ring.clear()  # what comes now does not follow on
        with self._open() as stream:
            for frame in stream.decoded_frames(keep=self._keep):
                if self._stop.is_set():
                    return
                self._take(frame, stream.download)
        self._ended = True

    def _watch_dual(self, dual: DualStream) -> None:
        for frame in dual.frames():
            if self._stop.is_set():
                return
            if frame is not None:
                self._take(frame, lambda frame: frame)
                continue
            self._pass_time()
            error = dual.error
            if error is not None and time.monotonic() - self._reported_s >= REPORT_WAITING_S * (not self._online):
                self._reported_s, self._online = time.monotonic(), False
                self._report_error(error)
            elif error is None:
                self._report_waiting(dual.receives)
        if dual.error is not None:  # files that cannot be read
            self._report_error(dual.error)
        self._ended = True

    def _keep(self, packet: Packet) -> None:
        self._ring.append(packet)
        if not self._online:
            self._report_waiting(True)

    def _report_waiting(self, receives: bool) -> None:
        """Report, now and then, that there are no pictures yet: who says nothing is taken for one that hangs.

        Args:
            receives: packets come, so what is missing is a key frame.
        """
        if time.monotonic() - self._reported_s >= REPORT_WAITING_S:
            self._reported_s, self._online = time.monotonic(), False
            self._report(CameraState.STARTING, detail=WAITS_FOR_KEY_FRAME if receives else "")

    def _take(self, frame: AnyFrame, download: Callable[[AnyFrame], Frame]) -> None:
        """Look at a frame, unless it is one too many, and report now and then that frames come."""
        self._frames += 1
        if self._online_since_s is None:
            self._online_since_s = time.monotonic()
        with self._lock:
            if self._sampler.takes(frame):
                taken = download(frame)
                before = self._observer.last_motion
                self._send(self._observer.process(taken))
                if self.live_asked and self._observer.last_motion is not before:  # the boxes are of this frame
                    self._send_live(taken)
                if self._observer.last_motion.regions:
                    self._motion_s = time.monotonic()
            self._send_clips()
        now_s = time.monotonic()
        if not self._online or now_s - self._reported_s >= REPORT_EVERY_S:
            fps = (self._frames - self._frames_before) / (now_s - self._reported_s) if self._online else 0.0
            loss = self._dual.loss if self._dual is not None else ""
            self._report(CameraState.ONLINE, frame=frame, fps=fps, detail=loss)
            self._online, self._reported_s, self._frames_before = True, now_s, self._frames
            self._shed_watch.look(self._frames, now_s)
            self._say_view()

    def _send_live(self, frame: Frame) -> None:
        """Show a person a frame and what was seen in it."""
        self.live_asked = False  # first: what is sent may bring the next question at once, and only one is ever open
        if self._settings.store != "nothing":
            watched = self._observer
            self._pipe.send(self._live.of(frame, watched.last_motion, watched.tracks, watched.view))

    def _say_view(self) -> None:
        """Say, once, that the two streams show different parts."""
        if not self._view_said and self._observer.view != SAME_VIEW:
            self._view_said = True
            self._notify(OTHER_VIEW)

    def _replay(self, since: datetime) -> Generator[Frame, None, None]:
        """Frames of the recent past: of the main stream, or of the small one while that is all there is."""
        dual = self._dual
        ring = self._ring if dual is None or dual.full_feed.alive else dual.gate_feed.ring
        return replay(ring, since)

    def _open(self) -> Stream:
        source = self._settings.source
        playback = None if source.is_live else Playback(self._clock, time.monotonic, self._stop.wait)
        return Stream(
            source,
            self._settings,
            self._clock,
            playback=playback,
            acceleration=self._acceleration,
            shedder=self._shedder,
            wait=self._stop.wait,
        )

    def _wait_out(self, seconds: float) -> bool:
        """Wait, while visits may end; False when the stop came."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if self._stop.wait(min(0.5, left_s)):
                return False
            self._pass_time()
        return not self._stop.is_set()

    def _pass_time(self) -> None:
        """No frames come now: visits may end all the same."""
        with self._lock:
            self._send(self._observer.pass_time(self._clock()))
            self._send_clips()

    def _send(self, evidence: Iterable[Evidence]) -> None:
        for item in evidence:
            self._pipe.send(item)
            if self._clips is not None:
                self._visit_clips.follow(item)

    def _send_clips(self) -> None:
        """Send the revisions of visits whose clips became whole."""
        if self._clips is not None:
            for item in self._visit_clips.take_revisions():
                self._pipe.send(item)

    def _report(
        self,
        state: CameraState,
        *,
        frame: DecodedFrame | Frame | None = None,
        fps: float = 0.0,
        detail: str = "",
        refused: bool = False,
    ) -> None:
        size = (frame.width, frame.height) if frame else (0, 0)
        if frame and self._dual is not None:
            size = self._dual.full.size or size  # what the camera can do, not what is looked at
        self._last_status = CameraStatus(
            camera=self._camera,
            state=state,
            at=self._clock(),
            fps=round(fps, 2),
            frames=self._frames + self._shedder.dropped_packets,
            late=self._shedder.dropped_frames + self._shedder.dropped_packets,
            width=size[0],
            height=size[1],
            detail=detail,
            refused=refused,
            lag_s=round(frame.lag_s, 3) if frame else 0.0,
            extra=(
                ("ring_seconds", round(self._ring.seconds, 1)),
                ("ring_bytes", self._ring.bytes),
                *((("motion_age_seconds", time.monotonic() - self._motion_s),) if self._motion_s is not None else ()),
            ),
            blind=self._observer.blind if state is CameraState.ONLINE else None,
        )
        self._pipe.send(self._last_status)

    def _report_error(self, error: SourceError) -> None:
        self._report(CameraState.OFFLINE, detail=str(error), refused=isinstance(error, SourceRefused))

    def _notify(self, text: str) -> None:
        """Send a person a line about something that changes no state."""
        self._pipe.send(replace(self._last_status, at=self._clock(), notice=text))


def _watch_camera(parent: Parent) -> None:
    order, stop, done = parent.order, Stop(), threading.Event()
    settings = parent.settings
    home = Path(order["home"]) if order.get("home") else None
    zero = datetime.fromisoformat(order["zero"]) if "zero" in order else None
    clock = station_time(zero) if zero is not None else utc_now
    watch = CameraWatch(order["camera"], settings, parent.pipe, stop, home=home, clock=clock)

    def finish_without_it() -> None:
        if not done.wait(STOP_GRACE_S):  # the main thread hangs in a read
            try:
                watch.finish(CameraState.FINISHED)
            except OSError:
                os._exit(1)  # nobody listens any more
            os._exit(0)

    def take_order(order: dict[str, Any]) -> None:
        if order.get("live"):
            watch.live_asked = True
        if zero is not None and "ids_by" in order:
            watch.ids_later = datetime.fromisoformat(order["ids_by"]) - zero

    parent.stop_at_end(stop, finish_without_it, on_order=take_order)
    watch.run()
    done.set()


def _scan_files(parent: Parent) -> None:
    camera, base = parent.order["camera"], parent.order["settings"]

    def notify(text: str) -> None:
        parent.pipe.send(CameraStatus(camera, CameraState.ONLINE, utc_now(), notice=text))

    acceleration = Acceleration(devices_to_try(base["decode"], devices_here()), notify)
    places, zones = Places(), Zones.named(*parent.order.get("zones", ()))
    for order in parent.further_orders():
        path = order.get("date_of") or order["file"]
        settings = CameraSettings.model_validate(base | {"source": Path(path).absolute().as_posix()})
        if "date_of" in order:
            tell_date(camera, settings, path, parent.pipe, zones)
        else:
            scan_file(camera, settings, path, parent.pipe, acceleration, places, zones)


def main() -> NoReturn:
    """Entry point of the child process."""
    modes = {"camera": _watch_camera, "scan": _scan_files}
    run_child(lambda parent: modes[parent.order["mode"]](parent))


if __name__ == "__main__":
    main()
