"""What is known of a visit that is not over: where the bird was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from birdwatchd.camera.best_shot import MomentPicker
from birdwatchd.camera.visit import OpenVisit, box_at
from birdwatchd.records import Box

START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


def test_a_bird_is_between_two_sightings_where_it_flew_through() -> None:
    """Frames of the main stream fall between those of the small one."""
    places = [(START + timedelta(seconds=s), Box(x, 0.5, 0.1, 0.1)) for s, x in ((0.0, 0.1), (0.2, 0.3), (3.0, 0.8))]

    def at(seconds: float) -> Box | None:
        return box_at(places, START + timedelta(seconds=seconds))

    between = at(0.1)
    assert between is not None
    assert between.x == pytest.approx(0.2)
    assert at(-0.1) == places[0][1]
    assert at(-0.5) is None
    assert at(1.5) is None, "nobody knows where it was for so long"
    assert at(3.1) == places[2][1]
    assert box_at([], START) is None


def test_a_part_of_a_bird_is_cut_out_as_large_as_the_bird_was() -> None:
    """Only the tail still differs from the background: the picture must show the jay, not its tail."""
    picker = MomentPicker(8)
    visit = OpenVisit("v", START, 0.0, picker, picker, START, 0.0)
    tail = Box(0.5, 0.5, 0.04, 0.05)
    assert visit.whole_box(tail) == tail, "nothing is known of the bird yet"
    for number in range(10):
        visit.add_sighting(START + timedelta(seconds=number / 10), Box(0.4, 0.4, 0.2, 0.1), number / 10)
    visit.add_sighting(START + timedelta(seconds=1), tail, 1.0)
    whole = visit.whole_box(tail)
    assert (whole.w, whole.h) == pytest.approx((0.16, 0.08))
    assert whole.centre == pytest.approx(tail.centre)
    corner = visit.whole_box(Box(0.97, 0.0, 0.03, 0.03))
    assert corner.x + corner.w == pytest.approx(1.0)
    assert corner.y == 0.0
    large = Box(0.3, 0.3, 0.4, 0.4)
    assert visit.whole_box(large) == large
