"""Decode full-resolution frames on demand: only for the moments in which the small stream has found something.

The packets of the main stream wait in their ring. The first frame asked for costs decoding from the key frame before
it; from there on decoding follows the small stream, a little in every turn, so that motion detection does not wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

from birdwatchd.camera.capture.decoder import Acceleration, PacketDecoder
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.ring import Ring

__all__ = ["FullFrameSource", "OnDemandFrames"]

TURN_S = 0.05  # of decoding in one turn: less than the small stream's frames are apart


class FullFrameSource(Protocol):
    """What `birdwatchd.camera.observer` needs of a main stream."""

    @property
    def alive(self) -> bool:
        """Whether frames can be had from it now."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of its frames, pixels; None while not known."""

    def read(self, since: datetime, until: datetime, *, all_of_them: bool = False) -> Iterator[Frame]:
        """The next frames in order, from `since` to `until`; as many as a turn has time for, or all of them."""

    def release(self) -> None:
        """No frames are wanted now."""


class OnDemandFrames:
    """The frames of a ring of packets, decoded when they are read. Belongs to one thread; another fills the ring."""

    def __init__(
        self, ring: Ring, alive: Callable[[], bool], *, turn_s: float = TURN_S, acceleration: Acceleration | None = None
    ) -> None:
        """
        Args:
            alive: whether packets come, and frames of this stream are wanted at all.
            turn_s: seconds of decoding per `read`.
            acceleration: decodes on a graphics device where that works.
        """
        self._acceleration = acceleration
        self._ring, self._alive, self._turn_s = ring, alive, turn_s
        self._decoder: PacketDecoder | None = None
        self._reading = False
        self._cursor = 0
        self._size: tuple[int, int] | None = None

    @property
    def alive(self) -> bool:
        """Whether frames can be had now."""
        return self._alive()

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the newest packet's frame, pixels; the last that was known while nothing comes."""
        newest = self._ring.newest
        if newest is not None and newest.codec.width > 0:
            self._size = newest.codec.shown_size
        return self._size

    def read(self, since: datetime, until: datetime, *, all_of_them: bool = False) -> Iterator[Frame]:
        """The frames from `since` to `until` that were not read yet; those before a `since` of later are skipped.

        Args:
            all_of_them: however long it takes; otherwise only as many as a turn has time for.

        Raises:
            SourceUnusable: there is no decoder for them.
        """
        if not self._reading:
            self._reading, self._cursor, self._decoder = True, self._ring.cursor(since), None
        new = self._ring.after(self._cursor)
        if not new.contiguous:
            self._decoder = None
        number, end_s = new.cursor - len(new.packets), time.monotonic() + self._turn_s
        for packet in new.packets:
            if packet.at > until or (not all_of_them and time.monotonic() > end_s):
                return
            number += 1
            self._cursor = number
            for frame in self._decoded(packet):
                if since <= frame.at <= until:
                    yield frame

    def release(self) -> None:
        """Let the decoder go; the next `read` begins with a key frame again."""
        self._reading, self._decoder = False, None

    def _decoded(self, packet: Packet) -> list[Frame]:
        if self._decoder is None or packet.codec != self._decoder.codec:
            if not packet.is_key:
                return []
            self._decoder = PacketDecoder(packet.codec, self._acceleration)
        return self._decoder.decode(packet)
