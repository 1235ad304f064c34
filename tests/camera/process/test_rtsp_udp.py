"""Packets over UDP come in any order, twice or never: a camera's process gets them in order, once and soon."""

from __future__ import annotations

import random

import pytest

from birdwatchd.camera.process.rtsp_udp import HOLD_S, MOST_HELD, InOrder


def packet(number: int) -> bytes:
    return b"\x80\x60" + (number & 0xFFFF).to_bytes(2, "big") + b"picture"


def numbers(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(one[2:4], "big") for one in packets]


@pytest.mark.parametrize("first", [7, 0xFFF0])
def test_what_is_swapped_is_put_in_order(first: int) -> None:
    """Also where the numbers, of 16 bits, begin again."""
    sent = [first + place for place in range(200)]
    come = sorted(sent, key=lambda number: number + random.Random(number).uniform(0, 6) * (number > first))
    order = InOrder()
    given = [one for number in come for one in order.add(packet(number), 1.0)]
    assert come != sent
    assert numbers(given) == [number & 0xFFFF for number in sent]
    assert order.wait_s(1.0) is None


def test_what_is_lost_is_waited_for_shortly() -> None:
    """A picture that waits for a packet that never comes is worse than one with a smear."""
    order = InOrder()
    assert numbers(order.add(packet(1), 5.0)) == [1]
    assert order.add(packet(3), 5.0) == order.add(packet(5), 5.01) == []
    assert order.wait_s(5.01) == pytest.approx(HOLD_S - 0.01)
    assert order.overdue(5.01) == []
    assert numbers(order.overdue(5.001 + HOLD_S)) == [3]
    assert numbers(order.overdue(5.011 + HOLD_S)) == [5]
    assert order.add(packet(4), 5.1) == [], "it comes too late for a decoder that has had the next"
    assert numbers(order.add(packet(6), 5.1)) == [6]


def test_what_is_swapped_all_the_time_is_not_lost() -> None:
    """Packets always wait then; of a Wi-Fi that delays each by up to 20 ms, one in twelve was taken for lost."""
    chance = random.Random(1)
    came = sorted((number / 1000 + chance.uniform(0, 0.02), number) for number in range(5000))
    order, given = InOrder(), list[bytes]()
    for at_s, number in came:
        given += order.overdue(at_s) + order.add(packet(number), at_s)
    assert numbers(given + order.overdue(10.0)) == list(range(came[0][1], 5000))


def test_what_comes_twice_is_given_once() -> None:
    """Some switches and Wi-Fi repeaters send packets twice."""
    order = InOrder()
    given = [one for number in (1, 1, 3, 3, 2, 2, 4) for one in order.add(packet(number), 1.0)]
    assert numbers(given) == [1, 2, 3, 4]


@pytest.mark.parametrize("again", [40_000, 20_001 - 2 * MOST_HELD])
def test_a_camera_that_counts_anew_is_followed(again: int) -> None:
    """After a restart of its encoder the numbers begin elsewhere; nothing that waits is lost by it."""
    order = InOrder()
    assert numbers(order.add(packet(20_000), 1.0)) == [20_000]
    assert order.add(packet(20_002), 1.0) == []
    assert numbers(order.add(packet(again), 1.0)) == [20_002, again]
    assert numbers(order.add(packet(again + 1), 1.0)) == [again + 1]
