"""Replay what a ring has kept: decode its packets again, for the frames from before a bird was noticed.

A frame decoded again is the same as the first time: its time is that of its packet. Decoding is lazy and has a decoder
of its own that goes when the iterator is closed, so a search of the past may stop as soon as it has found enough.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime

from birdwatchd.camera.capture.decoder import PacketDecoder
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.ring import Ring

__all__ = ["replay"]


def replay(ring: Ring, since: datetime) -> Generator[Frame, None, None]:
    """The frames of what the ring holds now, from `since` on.

    Packets are taken out of the ring at once and decoded as the iterator goes. Frames before `since` are decoded where
    later ones need them, and not given.

    Raises:
        SourceUnusable: there is no decoder for them.
    """
    return _decoded(ring.since(since), since)


def _decoded(packets: Sequence[Packet], since: datetime) -> Generator[Frame, None, None]:
    if not packets:
        return
    decoder = PacketDecoder(packets[0].codec)
    for packet in packets:
        for frame in decoder.decode(packet):
            if frame.at >= since:
                yield frame
    for frame in decoder.flush(packets[-1]):
        if frame.at >= since:
            yield frame
