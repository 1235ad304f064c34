"""The ring of compressed packets: bounded, decodable, newest first to stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.camera.capture.packet import Codec, Packet
from birdwatchd.camera.capture.ring import PACKET_COST, Ring

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
H264 = Codec("h264", "h264", b"", 640, 360)


def packet(number: int, size: int, *, key: bool, codec: Codec = H264, second: float | None = None) -> Packet:
    at = number / 10 if second is None else second
    return Packet(bytes(size), number, number, Fraction(1, 10), 1, key, at, BEGAN + timedelta(seconds=at), codec)


packets = st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=60)


@given(packets)
def test_it_never_holds_more_than_its_bound(stream: list[tuple[int, bool]]) -> None:
    """A camera at 20 Mbit/s must not eat the memory of the others."""
    ring = Ring(8000)
    for number, (size, key) in enumerate(stream):
        ring.append(packet(number, size, key=key))
        assert ring.bytes <= 8000
        assert ring.bytes == sum(len(p.data) + PACKET_COST for p in ring.since(BEGAN))


@given(packets)
def test_what_it_holds_can_be_decoded(stream: list[tuple[int, bool]]) -> None:
    """Nothing is decodable without its key frame, so a group goes as a whole; the newest stay, in order."""
    ring = Ring(8000)
    for number, (size, key) in enumerate(stream):
        ring.append(packet(number, size, key=key))
    kept = ring.since(BEGAN)
    numbers = [p.pts for p in kept if p.pts is not None]
    if kept:
        assert kept[0].is_key
        assert numbers == list(range(numbers[0], len(stream)))


def test_looking_back_begins_at_the_key_frame_before() -> None:
    """A time in the middle of a group needs the group from its beginning."""
    ring = Ring(10**6)
    for number in range(40):
        ring.append(packet(number, 100, key=number % 10 == 0))
    assert ring.since(BEGAN + timedelta(seconds=2.5))[0].pts == 20
    assert ring.since(BEGAN - timedelta(seconds=9))[0].pts == 0
    assert ring.seconds == 3.9


def test_other_parameters_or_a_reopened_stream_start_it_over() -> None:
    """Packets of two streams do not follow on; a decoder fed with both shows rubbish."""
    ring = Ring(10**6)
    for number in range(5):
        ring.append(packet(number, 100, key=number == 0))
    smaller = Codec("h264", "h264", b"", 320, 180)
    ring.append(packet(5, 100, key=True, codec=smaller))
    assert [p.codec for p in ring.since(BEGAN)] == [smaller]
    ring.clear()
    assert ring.since(BEGAN) == []
    assert ring.seconds == 0.0


def test_a_group_larger_than_the_bound_is_given_up_until_the_next_key_frame() -> None:
    """Half a group is of no use; the ring says 0 s rather than holding what cannot be decoded."""
    ring = Ring(2000)
    ring.append(packet(0, 1000, key=True))
    ring.append(packet(1, 1000, key=False))
    ring.append(packet(2, 10, key=False))
    assert ring.since(BEGAN) == []
    assert ring.seconds == 0.0
    ring.append(packet(3, 100, key=True))
    assert [p.pts for p in ring.since(BEGAN)] == [3]
