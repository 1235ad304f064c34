"""Jumps of the picture to another minute or hour of the same place, drawn cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import av
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.frame import Frame, luma_of
from birdwatchd.camera.motion.detector import MotionDetector, MotionResult
from birdwatchd.camera.motion.grid import FloatGrid
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.observer import Observer
from birdwatchd.records import Evidence
from birdwatchd.settings.cameras import CameraSettings
from tests.support.drawn_place import COLUMNS, MIN_BIRD, ROWS, foliage, oval, seen, with_bird

PLACE = foliage(3)
FPS = 10
JUMP = 30  # looks before it


def in_patches(scene: FloatGrid, patches: int, seed: int = 8) -> FloatGrid:
    """The scene at another minute: the sun lies on other leaves."""
    chance = np.random.default_rng(seed)
    lit = scene.copy()
    for _ in range(patches):
        left, top = chance.uniform(0, COLUMNS - 7), chance.uniform(0, ROWS - 7)
        lit += oval(left, top, 7, 7) * chance.choice([-50.0, 70.0])
    return np.asarray(np.clip(lit, 5, 250), np.float32)


def watch(after: Sequence[FloatGrid], *, before: FloatGrid = PLACE, gap_s: float = 0.0) -> list[MotionResult]:
    """What the gate says from the step on: three seconds of `before`, a gap, then `after`."""
    gate, chance = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS), np.random.default_rng(1)
    looks = []
    for look, scene in enumerate([before] * JUMP + list(after)):
        looks.append(gate.update(seen(scene, chance), look / FPS + (gap_s if look >= JUMP else 0.0)))
    return looks[JUMP:]


def test_other_sunlight_among_the_leaves_is_a_jump_and_no_birds() -> None:
    """Each lit patch became a visit that stayed for minutes."""
    looks = watch([in_patches(PLACE, 40)] * 30)
    assert max(look.foreground_ratio for look in looks) < 0.4, "too little for another scene"
    assert sum(look.jumped for look in looks) == 1
    assert not any(look.regions for look in looks if not look.doubtful)
    assert not looks[-1].learning


def bird_lands() -> list[FloatGrid]:
    return [with_bird(PLACE, 60, 40)] * 10


def bird_at_the_lens() -> list[FloatGrid]:
    return [with_bird(PLACE, 20, 10, 90, 70)] * 10


def three_land() -> list[FloatGrid]:
    return [with_bird(with_bird(with_bird(PLACE, 20, 40), 60, 40), 120, 60)] * 10


def flash() -> list[FloatGrid]:
    return [in_patches(PLACE, 40)] + [PLACE] * 9


def gust() -> list[FloatGrid]:
    return [in_patches(PLACE, 40, seed) for seed in range(10)]


def lamp() -> list[FloatGrid]:
    return [np.asarray(PLACE * 0.8 + 40, np.float32)] * 10


@pytest.mark.parametrize("happens", [bird_lands, bird_at_the_lens, three_land, flash, gust, lamp])
def test_what_is_no_jump(happens: Callable[[], list[FloatGrid]]) -> None:
    """A jump ends every visit and hides what stands there, so birds, wind, lightning and lamps must not be one."""
    assert not any(look.jumped for look in watch(happens()))


@pytest.mark.parametrize(("gap_s", "jumped"), [(0.0, False), (10.0, True)])
def test_after_an_outage_less_must_differ(gap_s: float, jumped: bool) -> None:
    """In ten seconds without frames the sun moves on a little; in a tenth of a second it does not."""
    looks = watch([in_patches(PLACE, 10)] * 10, gap_s=gap_s)
    assert any(look.jumped for look in looks) is jumped


def test_after_an_outage_a_bird_that_came_is_seen() -> None:
    """What differs in one place after a gap may be a bird, and the scene is not learned with it."""
    looks = watch(bird_lands(), gap_s=10.0)
    assert not any(look.jumped for look in looks)
    assert looks[-1].regions


def test_the_place_of_a_bird_that_left_after_the_jump_is_no_bird() -> None:
    """It was learned with the place; among leaves only what was there before the jump tells that it is empty now."""
    later = in_patches(PLACE, 40)
    there = np.asarray(later + 40 * oval(20, 30, 14, 10) * np.sign(foliage(5) - 110), np.float32)  # outlines as leaves
    place = np.asarray(later * (1 - oval(20, 30, 14, 10)) + PLACE * oval(20, 30, 14, 10), np.float32)
    looks = watch([there] * 20 + [place] * 5)
    assert sum(look.jumped for look in looks) == 1
    regions = [region for region in looks[-1].regions if region.box.x < 0.25]
    assert regions
    assert all(region.ghost for region in regions)


def observe(scenes: Sequence[FloatGrid]) -> list[Evidence]:
    """The visits of a camera that sees these looks, each cell four pixels wide."""
    observer = Observer("cam", CameraSettings(source=Source("x.mp4"), min_bird=24))
    chance, found, start = np.random.default_rng(2), [], datetime(2026, 5, 1, tzinfo=UTC)
    for look, scene in enumerate(scenes):
        grey = seen(scene, chance).repeat(4, 0).repeat(4, 1)
        picture = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
        at = start + timedelta(seconds=look / FPS)
        frame = Frame(picture, luma_of(picture), picture.width, picture.height, at, look / FPS, 0.0)
        found += observer.process(frame)
    return [item for item in found + observer.finish() if item.end is not None]


def seconds(at: datetime | None) -> float:
    assert at is not None
    return (at - datetime(2026, 5, 1, tzinfo=UTC)).total_seconds()


def hopping(place: FloatGrid, first: int, looks: int) -> list[FloatGrid]:
    """A bird that hops about."""
    return [with_bird(place, 30 + 8 * np.sin((first + look) / 3), 40 + (first + look) % 2) for look in range(looks)]


def test_a_visit_ends_at_the_last_moment_before_the_jump() -> None:
    """What was seen of a bird before an outage is all that is known of it; its visit went on with dead leaves."""
    later = in_patches(PLACE, 40)
    visits = observe([PLACE] * JUMP + hopping(PLACE, 0, 20) + [later] * 50)
    assert len(visits) == 1
    assert seconds(visits[0].end) == pytest.approx((JUMP + 19) / FPS, abs=0.05)


def test_a_bird_that_is_there_after_the_jump_is_found_when_it_moves() -> None:
    """It is learned with the place, as one that is there when a stream begins, and must not stay hidden."""
    later = in_patches(PLACE, 40)
    visits = observe([PLACE] * JUMP + [with_bird(later, 30, 40)] * 20 + hopping(later, 1, 30) + [later] * 20)
    assert len(visits) == 1
    assert seconds(visits[0].start) == pytest.approx(JUMP / FPS, abs=0.3), "it was there from the jump on"
    assert seconds(visits[0].end) == pytest.approx((JUMP + 50) / FPS, abs=0.3)
