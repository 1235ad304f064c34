"""Read one recording as fast as it can be decoded and tell of its visits: the other half of a camera's process."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial

from birdwatchd.address import Source
from birdwatchd.camera.capture.decoder import Acceleration
from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.shedding import Pace
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.process.wire import FileDone, Pipe
from birdwatchd.errors import SourceError
from birdwatchd.flow import Stop
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["scan_file"]

REPORT_EVERY_S = 0.25


def scan_file(
    camera: str, settings: CameraSettings, media: str, pipe: Pipe, stop: Stop, acceleration: Acceleration
) -> None:
    """Read one recording as fast as it can be decoded and send its visits, then a `FileDone`."""
    ring = Ring(settings.ring_mb * 2**20)
    observer = Observer(camera, settings, media=media, replay=partial(replay, ring))
    pace = Pace(settings.max_fps)
    seconds, error = 0.0, ""
    try:
        with Stream(settings.source, settings, _now, acceleration=acceleration) as stream:
            duration, reported = stream.duration_s, 0.0
            for frame in stream.decoded_frames(keep=ring.append):
                seconds = frame.media_s
                if stop.is_set():
                    error = "not finished: stopped"
                    break
                if pace.wants(frame, 0.0):
                    for item in observer.look(stream.download(frame)):
                        pipe.send(item)
                if time.monotonic() - reported > REPORT_EVERY_S:
                    reported = time.monotonic()
                    pipe.send(_progress(camera, frame, seconds, duration))
            error = error or _cut_off(settings.source, seconds, duration)
    except SourceError as problem:
        error = str(problem)
    for item in observer.finish():
        pipe.send(item)
    pipe.send(FileDone(media, seconds, error))


def _progress(camera: str, frame: DecodedFrame, seconds: float, duration: float | None) -> CameraStatus:
    extra = (("media_s", seconds), ("duration_s", duration or 0.0))
    return CameraStatus(camera, CameraState.ONLINE, _now(), width=frame.width, height=frame.height, extra=extra)


def _cut_off(source: Source, seconds: float, duration: float | None) -> str:
    """Say so when the frames ended well before the announced length."""
    if duration is None or seconds > duration - max(2.0, 0.05 * duration):
        return ""
    return f"{source}: is cut off: {seconds:.1f} s of {duration:.1f} s could be read; copy it again from the card"


def _now() -> datetime:
    return datetime.now(UTC)
