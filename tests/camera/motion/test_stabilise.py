"""A shaken camera: how far the frame moved is measured, and undone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.grid import FloatGrid, Grid, GridFrame
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.motion.stabilise import Shift, find_shift, undo_shift
from tests.support.drawn_place import COLUMNS, MIN_BIRD, ROWS, foliage, oval, seen, with_bird

MARGIN = 12  # cells of foliage beyond every edge of the frame
FINE = 4  # drawn so many times finer, so that it can be moved by quarters of a cell
WIDE = cv2.GaussianBlur(
    cv2.resize(foliage(3, ROWS + 2 * MARGIN, COLUMNS + 2 * MARGIN), None, fx=FINE, fy=FINE), (0, 0), 2.0
)


def moved(across: float, down: float) -> FloatGrid:
    """The place as a camera sees it whose frame lies `across` cells right of and `down` below its usual place."""
    x, y = round((MARGIN - across) * FINE), round((MARGIN - down) * FINE)
    cut = np.ascontiguousarray(WIDE[y : y + ROWS * FINE, x : x + COLUMNS * FINE])
    return np.asarray(cv2.resize(cut, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32)


@pytest.mark.parametrize("noise", [0.5, 3.0])
@pytest.mark.parametrize(
    ("across", "down"),
    [(1, 0), (0, -1), (-2, 3), (4, 4), (-4, 0), (0.25, 0), (0, -0.5), (0.75, -0.75), (-1.25, 2.5), (3.75, 0.25)],
)
def test_a_shift_is_measured(across: float, down: float, noise: float) -> None:
    """A camera on a pole sways all day; each gust measured wrongly is a frame full of birds."""
    shift = find_shift(seen(moved(across, down), np.random.default_rng(1), noise), moved(0, 0), None)
    assert shift
    assert (shift.dx, shift.dy) == pytest.approx((across, down), abs=0.1)


@pytest.mark.parametrize(("across", "down"), [(1, -2), (-3, 3), (0.5, -0.75), (3.75, 0.25)])
def test_a_shift_is_undone(across: float, down: float) -> None:
    """Moved back the wrong way, the frame would differ twice as much as before."""
    now, before = seen(moved(across, down), np.random.default_rng(1), 1.0), moved(0, 0)
    back = undo_shift(GridFrame(now, 0, now), find_shift(now, before, None))
    inner = (slice(5, -5), slice(5, -5))
    differs = np.abs(back.astype(np.float32) - before)[inner].mean()
    assert differs < 2.5
    assert differs < 0.35 * np.abs(now - before)[inner].mean()


def test_a_shift_is_undone_below_the_cells_without_blurring_them() -> None:
    """Blurred leaves differ from sharp ones as much as birds do; the threshold over a swaying hedge was three times
    as high as over a still one."""
    fine = foliage(3, 4 * ROWS, 4 * COLUMNS)
    grid = Grid(4 * COLUMNS, 4 * ROWS, 20)
    before = grid.frame(np.asarray(fine, np.uint8))
    shaken = grid.frame(np.asarray(np.roll(fine, (1, 2), axis=(0, 1)), np.uint8))
    shift = find_shift(shaken.cells, before.cells.astype(np.float32), None)
    inner = (slice(5, -5), slice(5, -5))
    below = np.abs(undo_shift(shaken, shift).astype(np.float32) - before.cells)[inner].mean()
    on_cells = np.abs(undo_shift(GridFrame(shaken.cells, 0, shaken.cells), shift).astype(np.float32) - before.cells)
    assert below < 0.2 * on_cells[inner].mean()


@pytest.mark.parametrize("noise", [0.5, 3.0, 8.0])
def test_a_still_camera_is_not_moved(noise: float) -> None:
    """A shift found in mere noise would blur every frame and hide small birds."""
    chance = np.random.default_rng(2)
    assert not any(find_shift(seen(moved(0, 0), chance, noise), moved(0, 0), None) for _ in range(20))


@pytest.mark.parametrize("size", [6, 12, 24, 40])
def test_a_bird_that_moves_does_not_drag_the_picture_along(size: int) -> None:
    """A pigeon on a feeder camera covers a tenth of the frame; its steps are not the camera's."""
    chance, place = np.random.default_rng(3), moved(0, 0)
    for step in (1, 3, 6):
        before = with_bird(place, 50, 20, size * 1.2, size)
        now = seen(with_bird(place, 50 + step, 20 + step / 2, size * 1.2, size), chance)
        assert not find_shift(now, before, None)
        assert not find_shift(now, place, None)


def test_what_moves_under_a_held_bird_is_left_out() -> None:
    """A bird so near that it fills most of the frame walks on; where it is known to be, nothing is measured."""
    place = moved(0, 0)
    here = oval(10, -15, 120, 120) > 0
    walking = np.where(here, moved(3, 2), place)
    held_mask = np.where(here, np.uint8(255), np.uint8(0))
    assert here.mean() > 0.6
    assert find_shift(seen(walking, np.random.default_rng(4)), place, None)
    assert not find_shift(seen(walking, np.random.default_rng(4)), place, held_mask)


def test_a_shift_is_measured_although_a_bird_moves() -> None:
    """Wind shakes the camera while birds feed; both are true at once."""
    before = with_bird(moved(0, 0), 60, 30, 24, 20)
    now = seen(with_bird(moved(-2, 1), 72, 26, 24, 20), np.random.default_rng(5))
    shift = find_shift(now, before, None)
    assert (shift.dx, shift.dy) == pytest.approx((-2, 1), abs=0.15)


def test_another_light_is_no_shift() -> None:
    """The sun comes out: every cell is brighter, and none has moved."""
    assert not find_shift(seen(moved(0, 0) + 25, np.random.default_rng(6)), moved(0, 0), None)


def test_where_nothing_has_edges_no_shift_is_invented() -> None:
    """Fog, snow, a white wall; and a fence says nothing about along its boards."""
    chance = np.random.default_rng(7)
    fog = np.full((ROWS, COLUMNS), 120, np.float32)
    fence = fog + 40 * np.sin(np.arange(COLUMNS, dtype=np.float32) / 3)
    assert find_shift(seen(fog, chance), fog, None) == Shift()
    assert find_shift(seen(with_bird(fog, 60, 30), chance), fog, None) == Shift()
    assert abs(find_shift(seen(np.roll(fence, 1, axis=1), chance), fence, None).dy) < 1


def watching() -> tuple[MotionDetector, np.random.Generator]:
    """A gate that knows the place, after 8 s at five looks a second."""
    gate, chance = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS), np.random.default_rng(8)
    for look in range(40):
        gate.update(seen(moved(0, 0), chance), look / 5)
    return gate, chance


def test_in_a_shaken_picture_a_bird_is_found_in_its_place() -> None:
    """The box belongs to the frame as it is, shaken: that is what the crop is cut from."""
    gate, chance = watching()
    look = gate.update(seen(with_bird(moved(2, -1), 70, 40), chance), 8.0)
    inside = [region for region in look.regions if 0.05 < region.box.centre[0] < 0.95]
    assert len(inside) == 1
    assert inside[0].box.iou(gate.grid.box(70, 40, 10, 8)) > 0.6


@pytest.mark.parametrize(("across", "down"), [(2, 0), (-3, 0), (4, 0), (0, 2), (0, -3), (3, -2)])
def test_a_shake_alone_is_no_bird(across: int, down: int) -> None:
    """Every gust a visit, else."""
    gate, chance = watching()
    for look in range(40, 50):
        pushed = look % 2
        assert gate.update(seen(moved(across * pushed, down * pushed), chance), look / 5).regions == ()
