"""What the background explains by another illumination or a small shift, and what it does not."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from birdwatchd.camera.motion.false_motion import ChangeScore, score_change, unexplained_by_light, unexplained_by_shift
from birdwatchd.camera.motion.grid import Cells, FloatGrid
from tests.support.drawn_place import COLUMNS, ROWS, cells_of, foliage, oval, seen, with_bird

CONTRAST = 7.0  # what a cell must differ by in a calm scene, grey levels
NOISE = np.full((ROWS, COLUMNS), 0.35 * CONTRAST, np.float32)  # as the gate asks
WINDOW, REACH = 7, 3  # the same, of a bird of 6 cells
BIRD = (70.0, 40.0, 12.0, 9.0)
PLACE = foliage(3)


def chance() -> np.random.Generator:
    return np.random.default_rng(1)


def marked(now: Cells, before: FloatGrid) -> NDArray[np.bool_]:
    """The cells that differ, which the gate would like to have explained."""
    return np.asarray(np.abs(now.astype(np.float32) - before) > CONTRAST)


def new_by_light(now: Cells, before: FloatGrid = PLACE) -> NDArray[np.bool_]:
    return unexplained_by_light(now.astype(np.float32), before, NOISE, WINDOW) > 0


def new_by_sway(now: Cells, before: FloatGrid) -> NDArray[np.bool_]:
    tolerance = np.full(before.shape, 3, np.uint8)
    scene = np.asarray(cv2.convertScaleAbs(before), np.uint8)
    return unexplained_by_shift(now, scene, tolerance, REACH, np.full(before.shape, 255, np.uint8)) > 0


def shaded(scene: FloatGrid, light: float, softness: float = 6.0) -> FloatGrid:
    """A shadow (or a patch of sun) 70 cells wide in the middle, its edge `softness` cells wide."""
    share = cv2.GaussianBlur(oval(45, 15, 70, 60), (0, 0), softness)
    return np.asarray(scene * (1 - (1 - light) * share), np.float32)


# -- another light -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("light", [0.5, 0.7, 0.85, 1.2, 1.4])
def test_a_soft_shadow_over_texture_is_explained(light: float) -> None:
    """The shadow of the house creeps over the feeder every noon; it is no bird, however large."""
    now = seen(shaded(PLACE, light), chance(), 1.0)
    differs = marked(now, PLACE)
    assert differs.sum() > 1500
    assert (new_by_light(now) & differs).sum() < 0.02 * differs.sum()


def test_a_veil_is_explained() -> None:
    """An insect on the lens or a flake close to it adds a blurred spot and hides nothing."""
    now = seen(PLACE + 70 * cv2.GaussianBlur(oval(50, 25, 40, 40), (0, 0), 8), chance(), 1.0)
    differs = marked(now, PLACE)
    assert differs.sum() > 1500
    assert (new_by_light(now) & differs).sum() < 0.02 * differs.sum()


@pytest.mark.parametrize("light", [0.5, 0.7, 1.0, 1.4])
def test_a_bird_is_not_explained_by_any_light(light: float) -> None:
    """Also not the bird that came with the shadow, in the middle of it."""
    new = new_by_light(seen(shaded(with_bird(PLACE, *BIRD), light), chance(), 1.0))
    assert new[cells_of(oval(*BIRD))].mean() > 0.95
    away = oval(BIRD[0] - 8, BIRD[1] - 8, BIRD[2] + 16, BIRD[3] + 16) == 0
    assert new[away].mean() < 0.01


def test_darker_than_any_shadow_is_new() -> None:
    """A crow over a lawn without texture looks like a shadow, but no shadow is so black."""
    lawn = np.full((ROWS, COLUMNS), 150, np.float32)
    body = oval(60, 30, 30, 25)
    assert new_by_light(seen(lawn - 130 * body, chance(), 1.0), lawn)[body >= 1].all()
    shadow = seen(lawn - 60 * cv2.GaussianBlur(body, (0, 0), 6), chance(), 1.0)
    assert not new_by_light(shadow, lawn).any()


def test_noise_is_explained() -> None:
    """The same scene once more has nothing new."""
    assert new_by_light(seen(PLACE, chance(), 1.5)).mean() < 0.001


# -- sway ----------------------------------------------------------------------------------------------------------

BUSH = np.asarray(100 + 0.4 * (cv2.GaussianBlur(foliage(5), (0, 0), 6) - 110), np.float32)


def with_leaf(scene: FloatGrid, left: float, top: float) -> FloatGrid:
    """A pale leaf of 12 × 8 cells with a darker vein."""
    share, vein = oval(left, top, 12, 8), oval(left + 3, top + 3, 6, 2)
    return np.asarray(scene * (1 - share) + (150 - 40 * vein) * share, np.float32)


@pytest.mark.parametrize(("across", "down"), [(1, 0), (-2, 0), (0, 2), (2, -2), (0, -3)])
def test_a_leaf_that_moved_is_explained(across: int, down: int) -> None:
    """Leaves move all day; before, they were most of what such cameras reported."""
    before = with_leaf(BUSH, 60, 30)
    now = seen(with_leaf(BUSH, 60 + across, 30 + down), chance(), 1.0)
    differs = marked(now, before)
    assert differs.sum() > 40
    assert (new_by_sway(now, before) & differs).sum() < 0.1 * differs.sum()


def test_a_new_leaf_of_the_same_size_is_not_explained() -> None:
    """The test must not excuse whatever has the size of a leaf: birds have."""
    before = with_leaf(BUSH, 60, 30)
    now = seen(with_leaf(before, 100, 30), chance(), 1.0)
    assert new_by_sway(now, before)[cells_of(oval(100, 30, 12, 8))].mean() > 0.95


def test_a_leaf_that_flew_further_than_it_sways_is_not_explained() -> None:
    """A small brown bird that hops looks like a leaf that moves; it hops further."""
    before = with_leaf(BUSH, 60, 30)
    now = seen(with_leaf(BUSH, 60 + 3 * REACH, 30), chance(), 1.0)
    assert new_by_sway(now, before)[cells_of(oval(60 + 3 * REACH, 30, 12, 8))].mean() > 0.9


def test_a_bird_among_leaves_that_sway_is_not_explained() -> None:
    """Birds come in the wind, too, and sit where the leaves are."""
    before = with_leaf(with_leaf(BUSH, 60, 30), 84, 33)
    now = seen(with_bird(with_leaf(with_leaf(BUSH, 62, 31), 86, 34), 73, 30, 11, 9), chance(), 1.0)
    new = new_by_sway(now, before)
    assert new[cells_of(oval(73, 30, 11, 9))].mean() > 0.95
    assert new[(oval(73 - 6, 30 - 6, 23, 21) == 0)].mean() < 0.01


# -- change score --------------------------------------------------------------------------------------------------


def scored(now: Cells, before: FloatGrid, part: NDArray[np.bool_]) -> ChangeScore:
    """As the gate asks for a region of these cells."""
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    here = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    nearby = (slice(max(0, rows[0] - 10), rows[-1] + 11), slice(max(0, columns[0] - 10), columns[-1] + 11))
    away = np.abs(now.astype(np.float32) - before)[here]
    excess = float(away[part[here]].mean()) / CONTRAST
    place = int(here[0].start - nearby[0].start), int(here[1].start - nearby[1].start)
    return score_change(now[here], before[here], before[nearby], part[here], excess, place)


@pytest.mark.parametrize("seed", range(6))
def test_a_bird_is_new_and_a_shadow_is_not(seed: int) -> None:
    """ChangeScore decides what becomes a visit; on every background the bird must be well above the shadow."""
    place, part = foliage(seed), cells_of(oval(*BIRD))
    bird = scored(seen(with_bird(place, *BIRD), chance()), place, part)
    shadow = scored(seen(shaded(place, 0.6), chance()), place, part)
    assert bird.mean > 0.6
    assert shadow.mean < 0.42  # `min_change_score`
    assert bird.edges == 1.0
    assert (shadow.texture, shadow.level) == pytest.approx((0.0, 0.0), abs=0.2)


def test_a_shadow_is_not_called_sway() -> None:
    """What is called sway raises the threshold of its place for minutes: under a shadow the feeder would go deaf."""
    shadow = scored(seen(shaded(PLACE, 0.6), chance()), PLACE, cells_of(oval(*BIRD)))
    assert shadow.explanation in {"light", "soft"}


def test_a_leaf_out_of_place_is_found_there() -> None:
    """People who tune read why something was left out; a leaf must be called sway, not light."""
    before = with_leaf(BUSH, 60, 30)
    now = seen(with_leaf(BUSH, 67, 30), chance(), 1.0)  # further than single cells are looked for
    leaf = scored(now, before, cells_of(oval(67, 30, 12, 8)))
    assert leaf.mismatch < 0.1
    assert leaf.explanation == "sway"
    nowhere = scored(seen(with_bird(BUSH, *BIRD), chance(), 1.0), BUSH, cells_of(oval(*BIRD)))
    assert nowhere.mismatch > 0.9


def test_what_is_blurred_has_no_edges() -> None:
    """Flakes and insects close to the lens are blurred; a bird in focus never is."""
    spot = 60 * cv2.GaussianBlur(oval(50, 25, 26, 26), (0, 0), 6)
    blurred = scored(seen(PLACE + spot, chance(), 1.0), PLACE, np.asarray(spot > CONTRAST))
    assert blurred.edges == 0.0
    sharp = scored(seen(with_bird(PLACE, *BIRD), chance(), 1.0), PLACE, cells_of(oval(*BIRD)))
    assert sharp.edges > 0.9


def test_what_barely_differs_is_faint() -> None:
    """Just above the threshold is what noise does once a minute."""
    part = cells_of(oval(*BIRD))
    faint = scored(seen(PLACE + 1.05 * CONTRAST * oval(*BIRD), chance(), 0.0), PLACE, part)
    plain = scored(seen(with_bird(PLACE, *BIRD), chance(), 0.0), PLACE, part)
    assert faint.strength < 0.1
    assert plain.strength == 1.0


@pytest.mark.parametrize(
    ("least", "name"),
    [("mismatch", "sway"), ("texture", "light"), ("level", "light"), ("edges", "soft"), ("strength", "faint")],
)
def test_the_explanation_is_the_least_of_the_five(least: str, name: str) -> None:
    """The word on the tuning sheet says which setting to turn."""
    five: dict[str, Any] = dict.fromkeys(("mismatch", "texture", "level", "edges", "strength"), 0.9) | {least: 0.1}
    assert ChangeScore(**five).explanation == name
    assert ChangeScore(**five).mean == pytest.approx((4 * 0.9 + 0.1) / 5)
