"""Look into a recording before it is watched: when it began, how its picture lies, and frames spread over all of it.

A short recording is decoded once more from end to end; in a long one the decoder jumps from key frame to key frame, so
that an hour of video costs some dozens of frames.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from numpy.typing import NDArray

from birdwatchd.address import Source
from birdwatchd.camera.capture.decoder import configure
from birdwatchd.camera.capture.display import UPRIGHT, Display, Orientation, as_shown, for_frame, orientation_in
from birdwatchd.camera.capture.frame import luma_of
from birdwatchd.camera.capture.open import LibavErrors, open_container
from birdwatchd.camera.capture.recorded import Zones, recorded_at
from birdwatchd.errors import SourceError
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["began_at", "own_orientation", "spread_frames"]

TURNABLE = {"mov", "mp4", "matroska", "webm"}  # containers that say how a picture lies
FRAMES = 32  # spread over a recording
# A recording of no more frames, and no more pixels in all of them, is decoded from its beginning to its end; no more is
# ever decoded of one: 36 s of 1080p at 25 frames a second, 9 s in 4K.
SHORT_FRAMES, SHORT_PIXELS = 900, 900 * 1920 * 1080
LEAST_KEY_FRAMES = 12  # where there are fewer, a longer recording is decoded from its beginning as far as a short one


def began_at(settings: CameraSettings, zones: Zones) -> datetime:
    """When the recording that is a camera's source began, by its container; nothing of it is decoded.

    Raises:
        SourceError: it cannot be opened.
    """
    with LibavErrors(settings.source, opening=True), open_container(settings.source, settings) as container:
        length = timedelta(microseconds=container.duration or 0)
        return recorded_at(container.metadata, Path(settings.source.location), length, zones)


def own_orientation(source: Source, settings: CameraSettings, container: Any) -> Orientation:
    """How a recording's container says that its picture lies: libav tells it only with decoded frames.

    Packets that are kept are decoded without their container, so it is learned before the first.
    """
    if source.kind != "file" or not TURNABLE & set(container.format.name.split(",")):
        return UPRIGHT
    try:
        with LibavErrors(source, opening=True), open_container(source, settings) as other:
            configure(other.streams.video[0].codec_context)
            frames = other.decode(video=0)
            own = orientation_in(next(frames)) or UPRIGHT
            frames.close()
            del frames, other
            gc.collect()  # or its decoder keeps its frames, 26 MB of 4K, until the recording has been read
            return own
    except (SourceError, StopIteration):
        return UPRIGHT  # what is wrong with it is said when it is read


def spread_frames(source: Source, settings: CameraSettings) -> Iterator[NDArray[np.uint8]]:
    """Give the luma planes, uint8 (height, width), of about `FRAMES` frames spread over a recording; copies.

    What cannot be decoded is left out: whoever watches the recording afterwards says what is wrong with it.

    Raises:
        SourceError: it cannot be opened.
    """
    with LibavErrors(source, opening=True):
        container = open_container(source, settings)
    with container:
        stream = container.streams.video[0] if container.streams.video else None
        if stream is None or stream.codec_context is None:
            return
        configure(stream.codec_context)
        own = own_orientation(source, settings, container)
        display = Display.of(settings, stream.sample_aspect_ratio, own)
        length_s = container.duration / 1e6 if container.duration else 0.0
        frames = stream.frames or round(length_s * float(stream.average_rate or 25)) or SHORT_FRAMES
        pixels = max(1, stream.codec_context.width * stream.codec_context.height)
        most = min(SHORT_FRAMES, max(FRAMES, SHORT_PIXELS // pixels))
        if frames > most:
            found = _key_frames(container, stream, length_s, display)
            if len(found) >= LEAST_KEY_FRAMES:
                yield from found
                return
            container.seek(0)
        every = max(1, min(frames, most) // FRAMES)
        for number, frame in enumerate(_decoded(container, stream)):
            if number % every == every // 2:
                yield _shown_luma(frame, display)
            if number >= most:
                return


def _key_frames(container: Any, stream: Any, length_s: float, display: Display) -> list[NDArray[np.uint8]]:
    """The key frames next to `FRAMES` times spread over the recording; none where it cannot be searched."""
    found: dict[int, NDArray[np.uint8]] = {}
    for number in range(FRAMES):
        try:
            container.seek(round((number + 0.5) / FRAMES * length_s * 1e6))
        except av.error.FFmpegError:
            return []
        frame = next(_decoded(container, stream), None)
        if frame is not None and frame.pts is not None and frame.pts not in found:
            found[frame.pts] = _shown_luma(frame, display)
    return list(found.values())


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The frames from here on, until the end or the first that is damaged."""
    try:
        yield from container.decode(stream)
    except (av.error.FFmpegError, ValueError, IndexError):
        return


def _shown_luma(av_frame: Any, display: Display) -> NDArray[np.uint8]:
    return luma_of(as_shown(av_frame, for_frame(av_frame, display))).copy()
