"""Specks are left out, and nothing that is more than a speck."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdwatchd.camera.motion.rois import RoiSizes, bounding_roi, find_rois

ROWS, COLUMNS = 90, 120
SIZES = RoiSizes(min_size=5.2, join=2, margin=7, whole_share=0.2)


def painted(*rectangles: tuple[int, int, int, int]) -> np.ndarray:
    """A mask with these (x, y, width, height) marked, cut to the frame."""
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    for x, y, w, h in rectangles:
        mask[y : y + h, x : x + w] = 255
    return mask


def test_specks_alone_are_nowhere() -> None:
    assert find_rois(painted((3, 3, 2, 2), (110, 80, 3, 3), (60, 40, 1, 5)), SIZES, separate=True) == []


def test_specks_that_are_near_each_other_are_one_part() -> None:
    together = painted((3, 3, 2, 2), (8, 3, 2, 2), (110, 80, 3, 3))
    assert find_rois(together, SIZES, separate=True) == [(slice(0, 12), slice(0, 17))]


@pytest.mark.parametrize("separate", [False, True])
def test_what_takes_little_of_the_picture_is_looked_at_whole(separate: bool) -> None:
    assert find_rois(painted((50, 40, 2, 2)), SIZES, separate=separate) == [(slice(33, 49), slice(43, 59))]


def test_large_parts_far_apart_are_looked_at_apart_or_with_all_between_them() -> None:
    mask = painted((2, 2, 6, 6), (60, 45, 2, 2), (110, 80, 8, 8))
    assert find_rois(mask, SIZES, separate=False) == [bounding_roi(mask, 7)]
    assert find_rois(mask, SIZES, separate=True) == [(slice(0, 15), slice(0, 15)), (slice(73, 90), slice(103, 120))]


def test_large_parts_everywhere_are_looked_at_whole() -> None:
    mask = painted(*[(x, y, 6, 6) for x in range(5, 110, 18) for y in range(5, 80, 18)])
    assert find_rois(mask, SIZES, separate=True) == [bounding_roi(mask, 7)]


rectangle = st.tuples(st.integers(0, COLUMNS - 1), st.integers(0, ROWS - 1), st.integers(1, 12), st.integers(1, 12))


@given(st.lists(rectangle, min_size=1, max_size=14), st.booleans())
@settings(max_examples=300)
def test_every_large_part_is_held_with_its_margin_once(rectangles: list[tuple[int, ...]], separate: bool) -> None:
    mask = painted(*rectangles)  # type: ignore[arg-type]
    rois = find_rois(mask, SIZES, separate=separate)
    times = np.zeros(mask.shape, int)
    for roi in rois:
        times[roi] += 1
    assert times.max() <= 1
    wide = cv2.copyMakeBorder(mask, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(wide, np.ones((5, 5), np.uint8)))
    for label in range(1, count):
        if max(stats[label, cv2.CC_STAT_WIDTH], stats[label, cv2.CC_STAT_HEIGHT]) - 4 < SIZES.min_size:
            continue
        own = np.asarray(cv2.bitwise_and(mask, ((labels[2:-2, 2:-2] == label) * 255).astype(np.uint8)), np.uint8)
        assert times[bounding_roi(own, SIZES.margin)].all()
