"""Keep the newest compressed packets of one stream in a ring buffer, to look at the seconds before a bird was noticed.

Packets are kept and frames are not: seconds of video cost what the camera sends. The bound is in bytes. When it is
reached the oldest group of pictures (GOP) goes as a whole, because only its key frame makes the rest of it decodable;
a GOP that alone is larger than the bound goes too, and nothing is kept until the next key frame.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from birdwatchd.camera.capture.packet import Packet

__all__ = ["NewPackets", "Ring"]

PACKET_COST = 400  # bytes that a packet takes besides its data, so that a flood of empty ones is bounded as well


@dataclass(slots=True)
class _Gop:
    """A group of pictures: a key frame and what is decoded after it; `number` is that of the key frame."""

    number: int
    packets: list[Packet] = field(default_factory=list)
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class NewPackets:
    """What came into a ring since a reader read last.

    Attributes:
        packets: in order.
        cursor: where to go on reading.
        contiguous: False when packets were lost to the reader: it was too slow, or the stream was opened anew.
    """

    packets: Sequence[Packet]
    cursor: int
    contiguous: bool


class Ring:
    """The packets of one stream. One thread appends; any other may read."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._gops: deque[_Gop] = deque()
        self._bytes = 0
        self._next = 0  # number of the next packet
        self._newest: datetime | None = None
        self._changed = threading.Condition()

    @property
    def bytes(self) -> int:
        """Memory in use; never more than the bound."""
        return self._bytes

    @property
    def seconds(self) -> float:
        """How far back it reaches from the newest packet; 0 while nothing in it can be decoded."""
        with self._changed:
            if not self._gops or self._newest is None:
                return 0.0
            return max(0.0, (self._newest - self._gops[0].packets[0].at).total_seconds())

    @property
    def newest(self) -> Packet | None:
        """The packet that came last; None while nothing in the ring can be decoded."""
        with self._changed:
            return self._gops[-1].packets[-1] if self._gops else None

    def append(self, packet: Packet) -> None:
        """Keep a packet; forgets the oldest GOPs where it is full."""
        with self._changed:
            if self._gops and self._does_not_follow(packet):
                self._clear()
            if packet.is_key:
                self._gops.append(_Gop(self._next))
            elif not self._gops:
                return
            gop = self._gops[-1]
            gop.packets.append(packet)
            cost = len(packet.data) + PACKET_COST
            gop.bytes += cost
            self._bytes += cost
            self._next += 1
            self._newest = max(self._newest or packet.at, packet.at)
            while self._bytes > self._max_bytes:
                self._bytes -= self._gops.popleft().bytes
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything: the stream was opened anew, so that what comes does not follow on."""
        with self._changed:
            self._clear()

    def since(self, at: datetime) -> list[Packet]:
        """All packets from the key frame at or before a time; from the oldest one if that is younger."""
        with self._changed:
            cursor = self._cursor(at)
            return self._after(cursor)

    def cursor(self, at: datetime) -> int:
        """Where to begin reading (see `after`) to get what `since` gives."""
        with self._changed:
            return self._cursor(at)

    def after(self, cursor: int, wait_s: float = 0.0) -> NewPackets:
        """What came since `cursor` (0 for all there is); waits up to `wait_s` while that is nothing."""
        with self._changed:
            if wait_s > 0 and self._next <= cursor:
                self._changed.wait_for(lambda: self._next > cursor, wait_s)
            oldest = self._gops[0].number if self._gops else self._next
            return NewPackets(self._after(cursor), self._next, oldest <= cursor)

    def _does_not_follow(self, packet: Packet) -> bool:
        """Whether this packet does not follow on: other parameters, or a key frame from before the last one."""
        previous = self._gops[-1].packets[0]
        other = packet.codec is not previous.codec and packet.codec != previous.codec
        return other or (packet.is_key and packet.at < previous.at)

    def _clear(self) -> None:
        self._gops.clear()
        self._bytes = 0
        self._newest = None
        self._next += 1  # a number that no packet has, so that readers notice the gap

    def _cursor(self, at: datetime) -> int:
        for gop in reversed(self._gops):
            if gop.packets[0].at <= at:
                return gop.number
        return self._gops[0].number if self._gops else self._next

    def _after(self, cursor: int) -> list[Packet]:
        found: list[Packet] = []
        for gop in self._gops:
            if gop.number + len(gop.packets) > cursor:
                found.extend(islice(gop.packets, max(0, cursor - gop.number), None))
        return found
