"""A small stream that shows another part of the picture is found out, and boxes are converted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from birdwatchd.camera.view import SAME_VIEW, StreamView, find_view
from birdwatchd.records import Box


def place(seed: int, noise: float = 0.0) -> NDArray[np.uint8]:
    """A main picture, 960 × 540: blurred shapes of every size."""
    chance = np.random.default_rng(seed)
    picture = np.zeros((540, 960))
    for size in (4, 12, 40, 120):
        grid = chance.uniform(-1, 1, (size * 9 // 16 + 1, size))
        picture += cv2.resize(grid, (960, 540), interpolation=cv2.INTER_CUBIC)
    picture = 120 + 25 * picture + np.random.default_rng(seed + 1).normal(0, noise, picture.shape) * (noise > 0)
    return np.clip(picture, 0, 255).astype(np.uint8)


def small(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


MAIN = place(1)
BARRED = cv2.copyMakeBorder(small(MAIN, (480, 270)), 45, 45, 0, 0, cv2.BORDER_CONSTANT)
VIEWS = {
    "same": (small(MAIN, (480, 270)), SAME_VIEW),
    "squeezed": (small(MAIN, (352, 288)), SAME_VIEW),
    "brighter": (np.minimum(small(MAIN, (480, 270)).astype(int) * 5 // 4 + 10, 255).astype(np.uint8), SAME_VIEW),
    "middle": (small(MAIN[:, 120:840], (480, 360)), StreamView(0.125, 0.0, 0.75, 1.0)),
    "left": (small(MAIN[:, :720], (320, 240)), StreamView(0.0, 0.0, 0.75, 1.0)),
    "zoomed": (small(MAIN[54:486, 96:864], (480, 270)), StreamView(0.1, 0.1, 0.8, 0.8)),
    "bars": (BARRED, StreamView(0.0, -1 / 6, 1.0, 4 / 3)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_part_that_is_shown_is_found(name: str) -> None:
    """4:3 out of 16:9 is squeezed by one maker, cut by another, and boxed by a third."""
    picture, expected = VIEWS[name]
    found = find_view(picture, place(1, noise=4.0))
    assert found is not None
    for edge in ("left", "top", "width", "height"):
        assert getattr(found, edge) == pytest.approx(getattr(expected, edge), abs=0.006), edge


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_pictures_of_other_places_are_no_view(seed: int) -> None:
    """While one of the streams shows an error picture nothing is learned."""
    assert find_view(small(place(seed), (480, 360)), MAIN) is None


@pytest.mark.parametrize("value", [0, 128])
def test_a_picture_without_anything_is_no_view(value: int) -> None:
    """At night there is nothing to go by."""
    assert find_view(np.full((240, 320), value, np.uint8), MAIN) is None


@pytest.mark.parametrize("name", VIEWS)
def test_cutting_the_main_picture_gives_the_small_one(name: str) -> None:
    """Birds are looked for in it against the background of the small stream."""
    if name == "brighter":
        return
    picture, view = VIEWS[name]
    cut = view.cut(MAIN, (picture.shape[1], picture.shape[0]))
    assert float(np.abs(cut.astype(int) - picture).mean()) < 2.0


def test_boxes_go_there_and_back_and_end_at_the_edge() -> None:
    """A crop is never cut from beyond the picture."""
    view = StreamView(0.125, -1 / 6, 0.75, 4 / 3)
    box = Box(0.4, 0.3, 0.1, 0.2)
    assert view.to_small(view.to_main(box)).rounded() == box.rounded()
    assert view.to_main(Box(0.0, 0.0, 0.1, 0.2)).rounded() == [0.125, 0.0, 0.075, 0.1]
