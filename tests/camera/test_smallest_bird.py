"""How small a bird may be in pictures of different sizes, as an observer with default settings has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import av
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.frame import Frame, luma_of
from birdwatchd.camera.motion.grid import scaled_min_bird
from birdwatchd.camera.observer import Observer
from birdwatchd.settings.cameras import CameraSettings, auto_min_bird

START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)
FPS = 12


def watched(
    width: int, height: int, bird_px: int, seconds: float = 9.0, full: Any = None, **settings: Any
) -> tuple[Observer, int]:
    """An observer, and how many visits it found when it was shown a bird of this size.

    The bird comes in from the left at second 4 and stays.
    """
    camera = CameraSettings(source=Source("x.mp4"), **settings)
    observer = Observer("cam", camera, media="x.mp4", full=full)
    chance = np.random.default_rng(5)
    found: set[str] = set()
    ground = chance.integers(70, 130, (height // 20, width // 20)).repeat(20, 0).repeat(20, 1)
    for index in range(int(seconds * FPS)):
        luma = ground + chance.normal(0, 2.5, ground.shape)
        if index >= 4 * FPS:
            left, top = min(width // 2, (index - 4 * FPS) * bird_px // 2), height // 2
            luma[top : top + bird_px, left : left + bird_px] = 210
        picture = av.VideoFrame.from_ndarray(np.clip(luma, 0, 255).astype(np.uint8), format="gray").reformat(
            format="yuv420p"
        )
        at = START + timedelta(seconds=index / FPS)
        frame = Frame(picture, luma_of(picture), picture.width, picture.height, at, index / FPS, 0.0)
        found |= {item.visit_id for item in observer.process(frame)}
    found |= {item.visit_id for item in observer.finish()}
    return observer, len(found)


def test_birds_of_a_small_picture_are_seen_by_default() -> None:
    """24 pixels are a tenth of the height of such a picture, and magpies at a pylon are smaller than that."""
    _, visits = watched(320, 240, 17)
    assert visits == 1
    _, visits = watched(320, 240, 17, min_bird=24)
    assert visits == 0


@pytest.mark.parametrize("size", [(320, 240), (640, 360), (1280, 720)])
def test_a_speck_is_no_bird_by_default(size: tuple[int, int]) -> None:
    """Insects stay out."""
    _, visits = watched(*size, auto_min_bird(*size) // 3)
    assert visits == 0


class Main:
    """A main stream of 4K whose pictures never come."""

    size = (3840, 2160)
    alive = False

    def release(self) -> None: ...


def test_of_two_streams_the_main_one_says_how_small() -> None:
    """The small stream shows the same birds, and a bird that is too small for the main stream is too small for it."""
    gate = watched(640, 360, 20, 1.0, full=Main())[0].gate
    assert gate is not None
    assert gate.settings.min_bird == scaled_min_bird(auto_min_bird(3840, 2160), 640, 3840) == 8
    alone = watched(640, 360, 20, 1.0)[0].gate
    assert alone is not None
    assert alone.settings.min_bird == auto_min_bird(640, 360)
