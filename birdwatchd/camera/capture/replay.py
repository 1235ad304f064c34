"""Decode once more what a ring has kept: the pictures from before a bird was noticed.

A picture decoded again is the same as it was when it came: its time is that of its packet. Decoding is lazy, with a
decoder of its own that goes when the iterator is closed, so that whoever searches the past stops where enough is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from birdwatchd.camera.capture.decoder import PacketDecoder
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.packet import Packet

__all__ = ["recall"]


def recall(packets: Sequence[Packet], since: datetime) -> Iterator[Frame]:
    """The frames of these packets from a time on; earlier ones are decoded where later ones need them, and not given.

    Args:
        packets: of one stream, from a key frame on (`Ring.since`).

    Raises:
        SourceUnusable: there is no decoder for them.
    """
    if not packets:
        return
    decoder = PacketDecoder(packets[0].codec)
    for packet in packets:
        for frame in decoder.decode(packet):
            if frame.at >= since:
                yield frame
    for frame in decoder.rest(packets[-1]):
        if frame.at >= since:
            yield frame
