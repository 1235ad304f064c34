"""What is kept of a visit as a whole: birds, also still, faint and in wind; and what is dust and leaves instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from birdwatchd.camera.liveliness import Liveliness
from birdwatchd.records import Box, Region

BOX = Box(0.4, 0.4, 0.1, 0.1)


def watched(*, activity: float, contrast: float, fill: float = 0.5, clutter: float = 0.5) -> Liveliness:
    life = Liveliness()
    for part in (0.5, 1.0, 1.5):  # what counts is the mean
        life.add(Region(BOX, fill, contrast * part, activity=activity * part), clutter)
    return life


@pytest.mark.parametrize(
    ("activity", "contrast", "fill", "clutter"),
    [
        (0.3, 4.0, 0.5, 0.5),  # it hops
        (0.01, 4.8, 0.5, 0.3),  # it sits still for minutes
        (0.25, 1.7, 0.5, 0.5),  # it is dull, and hops at dusk
        (0.11, 3.6, 0.76, 20.0),  # it sits in heavy rain
        (0.4, 2.0, 0.25, 5.0),  # its body is hidden by twigs
    ],
)
def test_birds_are_alive(activity: float, contrast: float, fill: float, clutter: float) -> None:
    """A bird is lost for good if it is taken for a leaf."""
    assert not watched(activity=activity, contrast=contrast, fill=fill, clutter=clutter).lifeless


@pytest.mark.parametrize(
    ("activity", "contrast", "fill", "clutter"),
    [
        (0.06, 1.4, 0.41, 1.5),  # dust behind a car
        (0.03, 1.2, 0.72, 3.4),  # noise of an encoder at night
        (0.02, 3.4, 0.54, 15.0),  # petals, with everything else that sways
        (0.2, 1.4, 0.34, 1.8),  # leaves: they move, but are specks
    ],
)
def test_dust_leaves_and_noise_are_lifeless(activity: float, contrast: float, fill: float, clutter: float) -> None:
    """A list of visits that is full of leaves is not read."""
    assert watched(activity=activity, contrast=contrast, fill=fill, clutter=clutter).lifeless


def scored(*scores: float | None) -> Liveliness:
    """What moves and stands out; None where the background was not asked to explain it."""
    life = Liveliness()
    for score in scores:
        region = Region(BOX, 0.6, 2.0, activity=0.4)
        life.add(region if score is None else replace(region, change_score=score, scored=True), 1.5)
    return life


def test_a_trunk_that_swings_before_a_camera_held_by_hand_is_lifeless() -> None:
    """The background, a little shifted, explains it, each time that it is asked."""
    assert scored(0.6, 0.5, None, None, None).lifeless


def test_a_bird_before_leaves_of_its_colours_is_alive() -> None:
    """The background explains it in some looks, not in the mean; what was not measured says nothing."""
    assert not scored(0.4, 0.9, None).lifeless
    assert not scored(None, None).lifeless


def test_one_look_does_not_make_a_bird_lifeless() -> None:
    """It flew through, before leaves of its colours."""
    assert not scored(0.45).lifeless
    assert not scored(0.45, None).lifeless


def test_nothing_is_said_of_what_was_not_seen() -> None:
    """A visit that is noticed only afterwards has no sightings, and is perhaps a bird."""
    assert not Liveliness().lifeless
