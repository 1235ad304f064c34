"""A place that cannot be watched is called so, with the reason; an ordinary one never is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest

from birdwatchd.camera.blindness import explain
from birdwatchd.camera.motion.detector import MotionDetector, MotionResult
from birdwatchd.camera.motion.grid import Cells, FloatGrid
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.motion.sight import Sight
from birdwatchd.records import Blindness
from tests.support.drawn_place import COLUMNS, MIN_BIRD, ROWS, foliage, seen, with_bird

FPS = 5.0
PLACE = foliage(3)
Draw = Callable[[float, np.random.Generator], Cells]


@dataclass
class Watched:
    """A camera over a drawn place, its gate, and how well birds can be seen by it."""

    settings: MotionSettings = field(default_factory=lambda: MotionSettings(min_bird=MIN_BIRD))
    sight: Sight = field(default_factory=Sight)
    at_s: float = 0.0
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def __post_init__(self) -> None:
        self.gate = MotionDetector(self.settings, COLUMNS, ROWS)

    def watch(self, draw: Draw, seconds: float) -> list[tuple[float, Blindness | None]]:
        """The changes of the verdict, with their seconds."""
        changes = []
        for _ in range(round(seconds * FPS)):
            before = self.sight.blind
            motion = self.gate.update(draw(self.at_s, self.chance), self.at_s)
            self.sight.update(self.gate, motion, self.at_s, birds=False)
            if self.sight.blind is not before:
                changes.append((self.at_s, self.sight.blind))
            self.at_s += 1 / FPS
        return changes


def calm(at_s: float, chance: np.random.Generator) -> Cells:
    """Foliage, of which a fifth sways, and a bird that comes every ten seconds."""
    scene = PLACE.copy()
    sway = round(1.5 * math.sin(4 * at_s))
    scene[:, :32] = np.roll(PLACE, sway, axis=1)[:, :32]
    if at_s % 10 > 6:
        scene = with_bird(scene, 60 + 5 * (at_s % 10 - 6), 40)
    return seen(scene, chance)


def swinging(cells: float, degrees: float) -> Draw:
    """A camera that swings to and fro once a second, and turns a little with it."""

    def draw(at_s: float, chance: np.random.Generator) -> Cells:
        turn = cv2.getRotationMatrix2D((COLUMNS / 2, ROWS / 2), degrees * math.sin(5.1 * at_s + 1), 1.0)
        turn[0, 2] += cells * math.sin(6.3 * at_s)
        moved: Any = cv2.warpAffine(PLACE, turn, (COLUMNS, ROWS), borderMode=cv2.BORDER_REFLECT_101)
        return seen(moved, chance)

    return draw


def moving_noise(at_s: float, chance: np.random.Generator) -> Cells:
    """Water in the sun: spots of some cells, elsewhere in every frame."""
    spots = cv2.GaussianBlur(chance.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32), (0, 0), 2.0)
    return seen(np.asarray(110 + 45 * spots / spots.std(), np.float32), chance)


def of(scene: FloatGrid, noise: float = 1.5) -> Draw:
    return lambda at_s, chance: seen(scene, chance, noise)


def frozen(at_s: float, chance: np.random.Generator) -> Cells:
    return seen(PLACE, np.random.default_rng(1))


def black(at_s: float, chance: np.random.Generator) -> Cells:
    return seen(np.full((ROWS, COLUMNS), 16, np.float32), chance, 0.8)


def fog(at_s: float, chance: np.random.Generator) -> Cells:
    return seen(np.asarray(170 + 0.02 * (PLACE - 110), np.float32), chance, 0.8)


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (swinging(14, 3.0), Blindness.SHAKING),
        (moving_noise, Blindness.RESTLESS),
        (frozen, Blindness.FROZEN),
        (black, Blindness.DARK),
        (fog, Blindness.FLAT),
    ],
    ids=lambda value: getattr(value, "value", getattr(value, "__name__", "swinging")),
)
def test_what_cannot_be_watched_is_called_so_within_a_minute_or_so(draw: Draw, why: Blindness) -> None:
    """From outside it looks like a quiet place, for weeks."""
    watched = Watched()
    changes = watched.watch(draw, 120)
    assert [blind for _, blind in changes] == [why]
    assert 15 < changes[0][0] < 90, "a passing car or a hand is no blindness, and two minutes are a visit"
    assert explain(why)


@pytest.mark.parametrize("draw", [calm, swinging(1.5, 0.0), of(PLACE), of(foliage(3, mean=60, spread=9))])
def test_an_ordinary_place_is_never_called_blind(draw: Draw) -> None:
    """A warning that comes every windy day is switched off, and then it warns nobody."""
    watched = Watched()
    assert watched.watch(draw, 150) == []
    assert watched.sight.spell() is None


def test_it_sees_again_when_the_place_is_still_again() -> None:
    """The lens is wiped, and the log says so without a restart."""
    watched = Watched()
    watched.watch(calm, 30)
    assert [blind for _, blind in watched.watch(black, 90)] == [Blindness.DARK]
    assert [blind for _, blind in watched.watch(calm, 120)] == [None]


def test_a_short_disturbance_is_not_worth_a_line() -> None:
    """A hand that fills the feeder covers everything for ten seconds."""
    watched = Watched()
    watched.watch(calm, 30)
    assert watched.watch(black, 10) == []
    assert watched.watch(calm, 30) == []


def test_pictures_that_differ_in_key_frames_only_are_not_frozen() -> None:
    """A camera that saves bits repeats a calm picture for many seconds."""

    def saved(at_s: float, chance: np.random.Generator) -> Cells:
        return seen(PLACE, np.random.default_rng(int(at_s // 12)))

    assert Watched().watch(saved, 150) == []


def test_what_moves_in_an_ignored_place_does_not_matter() -> None:
    """Who has drawn `ignore` over the water has done what could be done."""
    settings = MotionSettings(min_bird=MIN_BIRD, ignore=(((0, 0), (0.7, 0), (0.7, 1), (0, 1)),))

    def half(at_s: float, chance: np.random.Generator) -> Cells:
        cells = seen(PLACE, chance)
        cells[:, : int(0.66 * COLUMNS)] = moving_noise(at_s, chance)[:, : int(0.66 * COLUMNS)]
        return cells

    assert [blind for _, blind in Watched().watch(half, 120)] == [Blindness.RESTLESS]
    assert Watched(settings).watch(half, 120) == []


class Gate:
    """A gate of which a given share of the cells is insensitive."""

    settings = MotionSettings()

    def __init__(self, shares: Iterator[float]) -> None:
        self.background: Any = type("Background", (), {"level": PLACE})
        self._shares, self._number = shares, 0

    @property
    def cells(self) -> Cells:
        self._number += 1
        return np.full((2, 2), self._number % 251, np.uint8)

    def insensitive_share(self, contrast: float) -> float:
        return next(self._shares)


def test_the_verdict_does_not_flap() -> None:
    """A gusty day is one line in the log, not one for every gust."""
    chance = np.random.default_rng(2)
    gusts = [0.6 + 0.1 * math.sin(second / 20) + chance.normal(0, 0.2) for second in range(900)]
    lulls = [0.38 + chance.normal(0, 0.1) for _ in range(600)]
    still = [0.05] * 200
    gate: Any = Gate(iter([*gusts, *lulls, *still]))
    sight, changes = Sight(), []
    for second in range(1700):
        before = sight.blind
        sight.update(gate, MotionResult((), shaken=True), float(second), birds=False)
        if sight.blind is not before:
            changes.append((sight.blind, second > 1500))
    assert changes == [(Blindness.SHAKING, False), (None, True)]


@pytest.mark.parametrize(("birds", "blind"), [(True, None), (False, Blindness.RESTLESS)])
def test_a_bird_that_fills_the_picture_does_not_hide_itself(birds: bool, blind: Blindness | None) -> None:
    """A dove that sits at the lens for minutes is a visit, not a dirty lens."""
    gate: Any = Gate(iter([0.0] * 200))
    sight = Sight()
    for second in range(120):
        sight.update(gate, MotionResult((), foreground_ratio=0.8), float(second), birds=birds)
    assert sight.blind is blind


def test_of_a_recording_it_says_for_how_long() -> None:
    """Eight seconds of a trap's clip are not a minute, and a minute of an hour is worth a word."""
    short = Watched()
    short.watch(moving_noise, 8)
    spell = short.sight.spell()
    assert spell is not None
    assert spell.why is Blindness.RESTLESS
    assert str(spell).startswith("for 8 of 8 s birds could hardly be seen: almost the whole picture moves; ")
    still = Watched()
    still.watch(frozen, 8)
    spell = still.sight.spell()
    assert spell is not None
    assert spell.why is Blindness.FROZEN
    long = Watched()
    long.watch(calm, 120)
    assert long.sight.spell() is None
    long.watch(black, 70)
    spell = long.sight.spell()
    assert spell is not None
    assert spell.why is Blindness.DARK
    assert 60 <= spell.blind_s <= 75
    nothing = Watched()
    nothing.watch(moving_noise, 3)
    assert nothing.sight.spell() is None


def test_every_reason_says_what_to_do() -> None:
    """Who reads it at night wants to know what to touch in the morning."""
    for why in Blindness:
        reason, advice = explain(why).split("; ", 1)
        assert len(reason) > 10
        assert len(advice) > 20
