"""The empty scene of a recording, from frames that are spread over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.empty_scene import EmptyScene, begin_with_recording, empty_scene
from birdwatchd.camera.motion.grid import Cells, FloatGrid, Grid, GridFrame
from birdwatchd.camera.motion.settings import MotionSettings
from tests.support.drawn_place import COLUMNS, MIN_BIRD, ROWS, foliage, seen, with_bird

PLACE = foliage(3)


def recording(scene_at: Callable[[int], FloatGrid], frames: int = 32, seed: int = 5) -> list[Cells]:
    chance = np.random.default_rng(seed)
    return [seen(scene_at(number), chance, 1.5) for number in range(frames)]


def on_grid(frames: list[Cells]) -> list[GridFrame]:
    return [Grid(COLUMNS, ROWS, MIN_BIRD).frame(frame) for frame in frames]


@dataclass
class Shown:
    """A recording of these frames, and the scenes of those before it."""

    lumas: list[Cells]
    before: list[EmptyScene] = field(default_factory=list)
    learned: EmptyScene | None = None
    seen_before: bool | None = None

    def frames(self) -> list[Cells]:
        return self.lumas

    def earlier(self, grid: Grid) -> list[EmptyScene]:
        return self.before

    def remember(self, grid: Grid, scene: EmptyScene, *, seen_before: bool) -> None:
        self.learned, self.seen_before = scene, seen_before


def new_gate() -> MotionDetector:
    return MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)


def sitting(number: int) -> FloatGrid:
    """A bird on one perch, turning a little: with it for almost half of the frames, the first ones among them."""
    return with_bird(PLACE, 60 + number % 3, 40) if number < 14 else PLACE


def test_the_perch_is_empty_in_the_scene_though_the_bird_sits_there_in_almost_half_of_the_frames() -> None:
    scene = empty_scene(on_grid(recording(sitting)))
    assert scene is not None
    assert np.abs(scene.level - PLACE).mean() < 1.5
    assert np.abs(scene.level - PLACE)[30:50, 50:75].mean() < 2.5


def test_frames_in_another_light_show_the_same_scene() -> None:
    flickers = recording(lambda number: np.asarray(PLACE * (0.9 + 0.2 * (number % 2)) + 4, np.float32))
    scene = empty_scene(on_grid(flickers))
    assert scene is not None
    assert np.corrcoef(scene.level.ravel(), PLACE.ravel())[0, 1] > 0.99
    assert np.median(scene.noise) < 4  # without the light it would be some ten grey levels


def test_a_camera_on_a_pole_in_the_wind_shows_the_bird_too() -> None:
    """Each frame lies elsewhere; learned as they come, every edge would be noise, and the camera blind."""
    fine = foliage(3, 4 * ROWS, 4 * COLUMNS)

    def swaying(number: int, bird: bool) -> Cells:
        scene = with_bird(fine, 240, 160, 44, 36) if bird else fine
        right = round(3 * math.sin(number))
        return seen(np.roll(scene, right, axis=1), np.random.default_rng(number), 1.5)

    gate = MotionDetector(MotionSettings(min_bird=24), 4 * COLUMNS, 4 * ROWS)
    assert begin_with_recording(gate, Shown([swaying(number, number < 8) for number in range(32)])) == 0
    assert np.median(gate.background.threshold) < 9
    for number in range(12):
        found = gate.update(swaying(number, number > 1), number / 5).regions
        assert [region.box.iou(gate.grid.box(60, 40, 11, 9)) > 0.4 for region in found] == [True] * (number > 1)


def test_too_few_frames_give_no_scene() -> None:
    assert empty_scene(on_grid(recording(sitting, frames=5))) is None
    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    assert begin_with_recording(gate, Shown(recording(sitting, frames=5))) is None
    assert gate.background.learning


def test_a_bird_that_is_there_in_the_first_frame_is_seen_in_the_first_frame() -> None:
    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    clutter = begin_with_recording(gate, Shown(recording(sitting)))
    assert clutter == 0
    first = gate.update(recording(sitting)[0], 0.0)
    assert not first.learning
    assert len(first.regions) == 1
    learning = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    assert learning.update(recording(sitting)[0], 0.0).learning  # as a live camera


def test_frames_of_another_size_are_left_out() -> None:
    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    assert begin_with_recording(gate, Shown([frame[:-2] for frame in recording(sitting)])) is None


def test_rain_in_every_frame_is_clutter() -> None:
    chance = np.random.default_rng(1)

    def raining(_: int) -> FloatGrid:
        scene = PLACE
        for _drop in range(8):
            place = (int(chance.integers(10, COLUMNS - 10)), int(chance.integers(10, ROWS - 10)))
            scene = with_bird(scene, *place)
        return scene

    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    clutter = begin_with_recording(gate, Shown(recording(raining)))
    assert clutter is not None
    assert clutter > 2


def turning_its_head(number: int) -> FloatGrid:
    """A bird that sits there from the first frame to the last."""
    return with_bird(with_bird(PLACE, 60, 40), 58 + 4 * (number // 2 % 2), 37, 6, 5)


def seeds_lie_otherwise(number: int) -> FloatGrid:
    """As large as a bird, and nothing of it moves."""
    return with_bird(PLACE, 60, 40)


def scene_of(scene_at: Callable[[int], FloatGrid]) -> EmptyScene:
    scene = empty_scene(on_grid(recording(scene_at, seed=9)))
    assert scene is not None
    return scene


def test_a_bird_that_never_leaves_is_seen_where_an_earlier_recording_shows_the_perch_empty() -> None:
    gate, recorded = new_gate(), Shown(recording(turning_its_head), [scene_of(lambda number: PLACE)])
    begin_with_recording(gate, recorded)
    assert [
        region.box.iou(gate.grid.box(60, 39, 10, 9)) > 0.4 for region in gate.update(recorded.lumas[0], 0.0).regions
    ]
    alone = new_gate()
    begin_with_recording(alone, Shown(recorded.lumas))
    assert not [region for region in alone.update(recorded.lumas[0], 0.0).regions if region.box.area > 0.003]


def test_what_has_changed_at_the_place_since_and_does_not_move_is_no_bird() -> None:
    gate, recorded = new_gate(), Shown(recording(seeds_lie_otherwise), [scene_of(lambda number: PLACE)])
    begin_with_recording(gate, recorded)
    assert not gate.update(recorded.lumas[0], 0.0).regions


def test_a_bird_in_an_earlier_recording_is_not_put_into_this_one() -> None:
    gate, recorded = new_gate(), Shown(recording(lambda number: PLACE), [scene_of(turning_its_head)])
    begin_with_recording(gate, recorded)
    assert not gate.update(recorded.lumas[0], 0.0).regions


def test_a_recording_of_another_place_in_the_same_folder_is_not_used() -> None:
    gate, recorded = new_gate(), Shown(recording(turning_its_head), [scene_of(lambda number: foliage(77))])
    begin_with_recording(gate, recorded)
    assert recorded.learned is not None
    assert np.array_equal(gate.background.level, recorded.learned.level)


FINE = foliage(3, 4 * ROWS, 4 * COLUMNS, spread=40.0)


def in_the_wind(scene: FloatGrid, number: int, aside: int = 0) -> Cells:
    """A frame of a camera on a pole, three a second; it swings by three pixels, around a place some pixels aside."""
    right = aside + round(3 * math.sin(2 * math.pi * number / 3 / 1.37))
    return seen(np.roll(scene, right, axis=1), np.random.default_rng(number), 1.5)


def earlier_in_the_wind(gate: MotionDetector) -> EmptyScene:
    scene = empty_scene([gate.grid.frame(in_the_wind(FINE, number, aside=4)) for number in range(32)])
    assert scene is not None
    return scene


def test_what_has_changed_at_a_place_in_the_wind_is_no_bird() -> None:
    """All of a frame moves there; what lies otherwise than before moves no more than that."""
    seeds = with_bird(FINE, 240, 160, 44, 36)
    gate = MotionDetector(MotionSettings(min_bird=24), 4 * COLUMNS, 4 * ROWS)
    recorded = Shown([in_the_wind(seeds, number) for number in range(32)], [earlier_in_the_wind(gate)])
    begin_with_recording(gate, recorded)
    assert [gate.update(in_the_wind(seeds, number), number / 5).regions for number in range(40, 52)] == [()] * 12


def test_a_bird_that_never_leaves_a_place_in_the_wind_is_seen_and_nothing_beside_it() -> None:
    """What an earlier recording shows lies some pixels aside: put in as it is, its leaves would be birds."""

    def turning(number: int) -> FloatGrid:
        return with_bird(with_bird(FINE, 240, 160, 44, 36), 232 + 16 * (number // 2 % 2), 148, 24, 20)

    gate = MotionDetector(MotionSettings(min_bird=24), 4 * COLUMNS, 4 * ROWS)
    recorded = Shown([in_the_wind(turning(number), number) for number in range(32)], [earlier_in_the_wind(gate)])
    begin_with_recording(gate, recorded)
    bird = gate.grid.box(58, 37, 14, 12)
    for number in range(40, 52):
        found = gate.update(in_the_wind(turning(number), number), number / 5).regions
        assert [region.box.iou(bird) > 0.3 for region in found] == [True]
