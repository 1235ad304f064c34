"""Draw any frame of a case, with its truth: scene, birds, weather, light, camera and sensor, in that order."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.blend import Picture, Stamp, premultiplied, smear, smooth_noise
from benchmarks.detection.cases import Case
from benchmarks.detection.falling import Insects, Rain, Snow
from benchmarks.detection.flock import Bird, whereabouts
from benchmarks.detection.light import Exposure, Infrared, Shadows, SunAndCloud, lit
from benchmarks.detection.plans import PLANS, Stage
from benchmarks.detection.scenery import paint_scenery
from benchmarks.detection.truth import Sighting
from benchmarks.detection.wind import Gusts, Shake, Sway
from birdwatchd.demo.drawing.birds import Pose, draw_bird
from birdwatchd.records import Box

__all__ = ["Drawn", "Renderer"]

EXPOSURE_S = 1 / 60  # how long the shutter is open; a bird at 1500 px/s is blurred over 25 px
_OPAQUE = 64  # alpha from which a pixel belongs to the bird's outline
_NOISE_FIELDS = 4


@dataclass(frozen=True, slots=True)
class Drawn:
    """One frame: uint8 planes as I420 (H * 3 / 2, W), and the birds that show in it."""

    planes: Picture
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A bird's picture at its place in this frame."""

    bird: Bird
    stamp: Stamp
    left: int
    top: int
    blur_px: float
    size_px: float


class Renderer:
    """All frames of one case."""

    def __init__(self, case: Case, seed: int, seconds: float) -> None:
        """Paint the scene and decide everything that will happen in `seconds`."""
        self._case = case
        self.frames = round(seconds * case.fps)
        scene = seed * 1000 + case.number
        self._scenery = paint_scenery(scene, case.width, case.height)
        stage = Stage(case.width, case.height, self._scenery.perches, seconds)
        self.birds = PLANS[case.plan](stage, random.Random(f"plan/{scene}"))
        self._sprites: dict[tuple[int, Pose], tuple[Stamp, tuple[int, int], float]] = {}
        self._sensor = _Sensor(scene, case)
        self._set_up_weather(random.Random(f"weather/{scene}"), seconds)

    def _set_up_weather(self, chance: random.Random, seconds: float) -> None:
        case, on = self._case, self._case.weather
        width, height, pace = case.width, case.height, case.pace
        gusts = Gusts(chance, seconds, pace)
        self._sway = Sway(self._scenery, chance, gusts) if "wind" in on else None
        self._shake = Shake(chance, gusts, height) if "shake" in on else None
        self._rain = Rain(chance, width, height) if "rain" in on else None
        self._snow = Snow(chance, width, height) if "snow" in on else None
        self._sun = SunAndCloud(chance, seconds, pace, width, height) if "flicker" in on else None
        self._shadows = Shadows(chance, seconds, pace, gusts, (width, height)) if "shadow" in on else None
        self._exposure = Exposure(chance, seconds, pace, case.fps) if "exposure" in on else None
        self._insects = Insects(chance, seconds, width, height) if "insect" in on else None
        every = (60 * max(0.4, pace), 110 * max(0.35, pace))
        if "insect" in on:  # half of the time is night
            every = (seconds / 2, seconds / 2)
        night = "infrared" in on or "insect" in on
        self._infrared = Infrared(chance, seconds, every, (width, height)) if night else None

    def frame(self, index: int) -> Drawn:
        """Draw one frame."""
        now = index / self._case.fps
        frame = self._scenery.still.copy() if self._sway is None else self._sway.picture(now)
        placed = self._place(now)
        for one in placed:
            one.stamp.onto(frame, one.left, one.top)
        shift = self._shake.offset(now) if self._shake is not None else (0.0, 0.0)
        sightings = self._truth(index, placed, shift)
        frame = self._disturb(frame, now, index)
        if "overlay" in self._case.weather:
            _write_clock(frame, now)
        night = self._infrared is not None and self._infrared.night(now)
        return Drawn(self._sensor.planes(frame, index, 1.6 if night else 1.0), sightings)

    def _disturb(self, frame: Picture, now: float, index: int) -> Picture:
        """Light, what falls, and the camera's electronics."""
        if self._sun is not None:
            frame = lit(frame, self._sun.gain(now))
        if self._shadows is not None:
            frame = lit(frame, self._shadows.gain(now))
        if self._rain is not None:
            self._rain.onto(frame, now, index)
        if self._snow is not None:
            self._snow.onto(frame, now)
        if self._insects is not None:
            self._insects.onto(frame, now, self._infrared is not None and self._infrared.night(now))
        if self._infrared is not None:
            frame = self._infrared.seen(frame, now)
        if self._exposure is not None:
            frame = np.asarray(cv2.LUT(frame, self._exposure.table(now)), np.uint8)
        if self._shake is not None:
            frame = self._shake.moved(frame, now)
        return frame

    def _place(self, now: float) -> list[_Placed]:
        """The birds that are here, those farther up (behind) first."""
        here = []
        for bird in self.birds:
            if bird.start_s <= now < bird.end_s:
                pose, (x, y) = whereabouts(bird, now)
                _, (x0, y0) = whereabouts(bird, max(bird.start_s, now - EXPOSURE_S))
                here.append((y, self._placed(bird, pose, (x, y), (x - x0, y - y0))))
        return [placed for _, placed in sorted(here, key=lambda pair: (pair[0], pair[1].bird.number))]

    def _placed(self, bird: Bird, pose: Pose, at: tuple[float, float], moved: tuple[float, float]) -> _Placed:
        key = (bird.number, pose)
        if key not in self._sprites:
            sprite = draw_bird(bird.species, pose, bird.size_px, bird.seed)
            stamp = premultiplied(np.ascontiguousarray(sprite.pixels[..., 2::-1]), sprite.pixels[..., 3])
            self._sprites[key] = (stamp, sprite.feet, math.sqrt(sprite.pixels.shape[0] * sprite.pixels.shape[1]))
        stamp, feet, size = self._sprites[key]
        stamp, grown = smear(stamp, *moved)
        left = round(at[0] - moved[0] / 2) - feet[0] - grown
        top = round(at[1] - moved[1] / 2) - feet[1] - grown
        return _Placed(bird, stamp, left, top, math.hypot(*moved), size)

    def _truth(self, index: int, placed: list[_Placed], shift: tuple[float, float]) -> tuple[Sighting, ...]:
        width, height = self._case.width, self._case.height
        result = []
        for number, one in enumerate(placed):
            alpha = _unhidden(one, placed[number + 1 :])
            rows = np.arange(alpha.shape[0]) + one.top + shift[1]
            columns = np.arange(alpha.shape[1]) + one.left + shift[0]
            alpha[(rows < 0) | (rows > height - 1)] = 0
            alpha[:, (columns < 0) | (columns > width - 1)] = 0
            solid = alpha >= _OPAQUE
            tall, wide = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
            if not tall.size:
                continue
            share = float(alpha.sum(dtype=np.float64)) / float(one.stamp.pixels[..., 3].sum(dtype=np.float64))
            x, y = columns[wide[0]] / width, rows[tall[0]] / height
            box = Box(float(x), float(y), float(wide[-1] - wide[0] + 1) / width, float(tall[-1] - tall[0] + 1) / height)
            result.append(Sighting(index, one.bird.number, box, share, 1 / (1 + one.blur_px), one.size_px))
        return tuple(result)


def _unhidden(one: _Placed, before: list[_Placed]) -> NDArray[np.float32]:
    """Alpha of what is left of a bird's picture behind those in front of it; a copy."""
    alpha = one.stamp.pixels[..., 3].astype(np.float32)
    height, width = alpha.shape
    for other in before:
        dx, dy = other.left - one.left, other.top - one.top
        tall, wide = other.stamp.pixels.shape[:2]
        x0, y0, x1, y1 = max(0, dx), max(0, dy), min(width, dx + wide), min(height, dy + tall)
        if x1 > x0 and y1 > y0:
            cover = other.stamp.pixels[y0 - dy : y1 - dy, x0 - dx : x1 - dx, 3]
            alpha[y0:y1, x0:x1] *= 1 - cover.astype(np.float32) / 255
    return alpha


def _write_clock(frame: Picture, now: float) -> None:
    """Date and time in the upper left corner, white with a dark outline, as cameras write them."""
    seconds = 17 * 3600 + 58 * 60 + 31 + int(now)
    text = f"2026-05-01 {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    scale, place = frame.shape[0] / 540 * 0.8, (round(frame.shape[0] * 0.03), round(frame.shape[0] * 0.07))
    cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 5, cv2.LINE_AA)
    cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (245, 245, 245), 2, cv2.LINE_AA)


class _Sensor:
    """Turn a BGR picture into noisy I420 planes; noise is stronger where it is dark, as after gamma correction."""

    def __init__(self, scene: int, case: Case) -> None:
        chance = np.random.default_rng((scene, 5))
        self._size, self._seed = (case.width, case.height), scene
        self._fields = []
        for _ in range(_NOISE_FIELDS):
            field = cv2.GaussianBlur(chance.normal(size=(case.height + 64, case.width + 64)), (0, 0), 0.5)
            slow = 0.25 * smooth_noise(chance, case.width + 64, case.height + 64, 6)
            field = field / field.std() + slow
            self._fields.append(np.asarray(np.clip(field * case.noise * 32, -2000, 2000), np.int16))
        level = np.arange(256)
        self._strength = np.asarray(np.clip((0.8 + 0.6 * np.exp(-level / 55)) * 100, 0, 255), np.int16)

    def planes(self, frame: Picture, index: int, gain: float) -> Picture:
        """The frame as uint8 I420 (H * 3 / 2, W) with this picture's noise, `gain` times as strong as by day."""
        planes = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420), np.uint8)
        width, height = self._size
        pick = random.Random(index * 104729 + self._seed)
        field = self._fields[pick.randrange(_NOISE_FIELDS)]
        if pick.random() < 0.5:
            field = field[::-1]
        left, top = pick.randrange(64), pick.randrange(64)
        luma = planes[:height]
        strength = self._strength[luma]
        noise = cv2.multiply(field[top : top + height, left : left + width], strength, scale=gain / 3200)
        cv2.add(luma, noise, dst=luma, dtype=cv2.CV_8U)
        chroma, rows = planes[height:], height // 2
        part = field[top : top + rows, left : left + width]
        cv2.add(chroma, np.asarray(part // 56, np.int16), dst=chroma, dtype=cv2.CV_8U)
        return planes
