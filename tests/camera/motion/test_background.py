"""The background model of an empty scene: its noise, its sway, its illumination, and other scenes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdwatchd.camera.motion.background import Background, learning_rate
from birdwatchd.camera.motion.detector import MotionDetector, MotionResult
from birdwatchd.camera.motion.grid import Cells, FloatGrid, Grid
from birdwatchd.camera.motion.settings import BackgroundSettings, MotionSettings
from birdwatchd.records import Box, Region
from tests.support.drawn_place import COLUMNS, MIN_BIRD, ROWS, foliage, oval, seen, with_bird

DAY = foliage(3)
LAMP = 0.25 + 0.75 * np.exp(-(((np.mgrid[:ROWS, :COLUMNS] - [[[45]], [[80]]]) / [[[40]], [[60]]]) ** 2).sum(axis=0))
NIGHT = np.asarray((200 - 0.75 * DAY + foliage(4, mean=0, spread=9)) * LAMP, np.float32)  # leaves are pale in infra-red
GRID = Grid(COLUMNS, ROWS, MIN_BIRD)
LEFT, RIGHT = (30, 40), (110, 40)  # where birds sit, in cells
WHOLE = (slice(0, ROWS), slice(0, COLUMNS))
NOTHING = np.zeros((ROWS, COLUMNS), np.uint8)


@dataclass
class Camera:
    """A camera over a drawn place, and the gate that looks at it."""

    fps: float = 5.0
    noise: float | FloatGrid = 1.5
    gate: MotionDetector = field(
        default_factory=lambda: MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    )
    at: float = 0.0
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def look(self, scene: FloatGrid, held: tuple[Box, ...] = ()) -> MotionResult:
        look = self.gate.update(seen(scene, self.chance, self.noise), self.at, held)
        self.at += 1 / self.fps
        return look

    def watch(self, scene: FloatGrid, seconds: float, held: tuple[Box, ...] = ()) -> list[MotionResult]:
        return [self.look(scene, held) for _ in range(round(seconds * self.fps))]


def bird_at(place: tuple[int, int], columns: float = 10, rows: float = 8) -> Box:
    return GRID.box(*place, columns, rows)


def on_bird(look: MotionResult, box: Box) -> list[Region]:
    return [region for region in look.regions if region.box.iou(box) > 0.5]


def learned(cells: Cells, settings: BackgroundSettings | None = None) -> Background:
    """A background that knows a scene without noise."""
    background = Background(settings or BackgroundSettings(), GRID)
    while background.learning:
        background.bootstrap(cells, 0.2)
    return background


# -- noise and sway ------------------------------------------------------------------------------------------------


def half_noisy() -> Camera:
    """Right of the middle the scene boils: a dark corner at high gain, water, a cheap sensor."""
    noise = np.full((ROWS, COLUMNS), 1.0, np.float32)
    noise[:, COLUMNS // 2 :] = 7.0
    return Camera(noise=noise)


def test_noise_is_learned_where_it_is() -> None:
    """One threshold for the whole scene would be deaf on the calm side or shout on the noisy one."""
    camera = half_noisy()
    camera.watch(DAY, 20)
    needed = camera.gate.threshold_map()
    assert np.median(needed[:, : COLUMNS // 2 - 4]) == pytest.approx(7.0, abs=0.5)  # `min_contrast`
    assert np.median(needed[:, COLUMNS // 2 + 4 :]) > 3 * 7.0


def test_a_faint_bird_is_seen_where_it_is_calm_and_a_plain_one_where_it_is_noisy() -> None:
    """A wren in the shade differs by a few grey levels; where the scene boils by as much, only more is a bird."""

    def faint(place: tuple[int, int], by: float) -> FloatGrid:
        return np.asarray(DAY + by * oval(*place, 10, 8) * np.where(DAY > 110, -1, 1), np.float32)

    camera = half_noisy()
    camera.watch(DAY, 20)
    assert on_bird(camera.look(faint(LEFT, 22)), bird_at(LEFT))
    assert camera.look(faint(RIGHT, 22)).regions == ()
    assert on_bird(camera.look(faint(RIGHT, 90)), bird_at(RIGHT))


def test_noise_alone_is_never_a_bird() -> None:
    """A night at high gain is long; every false alarm in it is a visit in the morning."""
    camera = half_noisy()
    camera.watch(DAY, 5)
    assert all(look.regions == () for look in camera.watch(DAY, 30))


def test_the_threshold_follows_the_noise_down_again() -> None:
    """At dawn the gain goes down; a gate that stays deaf misses the best hour."""
    camera = Camera(noise=7.0)
    camera.watch(DAY, 10)
    deaf = float(np.median(camera.gate.threshold_map()))
    camera.noise = 1.0
    camera.watch(DAY, 40)
    assert np.median(camera.gate.threshold_map()) < 0.4 * deaf


def test_a_gust_is_remembered_where_it_was_and_forgotten_after_minutes() -> None:
    """The branch that swayed sways again in the next gust; it must not hide birds for the rest of the day."""
    background = learned(np.rint(DAY).astype(np.uint8))
    here = (slice(20, 28), slice(60, 72))
    away = np.full((ROWS, COLUMNS), 40, np.float32)
    part = np.ones((8, 12), np.bool_)
    background.raise_sway(away, part, here)
    background.update_threshold()
    assert background.threshold[here].min() == pytest.approx(0.7 * 40)
    assert background.threshold[19:29, 59:73].min() == pytest.approx(0.7 * 40)  # and one cell further
    assert background.threshold[10:17, :].max() == pytest.approx(7.0)
    after = []
    for _ in range(2):
        for _ in range(120):
            background.update(np.rint(DAY).astype(np.uint8), np.zeros_like(away), 1.0, NOTHING, None)
        after.append(float(background.threshold[here].max()))
    assert after == [pytest.approx(0.7 * 40 / math.e, abs=0.5), pytest.approx(7.0)]


# -- light ---------------------------------------------------------------------------------------------------------


@settings(max_examples=20, derandomize=True, deadline=None)
@given(st.floats(0.5, 1.6), st.floats(-20, 30), st.integers(0, 2**32 - 1))
def test_the_light_is_found_with_a_bird_in_the_picture(gain: float, offset: float, seed: int) -> None:
    """A cloud passes while a pigeon sits close to the lens: the pigeon is no light."""
    background = learned(np.rint(DAY).astype(np.uint8))
    truth = DAY * gain + offset
    now = seen(with_bird(truth, 60, 30, 40, 34), np.random.default_rng(seed))
    illumination = background.fit_illumination(now)
    assert illumination is not None
    unclipped = (truth > 3) & (truth < 252)
    assert np.abs(DAY * illumination.gain + illumination.offset - truth)[unclipped].mean() < 2.0
    if abs(gain - 1) > 0.1:
        assert illumination.gain == pytest.approx(gain, abs=0.05)
        assert illumination.offset == pytest.approx(offset, abs=5.0)


def test_the_memory_follows_the_light_also_under_a_bird() -> None:
    """When the bird leaves after the cloud came, what it hid must already be known in the new light."""
    background = learned(np.rint(DAY).astype(np.uint8))
    illumination = background.fit_illumination(seen(with_bird(DAY * 0.7 + 10, *LEFT), np.random.default_rng(1), 0.5))
    assert illumination is not None
    background.apply_illumination(illumination)
    assert np.abs(background.level - (DAY * 0.7 + 10)).max() < 3.0


def test_no_light_makes_another_picture_of_this_one() -> None:
    """Infra-red and a turned camera look so; explained as light they would leave a frame full of birds."""
    background = learned(np.rint(DAY).astype(np.uint8))
    chance = np.random.default_rng(1)
    assert background.fit_illumination(seen(NIGHT, chance)) is None
    assert background.fit_illumination(seen(np.roll(DAY, 20, axis=1), chance)) is None
    assert background.fit_illumination(seen(DAY * 0.6, chance)) is not None


def test_clouds_cost_no_alarm_and_hide_no_bird() -> None:
    """Sun and cloud in turn, one second each way: the commonest weather there is."""
    camera = Camera()
    camera.watch(DAY, 6)
    for look in range(60):
        light = 0.75 + 0.25 * math.cos(look * math.pi / 5)
        assert camera.look(DAY * np.float32(light)).regions == ()
    assert on_bird(camera.look(with_bird(DAY, *LEFT) * np.float32(0.5)), bird_at(LEFT))


# -- learning ------------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None)
@given(st.floats(0.01, 2.0), st.floats(0.5, 200.0))
def test_learning_depends_on_time_and_not_on_how_often_one_looks(step_s: float, constant_s: float) -> None:
    """Five looks a second in quiet and thirty in a flurry must forget equally fast."""
    twice = 1 - (1 - learning_rate(step_s / 2, constant_s)) ** 2
    assert learning_rate(step_s, constant_s) == pytest.approx(twice)
    assert learning_rate(constant_s, constant_s) == pytest.approx(1 - 1 / math.e)


def test_under_a_held_bird_nothing_is_learned() -> None:
    """A dove that sleeps for half an hour must neither fade nor leave a hole that is taken for a bird."""
    background = learned(np.rint(DAY).astype(np.uint8))
    now = np.rint(DAY + 60).astype(np.uint8)
    held, foreground = NOTHING.copy(), NOTHING.copy()
    held[:, :50], foreground[:, 40:100] = 255, 255
    away = np.full((ROWS, COLUMNS), 60, np.float32)
    before = background.level.copy()
    for _ in range(25):
        background.update(now, away, 1.0, foreground, held)
    went = (background.level - before) / (now - before)
    assert np.abs(went[:, :50]).max() < 0.01  # held, also where something stands
    assert went[:, 50:100].mean() == pytest.approx(1 - 1 / math.e, abs=0.01)  # foreground: slowly
    assert went[:, 100:].min() > 0.98  # nothing there: at once


def test_what_stands_there_becomes_background_within_minutes() -> None:
    """A garden chair put into the scene is not seen for ever; a bird that is held is."""
    camera, chair = Camera(2.5), with_bird(DAY, *LEFT)
    camera.watch(DAY, 6)
    assert camera.look(chair).regions
    assert all(look.regions == () for look in camera.watch(chair, 120)[-10:])

    camera, box = Camera(2.5), bird_at(LEFT)
    camera.watch(DAY, 6)
    assert all(on_bird(look, box) for look in camera.watch(chair, 120, held=(box,)))


def test_what_is_absorbed_is_background_at_once() -> None:
    """A ghost must be gone with the next look, and only there."""
    camera, both = Camera(), with_bird(with_bird(DAY, *LEFT), *RIGHT)
    camera.watch(DAY, 6)
    assert len(camera.look(both).regions) == 2
    camera.gate.absorb(bird_at(LEFT))
    regions = camera.look(both).regions
    assert len(regions) == 1
    assert regions[0].box.iou(bird_at(RIGHT)) > 0.5


@pytest.mark.parametrize("fps", [1.0, 5.0, 30.0])
def test_birds_are_looked_for_soon_after_the_start(fps: float) -> None:
    """A daemon that is started at the feeder should see its first bird while one still stands there."""
    camera = Camera(fps)
    learning = [look.learning for look in camera.watch(DAY, max(4.0, 6 / fps))]
    assert learning == sorted(learning, reverse=True)
    assert sum(learning) / fps <= max(2.0, 5 / fps)
    assert sum(learning) >= 4  # noise is not known from fewer


# -- other scenes ------------------------------------------------------------------------------------------------

Switch = Callable[[FloatGrid, float], FloatGrid]


def at_once(scene: FloatGrid, since: float) -> FloatGrid:
    return scene


def exposure_settles(scene: FloatGrid, since: float) -> FloatGrid:
    """The lamps are on before the camera has turned its gain down."""
    return np.asarray(scene * (1 + 0.5 * math.exp(-since / 0.3)), np.float32)


DARK_S = 0.25


def filter_moves(scene: FloatGrid, since: float) -> FloatGrid:
    """While the infra-red filter moves across the sensor, frames are dark."""
    return np.full_like(scene, 6) if since < DARK_S else scene


@dataclass
class After:
    """What happened after a switch."""

    looking_s: float
    reported: int
    found: bool


def switched(camera: Camera, scene: FloatGrid, switch: Switch, seconds: float = 10.0) -> After:
    """Another scene from now on; a bird comes 1.5 s after the switch for half a second."""
    looking_s, reported, found = math.inf, 0, False
    for number in range(round(seconds * camera.fps)):
        since = number / camera.fps
        bird = 1.5 <= since < 2.0
        now = switch(scene, since)
        look = camera.look(with_bird(now, *LEFT) if bird else now)
        if not look.learning and not look.global_change:
            looking_s = min(looking_s, since)
        if bird:
            found = found or bool(on_bird(look, bird_at(LEFT)))
        else:
            reported += len(look.regions)
    return After(looking_s, reported, found)


SWITCHES = [
    at_once,
    exposure_settles,
    filter_moves,
]


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("fps", [5.0, 12.0, 15.0])
def test_day_and_night_are_two_pictures_that_are_both_remembered(fps: float, switch: Switch) -> None:
    """The camera goes over to infra-red every evening, at dusk several times: no false bird, and no true one missed."""
    camera = Camera(fps)
    camera.watch(DAY, 12)
    night, day, night_again, day_again = (switched(camera, p, switch) for p in (NIGHT, DAY, NIGHT, DAY))
    for after in (night, day, night_again, day_again):
        assert after.looking_s <= 1.0 + (DARK_S if switch is filter_moves else 0.0)
        assert after.reported == 0
        assert after.found
    assert night_again.looking_s <= night.looking_s
    assert day.looking_s <= night.looking_s  # known from the beginning
    assert day_again.looking_s <= night.looking_s


def test_three_pictures_are_told_apart_in_any_order() -> None:
    """Day, infra-red and the neighbour's floodlight: the one that was away longest is remembered like the others."""
    camera, floodlight = Camera(12), np.asarray(255.0 - DAY, np.float32)
    for scene in (DAY, NIGHT, floodlight):
        camera.watch(scene, 12)
    for scene in (DAY, NIGHT, floodlight, NIGHT, DAY):
        after = switched(camera, scene, at_once, 10.0)
        assert (after.looking_s <= 0.2, after.reported, after.found) == (True, 0, True)


def test_a_known_picture_is_looked_at_from_the_second_look_on() -> None:
    """A floodlight with a motion sensor switches because something moves: that something would be missed."""
    camera = Camera(12)
    camera.watch(DAY, 10)
    camera.watch(NIGHT, 10)
    first, *rest = camera.watch(DAY, 1)
    assert first.global_change
    assert not any(look.global_change or look.learning or look.regions for look in rest)


def test_a_known_picture_is_known_again_in_another_light() -> None:
    """The infra-red switches off at dawn, when it is darker than it was at dusk."""
    camera = Camera(12)
    camera.watch(DAY, 10)
    camera.watch(NIGHT, 10)
    looks = camera.watch(DAY * np.float32(0.7), 1)
    assert [look.global_change for look in looks] == [True, *[False] * 11]
    assert not any(look.learning or look.regions for look in looks)
    assert on_bird(camera.look(with_bird(DAY * np.float32(0.7), *LEFT)), bird_at(LEFT))


def test_a_remembered_picture_is_remembered_after_a_short_visit_to_it() -> None:
    """A floodlight that goes on for five seconds at a time must not wipe out the scene of the night."""
    camera = Camera(12)
    camera.watch(DAY, 10)
    camera.watch(NIGHT, 10)
    camera.watch(DAY, 4)  # known for long, there for a moment
    camera.watch(NIGHT, 10)
    assert not any(look.learning for look in camera.watch(DAY, 1))


def test_what_lies_between_two_pictures_is_not_remembered() -> None:
    """Dusk goes through many scenes; each kept would push the models of day and night out."""
    camera = Camera(12)
    camera.watch(DAY, 10)
    for seed in range(4):
        camera.watch(foliage(10 + seed), 2)
    camera.watch(NIGHT, 10)
    assert not any(look.learning for look in camera.watch(DAY, 1))


def through_the_switch(camera: Camera) -> list[MotionResult]:
    """A bird is held by day and sits on while the camera goes over to infra-red; the last second of looks at it."""
    box = bird_at(LEFT)
    camera.watch(DAY, 10)
    camera.watch(with_bird(DAY, *LEFT), 1, held=(box,))
    looks = camera.watch(with_bird(NIGHT, *LEFT), 2, held=(box,))
    assert looks[0].global_change
    return looks[12:]


def test_a_bird_that_sits_through_a_switch_is_seen_on_and_leaves_no_ghost() -> None:
    """Nobody tells the owl that the camera goes over to infra-red: it is one visit, and ends when the owl goes."""
    camera = Camera(12)
    camera.watch(NIGHT, 10)
    assert all(on_bird(look, bird_at(LEFT)) for look in through_the_switch(camera))
    assert not any(look.regions for look in camera.watch(NIGHT, 3)[6:])


def test_a_bird_that_sits_through_the_first_switch_is_seen_on() -> None:
    """The same on the first evening, when what the owl hides can only be guessed: roughly in its place."""
    for look in through_the_switch(Camera(12)):
        assert any(region.box.iou(bird_at(LEFT)) > 0.3 for region in look.regions)


def test_a_turned_camera_is_watched_again_within_a_second() -> None:
    """Somebody moves the feeder camera by a hand's breadth; the first bird comes as soon as he has gone."""
    camera = Camera(12)
    camera.watch(DAY, 10)
    after = switched(camera, np.roll(DAY, (9, 14), axis=(0, 1)), at_once, 3.0)
    assert after.looking_s <= 1.0
    assert after.reported == 0
    assert after.found


@pytest.mark.parametrize(("cells", "far", "swaying"), [(1, 40, False), (40, 9, False), (40, 40, True)])
def test_a_picture_sways_where_more_than_a_speck_went_far(cells: int, far: int, swaying: bool) -> None:
    """The blocks of a key frame go nowhere; a gust does, and its small leaves are worth remembering."""
    background = learned(np.rint(DAY).astype(np.uint8))
    part = np.zeros((8, 12), np.bool_)
    part.flat[:cells] = True
    background.raise_sway(np.full((ROWS, COLUMNS), far, np.float32), part, (slice(20, 28), slice(60, 72)))
    background.update_threshold()
    assert background.swaying is swaying


# -- something large ---------------------------------------------------------------------------------------------


def hen(scene: FloatGrid, share: float) -> FloatGrid:
    """A hen, or a head, that hides this share of the frame's width and height."""
    columns, rows = round(COLUMNS * share), round(ROWS * share)
    result = scene.copy()
    result[ROWS - rows :, :columns] = foliage(8, mean=80, spread=30)[ROWS - rows :, :columns]
    return result


@pytest.mark.parametrize("share", [0.6, 0.75, 0.85])
def test_a_bird_larger_than_half_of_the_frame_is_a_bird_and_no_new_scene(share: float) -> None:
    camera = Camera()
    camera.watch(DAY, 3)
    before = camera.gate.background.level.copy()
    looks = camera.watch(hen(DAY, share), 1.0)
    assert not any(look.global_change or look.learning for look in looks)
    assert looks[-1].regions[0].box.area > 0.8 * share * share
    after = camera.watch(DAY, 1.0)
    assert not after[-1].regions
    assert np.abs(camera.gate.background.level - before).mean() < 2


def test_a_new_scene_behind_a_bird_that_holds_two_thirds_of_the_frame_gives_a_background_of_numbers() -> None:
    """It became NaN for ever, and the camera saw nothing any more while it said `online`."""
    camera = Camera()
    camera.watch(DAY, 3)
    held = (Box(0.15, 0.15, 0.7, 0.7),)
    camera.watch(NIGHT, 5, held)
    assert np.isfinite(camera.gate.background.level).all()
    assert np.isfinite(camera.gate.background.threshold).all()
    camera.watch(NIGHT, 20)
    looks = camera.watch(with_bird(NIGHT, *LEFT), 1.0)
    assert on_bird(looks[-1], bird_at(LEFT))


def test_a_background_that_is_not_finite_is_learned_anew(caplog: pytest.LogCaptureFixture) -> None:
    camera = Camera()
    camera.watch(DAY, 3)
    camera.gate.background.level[10, 10] = np.nan
    camera.watch(DAY, 5)
    assert np.isfinite(camera.gate.background.level).all()
    assert "not finite" in caplog.text
    assert on_bird(camera.watch(with_bird(DAY, *LEFT), 1.0)[-1], bird_at(LEFT))


def test_a_background_that_explains_everything_and_fits_nothing_is_learned_anew() -> None:
    """Whatever led to it: a picture that differs everywhere for long, and no region in it, is another scene."""
    camera = Camera()
    camera.watch(DAY, 3)
    camera.gate.background.settings = BackgroundSettings(absorb_s=1e9, scene_change_share=2.0)
    camera.gate.settings = MotionSettings(min_bird=MIN_BIRD, min_change_score=2.0)  # everything has an explanation
    looks = camera.watch(NIGHT, 40)
    assert sum(look.global_change for look in looks) == 1
    assert looks[-1].foreground_ratio < 0.1
