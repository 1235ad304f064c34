"""A broker that hangs up without a word is understood after three times, and not accused for what it did not do."""

from __future__ import annotations

from birdwatchd.mqtt.packet_limit import Sizes


def test_the_third_time_with_the_same_large_message_is_proof() -> None:
    """Sooner would drop pictures for a network that stumbled; later would hold the visits back for longer."""
    sizes = Sizes()
    sizes.sent(1, 300)
    sizes.sent(2, 30_000)
    assert not sizes.broke_off()
    sizes.acknowledged(1)  # it went before the large one
    assert not sizes.broke_off()
    assert sizes.broke_off()
    assert sizes.limit == 29_999


def test_a_message_that_arrives_in_the_end_is_no_suspect() -> None:
    """A bad line is not the picture's fault."""
    sizes = Sizes()
    for mid in range(9):
        sizes.sent(mid, 30_000)
        assert not sizes.broke_off()
        assert not sizes.broke_off()
        sizes.acknowledged(mid)
    assert sizes.limit is None


def test_small_messages_are_never_left_out() -> None:
    """A visit's own message must come through, whatever the network does."""
    sizes = Sizes()
    sizes.sent(1, 700)
    assert not any(sizes.broke_off() for _ in range(20))
    sizes.forget()
    assert not sizes.broke_off()
