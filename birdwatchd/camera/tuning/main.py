"""The process behind `birdwatchd tune`: watch one source for a while, then draw what the motion gate saw.

Started as `python -P -m birdwatchd.camera.tuning.main`, because a stranger's stream must not be decoded in the
command's own process. The order is one JSON line on stdin (credentials never stand in a command line); JSON lines go
out on stdout: progress, then either what was written or what went wrong. The end of stdin stops the watching, not the
drawing.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2

from birdwatchd.camera.capture.clock import utc_now
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.motion.grid import scaled_min_bird
from birdwatchd.camera.process.observed_stream import ObservedStream
from birdwatchd.camera.tuning.log import Notes, NoteTaker
from birdwatchd.camera.tuning.sheet import draw_sheet
from birdwatchd.camera.tuning.video import Film
from birdwatchd.errors import BirdwatchError, ExportError, SourceError, SourceUnusable
from birdwatchd.flow import Stop
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Order", "main", "run"]

MEMORY_LIMIT = 4 * 2**30  # address space, as in the camera processes
REPORT_EVERY_S = 0.5
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Order:
    """What to watch and where to write.

    Attributes:
        seconds: of the media for files, of watching for live sources.
        out: the file to write; its suffix says what: .png, .jpg, .jpeg or .mp4.
    """

    name: str
    settings: CameraSettings
    seconds: float
    out: Path


class Talk:
    """JSON lines to the command."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._said_at = 0.0

    def say(self, kind: str, **fields: Any) -> None:
        """Write one line."""
        self._out.write(json.dumps({"kind": kind} | fields).encode() + b"\n")
        self._out.flush()

    def progress(self, notes: NoteTaker) -> None:
        """Say how far it is, twice a second."""
        now = time.monotonic()
        if now - self._said_at >= REPORT_EVERY_S:
            self._said_at = now
            self.say("progress", seconds=round(notes.seconds, 3), visits=notes.visits)


def run(order: Order, stop: Stop, talk: Talk) -> Notes:
    """Watch, then write the sheet or the video; returns the notes it was drawn from.

    Raises:
        SourceError: there was not one picture.
        ExportError: the file cannot be written.
    """
    settings = _watched(order.settings)
    stream = ObservedStream(order.name, settings, order.name)
    taker = NoteTaker(order.name, settings, stream.observer)
    problem = ""
    with ExitStack() as stack:
        film = stack.enter_context(Film(order.out)) if order.out.suffix.lower() == ".mp4" else None
        frames = stack.enter_context(closing(stream.frames()))
        try:
            for frame, evidence in frames:
                taker.note(frame, evidence or ())
                if film is not None:
                    film.add(frame, taker.seconds, stream.observer)
                talk.progress(taker)
                if taker.seconds >= order.seconds or stop.is_set():
                    break
        except SourceError as error:
            if not taker.frames:
                raise
            problem = str(error)
        if not taker.frames:
            raise SourceUnusable(f"{settings.source}: gave no picture", "was it stopped at once?")
    notes = taker.finish(stream.observer.finish(), problem)
    if film is None:
        _write_picture(order.out, notes)
    return notes


def _watched(settings: CameraSettings) -> CameraSettings:
    """The stream that the gate looks at, with the smallest bird in its pixels: the small one of a camera with two.

    Raises:
        SourceError: one of the two cannot be opened.
    """
    if settings.gate_source is None:
        return settings
    small = settings.model_copy(update={"source": settings.gate_source, "gate_source": None})
    widths = []
    for each in (settings, small):
        with Stream(each.source, each, utc_now) as stream:
            widths.append(stream.codec.width)
    return small.model_copy(update={"min_bird": scaled_min_bird(settings.min_bird, widths[1], widths[0])})


def _write_picture(path: Path, notes: Notes) -> None:
    kind = ".png" if path.suffix.lower() == ".png" else ".jpg"
    ok, data = cv2.imencode(kind, draw_sheet(notes), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == ".jpg" else [])
    assert ok  # there is room in memory for what was just drawn
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ExportError(f"{path}: cannot be written ({reason})", "check the folder and the disk") from None


def _await_stop(orders: BinaryIO, stop: Stop) -> None:
    while orders.readline():
        pass
    stop.set("the command asked")


def main() -> int:
    """Entry point of the child process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the command, which closes our stdin
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    cv2.setNumThreads(1)
    talk = Talk(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever a library prints must not end up between the lines
    orders = sys.stdin.buffer
    given = json.loads(orders.readline() or b"{}")
    if not given:
        return 1  # the command is gone
    order = Order(given["name"], CameraSettings.model_validate(given["settings"]), given["seconds"], Path(given["out"]))
    stop = Stop()
    threading.Thread(target=_await_stop, args=(orders, stop), daemon=True).start()
    try:
        notes = run(order, stop, talk)
        counts = {why: ignored.count for why, ignored in notes.ignored.items()}
        talk.say(
            "done", seconds=round(notes.seconds, 3), visits=len(notes.visits), ignored=counts, problem=notes.problem
        )
    except BirdwatchError as error:
        talk.say("failed", error=str(error))
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # skip destructors: libav's and OpenCV's threads have nothing left to save
