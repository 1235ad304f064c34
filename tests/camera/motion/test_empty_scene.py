"""The empty scene of a recording, from frames that are spread over it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.empty_scene import begin_with_recording, empty_scene
from birdwatchd.camera.motion.grid import Cells, FloatGrid
from birdwatchd.camera.motion.settings import MotionSettings
from tests.support.drawn_place import COLUMNS, MIN_BIRD, ROWS, foliage, seen, with_bird

PLACE = foliage(3)


def recording(scene_at: Callable[[int], FloatGrid], frames: int = 32, seed: int = 5) -> list[Cells]:
    chance = np.random.default_rng(seed)
    return [seen(scene_at(number), chance, 1.5) for number in range(frames)]


def sitting(number: int) -> FloatGrid:
    """A bird on one perch, turning a little: with it for almost half of the frames, the first ones among them."""
    return with_bird(PLACE, 60 + number % 3, 40) if number < 14 else PLACE


def test_the_perch_is_empty_in_the_scene_though_the_bird_sits_there_in_almost_half_of_the_frames() -> None:
    scene = empty_scene(recording(sitting))
    assert scene is not None
    assert np.abs(scene.level - PLACE).mean() < 1.5
    assert np.abs(scene.level - PLACE)[30:50, 50:75].mean() < 2.5


def test_frames_in_another_light_show_the_same_scene() -> None:
    scene = empty_scene(recording(lambda number: np.asarray(PLACE * (0.9 + 0.2 * (number % 2)) + 4, np.float32)))
    assert scene is not None
    assert np.corrcoef(scene.level.ravel(), PLACE.ravel())[0, 1] > 0.99
    assert np.median(scene.noise) < 4  # without the light it would be some ten grey levels


def test_too_few_frames_give_no_scene() -> None:
    assert empty_scene(recording(sitting, frames=5)) is None
    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    assert begin_with_recording(gate, recording(sitting, frames=5)) is None
    assert gate.background.learning


def test_a_bird_that_is_there_in_the_first_frame_is_seen_in_the_first_frame() -> None:
    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    clutter = begin_with_recording(gate, recording(sitting))
    assert clutter == 0
    first = gate.update(recording(sitting)[0], 0.0)
    assert not first.learning
    assert len(first.regions) == 1
    learning = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    assert learning.update(recording(sitting)[0], 0.0).learning  # as a live camera


def test_frames_of_another_size_are_left_out() -> None:
    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    assert begin_with_recording(gate, [frame[:-2] for frame in recording(sitting)]) is None


def test_rain_in_every_frame_is_clutter() -> None:
    chance = np.random.default_rng(1)

    def raining(_: int) -> FloatGrid:
        scene = PLACE
        for _drop in range(8):
            place = (int(chance.integers(10, COLUMNS - 10)), int(chance.integers(10, ROWS - 10)))
            scene = with_bird(scene, *place)
        return scene

    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    clutter = begin_with_recording(gate, recording(raining))
    assert clutter is not None
    assert clutter > 2
