"""Whose departure it is: who was seen where since the scene was learned."""

from __future__ import annotations

import pytest

from birdwatchd.camera.departures import OccupancyGrid
from birdwatchd.records import Box


def test_a_place_belongs_to_the_first_bird_that_was_seen_there() -> None:
    """What leaves a perch where others sat before came after the picture began: its visit does not begin with it."""
    grid, perch, beside = OccupancyGrid(), Box(0.4, 0.4, 0.1, 0.15), Box(0.7, 0.4, 0.1, 0.15)
    grid.mark(1, perch)
    grid.mark(2, perch)
    grid.mark(2, beside)
    assert grid.had_others(2, perch)
    assert grid.had_others(0, perch), "a bird of the first picture that was never followed has no number"
    assert not grid.had_others(1, perch), "its own sightings speak for nobody else"
    assert not grid.had_others(2, beside)
    assert not grid.had_others(3, Box(0.1, 0.1, 0.05, 0.05))


@pytest.mark.parametrize("box", [Box(0.0, 0.0, 1.0, 1.0), Box(0.999, 0.999, 0.001, 0.001), Box(0.0, 0.5, 0.001, 0.001)])
def test_a_bird_at_the_edge_is_noted_as_well(box: Box) -> None:
    """Boxes may touch the frame's edge and be thinner than a cell."""
    grid = OccupancyGrid()
    grid.mark(1, box)
    assert grid.had_others(2, box)
