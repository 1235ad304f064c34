"""What light and the camera's own electronics do: sun and cloud, shadows, auto-exposure, infra-red at night."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.blend import Picture, smooth_noise
from benchmarks.detection.scenery import leaf
from benchmarks.detection.wind import Gusts

__all__ = ["Exposure", "Infrared", "Shadows", "SunAndCloud", "lit"]

FloatMap = NDArray[np.float32]
_EVEN = 150.0  # the byte of a light map that leaves the picture as it is


def lit(frame: Picture, gain: FloatMap) -> Picture:
    """The picture under a light map of any smaller size; 1 leaves it as it is, at most 1.7."""
    small = np.asarray(np.clip(gain * _EVEN + 0.5, 0, 255), np.uint8)
    full = cv2.resize(small, (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(frame, cv2.merge([full, full, full]), scale=1 / _EVEN), np.uint8)


@dataclass(frozen=True, slots=True)
class _Change:
    """The light of the sky goes to `level`; an edge that takes `sweep_s` to cross the picture toward `angle`."""

    begin_s: float
    lasts_s: float
    sweep_s: float
    angle: float
    level: float


class SunAndCloud:
    """Clouds cover the sun and let it out again, all at once or as an edge; the sun shines through moving leaves."""

    def __init__(self, chance: random.Random, seconds: float, pace: float, width: int, height: int) -> None:
        self._size = (width // 4, height // 4)
        numbers = np.random.default_rng(chance.getrandbits(32))
        margin = (self._size[0] + 40, self._size[1] + 40)
        self._leaves = [np.clip(0.5 + 0.9 * smooth_noise(numbers, *margin, scale), 0, 1) for scale in (7, 12)]
        mottle = 0.7 * smooth_noise(numbers, *self._size, 60)
        self._shade = np.clip(0.3 + mottle, 0.05, 1.0)  # where leaves hang before the sun
        self._changes: list[_Change] = []
        now, level = chance.uniform(4, 10), 1.0
        while now < seconds:
            level = chance.uniform(0.5, 0.75) if level > 0.85 else chance.uniform(0.95, 1.15)
            sweep = chance.uniform(0.4, 1.5) if chance.random() < 0.45 else 0.0
            self._changes.append(_Change(now, chance.uniform(0.5, 2.0), sweep, chance.uniform(0, 6.28), level))
            now += chance.uniform(6, 35) * pace + 2.5
        x, y = np.meshgrid(np.linspace(0, 1, self._size[0]), np.linspace(0, 1, self._size[1]))
        self._x, self._y = x.astype(np.float32), y.astype(np.float32)

    def gain(self, now: float) -> FloatMap:
        """The light map of this moment."""
        sky = self._sky(now)
        spots = self._spots(now, 0, 0.31, 0.47) * self._spots(now, 1, 0.23, 0.39)
        sun = np.clip((sky - 0.6) * 2.5, 0, 1)
        return np.asarray(sky * (1 + 0.5 * sun * self._shade * (spots - 0.3)), np.float32)

    def _sky(self, now: float) -> FloatMap:
        level = np.ones((self._size[1], self._size[0]), np.float32)
        past = [change for change in self._changes if change.begin_s <= now][-2:]
        if len(past) == 2:
            level *= past[0].level
        for change in past[-1:]:
            way = self._x * math.cos(change.angle) + self._y * math.sin(change.angle)
            way = (way - way.min()) / (way.max() - way.min())
            done = np.clip((now - change.begin_s - change.sweep_s * way) / change.lasts_s, 0, 1)
            done = done * done * (3 - 2 * done)
            level = level + (change.level - level) * done
        return level

    def _spots(self, now: float, number: int, hz_x: float, hz_y: float) -> FloatMap:
        """Flecks of sun of one layer of leaves, moved to where the leaves are now."""
        x = 20 + 2.5 * math.sin(2 * math.pi * hz_x * now) + 1.0 * math.sin(2 * math.pi * 1.7 * hz_x * now + 1)
        y = 20 + 1.5 * math.sin(2 * math.pi * hz_y * now)
        shift = np.array(((1, 0, -x), (0, 1, -y)), np.float32)
        return np.asarray(cv2.warpAffine(self._leaves[number], shift, self._size), np.float32)


@dataclass(frozen=True, slots=True)
class _Passage:
    begin_s: float
    end_s: float
    from_left: bool
    depth: float
    width: float


class Shadows:
    """The shadow of a leafy branch in the wind, of people who walk by, and one that creeps with the sun."""

    def __init__(self, chance: random.Random, seconds: float, pace: float, gusts: Gusts, size: tuple[int, int]) -> None:
        self._size, self._gusts = (size[0] // 2, size[1] // 2), gusts
        self._branch = self._draw_branch(chance)
        self._people: list[_Passage] = []
        now = chance.uniform(10, 20) * max(0.6, pace)
        while now < seconds:
            long = chance.uniform(1.5, 4.0)
            width = chance.uniform(0.12, 0.22)
            self._people.append(_Passage(now, now + long, chance.random() < 0.5, chance.uniform(0.45, 0.7), width))
            now += chance.uniform(20, 50) * pace
        self._creep_from, self._creep_px_s = chance.uniform(0.1, 0.6), chance.uniform(0.3, 0.9)
        self._phase = chance.uniform(0, 9)

    def gain(self, now: float) -> FloatMap:
        """The light map of this moment."""
        width, height = self._size
        gain = np.ones((height, width), np.float32)
        edge = self._creep_from * width + self._creep_px_s * now / 2
        slope = (edge - np.arange(width, dtype=np.float32)[None, :] + 0.5 * np.arange(height)[:, None]) / 5
        gain -= 0.4 / (1 + np.exp(-np.clip(slope, -20, 20))).astype(np.float32)
        force = 0.15 + self._gusts.at(now)
        turn = 7 * force * math.sin(2 * math.pi * 0.8 * now + self._phase) * (0.7 + 0.3 * math.sin(1.1 * now))
        swing = cv2.getRotationMatrix2D((0, height * 0.2), turn, 1.0)
        swing[0, 2] += 4 * force * math.sin(3.1 * now)
        gain *= 1 - 0.45 * cv2.warpAffine(self._branch, swing, self._size)
        for passage in self._people:
            if passage.begin_s - 0.5 <= now <= passage.end_s + 0.5:
                self._walk(gain, passage, now)
        return gain

    def _walk(self, gain: FloatMap, passage: _Passage, now: float) -> None:
        width, height = self._size
        done = (now - passage.begin_s) / (passage.end_s - passage.begin_s)
        body = passage.width * width
        x = -body + done * (width + 2 * body)
        x = x if passage.from_left else width - x
        dark = np.zeros((height, width), np.float32)
        bob = 0.02 * height * math.sin(11 * now)
        middle, reach = (round(x), round(height * 0.75 + bob)), (round(body * 0.5), round(height * 0.5))
        cv2.ellipse(dark, middle, reach, 0, 0, 360, 1.0, -1)
        cv2.circle(dark, (round(x), round(height * 0.18 + bob)), round(body * 0.3), 1.0, -1)
        soft = cv2.GaussianBlur(dark, (0, 0), 0.08 * body)
        gain *= 1 - (1 - passage.depth) * soft

    def _draw_branch(self, chance: random.Random) -> FloatMap:
        """How dark the branch's shadow is, 0 ... 1, with the root at the left edge."""
        width, height = self._size
        mask = np.zeros((height, width), np.uint8)
        root, tip = (0, round(height * 0.2)), (round(width * 0.62), round(height * chance.uniform(0.5, 0.75)))
        cv2.line(mask, root, tip, 255, max(3, height // 45), cv2.LINE_AA)
        for step in range(26):
            along = (step + 3) / 28
            x, y = root[0] + (tip[0] - root[0]) * along, root[1] + (tip[1] - root[1]) * along
            angle = 0.4 + (1 if step % 2 else -1) * chance.uniform(0.5, 1.3)
            cv2.fillPoly(mask, [leaf(x, y, height * chance.uniform(0.12, 0.24), angle)], 255, cv2.LINE_AA, 4)
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.5), np.float32) / np.float32(255)


class Exposure:
    """Auto-exposure that corrects in steps of 15 to 40 %, over one to six frames."""

    def __init__(self, chance: random.Random, seconds: float, pace: float, fps: float) -> None:
        self._steps: list[tuple[float, float, float, float]] = []  # begin, lasts, gain, gamma
        now, gain = chance.uniform(5, 12), 1.0
        while now < seconds:
            up = gain < 0.75 or (gain < 1.3 and chance.random() < 0.5)
            size = 1 + chance.uniform(0.15, 0.4)
            gain = min(1.5, max(0.55, gain * size if up else gain / size))
            self._steps.append((now, chance.randint(1, 6) / fps, gain, chance.uniform(0.92, 1.1)))
            now += chance.uniform(20, 60) * pace

    def table(self, now: float) -> Picture:
        """What the camera makes of each byte at this moment."""
        gain, gamma = 1.0, 1.0
        for begin, lasts, to_gain, to_gamma in self._steps:
            if begin <= now:
                done = min(1.0, (now - begin) / lasts)
                gain, gamma = gain + (to_gain - gain) * done, gamma + (to_gamma - gamma) * done
        light = gain * (np.arange(256) / 255) ** gamma
        bright = np.where(light > 0.8, 0.8 + 0.2 * np.tanh((light - 0.8) / 0.2), light)  # the shoulder of the sensor
        return np.asarray(np.clip(255 * bright, 0, 255), np.uint8)


class Infrared:
    """Switches between a colour picture by day and a grey one under infra-red lamps."""

    def __init__(
        self, chance: random.Random, seconds: float, every_s: tuple[float, float], size: tuple[int, int]
    ) -> None:
        """`every_s` is how long day and night last, shortest and longest; `size` is (width, height)."""
        self._switches: list[float] = []
        now = chance.uniform(*every_s)
        while now < seconds:
            self._switches.append(now)
            now += chance.uniform(*every_s)
        x = np.linspace(-1, 1, size[0] // 8, dtype=np.float32)[None, :]
        y = np.linspace(-0.7, 0.7, size[1] // 8, dtype=np.float32)[:, None]
        spot = np.exp(-((x - 0.1) ** 2 + (y - 0.05) ** 2) / 0.9) + 0.12
        self._spot = np.asarray(spot, np.float32)
        tone = np.arange(256) / 255
        self._tone = np.asarray(np.clip(255 * (1.15 * tone**1.25), 0, 255), np.uint8)

    def night(self, now: float) -> bool:
        """Whether the lamps are on."""
        return sum(1 for switch in self._switches if switch <= now) % 2 == 1

    def seen(self, frame: Picture, now: float) -> Picture:
        """The picture as the camera gives it now."""
        since = now - max((switch for switch in self._switches if switch <= now), default=-99.0)
        if not self.night(now):
            dim = 1 - 0.6 * math.exp(-since / 0.25)
            return frame if dim > 0.995 else np.asarray(cv2.convertScaleAbs(frame, alpha=dim), np.uint8)
        weights = np.array(((-0.35, 0.95, 0.5),), np.float32)  # leaves are bright in infra-red
        grey = cv2.LUT(np.asarray(cv2.transform(frame, weights), np.uint8), self._tone)
        flash = 1 + 0.6 * math.exp(-since / 0.3)
        return lit(np.asarray(cv2.merge([grey, grey, grey]), np.uint8), np.minimum(self._spot * flash, 1.69))
