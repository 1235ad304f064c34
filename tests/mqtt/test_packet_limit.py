"""A broker that hangs up without a word is understood after three times, and not accused for what it did not do."""

from __future__ import annotations

from birdwatchd.mqtt.packet_limit import PacketLimit


def test_the_third_time_with_the_same_large_message_is_proof() -> None:
    """Sooner would drop pictures for a network that stumbled; later would hold the visits back for longer."""
    packets = PacketLimit()
    packets.sent(1, "small", 300)
    packets.sent(2, "image", 30_000)
    assert not packets.connection_lost()
    packets.acknowledged(1)  # it went before the large one
    assert not packets.connection_lost()
    assert packets.connection_lost()
    assert packets.limit == 29_999


def test_a_message_that_arrives_in_the_end_is_no_suspect() -> None:
    """A bad line is not the picture's fault."""
    packets = PacketLimit()
    for mid in range(9):
        packets.sent(mid, f"image{mid}", 30_000)
        assert not packets.connection_lost()
        assert not packets.connection_lost()
        packets.acknowledged(mid)
    assert packets.limit is None


def test_small_messages_are_never_left_out() -> None:
    """A visit's own message must come through, whatever the network does."""
    packets = PacketLimit()
    packets.sent(1, "visit", 700)
    assert not any(packets.connection_lost() for _ in range(20))
    packets.reset_in_flight()
    assert not packets.connection_lost()
