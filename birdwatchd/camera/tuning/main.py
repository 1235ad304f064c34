"""The child process of `birdwatchd tune`: watch one source for a while, then draw what the motion gate saw.

Started as `python -P -m birdwatchd.camera.tuning.main`; see `birdwatchd.camera.process.child`. The end of stdin stops
the watching, not the drawing.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2

from birdwatchd.camera.capture.clock import utc_now
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.mask import PrivacyMask
from birdwatchd.camera.motion.grid import scaled_min_bird
from birdwatchd.camera.process.child import Parent, run_child
from birdwatchd.camera.process.observed_stream import ObservedStream
from birdwatchd.camera.process.wire import Pipe, TuneDone
from birdwatchd.camera.tuning.log import TuningLog, TuningResults
from birdwatchd.camera.tuning.sheet import draw_sheet
from birdwatchd.camera.tuning.video import AnnotatedVideo
from birdwatchd.errors import ExportError, SourceError, SourceUnusable
from birdwatchd.flow import Stop
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Order", "main", "run"]

REPORT_EVERY_S = 0.5
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Order:
    """What to watch and where to write.

    Attributes:
        seconds: of the media for files, of watching for live sources.
        out: the file to write; its suffix says what: .png, .jpg, .jpeg or .mp4.
    """

    camera: str
    settings: CameraSettings
    seconds: float
    out: Path


def run(order: Order, stop: Stop, pipe: Pipe) -> TuningResults:
    """Watch, then write the sheet or the video; returns the results it was drawn from.

    Args:
        stop: ends the watching, not the drawing.
        pipe: takes the progress, twice a second.

    Raises:
        SourceError: there was not one picture.
        ExportError: the file cannot be written.
    """
    settings, main_size = _watched(order.settings)
    stream = ObservedStream(order.camera, settings, order.camera)
    log = TuningLog(order.camera, settings, stream.observer, main_size)
    problem, reported_s = "", 0.0
    with ExitStack() as stack:
        mask, is_video = PrivacyMask(settings.mask), order.out.suffix.lower() == ".mp4"
        video = stack.enter_context(AnnotatedVideo(order.out, mask)) if is_video else None
        frames = stack.enter_context(closing(stream.frames()))
        try:
            for frame, evidence in frames:
                log.add(frame, evidence or ())
                if video is not None:
                    video.add(frame, log.seconds, stream.observer)
                if time.monotonic() - reported_s >= REPORT_EVERY_S:
                    reported_s = time.monotonic()
                    extra = (("media_s", log.seconds), ("visits", float(log.visits)))
                    pipe.send(CameraStatus(order.camera, CameraState.ONLINE, utc_now(), extra=extra))
                if log.seconds >= order.seconds or stop.is_set():
                    break
        except SourceError as error:
            if not log.frames:
                raise
            problem = str(error)
        if not log.frames:
            raise SourceUnusable(f"{settings.source}: gave no picture", "was it stopped at once?")
    results = log.finish(stream.finish(), problem)
    if video is None:
        _write_image(order.out, results)
    return results


def _watched(settings: CameraSettings) -> tuple[CameraSettings, tuple[int, int] | None]:
    """The stream that the gate looks at, with the smallest bird in its pixels, and the size of the main stream.

    The small one of a camera with two streams; of a camera with one, that one, whose size will be seen.

    Raises:
        SourceError: one of the two cannot be opened.
    """
    if settings.gate_source is None:
        return settings, None
    small = settings.model_copy(update={"source": settings.gate_source, "gate_source": None})
    sizes = []
    for each in (settings, small):
        with Stream(each.source, each, utc_now) as stream:
            sizes.append(stream.codec.shown_size)
    main, gate = sizes
    min_bird = scaled_min_bird(settings.smallest_bird(*main), gate[0], main[0])
    return small.model_copy(update={"min_bird": min_bird}), main


def _write_image(path: Path, results: TuningResults) -> None:
    kind = ".png" if path.suffix.lower() == ".png" else ".jpg"
    ok, data = cv2.imencode(
        kind, draw_sheet(results), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == ".jpg" else []
    )
    assert ok  # there is room in memory for what was just drawn
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ExportError(f"{path}: cannot be written ({reason})", "check the folder and the disk") from None


def _tune(parent: Parent) -> None:
    given, stop = parent.order, Stop()
    settings = parent.settings
    parent.stop_at_end(stop)
    results = run(Order(given["camera"], settings, given["seconds"], Path(given["out"])), stop, parent.pipe)
    ignored = tuple((why, ignored.count) for why, ignored in results.ignored.items())
    seconds, visits = round(results.seconds, 3), len(results.visits)
    blind = str(results.blind or "")
    parent.pipe.send(TuneDone(seconds, visits, ignored, results.problem, *results.main_size, blind))


def main() -> NoReturn:
    """Entry point of the child process."""
    run_child(_tune)


if __name__ == "__main__":
    main()
