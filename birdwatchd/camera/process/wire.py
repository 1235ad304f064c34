"""Serialise records between processes as bytes that are safe to read: JSON and JPEG, never pickle.

A child process decodes what strangers send; if it were taken over, its messages must still be nothing but data to its
parent. A message is: 4 bytes total length, 4 bytes header length (big-endian), a JSON header, then the
JPEGs of its moments one after another, each crop followed by the whole frame if that is kept. A live view has one JPEG.
"""

from __future__ import annotations

import json
import re
import struct
import threading
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import IO, Any

from birdwatchd.camera.process.live_views import LIVE_STATES, MOST_BOXES, MOST_JPEG, MOST_SIDE, jpeg_size
from birdwatchd.errors import BirdwatchError
from birdwatchd.records import Blindness, Box, CameraState, CameraStatus, Crop, Evidence, LiveView, Moment, clip_path

__all__ = ["ChildFailed", "Failure", "FileDone", "Pipe", "TuneDone", "WireError", "decode", "encode"]

MAX_MESSAGE = 64 * 2**20  # bytes; a full evidence is some hundred kB, more means a broken sender
MAX_HEADER = 2**20
MAX_DETAIL = 500  # characters of a reason in the log
MAX_REASONS = 100  # why something was ignored
_VISIT_ID = re.compile("[0-9A-Z]{26}")
_LENGTHS = struct.Struct(">II")


class WireError(BirdwatchError):
    """The other side sent something that is no message."""


class ChildFailed(WireError):
    """The other side could not do its work; the message says why."""


@dataclass(frozen=True, slots=True)
class FileDone:
    """A scanned file was read to its end, or could not be.

    Attributes:
        error: why it could not, in one line.
        new_place: no recording before it shows its place, so that a bird that sits there all the time is not seen.
    """

    media: str
    seconds: float
    error: str = ""
    new_place: bool = False


@dataclass(frozen=True, slots=True)
class TuneDone:
    """A tuning sheet or video is written.

    Attributes:
        seconds: how much was watched.
        ignored: how often something was ignored, by reason.
        problem: why watching ended early; empty if it did not.
        width, height: pixels of a frame; of the main stream, where motion was looked for in a smaller one.
        blind: for how long birds could hardly be seen, why, and what to do; empty where they could.
    """

    seconds: float
    visits: int
    ignored: tuple[tuple[str, int], ...]
    problem: str = ""
    width: int = 0
    height: int = 0
    blind: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A child process could not do its work: the last that it says. Who receives it gets a `ChildFailed`."""

    error: str


Item = Evidence | CameraStatus | LiveView | FileDone | TuneDone | Failure


_KINDS: dict[type, str] = {FileDone: "done", TuneDone: "tuned", Failure: "failure"}


def encode(item: Item) -> bytes:
    """Write one record as one message."""
    blobs: list[bytes] = []
    if isinstance(item, Evidence):
        header = _evidence_header(item)
        blobs = [jpeg for moment in item.moments for jpeg in (moment.crop.jpeg, moment.frame)]
    elif isinstance(item, LiveView):
        header, blobs = _live_header(item), [item.jpeg]
    elif isinstance(item, CameraStatus):
        header = {"kind": "status"} | {
            name: getattr(item, name)
            for name in ("camera", "fps", "frames", "late", "width", "height", "detail", "refused", "lag_s", "notice")
        }
        header |= {"state": item.state.value, "at": item.at.isoformat(), "extra": list(item.extra), "blind": item.blind}
    else:
        header = {"kind": _KINDS[type(item)]} | asdict(item)
    head = json.dumps(header).encode()
    body = b"".join(blobs)
    return _LENGTHS.pack(len(head) + len(body), len(head)) + head + body


def decode(header: bytes, body: bytes) -> Item:
    """Read one record back, trusting nothing: a camera process may have been taken over by what it decoded.

    Raises:
        WireError: the bytes are no message of ours, or hold what no honest process would say.
    """
    if len(header) > MAX_HEADER:
        raise WireError(f"camera process sent a header of {len(header)} bytes")
    try:
        data = json.loads(header)
        kind = data.pop("kind")
        if kind == "evidence":
            return _evidence(data, body)
        if kind == "status":
            return _status(data)
        if kind == "live":
            return _live_view(data, body)
        if kind == "done":
            error, new_place = _text(data["error"], 8192), bool(data["new_place"])
            return FileDone(_text(data["media"], 8192), _number(data["seconds"]), error, new_place)
        if kind == "tuned":
            return _tune_done(data)
        if kind == "failure":
            return Failure(_line(_text(data["error"], 8192), 8192))
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise WireError(f"camera process sent a message that cannot be read ({_line(str(error))})") from None
    raise WireError("camera process sent a message of an unknown kind")


def _number(value: object, least: float = -1e12, most: float = 1e12) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:  # NaN fails too
        raise ValueError("a number is missing or out of range")
    return float(value)


def _maybe(value: object) -> float | None:
    return None if value is None else _number(value)


def _whole(value: object, most: int = 2**31) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError("a whole number is missing or out of range")
    return value


def _text(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("a text is missing or too long")
    return value


def _line(text: str, most: int = MAX_DETAIL) -> str:
    """One line without control characters, for the log."""
    return "".join(c if c.isprintable() else " " for c in text)[:most]


def _time(value: object) -> datetime:
    at = datetime.fromisoformat(_text(value, 64))
    if at.tzinfo is None or not 1970 <= at.year <= 2200:
        raise ValueError("a time has no zone or is out of range")
    return at


def _status(data: dict[str, Any]) -> CameraStatus:
    return CameraStatus(
        camera=_text(data["camera"], 64),
        state=CameraState(data["state"]),
        at=_time(data["at"]),
        fps=_number(data["fps"]),
        frames=_whole(data["frames"], 2**53),
        late=_whole(data["late"], 2**53),
        width=_whole(data["width"]),
        height=_whole(data["height"]),
        detail=_line(_text(data["detail"], 8192)),
        refused=bool(data["refused"]),
        lag_s=_number(data["lag_s"]),
        extra=tuple((_text(k, 64), _number(v)) for k, v in data["extra"]),
        notice=_line(_text(data["notice"], 8192)),
        blind=None if data["blind"] is None else Blindness(data["blind"]),
    )


def _tune_done(data: dict[str, Any]) -> TuneDone:
    if len(data["ignored"]) > MAX_REASONS:
        raise ValueError("too many reasons")
    return TuneDone(
        seconds=_number(data["seconds"]),
        visits=_whole(data["visits"]),
        ignored=tuple((_text(why, 64), _whole(count, 2**53)) for why, count in data["ignored"]),
        problem=_line(_text(data["problem"], 8192), 8192),
        blind=_line(_text(data["blind"], 8192)),
        width=_whole(data["width"]),
        height=_whole(data["height"]),
    )


def _evidence_header(item: Evidence) -> dict[str, Any]:
    return {
        "kind": "evidence",
        "visit_id": item.visit_id,
        "camera": item.camera,
        "revision": item.revision,
        "start": item.start.isoformat(),
        "end": item.end.isoformat() if item.end else None,
        "last_seen": item.last_seen.isoformat(),
        "count_max": item.count_max,
        "media": item.media,
        "start_s": item.start_s,
        "end_s": item.end_s,
        "clip": item.clip,
        "clip_cut": item.clip_cut,
        "lifeless": item.lifeless,
        "clock": item.clock,
        "moments": [
            {
                "index": m.index,
                "at": m.at.isoformat(),
                "box": [m.box.x, m.box.y, m.box.w, m.box.h],
                "quality": m.quality,
                "media_s": m.media_s,
                "size": [m.crop.width, m.crop.height, len(m.crop.jpeg)],
                "frame": len(m.frame),
            }
            for m in item.moments
        ],
    }


def _evidence(data: dict[str, Any], body: bytes) -> Evidence:
    visit_id = _text(data["visit_id"], 26)
    if not _VISIT_ID.fullmatch(visit_id):
        raise ValueError("a visit id is no id")
    moments, offset = [], 0
    for item in data["moments"]:
        moment = _moment(item, body, offset)
        offset += len(moment.crop.jpeg) + len(moment.frame)
        moments.append(moment)
    start = _time(data["start"])
    end = _time(data["end"]) if data["end"] is not None else None
    camera = _text(data["camera"], 64)
    if data["clip"] is not None and data["clip"] != clip_path(camera, visit_id):
        raise ValueError("a clip is not the one of its visit")
    return Evidence(
        visit_id=visit_id,
        camera=camera,
        revision=_whole(data["revision"]),
        start=start,
        end=None if end is None else max(start, end),
        last_seen=max(start, _time(data["last_seen"])),
        moments=tuple(moments),
        count_max=_whole(data["count_max"], 10_000),
        media=None if data["media"] is None else _text(data["media"], 8192),
        start_s=_maybe(data["start_s"]),
        end_s=_maybe(data["end_s"]),
        clip=data["clip"],
        clip_cut=bool(data["clip_cut"]),
        lifeless=bool(data["lifeless"]),
        clock=None if data["clock"] is None else _whole(data["clock"]),
    )


def _live_header(item: LiveView) -> dict[str, Any]:
    return {
        "kind": "live",
        "camera": item.camera,
        "width": item.width,
        "height": item.height,
        "state": item.state,
        "regions": [box.rounded() for box in item.regions],
        "ignored": [[box.rounded(), why] for box, why in item.ignored],
        "tracks": [[box.rounded(), confirmed] for box, confirmed in item.tracks],
        "part": list(item.part),
    }


def _live_view(data: dict[str, Any], body: bytes) -> LiveView:
    width, height = _whole(data["width"], MOST_SIDE), _whole(data["height"], MOST_SIDE)
    if len(body) > MOST_JPEG or jpeg_size(body) != (width, height):
        raise ValueError("a live picture is too large, or no JPEG of the size that it says")
    if data["state"] not in LIVE_STATES:
        raise ValueError("a live picture is of no known state")
    if max(len(data[name]) for name in ("regions", "ignored", "tracks")) > MOST_BOXES:
        raise ValueError("a live picture has too many boxes")
    left, top, across, down = (_number(value, -2.0, 4.0) for value in data["part"])
    if min(across, down) < 0.1:
        raise ValueError("a live picture is of no part of the frame")
    return LiveView(
        camera=_text(data["camera"], 64),
        jpeg=body,
        width=width,
        height=height,
        state=data["state"],
        regions=tuple(_box(value) for value in data["regions"]),
        ignored=tuple((_box(value), _line(_text(why, 64))) for value, why in data["ignored"]),
        tracks=tuple((_box(value), bool(confirmed)) for value, confirmed in data["tracks"]),
        part=(left, top, across, down),
    )


def _box(value: Any) -> Box:
    x, y, w, h = (_number(v, 0.0, 1.0) for v in value)
    return Box(x, y, w, h)


def _moment(item: dict[str, Any], body: bytes, offset: int) -> Moment:
    width, height, length = (_whole(v) for v in item["size"])
    jpeg, frame_length = body[offset : offset + length], _whole(item["frame"])
    frame = body[offset + length : offset + length + frame_length]
    if len(jpeg) != length or len(frame) != frame_length:
        raise ValueError("its pictures are cut off")
    quality = _number(item["quality"], 0.0, 1.0)
    crop = Crop(jpeg, width, height)
    index, at, media_s = _whole(item["index"], 100_000), _time(item["at"]), _maybe(item["media_s"])
    return Moment(index, at, _box(item["box"]), quality, crop, media_s, frame)


class Pipe:
    """One direction of a byte stream that carries records. Writing is safe from several threads."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, item: Item) -> None:
        """Write one record and flush.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        message = encode(item)
        with self._lock:
            self._stream.write(message)
            self._stream.flush()

    def receive(self, *kinds: type[Item]) -> Item | None:
        """Wait for the next record; None when the other side is gone, also in the middle of a message.

        Args:
            kinds: what may come besides a `Failure`.

        Raises:
            ChildFailed: the other side could not do its work.
            WireError: what came is no message, or of another kind.
        """
        lengths = self._stream.read(_LENGTHS.size)
        if len(lengths) < _LENGTHS.size:
            return None
        total, head = _LENGTHS.unpack(lengths)
        if total > (MAX_MESSAGE if Evidence in kinds else MAX_HEADER) or head > total:
            raise WireError(f"camera process announced a message of {total} bytes")
        message = self._stream.read(total)
        if len(message) < total:
            return None
        item = decode(message[:head], message[head:])
        if isinstance(item, Failure):
            raise ChildFailed(item.error)
        if not isinstance(item, kinds):
            raise WireError(f"camera process sent a {type(item).__name__}, which is not for it to say")
        return item
