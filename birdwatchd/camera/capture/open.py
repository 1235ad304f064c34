"""Open a camera or media file with libav, and translate its errors into those of `birdwatchd.errors`.

Only allow-listed schemes, libav protocols and container formats are opened, and every wait has a time-out. Credentials
join the URL only in the call that needs them, and libav's own error text (which may hold the URL) is never shown. A
source with a relay is reached through it alone: libav then speaks no TLS and looks up no names.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import av
import av.error
import av.logging

from birdwatchd.address import Source
from birdwatchd.errors import SourceError, SourceRefused, SourceUnreachable, SourceUnusable
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["LibavErrors", "error_text", "open_container"]

av.logging.set_level(av.logging.PANIC)  # libav prints addresses with their passwords

# What libav may open on behalf of a source: a playlist on a web camera must not read our files, nor a file the network.
_PROTOCOLS = {
    "rtsp": "rtsp,rtsps,tcp,tls,udp,rtp",
    "http": "http,https,tcp,tls,crypto,httpproxy",
    "file": "file",
    "device": "file",
}
_RELAYED = {"rtsp": "rtsp,tcp", "http": "http,tcp,crypto,httpproxy"}
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,h264,hevc,m4v,mjpeg,mjpeg_2000,"
    "mpjpeg,ogg,dv,mxf,rm,nut,ivf,obu,av1,wtv,gif,y4m,yuv4mpegpipe,swf,live_flv,apng"
)
_HTTP_FORMATS = _FILE_FORMATS + ",hls,image2pipe,jpeg_pipe,png_pipe"
_REFUSED = (
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    av.error.HTTPNotFoundError,
    av.error.HTTPBadRequestError,
    av.error.HTTPOtherClientError,
)
_UNAUTHORIZED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)
_STATUS = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)  # now: a camera's process cannot open it later
SOON_S = 0.4  # an answer that is none is known by then
SHORT = 0.85  # of the data that a process may have
_BUSY_ERRNOS = (errno.EBUSY,)
_KINDS = {
    av.error.ProtocolNotFoundError: errno.EPROTONOSUPPORT,
    av.error.HTTPServerError: errno.EIO,
    av.error.EOFError: errno.ECONNRESET,
}
_REMEDIES = {  # by the kind of what was refused: transport, rights, address, and the camera itself
    errno.EPROTONOSUPPORT: "it sends no pictures this way; set transport: auto, and allow unicast in the camera",
    errno.EACCES: "does a firewall forbid it?",
    errno.EPERM: "does a firewall forbid it?",
    errno.ECONNREFUSED: "is it on, and on the network, and is the port right?",
    errno.ECONNRESET: "it hangs up without a picture; is the path right, and do too many look at it?",
    errno.EIO: "it has a fault of its own, or too many look at it; look at its web page, restart it",
}
_NO_VIDEO = (av.error.InvalidDataError, av.error.DemuxerNotFoundError, av.error.DecoderNotFoundError)


def open_container(source: Source, settings: CameraSettings) -> Any:
    """libav's container of a source. Wrap the call in `LibavErrors`.

    Raises:
        SourceUnusable: the file is none, or cannot be read.
    """
    micros = str(int(settings.open_timeout_s * 1e6))
    options = {"protocol_whitelist": (_PROTOCOLS if source.relay is None else _RELAYED)[source.kind]}
    if source.is_live:
        # libav would read 20 frames to guess their rate, which nobody asks for: 1.7 s at 12 frames a second
        options["fpsprobesize"] = "2"
    file_format = None
    if source.kind == "rtsp":
        file_format = "rtsp"
        options |= {"timeout": micros, "allowed_media_types": "video"}
        udp = source.relay is None and settings.transport == "udp"  # the relay turns what comes over UDP into TCP
        options["rtsp_transport"] = "udp" if udp else "tcp"
    elif source.kind == "http":
        options |= {"timeout": micros, "format_whitelist": _HTTP_FORMATS, "multiple_requests": "0"}
        if source.relay is not None:
            options["http_proxy"] = f"http://127.0.0.1:{source.relay}"
    elif source.kind == "device":
        file_format = "v4l2"
    else:
        _check_file(source)
        options |= {"format_whitelist": _FILE_FORMATS}

    def opened(file_format: str | None, **more: str) -> Any:
        return av.open(
            _url(source),
            format=file_format,
            options=options | more,
            timeout=(settings.open_timeout_s, settings.read_timeout_s),
            metadata_errors="replace",
        )

    try:
        return opened(file_format)
    except av.error.FFmpegError as error:
        if error.errno == errno.EPROTONOSUPPORT and source.relay is None and settings.transport == "auto":
            return opened(file_format, rtsp_transport="udp")
        if not isinstance(error, av.error.InvalidDataError) or source.kind != "http":
            raise
        # Motion JPEG whose parts are not between boundaries as they should be: pictures are found by how they begin
        container = opened("mjpeg", analyzeduration="1")
        if container.streams.video and container.streams.video[0].codec_context.width:
            return container
        container.close()
        raise


def _url(source: Source) -> str:
    """What libav is told to open.

    The relay speaks TLS itself, so that an address behind it is always without. RTSP is forwarded byte by byte: the
    address names the relay. HTTP goes through it as through a proxy: the address stays, with its port.
    """
    if source.kind == "file":
        return f"file:{source.location}"
    if source.relay is None or source.kind == "device":
        return source.reveal()
    parts = urlsplit(source.reveal())
    user, _, _ = parts.netloc.rpartition("@")
    host, port, _ = source.endpoint
    if source.kind == "rtsp":
        place = f"127.0.0.1:{source.relay}"
    else:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return urlunsplit(parts._replace(scheme=source.kind, netloc=f"{user}@{place}" if user else place))


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


class LibavErrors:
    """Translate libav's exceptions. `str()` of one contains the URL with its password; `strerror` does not.

    A context manager that may be entered again and again: it stands around every packet.
    """

    __slots__ = ("_opening", "_source", "_start_s")

    def __init__(self, source: Source, *, opening: bool) -> None:
        self._source, self._opening = source, opening
        self._start_s = 0.0

    def __enter__(self) -> None:
        self._start_s = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """
        Raises:
            SourceUnreachable, SourceRefused, SourceUnusable: instead of libav's.
            MemoryError: this process may have no more.
        """
        if error is None:
            return
        if isinstance(error, _REFUSED):
            remedy = (
                "check user and password of this camera"
                if isinstance(error, _UNAUTHORIZED)
                else "check the path in the source address"
            )
            raise SourceRefused(f"{self._source}: refused ({error_text(error)})", remedy) from None
        if isinstance(error, MemoryError | av.error.FFmpegError) and _is_short_of_memory():
            raise MemoryError from None  # libav is left in the middle of something: this process is given up
        if isinstance(error, MemoryError):  # libav's word for too many streams as well
            raise self._spoilt("asks for more memory, or has more streams, than a camera may have") from None
        if isinstance(error, av.error.FFmpegError):
            raise _translated(self._source, error, self._opening, time.monotonic() - self._start_s) from None
        if isinstance(error, IndexError):  # PyAV's own: a packet of a stream that was not there when it was opened
            raise self._spoilt("new streams came into it") from None
        if isinstance(error, ValueError | NotImplementedError):  # PyAV's own: unknown codec or pixel format
            raise SourceUnusable(f"{self._source}: {type(error).__name__}", "this codec is not supported") from None

    def _spoilt(self, why: str) -> SourceError:
        if self._source.is_live:
            return SourceUnreachable(f"{self._source}: {why}", "it will be opened again")
        return SourceUnusable(f"{self._source}: {why}", "this file is damaged; copy it again from the card")


def _translated(source: Source, error: av.error.FFmpegError, opening: bool, waited_s: float) -> SourceError:
    if source.kind == "file":
        if opening or isinstance(error, av.error.InvalidDataError):
            return SourceUnusable(
                f"{source}: cannot be read as video ({error_text(error)})", "is it whole? copy it again"
            )
        return SourceUnusable(f"{source}: breaks off ({error_text(error)})", "copy it again from the card")
    if source.kind == "device" and error.errno in _BUSY_ERRNOS:
        return SourceUnreachable(f"{source}: is in use by another program", "stop that program")
    silent = source.kind == "rtsp" and isinstance(error, av.error.InvalidDataError) and waited_s > SOON_S
    if isinstance(error, av.error.ExitError) or silent:  # of RTSP, libav says both of silence
        how_long = f"for {waited_s:.0f} s" if waited_s >= 1.0 else "in time"  # after what this read began with
        return SourceUnreachable(f"{source}: no answer {how_long}", "is it on, and on the network?")
    if opening and isinstance(error, _NO_VIDEO):
        return SourceUnusable(
            f"{source}: answers, but with nothing that is video ({error_text(error)})",
            "is it the address of a stream? a web page that shows one is none",
        )
    verb = "cannot be opened" if opening else "broke off"
    return SourceUnreachable(f"{source}: {verb} ({error_text(error)})", _remedy(source, error))


def _remedy(source: Source, error: av.error.FFmpegError) -> str:
    """What to do about it, by the kind of what was refused."""
    if source.kind == "device":
        is_there = error.errno in (errno.EACCES, errno.EPERM)
        return (
            "may the user of birdwatchd read it? its group is usually video"
            if is_there
            else "is the camera plugged in?"
        )
    kinds = (number for kind, number in _KINDS.items() if isinstance(error, kind))
    return _REMEDIES.get(next(kinds, error.errno), "is it on, and on the network?")


def _is_short_of_memory() -> bool:
    """Whether this process has had nearly all that it may: libav seldom says that this is what was wrong."""
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY:
        return False
    found = re.search(rb"VmHWM:\s*(\d+) kB", os.pread(_STATUS, 8192, 0))
    return found is not None and int(found[1]) * 1024 > SHORT * most


def error_text(error: av.error.FFmpegError) -> str:
    """What libav says of an error, without the address."""
    return str(error.strerror or type(error).__name__)
