"""Carry records between processes as bytes that are safe to read: JSON and JPEG, never pickle.

A camera process decodes what strangers send; if it were taken over, its messages must still be nothing but data to
the main process. A message is: 4 bytes total length, 4 bytes header length (big-endian), a JSON header, then the
JPEGs of its moments one after another.
"""

from __future__ import annotations

import json
import struct
import threading
from datetime import datetime
from typing import Any, BinaryIO

from birdwatchd.errors import BirdwatchError
from birdwatchd.records import Box, CameraState, CameraStatus, Crop, Evidence, Moment

__all__ = ["FileDone", "Pipe", "WireError", "decode", "encode"]

MAX_MESSAGE = 64 * 2**20  # bytes; a full evidence is some hundred kB, more means a broken sender
_LENGTHS = struct.Struct(">II")


class WireError(BirdwatchError):
    """The other side sent something that is no message."""


class FileDone:
    """A scanned file was read to its end, or could not be: `error` says why in one line."""

    __slots__ = ("error", "media", "seconds")

    def __init__(self, media: str, seconds: float, error: str = "") -> None:
        self.media, self.seconds, self.error = media, seconds, error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileDone) and (self.media, self.seconds, self.error) == (
            other.media,
            other.seconds,
            other.error,
        )

    def __hash__(self) -> int:
        return hash((self.media, self.seconds, self.error))


Item = Evidence | CameraStatus | FileDone


def encode(item: Item) -> bytes:
    """Write one record as one message."""
    blobs: list[bytes] = []
    if isinstance(item, Evidence):
        header = _evidence_header(item)
        blobs = [moment.crop.jpeg for moment in item.moments]
    elif isinstance(item, CameraStatus):
        header = {"kind": "status"} | {
            name: getattr(item, name)
            for name in ("camera", "fps", "frames", "late", "width", "height", "detail", "refused", "lag_s")
        }
        header |= {"state": item.state.value, "at": item.at.isoformat(), "extra": list(item.extra)}
    else:
        header = {"kind": "done", "media": item.media, "seconds": item.seconds, "error": item.error}
    head = json.dumps(header).encode()
    body = b"".join(blobs)
    return _LENGTHS.pack(len(head) + len(body), len(head)) + head + body


def decode(header: bytes, body: bytes) -> Item:
    """Read one record back.

    Raises:
        WireError: the bytes are no message of ours.
    """
    try:
        data = json.loads(header)
        kind = data.pop("kind")
        if kind == "evidence":
            return _evidence(data, body)
        if kind == "status":
            data["state"] = CameraState(data["state"])
            data["at"] = datetime.fromisoformat(data["at"])
            data["extra"] = tuple((str(k), float(v)) for k, v in data["extra"])
            return CameraStatus(**data)
        if kind == "done":
            return FileDone(str(data["media"]), float(data["seconds"]), str(data["error"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WireError(f"camera process sent a message that cannot be read ({error})") from None
    raise WireError(f"camera process sent an unknown message '{kind}'")


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
        "lost": item.lost,
        "moments": [
            {
                "index": m.index,
                "at": m.at.isoformat(),
                "box": [m.box.x, m.box.y, m.box.w, m.box.h],
                "quality": m.quality,
                "media_s": m.media_s,
                "size": [m.crop.width, m.crop.height, len(m.crop.jpeg)],
            }
            for m in item.moments
        ],
    }


def _evidence(data: dict[str, Any], body: bytes) -> Evidence:
    moments, offset = [], 0
    for m in data["moments"]:
        width, height, length = (int(v) for v in m["size"])
        jpeg = body[offset : offset + length]
        if len(jpeg) != length or length < 0:
            raise WireError("camera process sent a message whose pictures are cut off")
        offset += length
        box = Box(*(float(v) for v in m["box"]))
        at = datetime.fromisoformat(m["at"])
        moments.append(
            Moment(int(m["index"]), at, box, float(m["quality"]), Crop(jpeg, width, height), m["media_s"])
        )
    return Evidence(
        visit_id=str(data["visit_id"]),
        camera=str(data["camera"]),
        revision=int(data["revision"]),
        start=datetime.fromisoformat(data["start"]),
        end=datetime.fromisoformat(data["end"]) if data["end"] else None,
        last_seen=datetime.fromisoformat(data["last_seen"]),
        moments=tuple(moments),
        count_max=int(data["count_max"]),
        media=data["media"],
        start_s=data["start_s"],
        end_s=data["end_s"],
        lost=bool(data["lost"]),
    )


class Pipe:
    """One direction of a byte stream that carries records. Writing is safe from several threads."""

    def __init__(self, stream: BinaryIO) -> None:
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

    def receive(self) -> Item | None:
        """Wait for the next record; None when the other side is gone, also in the middle of a message.

        Raises:
            WireError: what came is no message.
        """
        lengths = self._stream.read(_LENGTHS.size)
        if len(lengths) < _LENGTHS.size:
            return None
        total, head = _LENGTHS.unpack(lengths)
        if total > MAX_MESSAGE or head > total:
            raise WireError(f"camera process announced a message of {total} bytes")
        message = self._stream.read(total)
        if len(message) < total:
            return None
        return decode(message[:head], message[head:])
