"""Scan one recording: read it as fast as it can be decoded, and send its visits to the main process."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from birdwatchd.address import Source
from birdwatchd.camera.capture.clock import utc_now
from birdwatchd.camera.capture.decoder import Acceleration
from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.capture.preview import began_at
from birdwatchd.camera.capture.recorded import Zones
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.place import Places
from birdwatchd.camera.process.observed_stream import ObservedStream
from birdwatchd.camera.process.wire import FileDone, Pipe
from birdwatchd.errors import SourceError
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["scan_file", "tell_date"]

REPORT_EVERY_S = 0.25


def scan_file(
    camera: str,
    settings: CameraSettings,
    media: str,
    pipe: Pipe,
    acceleration: Acceleration,
    places: Places | None = None,
    zones: Zones | None = None,
) -> None:
    """Read one recording as fast as it can be decoded and send its visits, then a `FileDone`.

    Args:
        places: what is known of the recordings that were scanned before.
        zones: of the times in recordings; UTC by default.
    """
    stream = ObservedStream(camera, settings, media, acceleration, places, zones)
    seconds, step_s, error, reported_s = 0.0, 0.0, "", 0.0
    read = watched = False
    try:
        for frame, evidence in stream.frames():
            if not read and stream.began_at is not None:
                pipe.send(_began(camera, stream.began_at))
            read, seconds, step_s = True, frame.media_s, frame.media_s - seconds
            watched = watched or (evidence is not None and _can_watch(stream.observer))
            for item in evidence or ():
                pipe.send(item)
            if time.monotonic() - reported_s > REPORT_EVERY_S:
                reported_s = time.monotonic()
                pipe.send(_progress(camera, frame, stream.duration_s))
        error = _cut_off(settings.source, seconds, step_s, stream.duration_s)
        if not read:
            error = f"{settings.source}: not one picture could be decoded; copy it again from the card"
    except SourceError as problem:
        error = str(problem)
    for item in stream.finish():
        pipe.send(item)
    if read and _never_finished(settings.source):
        notice = f"{settings.source}: was not finished by its camera (power, card): {seconds:.1f} s could be read"
        pipe.send(CameraStatus(camera, CameraState.ONLINE, utc_now(), notice=notice))
    if read and not watched:
        notice = f"{settings.source}: no bird could be looked for; it is too short, or its picture is never still"
        pipe.send(CameraStatus(camera, CameraState.ONLINE, utc_now(), notice=notice))
    elif (spell := stream.observer.blind_spell) is not None:
        pipe.send(CameraStatus(camera, CameraState.ONLINE, utc_now(), notice=f"{settings.source}: {spell}"))
    pipe.send(FileDone(media, seconds, error, stream.new_place))


def tell_date(camera: str, settings: CameraSettings, media: str, pipe: Pipe, zones: Zones) -> None:
    """Send when a recording began, if it can be opened, then a `FileDone`."""
    error = ""
    try:
        pipe.send(_began(camera, began_at(settings, zones)))
    except SourceError as problem:
        error = str(problem)
    pipe.send(FileDone(media, 0.0, error))


def _can_watch(observer: Observer) -> bool:
    """Whether birds could be seen in the last frame: the picture is known, and is not another one altogether."""
    motion = observer.last_motion
    return not (motion.learning or motion.global_change)


def _began(camera: str, at: datetime) -> CameraStatus:
    """Says when a recording began, before anything that was found in it."""
    return CameraStatus(camera, CameraState.ONLINE, utc_now(), extra=(("began_s", at.timestamp()),))


def _progress(camera: str, frame: DecodedFrame, duration_s: float | None) -> CameraStatus:
    extra = (("media_s", frame.media_s), ("duration_s", duration_s or 0.0))
    return CameraStatus(camera, CameraState.ONLINE, utc_now(), width=frame.width, height=frame.height, extra=extra)


def _never_finished(source: Source) -> bool:
    """Whether it is an AVI whose header says no length: that is written in the end, when the camera closes the file."""
    with Path(source.location).open("rb") as file:
        header = file.read(12)
    return header[:4] == b"RIFF" and header[8:] == b"AVI " and header[4:8] == bytes(4)


def _cut_off(source: Source, seconds: float, step_s: float, duration_s: float | None) -> str:
    """A sentence if the frames ended well before the announced length, else nothing.

    Args:
        seconds: when the last frame begins.
        step_s: how long before it the last but one began.
    """
    if duration_s is None or seconds + step_s > duration_s - max(2.0, 0.05 * duration_s):
        return ""
    return f"{source}: is cut off: {seconds:.1f} s of {duration_s:.1f} s could be read; copy it again from the card"
