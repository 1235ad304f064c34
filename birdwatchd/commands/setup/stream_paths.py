"""Know where cameras usually keep their streams: the main one, and the small one of the same view.

Only the path of an address is changed, never its host, port, user or password. The paths are those of the makers'
manuals and of the cameras' own ONVIF answers; a camera may have others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

__all__ = ["StreamPath", "main_streams", "small_streams"]

WIDE = 1.5  # width by height from which a picture counts as 16:9, else as 4:3


@dataclass(frozen=True, slots=True)
class StreamPath:
    """Where cameras of a maker keep their streams.

    Attributes:
        main: path and query of the main stream of its first camera; empty where it cannot be guessed.
        known_by: matches path and query of a main stream.
        small: what is put in its place; `{size}` is a small size of the same shape.
    """

    maker: str
    main: str
    known_by: str
    small: str


PATHS: tuple[StreamPath, ...] = (
    StreamPath("Hikvision", "/Streaming/Channels/101", r"(/Streaming/Channels/\d+)01/?", r"\g<1>02"),
    StreamPath("Dahua, Amcrest", "/cam/realmonitor?channel=1&subtype=0", r"(/cam/realmonitor\?.*subtype=)0", r"\g<1>1"),
    StreamPath("Reolink", "/h264Preview_01_main", r"/(?:h26[45])?Preview_(\d+)_main", r"/h264Preview_\g<1>_sub"),
    StreamPath("Tapo", "/stream1", r"/stream1", "/stream2"),
    StreamPath("Axis", "/axis-media/media.amp", r"(/axis-media/media\.amp)", r"\g<1>?resolution={size}"),
    StreamPath("UniFi", "/s0", r"/s0", "/s1"),
    StreamPath("Foscam", "/videoMain", r"/videoMain", "/videoSub"),
    StreamPath("Yi, generic", "/ch0_0.h264", r"/ch(\d)_0\.h264", r"/ch\g<1>_1.h264"),
    StreamPath("generic", "/live/ch0", r"(/live/ch\d*)0", r"\g<1>1"),
    StreamPath("generic", "/11", r"/(\d)1", r"/\g<1>2"),
    StreamPath("generic", "/onvif1", r"/onvif1", "/onvif2"),
    StreamPath("generic", "/profile1", r"(.*/)(profile|media|video)1(.*)", r"\g<1>\g<2>2\g<3>"),
    StreamPath("XMEye", "", r"(/.*[_&?]stream=)0(.*)", r"\g<1>1\g<2>"),
    StreamPath("generic", "/main", r"(.*)main(.*)", r"\g<1>sub\g<2>"),
)


def main_streams(address: str) -> Iterator[tuple[str, str]]:
    """Makers and addresses to try for an address that names only the camera, such as `rtsp://user:password@host`."""
    parts = urlsplit(address)
    for path in PATHS:
        if path.main:
            yield path.maker, urlunsplit((parts.scheme, parts.netloc, *_split(path.main), ""))


def small_streams(address: str, width: int, height: int) -> Iterator[tuple[str, str]]:
    """Makers and addresses to try for the small stream of a main stream, which has this size in pixels.

    Only of RTSP: what an HTTP address is changed to could be a command to the camera.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("rtsp", "rtsps"):
        return
    whole = f"{parts.path}?{parts.query}" if parts.query else parts.path
    size = "640x360" if width / max(1, height) >= WIDE else "640x480"
    tried = {whole}
    for path in PATHS:
        match = re.fullmatch(path.known_by, whole)
        if match is None:
            continue
        small = match.expand(path.small).replace("{size}", size)
        if small not in tried:
            tried.add(small)
            yield path.maker, urlunsplit((parts.scheme, parts.netloc, *_split(small), ""))


def _split(whole: str) -> tuple[str, str]:
    path, _, query = whole.partition("?")
    return path, query
