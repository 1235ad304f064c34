"""What is known of a visit that is not over: where the bird was, and who was there before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from birdwatchd.camera.visit import Perches, box_at
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


def test_a_place_belongs_to_the_first_bird_that_was_seen_there() -> None:
    """What leaves a perch where others sat before came after the picture began: its visit does not begin with it."""
    perches, perch, beside = Perches(), Box(0.4, 0.4, 0.1, 0.15), Box(0.7, 0.4, 0.1, 0.15)
    perches.note(1, perch)
    perches.note(2, perch)
    perches.note(2, beside)
    assert perches.had_others(2, perch)
    assert perches.had_others(0, perch), "a bird of the first picture that was never followed has no number"
    assert not perches.had_others(1, perch), "its own sightings speak for nobody else"
    assert not perches.had_others(2, beside)
    assert not perches.had_others(3, Box(0.1, 0.1, 0.05, 0.05))


@pytest.mark.parametrize("box", [Box(0.0, 0.0, 1.0, 1.0), Box(0.999, 0.999, 0.001, 0.001), Box(0.0, 0.5, 0.001, 0.001)])
def test_a_bird_at_the_edge_is_noted_as_well(box: Box) -> None:
    """Boxes may touch the frame's edge and be thinner than a cell."""
    perches = Perches()
    perches.note(1, box)
    assert perches.had_others(2, box)
