"""Open a camera or media file with libav and give its frames, or say in our own words why there are none.

Only allow-listed schemes, libav protocols and container formats are opened. Every wait has a time-out. libav objects
never leave the thread that made them, and a failed stream is never reused: the caller opens a new one. Credentials
join the URL only in the call that needs them, and libav's own error text (which may hold the URL) is never shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.clock import FileClock, LiveClock
from birdwatchd.config import CameraSettings, Source
from birdwatchd.errors import SourceError, SourceRefused, SourceUnreachable, SourceUnusable

__all__ = ["Frame", "Stream"]

av.logging.set_level(av.logging.PANIC)  # libav prints addresses with their passwords

# What libav may open on behalf of a source: a playlist on a web camera must not read our files, nor a file the network.
_PROTOCOLS = {
    "rtsp": "rtsp,rtsps,tcp,tls",
    "http": "http,https,tcp,tls,crypto,httpproxy",
    "file": "file",
    "device": "file",
}
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,h264,hevc,m4v,mjpeg,mjpeg_2000,"
    "mpjpeg,ogg,dv,mxf,rm,nut,ivf,obu,av1,wtv,gif,y4m,yuv4mpegpipe,swf,live_flv,apng"
)
_HTTP_FORMATS = _FILE_FORMATS + ",hls,image2pipe,jpeg_pipe"
# Streams that carry no time of their own: libav invents 25 pictures a second for them, whatever really comes.
_WITHOUT_TIME = {"mpjpeg", "mjpeg", "h264", "hevc", "image2pipe", "jpeg_pipe"}
_MAX_PIXELS = 40_000_000  # of one picture; 8K has 33 million
_REFUSED = (
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.HTTPNotFoundError,
    av.error.HTTPBadRequestError,
    av.error.HTTPOtherClientError,
)
_UNAUTHORIZED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)
_MAX_BAD_PACKETS = 200  # undecodable packets in a row before the stream is given up (about 10 s at 20 fps)
_BUSY_ERRNOS = (16,)  # EBUSY


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture, valid only in the thread and loop turn that got it.

    Attributes:
        picture: the libav frame.
        luma: uint8, shape (height, width), a view into the decoder's memory where the pixel format allows it.
        at: wall time, UTC.
        media_s: seconds since the stream or file began.
        lag_s: how long ago it was taken when it was decoded; 0 for files.
    """

    picture: Any
    luma: NDArray[np.uint8]
    width: int
    height: int
    at: datetime
    media_s: float
    lag_s: float


class Stream:
    """One opening of a source. Use as a context manager; iterate for frames; never reuse after an error."""

    def __init__(self, source: Source, settings: CameraSettings, clock: Callable[[], datetime]) -> None:
        """Open the source.

        Args:
            clock: gives the current UTC time (live streams stamp frames with it).

        Raises:
            SourceUnreachable, SourceRefused, SourceUnusable: see their classes.
        """
        self._source, self._clock = source, clock
        self._live_clock = LiveClock()
        with _libav_errors(source, opening=True):
            self._container = _open(source, settings)
        if not self._container.streams.video:
            self._container.close()
            raise SourceUnusable(f"{source}: has no video stream", "is it a sound recording?")
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1  # one core per camera, and no frames held back
        self._stream.thread_type = "NONE"
        self._stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
        self._file_clock = FileClock(self._recorded_at())
        rate = self._stream.average_rate or self._stream.guessed_rate or 15
        self._frame_s = 1.0 / min(max(float(rate), 1.0), 240.0)
        self.bad_packets = 0
        self._bad_in_row = 0
        self._read_timeout_s = settings.read_timeout_s
        names = set(self._container.format.name.split(","))
        self._keeps_time = not (source.is_live and names & _WITHOUT_TIME)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def started_at(self) -> datetime:
        """When a recording began, as far as the file tells: container metadata, else its modification time."""
        return self._file_clock.at(0.0)

    @property
    def duration_s(self) -> float | None:
        """Length the container announces, None for live streams and files without one."""
        return self._container.duration / 1e6 if self._container.duration else None

    def frames(self) -> Iterator[Frame]:
        """Give frames until the end of a file, or until the stream breaks.

        Raises:
            SourceUnreachable: nothing came within the read time-out, or the stream ended (live sources).
            SourceUnusable: too many packets in a row could not be decoded (files).
        """
        picture_at = time.monotonic()
        with _libav_errors(self._source, opening=False):
            for packet in self._container.demux(self._stream):
                for picture in self._decoded(packet):
                    yield self._frame(picture)
                    picture_at = time.monotonic()
                silent = time.monotonic() - picture_at
                if self._source.is_live and silent > self._read_timeout_s:
                    raise SourceUnreachable(f"{self._source}: no picture for {silent:.0f} s", "it will be opened again")
        if self._source.is_live:
            raise SourceUnreachable(f"{self._source}: the stream ended", "it will be opened again")

    def _decoded(self, packet: Any) -> Iterator[Any]:
        """The pictures of a packet; none for a damaged one, an error for too many damaged ones in a row."""
        try:
            for picture in packet.decode():
                self._bad_in_row = 0
                yield picture
        except av.error.InvalidDataError:
            self.bad_packets += 1
            self._bad_in_row += 1
            if self._bad_in_row > _MAX_BAD_PACKETS:
                raise SourceUnusable(f"{self._source}: cannot be decoded", "check the codec") from None

    def _frame(self, picture: Any) -> Frame:
        timed = picture.pts is not None and self._keeps_time
        media_s = float(picture.pts * picture.time_base) if timed else None
        if self._source.is_live:
            now = self._clock()
            at = self._live_clock.at(media_s, now)
            lag = (now - at).total_seconds()
        else:
            media_s = self._file_clock.seconds(media_s, self._frame_s)
            at, lag = self._file_clock.at(media_s), 0.0
        return Frame(picture, _luma(picture), picture.width, picture.height, at, media_s or 0.0, lag)

    def _recorded_at(self) -> datetime:
        written = self._container.metadata.get("creation_time", "")
        try:
            start = datetime.fromisoformat(written)
            if start.year > 1990:  # cameras without a clock write 1904 or 1970
                return start if start.tzinfo else start.replace(tzinfo=UTC)
        except ValueError:
            pass
        if self._source.kind != "file":
            return self._clock()
        ended = Path(self._source.location).stat().st_mtime
        return datetime.fromtimestamp(ended - (self.duration_s or 0.0), UTC)


def _open(source: Source, settings: CameraSettings) -> Any:
    micros = str(int(settings.open_timeout_s * 1e6))
    options = {"protocol_whitelist": _PROTOCOLS[source.kind]}
    if source.is_live:
        # libav would watch 20 pictures to guess their rate, which nobody asks for: 1.7 s at 12 pictures a second
        options["fpsprobesize"] = "2"
    file_format = None
    if source.kind == "rtsp":
        file_format = "rtsp"
        options |= {"rtsp_transport": "tcp", "timeout": micros, "allowed_media_types": "video"}
    elif source.kind == "http":
        options |= {"timeout": micros, "format_whitelist": _HTTP_FORMATS, "multiple_requests": "0"}
    elif source.kind == "device":
        file_format = "v4l2"
    else:
        _check_file(source)
        options |= {"format_whitelist": _FILE_FORMATS}
    return av.open(
        f"file:{source.location}" if source.kind == "file" else source.reveal(),
        format=file_format,
        options=options,
        timeout=(settings.open_timeout_s, settings.read_timeout_s),
        metadata_errors="replace",
    )


def _check_file(source: Source) -> None:
    path = Path(source.location)
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise SourceUnusable(f"{source}: is a folder", "name a video file, or use birdwatchd scan")
        if size == 0:
            raise SourceUnusable(f"{source}: is empty", "the camera had not written it when it was copied")
        with path.open("rb"):
            pass
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SourceUnusable(f"{source}: {reason}", "check the path and its permissions") from None


@contextmanager
def _libav_errors(source: Source, *, opening: bool) -> Iterator[None]:
    """Translate libav's exceptions. `str()` of one contains the URL with its password; `strerror` does not."""
    began = time.monotonic()
    try:
        yield
    except _REFUSED as error:
        remedy = (
            "check user and password of this camera"
            if isinstance(error, _UNAUTHORIZED)
            else "check the path in the source address"
        )
        raise SourceRefused(f"{source}: refused ({_words(error)})", remedy) from None
    except av.error.FFmpegError as error:
        raise _translated(source, error, opening, time.monotonic() - began) from None
    except (ValueError, NotImplementedError) as error:  # PyAV's own: unknown codec or pixel format
        raise SourceUnusable(f"{source}: {type(error).__name__}", "this codec is not supported") from None


def _translated(source: Source, error: av.error.FFmpegError, opening: bool, waited_s: float) -> SourceError:
    if source.kind == "file":
        if opening or isinstance(error, av.error.InvalidDataError):
            return SourceUnusable(
                f"{source}: is no video that can be read ({_words(error)})", "is it whole? copy it again"
            )
        return SourceUnusable(f"{source}: breaks off ({_words(error)})", "copy it again from the card")
    if source.kind == "device" and error.errno in _BUSY_ERRNOS:
        return SourceUnreachable(f"{source}: is in use by another program", "stop that program")
    if isinstance(error, av.error.ExitError):
        return SourceUnreachable(f"{source}: no answer for {waited_s:.0f} s", "is it on, and on the network?")
    verb = "cannot be opened" if opening else "broke off"
    if source.kind == "device":
        return SourceUnreachable(f"{source}: {verb} ({_words(error)})", "is the camera plugged in?")
    return SourceUnreachable(f"{source}: {verb} ({_words(error)})", "is it on, and on the network?")


def _words(error: av.error.FFmpegError) -> str:
    return str(error.strerror or type(error).__name__)


_PLANAR = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray", "yuv411p"}


def _luma(picture: Any) -> NDArray[np.uint8]:
    """The brightness plane as uint8 (height, width); a view where the format has one, else a converted copy."""
    if picture.format.name not in _PLANAR:
        picture = picture.reformat(format="gray")
    plane = picture.planes[0]
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: picture.height, : picture.width]
