"""Remux packets into an MP4 that browsers play: one clip, never encoded again.

libav's MP4 muxer turns Annex B into what MP4 wants. It is written under a temporary name that a lock marks as in use;
only its index is held in memory. At the end the index goes to the front, so that a browser can begin at once, the file
is synced, and renamed. Belongs to the thread that made it.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from birdwatchd.camera.capture.display import UPRIGHT, matrix_of
from birdwatchd.camera.capture.packet import Codec, Packet
from birdwatchd.errors import StoreError, StoreFull

__all__ = ["PLAYABLE", "ClipFile"]

# What browsers play in MP4, and its codec tag; Safari plays H.265 only as hvc1.
PLAYABLE = {"h264": "avc1", "hevc": "hvc1", "av1": "av01", "vp9": "vp09"}
_TICKS = 90_000  # per second
_IVF = {"av1": b"AV01", "vp9": b"VP90"}
_FULL = {errno.ENOSPC, errno.EDQUOT}


class ClipFile:
    """A clip that is being written. It begins with a key frame, at second 0.

    Attributes:
        seconds: how long it is.
        end: wall time of its last frame; None before the first.
    """

    def __init__(self, part: Path, target: Path, codec: Codec) -> None:
        """Begin the file.

        Args:
            part: where it is while it is written.
            target: where it is put when it is whole.
            codec: one of `PLAYABLE`.

        Raises:
            StoreFull, StoreError: it cannot be written.
        """
        self._part, self._target = part, target
        self._first: Packet | None = None
        self._last_dts = -(2**62)
        self.seconds = 0.0
        self.end: datetime | None = None
        with _clip_errors(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            with _clip_errors(part):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._container = av.open(f"file:{part}", "w", format="mp4", options={"movflags": "faststart"})
                self._stream = _stream_of(self._container, codec)
        except StoreError:
            self._remove()
            raise

    def add(self, packet: Packet) -> None:
        """Write a packet; one that is shown before the first one (it needs frames from before the clip) is skipped.

        Raises:
            StoreFull, StoreError: it cannot be written; only `discard` is allowed then.
        """
        if self._first is None:  # the file keeps whole seconds, cut off: so it says the nearest one
            began = packet.at + timedelta(seconds=0.5)
            self._container.metadata["creation_time"] = began.strftime("%Y-%m-%dT%H:%M:%SZ")
        first = self._first = self._first or packet
        shown_s = (packet.at - first.at).total_seconds()
        if shown_s < 0:
            return
        pts = round(shown_s * _TICKS)
        dts = max(pts - round(packet.reorder_delay_s * _TICKS), self._last_dts + 1)
        self._last_dts = dts
        self.seconds = max(self.seconds, shown_s)
        self.end = first.at + timedelta(seconds=self.seconds)
        av_packet = av.Packet(len(packet.data))
        av_packet.update(packet.data)
        av_packet.stream = self._stream
        av_packet.time_base = Fraction(1, _TICKS)
        av_packet.pts, av_packet.dts = max(pts, dts), dts
        av_packet.duration = round(packet.duration * packet.time_base * _TICKS)
        av_packet.is_keyframe = packet.is_key
        with _clip_errors(self._part):
            self._container.mux_one(av_packet)

    def finish(self) -> None:
        """Put the whole file in its place.

        Raises:
            StoreFull, StoreError: it could not be completed; it is gone then.
        """
        try:
            with _clip_errors(self._part):
                self._container.close()
                os.fsync(self._lock)
                os.replace(self._part, self._target)
        except StoreError:
            self._remove()
            raise
        os.close(self._lock)

    def discard(self) -> None:
        """Delete it."""
        with suppress(StoreError), _clip_errors(self._part):  # what could not be written need not be closed well
            self._container.close()
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):  # the next sweep finds it
            self._part.unlink()
        os.close(self._lock)


def _stream_of(container: Any, codec: Codec) -> Any:
    """A video stream of the file that takes packets of this codec as they are.

    PyAV makes one only after the model of another stream, so an empty one of the same codec is opened for it.
    """
    if codec.name in _IVF:
        empty = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, _IVF[codec.name], 16, 16, _TICKS, 1, 0, 0)
        model = av.open(io.BytesIO(empty), format="ivf")
    else:
        model = av.open(io.BytesIO(b"\x00\x00\x00\x01" * 16), format=codec.name)
    with model:
        stream = container.add_stream_from_template(model.streams.video[0], opaque=True)
    context = stream.codec_context
    context.extradata = codec.extradata or None
    context.width, context.height = codec.width, codec.height
    if codec.pix_fmt:
        context.pix_fmt = codec.pix_fmt
    context.color_range, context.colorspace = codec.color_range, codec.colorspace
    context.reorder_depth = codec.reorder
    orientation = codec.display.orientation
    if orientation != UPRIGHT:
        stream.set_display_matrix(matrix_of(orientation, codec.width, codec.height))
    if codec.display.aspect != 1:
        context.sample_aspect_ratio = codec.display.aspect
    context.codec_tag = PLAYABLE[codec.name]
    stream.time_base = Fraction(1, _TICKS)
    return stream


@contextmanager
def _clip_errors(path: Path) -> Iterator[None]:
    """Translate why a clip cannot be written into our own errors.

    Raises:
        StoreFull, StoreError: see their classes.
    """
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        words = error.strerror or type(error).__name__
        if error.errno in _FULL:
            raise StoreFull(f"{path}: no room on the disk", "free some space; clips then go on") from None
        hint = "check that `home` may be written, and what the camera sends"
        raise StoreError(f"{path}: cannot be written ({words})", hint) from None
