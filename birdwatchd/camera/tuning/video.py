"""Annotate the video with what the gate and the tracker find in each frame, to be stepped through in any player.

H.264 through libav, at most 1280 pixels wide. Yellow: may be a bird; grey: moved and was ignored, with the reason;
green: a confirmed bird, with its number.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import cv2

from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.crops import picture_of
from birdwatchd.camera.mask import PrivacyMask
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.tuning.draw import WHITE, Colour, label, time_text
from birdwatchd.camera.tuning.log import Image
from birdwatchd.errors import ExportError
from birdwatchd.records import Box

__all__ = ["AnnotatedVideo"]

WIDEST = 1280  # pixels
QUALITY = "21"  # x264's constant rate factor; thin lines and small type stay clean
_TIME_BASE = Fraction(1, 1000)

YELLOW: Colour = (0, 220, 255)
GREEN: Colour = (80, 230, 80)
PALE_GREY: Colour = (190, 190, 190)
RED: Colour = (60, 60, 235)


class AnnotatedVideo:
    """One annotated video; a context manager that completes the file at its end."""

    def __init__(self, path: Path, mask: PrivacyMask) -> None:
        """Begin the file.

        Args:
            mask: places that are black in it.

        Raises:
            ExportError: this libav has no H.264 encoder, or the file cannot be written.
        """
        if "libx264" not in av.codecs_available:
            raise ExportError(
                "this PyAV was built without libx264, so no video can be written",
                "write an image instead (--out sheet.png), or install PyAV from PyPI",
            )
        self._path, self._mask = path, mask
        try:
            self._container = av.open(str(path), "w", format="mp4")
        except OSError as error:  # libav's errors of files are OSErrors as well
            raise self._unwritable(error) from None
        self._stream: Any = None
        self._size = (0, 0)
        self._last_ms = -1

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except OSError as problem:
            raise self._unwritable(problem) from None

    def add(self, frame: DecodedFrame, seconds: float, observer: Observer) -> None:
        """Draw and write one frame; a second one within the same millisecond is left out.

        Raises:
            ExportError: the file cannot be written (the disk is full).
        """
        at_ms = round(seconds * 1000)
        if at_ms <= self._last_ms:
            return
        self._last_ms = at_ms
        if self._stream is None:
            self._begin(frame)
        image: Image = picture_of(frame.download().av_frame, self._mask, self._size)
        draw_overlay(image, observer, seconds)
        drawn = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
        drawn.pts, drawn.time_base = at_ms, _TIME_BASE
        try:
            self._container.mux(self._stream.encode(drawn))
        except OSError as error:
            raise self._unwritable(error) from None

    def _begin(self, frame: DecodedFrame) -> None:
        scale = min(1.0, WIDEST / frame.width)
        self._size = (max(2, round(frame.width * scale / 2) * 2), max(2, round(frame.height * scale / 2) * 2))
        options = {"crf": QUALITY, "preset": "veryfast"}
        self._stream = self._container.add_stream("libx264", rate=25, options=options)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = _TIME_BASE
        self._stream.codec_context.thread_count = 1

    def _unwritable(self, error: OSError) -> ExportError:
        return ExportError(f"{self._path}: cannot be written ({error.strerror})", "check the folder and the disk")


def draw_overlay(image: Image, observer: Observer, seconds: float) -> None:
    """Draw what the observer found in the frame that it had last."""
    look = observer.last_motion
    for region in look.ignored:
        _draw_box(image, region.box, PALE_GREY, region.why, 1)
    for region in look.regions:
        _draw_box(image, region.box, YELLOW, "", 2)
    present = {box for _, box in observer.present}
    for track in observer.tracks:
        if track.confirmed:
            lost = "" if track.box in present else " (not seen now)"
            _draw_box(image, track.box, GREEN, f"bird {track.number}{lost}", 2, grow=4)
    label(image, time_text(seconds, fine=True), 8, image.shape[0] - 8, WHITE, 0.6)
    if look.learning:
        _banner(image, "learning the background: nothing is detected yet", YELLOW)
    elif look.global_change:
        _banner(image, "the whole frame changed: nothing is detected", RED)


def _draw_box(image: Image, box: Box, colour: Colour, text: str, line: int, grow: int = 0) -> None:
    height, width = image.shape[:2]
    left, top = round(box.x * width) - grow, round(box.y * height) - grow
    right, bottom = round((box.x + box.w) * width) + grow, round((box.y + box.h) * height) + grow
    cv2.rectangle(image, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
    if text:
        label(image, text, left, top - 3, colour)


def _banner(image: Image, text: str, colour: Colour) -> None:
    cv2.rectangle(image, (0, 0), (image.shape[1] - 1, 5), colour, cv2.FILLED)
    label(image, text, 8, 32, colour, 0.6)
