"""Render a simulated feeder: what its camera sees at any frame, and where the birds truly are in it.

A frame is a pure function of the scene and its number, so it can be asked for in any order. It costs little:
the empty picture is kept ready at the light of the moment, only the rectangles of the branch and the birds
are drawn over it, and sensor noise is one byte-wise addition. That addition is never checked for overflow;
instead every painted byte keeps `NOISE_PEAK` clear of both ends. What costs much, 30 to 100 ms of a core, is to draw
a bird in a new pose; who renders in real time can have that done before the bird comes (`draw_ahead`).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.demo.cameras.visits import ScheduledVisit, schedule
from birdwatchd.demo.drawing.backdrop import HIGH, LOW, SWAY_STEPS, Backdrop, Perch, paint_backdrop
from birdwatchd.demo.drawing.birds import Pose, Posture, draw_bird
from birdwatchd.demo.drawing.canvas import Sprite
from birdwatchd.demo.drawing.distractors import SIZES, draw_distractor
from birdwatchd.demo.drawing.plumage import PLUMAGE

__all__ = ["Scene", "SceneSpec", "ScheduledVisit", "schedule"]

Box = tuple[float, float, float, float]

NOISE_PEAK = 12
"""Noise is cut at this many grey levels, the margin that painted bytes keep to 0 and 255."""

_NOISE_SIGMA = 2.0
_NOISE_FIELDS = 6
_FLIGHT_S = 0.4
_HOP_S = 0.24
_WING_BEATS_HZ = 7.0
_LIGHT_STEP = 1 / 200
_AHEAD_S = 10.0  # so long before a bird comes it may be drawn
_MANY_SPRITES = 48  # kept before those of birds that have left are let go
_DEEDS = ("perched", "alert", "pecking", "turn", "hop", "flutter")
_DEED_ODDS = (2, 2, 5, 3, 3, 1)


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """What a scene is made from; frame `n` shows the moment n / fps seconds after frame 0."""

    seed: int
    width: int = 960
    height: int = 540
    fps: float = 12.0


@dataclass(frozen=True, slots=True)
class _Act:
    """What a perched bird does from `begin_s`, after landing, until the next act; `x` is in frame widths."""

    begin_s: float
    posture: Posture
    facing_left: bool
    x: float
    hop_from: float


@dataclass(frozen=True, slots=True)
class _Stay:
    """One visit worked out in full; positions are fractions of the frame, where the feet are."""

    visit: ScheduledVisit
    size_px: int
    landing: Perch
    entry: tuple[float, float]
    leave: tuple[float, float]
    acts: tuple[_Act, ...]
    flight_s: float


class Scene:
    """The pictures of one simulated camera, with the visits that happen in front of it."""

    def __init__(
        self,
        spec: SceneSpec,
        visits: tuple[ScheduledVisit, ...],
        like: Scene | None = None,
        *,
        schedule_frame: int | None = 0,
    ) -> None:
        """
        Args:
            like: a scene with the same `spec`, whose painting is used again.
            schedule_frame: the frame from which the visits' times count; None as long as no bird is to come.
        """
        self.spec = spec
        self.visits = visits
        self._schedule_frame = schedule_frame
        same = like if like is not None and like.spec == spec else None
        self._backdrop: Backdrop = same._backdrop if same else paint_backdrop(spec.seed, spec.width, spec.height)
        self._stays = tuple(_plan_stay(spec, visit, self._backdrop.perches) for visit in visits)
        self._noise: tuple[NDArray[np.uint8], ...] = same._noise if same else _noise_fields(spec)
        self._lit: tuple[int, NDArray[np.uint8], NDArray[np.uint8]] | None = None
        self._sprites: dict[tuple[ScheduledVisit, Pose], Sprite] = dict(same._sprites) if same else {}
        self._poses: dict[ScheduledVisit, tuple[Pose, ...]] = {}

    def frame(self, index: int) -> NDArray[np.uint8]:
        """The picture of frame `index`: uint8 (H, W, 3), RGB, a new array each time."""
        now_s = index / self.spec.fps
        picture, table = self._light(now_s)
        frame = picture.copy()
        branch = self._backdrop.branch
        _blit(frame, branch.swing[_sway(self.spec.seed, now_s)], branch.left, branch.top, table)
        for _, sprite, left, top in self._present(index):
            _blit(frame, sprite.pixels, left, top, table)
        self._forget(index)
        frame += self._noise_at(index)
        return frame

    def truth_boxes(self, index: int) -> list[tuple[str, Box]]:
        """Every bird that shows in frame `index`: species and (x, y, w, h) in fractions, top-left origin."""
        width, height = self.spec.width, self.spec.height
        boxes: list[tuple[str, Box]] = []
        for stay, sprite, left, top in self._present(index):
            tall, wide = sprite.pixels.shape[:2]
            x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + wide), min(height, top + tall)
            if x1 > x0 and y1 > y0:
                box = (x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)
                boxes.append((stay.visit.species, box))
        return boxes

    def draw_ahead(self, index: int) -> bool:
        """Draw one pose of a bird that comes soon after frame `index`; False if all of them are drawn."""
        now_s = self._schedule_s(index) or 0.0
        for stay in self._stays:
            if stay.visit.start_s - _AHEAD_S <= now_s < stay.visit.end_s:
                for pose in self._poses_of(stay):
                    if (stay.visit, pose) not in self._sprites:
                        self._sprite(stay, pose)
                        return True
        return False

    def _schedule_s(self, index: int) -> float | None:
        """Seconds of the visits' clock at frame `index`; None while no bird is to come."""
        return None if self._schedule_frame is None else (index - self._schedule_frame) / self.spec.fps

    def _present(self, index: int) -> list[tuple[_Stay, Sprite, int, int]]:
        """The birds that are there at frame `index`, each with its sprite's top-left pixel."""
        here: list[tuple[_Stay, Sprite, int, int]] = []
        now_s = self._schedule_s(index)
        if now_s is None:
            return here
        for stay in self._stays:
            if stay.visit.start_s <= now_s < stay.visit.end_s:
                pose, x, y = _whereabouts(stay, now_s)
                sprite = self._sprite(stay, pose)
                left = round(x * self.spec.width) - sprite.feet[0]
                here.append((stay, sprite, left, round(y * self.spec.height) - sprite.feet[1]))
        return here

    def _poses_of(self, stay: _Stay) -> tuple[Pose, ...]:
        """Every pose that the bird shows in some frame of its stay, in the order in which they are needed."""
        visit, fps = stay.visit, self.spec.fps
        if visit not in self._poses:
            indexes = range(math.ceil(visit.start_s * fps), math.ceil(visit.end_s * fps))
            self._poses[visit] = tuple(dict.fromkeys(_whereabouts(stay, index / fps)[0] for index in indexes))
        return self._poses[visit]

    def _sprite(self, stay: _Stay, pose: Pose) -> Sprite:
        key = (stay.visit, pose)
        if key not in self._sprites:
            draw = draw_distractor if stay.visit.species in SIZES else draw_bird
            self._sprites[key] = draw(stay.visit.species, pose, stay.size_px, stay.visit.seed)
        return self._sprites[key]

    def _forget(self, index: int) -> None:
        """Let go of the sprites of birds that have left, so that a long run stays small."""
        now_s = self._schedule_s(index)
        if now_s is not None and len(self._sprites) > _MANY_SPRITES:
            self._sprites = {key: sprite for key, sprite in self._sprites.items() if now_s < key[0].end_s}
            self._poses = {visit: poses for visit, poses in self._poses.items() if now_s < visit.end_s}

    def _light(self, now_s: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The empty picture, and the table that lights any byte, at the light of the moment."""
        slow = 0.02 * math.sin(2 * math.pi * (now_s / 41 + self.spec.seed * 0.37))
        step = round((slow + 0.01 * math.sin(2 * math.pi * now_s / 13)) / _LIGHT_STEP)
        if self._lit is None or self._lit[0] != step:
            gain = 1 + step * _LIGHT_STEP
            table = np.clip(np.rint(np.arange(256) * gain), LOW, HIGH).astype(np.uint8)
            self._lit = (step, np.take(table, self._backdrop.image), table)
        return self._lit[1], self._lit[2]

    def _noise_at(self, index: int) -> NDArray[np.uint8]:
        """One of the prepared fields, turned one of four ways, so that a field seldom comes back."""
        pick = random.Random(index * 1000003 + self.spec.seed).getrandbits(16)
        field = self._noise[pick % len(self._noise)]
        return field[:: 1 if pick & 0x1000 else -1, :: 1 if pick & 0x2000 else -1]


def _noise_fields(spec: SceneSpec) -> tuple[NDArray[np.uint8], ...]:
    """Sensor noise as bytes to add modulo 256: mostly in brightness, a little in colour."""
    chance = np.random.default_rng((spec.seed, 7))
    fields: list[NDArray[np.uint8]] = []
    for _ in range(_NOISE_FIELDS):
        bright = chance.normal(0, _NOISE_SIGMA, (spec.height, spec.width, 1))
        colour = chance.normal(0, _NOISE_SIGMA * 0.4, (spec.height, spec.width, 3))
        field = np.clip(np.rint(bright + colour), -NOISE_PEAK, NOISE_PEAK).astype(np.int8)
        fields.append(field.view(np.uint8))
    return tuple(fields)


def _sway(seed: int, now_s: float) -> int:
    """Which picture of its swing the branch is at: two slow swings of unlike length, as in a light wind."""
    swing = 0.6 * math.sin(2 * math.pi * (now_s / 3.7 + seed * 0.13)) + 0.4 * math.sin(2 * math.pi * now_s / 5.3)
    return round((swing + 1) / 2 * (SWAY_STEPS - 1))


def _blit(frame: NDArray[np.uint8], picture: NDArray[np.uint8], left: int, top: int, table: NDArray[np.uint8]) -> None:
    """Lay an RGBA picture over the frame in place, lit by `table`; what falls outside is cut off."""
    height, width = frame.shape[:2]
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(width, left + picture.shape[1]), min(height, top + picture.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    part = picture[y0 - top : y1 - top, x0 - left : x1 - left]
    under = frame[y0:y1, x0:x1]
    alpha = part[..., 3:].astype(np.uint16)
    over = np.take(table, part[..., :3]).astype(np.uint16)
    under[...] = (over * alpha + under * (255 - alpha) + 127) // 255


def _plan_stay(spec: SceneSpec, visit: ScheduledVisit, perches: tuple[Perch, ...]) -> _Stay:
    """Work out a visit: how large the bird is, where it comes from, what it does, where it leaves to."""
    chance = random.Random(f"stay/{visit.seed}/{visit.species}")
    size = SIZES.get(visit.species) or PLUMAGE[visit.species].size
    share = min(0.28, 0.21 * size * chance.uniform(0.86, 1.16))
    landing = perches[visit.perch % len(perches)]
    landing = Perch(landing.x + chance.uniform(-0.01, 0.01), landing.y)
    length = visit.end_s - visit.start_s
    flight = min(_FLIGHT_S, length / 4)
    acts = _plan_acts(chance, landing.x, length - 2 * flight)
    return _Stay(visit, max(16, round(share * spec.height)), landing, _outside(chance), _outside(chance), acts, flight)


def _outside(chance: random.Random) -> tuple[float, float]:
    """A point beyond the left, right or upper edge, far enough for the largest bird to be out of sight."""
    side = chance.choice(("left", "right", "top"))
    if side == "top":
        return (chance.uniform(0.25, 0.75), -0.2)
    return (-0.2 if side == "left" else 1.2, chance.uniform(0.25, 0.65))


def _plan_acts(chance: random.Random, x: float, length_s: float) -> tuple[_Act, ...]:
    """What the bird does between landing and leaving: look, peck, turn, hop, shake its wings."""
    left = chance.random() < 0.5
    acts = [_Act(0.0, "alert" if chance.random() < 0.4 else "perched", left, x, x)]
    home, now_s = x, chance.uniform(0.3, 0.8)
    while now_s < length_s:
        deed = chance.choices(_DEEDS, _DEED_ODDS)[0]
        came_from = x
        if deed == "turn":
            left = not left
        if deed == "hop":
            x = min(home + 0.03, max(home - 0.03, x + (-0.025 if left else 0.025)))
        posture: Posture = "pecking" if deed == "pecking" else "alert" if deed == "alert" else "perched"
        acts.append(_Act(now_s, "flutter" if deed == "flutter" else posture, left, x, came_from))
        now_s += chance.uniform(0.35, 0.7) if deed in ("flutter", "hop") else chance.uniform(0.4, 1.2)
    return tuple(acts)


def _whereabouts(stay: _Stay, now_s: float) -> tuple[Pose, float, float]:
    """How the bird holds itself at a time of the schedule and where its feet are, in fractions of the frame."""
    since_s, left_s = now_s - stay.visit.start_s, stay.visit.end_s - now_s
    wings = math.sin(2 * math.pi * _WING_BEATS_HZ * since_s)
    beat = (-0.85, 0.15, 0.95)[min(2, int((wings + 1) * 1.5))]
    if since_s < stay.flight_s:
        done = since_s / stay.flight_s
        x, y = _glide(stay.entry, (stay.landing.x, stay.landing.y), 1 - (1 - done) ** 1.6)
        return Pose("flying", stay.entry[0] > stay.landing.x, beat), x, y
    last = stay.acts[-1].x
    if left_s < stay.flight_s:
        x, y = _glide((last, stay.landing.y), stay.leave, (1 - left_s / stay.flight_s) ** 1.4)
        return Pose("flying", stay.leave[0] < last, beat), x, y
    return _act_out(stay, since_s - stay.flight_s, beat)


def _glide(start: tuple[float, float], end: tuple[float, float], done: float) -> tuple[float, float]:
    return (start[0] + (end[0] - start[0]) * done, start[1] + (end[1] - start[1]) * done)


def _act_out(stay: _Stay, at_s: float, beat: float) -> tuple[Pose, float, float]:
    """The pose and place of a perched bird `at_s` seconds after it landed."""
    act = [act for act in stay.acts if act.begin_s <= at_s][-1]
    done = (at_s - act.begin_s) / _HOP_S
    if act.hop_from != act.x and done < 1:
        x = act.hop_from + (act.x - act.hop_from) * done
        return Pose("perched", act.facing_left), x, stay.landing.y - 0.03 * math.sin(math.pi * done)
    posture = act.posture
    if posture == "pecking" and int((at_s - act.begin_s) / 0.3) % 2:
        posture = "perched"
    wings = beat if posture == "flutter" else 0.5
    return Pose(posture, act.facing_left, wings), act.x, stay.landing.y
