"""What wind does: foliage that sways in gusts, twigs that swing, a camera that shakes on its pole."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.blend import Picture, Stamp, premultiplied, smooth_noise
from benchmarks.detection.scenery import Scenery, leaf, vary

__all__ = ["Gusts", "Shake", "Sway"]

_CELL = 15  # the field of displacement is worked out once per so many pixels and stretched
_SWINGS = 31  # pictures of a twig from one end of its swing to the other


@dataclass(frozen=True, slots=True)
class _Gust:
    begin_s: float
    end_s: float
    force: float


class Gusts:
    """How hard it blows at any moment, 0 ... 1: calm most of the time, then a gust of some seconds."""

    def __init__(self, chance: random.Random, seconds: float, pace: float) -> None:
        """`pace` shortens the calm: 1 is 10 to 40 s of it."""
        self._gusts: list[_Gust] = []
        self._phase = chance.uniform(0, 100)
        now = chance.uniform(5, 15) * max(0.5, pace)
        while now < seconds:
            long = chance.uniform(3, 12)
            self._gusts.append(_Gust(now, now + long, chance.uniform(0.4, 1.0)))
            now += long + chance.uniform(10, 40) * pace

    def at(self, now: float) -> float:
        """The force; never quite 0."""
        force = 0.05
        for gust in self._gusts:
            if gust.begin_s - 0.1 <= now <= gust.end_s + 3:
                rise = min(1.0, max(0.0, (now - gust.begin_s) / 0.9))
                fall = min(1.0, max(0.0, (gust.end_s + 2.5 - now) / 2.5))
                waver = 0.72 + 0.28 * math.sin(2.3 * now + self._phase) * math.sin(0.9 * now)
                force = max(force, gust.force * rise * fall * waver)
        return force


class Sway:
    """The scene's foliage in the wind, up to 8 pixels (of 540 lines) to and fro, not everywhere alike."""

    def __init__(self, scenery: Scenery, chance: random.Random, gusts: Gusts) -> None:
        self._scenery, self._gusts = scenery, gusts
        height, width = scenery.behind.shape[:2]
        self._unit = height / 540
        cells = (max(4, width // _CELL), max(4, height // _CELL))
        numbers = np.random.default_rng(chance.getrandbits(32))
        mask = cv2.resize(scenery.foliage, cells, interpolation=cv2.INTER_AREA)
        loose = np.clip(0.55 + 0.3 * smooth_noise(numbers, *cells, 7), 0.08, 1.0)
        self._reach = mask * loose
        self._phases = [2.0 * smooth_noise(numbers, *cells, scale) for scale in (9, 5, 4, 3)]
        self._pulls = [np.clip(smooth_noise(numbers, *cells, 5), -1.5, 1.5) for _ in range(4)]
        self._speeds = [
            chance.uniform(low, high) * 2 * math.pi for low, high in ((0.3, 0.5), (0.7, 1.0), (1.2, 1.7), (2.0, 2.8))
        ]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._grid = cv2.merge([x, y])
        self._twigs = [_Twig(chance, width, height) for _ in range(6)]

    def picture(self, now: float) -> Picture:
        """The whole empty scene at this moment, a new array."""
        force = self._gusts.at(now)
        across = np.full_like(self._reach, 1.6 * force)
        down = np.zeros_like(self._reach)
        for share, phase, pull, speed in zip(
            (0.5, 0.5, 0.35, 0.25), self._phases, self._pulls, self._speeds, strict=True
        ):
            wave = np.sin(speed * now + phase)
            across += share * wave * (0.3 + 0.7 * np.abs(pull))
            down += 0.5 * share * wave * pull
        size = 3.6 * self._unit * force * self._reach
        field = cv2.merge([np.asarray(across * size, np.float32), np.asarray(down * size, np.float32)])
        height, width = self._scenery.behind.shape[:2]
        where = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.add(where, self._grid, dst=where)
        whole, part = cv2.convertMaps(where, np.empty(0), cv2.CV_16SC2)  # half the price of a map of floats
        moved = cv2.remap(self._scenery.behind, whole, part, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        frame = np.asarray(moved, np.uint8)
        for twig in self._twigs:
            twig.onto(frame, now, force)
        for stamp, left, top in self._scenery.front:
            stamp.onto(frame, left, top)
        return frame


class _Twig:
    """A leafy twig that swings about its root, drawn at every angle beforehand."""

    def __init__(self, chance: random.Random, width: int, height: int) -> None:
        unit = height / 540
        long = chance.uniform(60, 150) * unit
        self._root = (chance.uniform(0.03, 0.97) * width, chance.uniform(0.05, 0.6) * height)
        self._half = math.ceil(long * 1.3)
        self._limit = chance.uniform(6, 16)  # degrees
        self._hz, self._phase = chance.uniform(0.6, 1.6), chance.uniform(0, 10)
        colour, alpha = self._draw(chance, long, unit)
        self._stamps = [self._turned(colour, alpha, step / (_SWINGS - 1) * 2 - 1) for step in range(_SWINGS)]

    def _draw(self, chance: random.Random, long: float, unit: float) -> tuple[Picture, Picture]:
        side, middle = 2 * self._half + 1, self._half
        colour, alpha = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8)
        angle, wood = chance.uniform(0.1, math.pi - 0.1), vary(chance, (54, 70, 90), 0.2)
        tip = (middle + long * math.cos(angle), middle + long * math.sin(angle))
        ends = ((middle, middle), (round(tip[0]), round(tip[1])))
        cv2.line(colour, *ends, wood, max(2, round(3 * unit)) + 2, cv2.LINE_8)
        cv2.line(alpha, *ends, 255, max(1, round(2.5 * unit)), cv2.LINE_AA)
        for step in range(9):
            along = (step + 2) / 10
            x, y = middle + (tip[0] - middle) * along, middle + (tip[1] - middle) * along
            turn = angle + (0.8 if step % 2 else -0.8) * chance.uniform(0.6, 1.3)
            outline = leaf(x, y, 0.24 * long * chance.uniform(0.7, 1.2), turn)
            green = vary(chance, (70, 116, 90), 0.4)
            cv2.fillPoly(colour, [outline], green, cv2.LINE_8, 4)
            cv2.polylines(colour, [outline], True, green, 2, cv2.LINE_8, 4)
            cv2.fillPoly(alpha, [outline], 255, cv2.LINE_AA, 4)
        return colour, alpha

    def _turned(self, colour: Picture, alpha: Picture, swing: float) -> Stamp:
        turn = cv2.getRotationMatrix2D((self._half, self._half), swing * self._limit, 1.0)
        size = (alpha.shape[1], alpha.shape[0])
        turned = [np.asarray(cv2.warpAffine(part, turn, size), np.uint8) for part in (colour, alpha)]
        return premultiplied(turned[0], turned[1])

    def onto(self, frame: Picture, now: float, force: float) -> None:
        """Draw it as far out as the wind swings it."""
        wave = math.sin(2 * math.pi * self._hz * now + self._phase)
        swing = force * (0.35 + 0.65 * wave * (0.8 + 0.2 * math.sin(0.7 * now + self._phase)))
        stamp = self._stamps[round((min(1.0, max(-1.0, swing)) + 1) / 2 * (_SWINGS - 1))]
        stamp.onto(frame, round(self._root[0]) - self._half, round(self._root[1]) - self._half)


class Shake:
    """A camera that trembles as a whole, up to 6 pixels (of 540 lines) each way."""

    def __init__(self, chance: random.Random, gusts: Gusts, height: int) -> None:
        self._gusts, self._unit = gusts, height / 540
        self._waves = [
            (chance.uniform(0.4, 4.5) * 2 * math.pi, chance.uniform(0, 6), chance.uniform(0, 6)) for _ in range(5)
        ]

    def offset(self, now: float) -> tuple[float, float]:
        """By how many pixels the picture is moved to the right and down."""
        size = 6.0 * self._unit * self._gusts.at(now)
        x = sum(math.sin(speed * now + a) for speed, a, _ in self._waves) / 3.2
        y = sum(math.sin(speed * now + b) for speed, _, b in self._waves) / 3.2
        return size * min(1.0, max(-1.0, x)), 0.7 * size * min(1.0, max(-1.0, y))

    def moved(self, frame: Picture, now: float) -> Picture:
        """The picture as the shaken camera sees it."""
        x, y = self.offset(now)
        shift: NDArray[np.float32] = np.array(((1, 0, x), (0, 1, y)), np.float32)
        size = (frame.shape[1], frame.shape[0])
        return np.asarray(cv2.warpAffine(frame, shift, size, borderMode=cv2.BORDER_REFLECT_101), np.uint8)
