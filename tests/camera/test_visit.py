"""What is known of a visit that is not over: where the bird was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from birdwatchd.camera.visit import box_at
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
