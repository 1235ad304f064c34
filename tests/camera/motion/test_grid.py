"""The grid: fractions to cells and back, as coarse as the smallest bird allows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdwatchd.camera.motion.grid import Grid, scaled_min_bird
from birdwatchd.records import Box

SAME = settings(
    max_examples=50, derandomize=True, deadline=None
)  # the same examples in every run, however busy the machine

widths = st.integers(160, 4096)
heights = st.integers(120, 2304)
birds = st.integers(4, 400)
shares = st.floats(0.0, 1.0)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(st.floats(0.0, 0.98)), draw(st.floats(0.0, 0.98))
    return Box(x, y, draw(st.floats(0.001, 1.0 - x)), draw(st.floats(0.001, 1.0 - y)))


@SAME
@given(widths, heights, birds, boxes())
def test_a_box_comes_back_from_the_cells_as_it_went(width: int, height: int, min_bird: int, box: Box) -> None:
    """The crop is cut where the region was; a box that creeps on the way cuts heads off."""
    grid = Grid(width, height, min_bird)
    back = grid.box(*grid.rectangle(box))
    assert (back.x, back.y, back.w, back.h) == pytest.approx((box.x, box.y, box.w, box.h), abs=1e-9)


@SAME
@given(widths, heights, birds, shares, shares, shares, shares)
def test_whole_cells_come_back_from_the_fractions_as_they_went(
    width: int, height: int, min_bird: int, x: float, y: float, w: float, h: float
) -> None:
    """What the gate absorbs or holds must be the very cells in which it saw something, not their neighbours."""
    grid = Grid(width, height, min_bird)
    left, top = int(x * (grid.columns - 1)), int(y * (grid.rows - 1))
    columns, rows = 1 + int(w * (grid.columns - left - 1)), 1 + int(h * (grid.rows - top - 1))
    box = grid.box(left, top, columns, rows)
    assert grid.rectangle(box) == pytest.approx((left, top, columns, rows), abs=1e-6)
    inner = Box(box.x + 1e-7, box.y + 1e-7, box.w - 2e-7, box.h - 2e-7)  # the last digit of a fraction is nobody's cell
    assert grid.slices(inner) == (slice(top, top + rows), slice(left, left + columns))


@SAME
@given(widths, heights, birds, st.floats(-40, 1100), st.floats(-40, 1100), st.floats(1, 300), st.floats(1, 300))
def test_a_box_never_leaves_the_frame(
    width: int, height: int, min_bird: int, left: float, top: float, columns: float, rows: float
) -> None:
    """A shaken camera's regions may lie outside; a box beyond 1 is refused as evidence and costs the camera process."""
    box = Grid(width, height, min_bird).box(left, top, columns, rows)
    assert 0.0 <= box.x <= 1.0
    assert 0.0 <= box.y <= 1.0
    assert 0.0 < box.w <= 1.0
    assert 0.0 < box.h <= 1.0


@SAME
@given(widths, heights, birds, st.floats(-0.5, 1.5), st.floats(-0.5, 1.5), shares, shares, st.floats(0.0, 2.0))
def test_a_box_always_has_cells_in_the_grid(
    width: int, height: int, min_bird: int, x: float, y: float, w: float, h: float, grow: float
) -> None:
    """A bird half out of the frame has an empty cut-out otherwise, and OpenCV throws on those."""
    grid = Grid(width, height, min_bird)
    rows, columns = grid.slices(Box(x, y, w, h), grow)
    assert 0 <= rows.start < rows.stop <= grid.rows
    assert 0 <= columns.start < columns.stop <= grid.columns


@pytest.mark.parametrize(("width", "height"), [(640, 360), (1279, 719), (645, 363)])
def test_a_cell_is_where_its_pixels_are(width: int, height: int) -> None:
    """The last odd pixels belong to no cell; stretched over them, boxes would drift toward the right and the bottom."""
    grid = Grid(width, height, 48)
    box = grid.box(60, 40, 3, 2)
    left, top, right, bottom = (box.x * width, box.y * height, (box.x + box.w) * width, (box.y + box.h) * height)
    assert (left, top, right, bottom) == pytest.approx((60 * 8, 40 * 8, 63 * 8, 42 * 8), abs=1e-6)


def test_a_box_is_grown_by_its_own_size_on_every_side() -> None:
    """Around a held bird nothing is learned as far as its tail and wings reach, however large it is."""
    grid = Grid(640, 360, 24)
    assert grid.slices(grid.box(40, 20, 20, 8), grow=0.25) == (slice(18, 30), slice(35, 65))


@SAME
@given(widths, heights, birds)
def test_the_smallest_bird_is_five_to_ten_cells(width: int, height: int, min_bird: int) -> None:
    """Fewer cells and the bird drowns in noise; more and every camera costs four times the processor."""
    grid = Grid(width, height, min_bird)
    assert grid.cell == 2**grid.halvings
    if min_bird >= 5:
        assert grid.bird_cells >= 5
    coarser = min(width, height) / (2 * grid.cell)
    assert grid.bird_cells < 10 or coarser < 40  # or the frame would say nothing about where


@pytest.mark.parametrize(
    ("width", "height", "min_bird", "shape"),
    [
        (1920, 1080, 24, (270, 480)),
        (1920, 1080, 31, (270, 480)),
        (1920, 1080, 40, (135, 240)),
        (1920, 1080, 7, (1080, 1920)),
        (3840, 2160, 80, (135, 240)),
        (640, 360, 24, (90, 160)),
        (641, 361, 24, (90, 160)),
        (1279, 719, 24, (179, 319)),
        (352, 288, 200, (72, 88)),  # a bird as large as the frame: still 40 cells and more
        (33, 17, 24, (17, 33)),
    ],
)
def test_shapes_of_real_and_odd_sizes(width: int, height: int, min_bird: int, shape: tuple[int, int]) -> None:
    """Cameras send 1279 × 719 and worse; a last odd row or column is left out, not a reason to fail."""
    grid = Grid(width, height, min_bird)
    assert grid.shape == shape
    assert grid.frame(np.zeros((height, width), np.uint8)).cells.shape == shape


@pytest.mark.parametrize(("width", "height"), [(640, 360), (643, 363)])
@pytest.mark.parametrize("min_bird", [8, 16, 24])
def test_a_cell_is_the_mean_of_its_pixels(width: int, height: int, min_bird: int) -> None:
    """A cell that picks single pixels would carry their whole noise, and a bird is told from noise by its cells."""
    grid = Grid(width, height, min_bird)
    luma = np.random.default_rng(7).integers(0, 256, (height, width + 29), dtype=np.uint8)[:, :width]  # rows are padded
    step, rows, columns = grid.cell, grid.rows, grid.columns
    truth = luma[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3))
    assert np.abs(grid.frame(luma).cells - truth).max() <= 1.0  # rounded once per halving


@pytest.mark.parametrize("min_bird", [6, 24])
def test_cells_are_a_copy_of_the_picture(min_bird: int) -> None:
    """The decoder writes the next frame into the same memory; the last cells must not change with it."""
    luma = np.full((360, 640), 90, np.uint8)
    cells = Grid(640, 360, min_bird).frame(luma).cells
    luma[:] = 200
    assert (cells == 90).all()


def test_what_nobody_ignores_is_watched() -> None:
    """The default is to watch everything, to the last cell."""
    assert (Grid(1279, 719, 24).watch_mask(()) == 1).all()


def test_the_whole_frame_can_be_ignored_to_its_last_cell() -> None:
    """A line of cells left over at the border would alarm for ever on the camera's clock."""
    assert not Grid(1279, 719, 24).watch_mask([[(0, 0), (1, 0), (1, 1), (0, 1)]]).any()


@pytest.mark.parametrize(("width", "height", "min_bird"), [(640, 360, 24), (1279, 719, 24), (640, 360, 6)])
def test_ignored_is_what_lies_in_a_polygon(width: int, height: int, min_bird: int) -> None:
    """People draw a triangle around the road; the feeder beside it must stay watched. Exact to a cell."""
    grid = Grid(width, height, min_bird)
    road, flag = [(0.1, 0.2), (0.5, 0.2), (0.1, 0.9)], [(0.4, 0.15), (0.8, 0.15), (0.8, 0.4), (0.4, 0.4)]
    mask = grid.watch_mask([road, flag])
    rows, columns = np.mgrid[: grid.rows, : grid.columns]
    x, y = (columns + 0.5) * grid.cell / width, (rows + 0.5) * grid.cell / height
    inside = np.minimum(np.minimum(x - 0.1, y - 0.2) * 2, 1 - ((x - 0.1) / 0.4 + (y - 0.2) / 0.7))  # > 0 in the road
    inside = np.maximum(inside, np.minimum(np.minimum(x - 0.4, 0.8 - x), np.minimum(y - 0.15, 0.4 - y)) * 2)
    near = 1.5 * grid.cell * 2 / (0.4 * height)
    assert not mask[inside > near].any()
    assert mask[inside < -near].all()
    assert (inside > near).sum() > 0.1 * mask.size


def test_a_polygon_may_reach_beyond_the_frame() -> None:
    """Drawn generously over the edge, it still hides only its own side."""
    mask = Grid(640, 360, 24).watch_mask([[(-0.5, -0.5), (0.25, -0.5), (0.25, 1.5), (-0.5, 1.5)]])
    assert not mask[:, :40].any()
    assert mask[:, 41:].all()


def test_the_smallest_bird_shrinks_with_the_stream() -> None:
    """`min_bird` is said once, in pixels of the main stream; in the small one the same bird is as much smaller."""
    assert scaled_min_bird(48, 640, 1920) == 16
    assert scaled_min_bird(48, 1920, 1920) == 48
    assert scaled_min_bird(24, 352, 3840) == 4  # below 4 pixels a bird is not told from noise


@SAME
@given(st.integers(8, 400), widths, st.integers(1, 8))
def test_the_same_bird_is_the_same_share_of_both_streams(min_bird: int, width: int, times: int) -> None:
    """Otherwise the small stream would miss birds that are asked for, or find insects that are not."""
    scaled = scaled_min_bird(min_bird, width, width * times)
    assert scaled == max(4, round(min_bird / times)) or math.isclose(scaled, min_bird / times, abs_tol=0.5)
