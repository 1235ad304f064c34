"""What comes between the camera and the scene: rain, snow, and insects close to the lens."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.detection.blend import Picture, Stamp, gaussian_spot, premultiplied

__all__ = ["Insects", "Rain", "Snow"]

_EXPOSURE_S = 1 / 60
_MARGIN = 64


class Rain:
    """Streaks so fast that none is in the same place in two pictures; now light, now heavy."""

    def __init__(self, chance: random.Random, width: int, height: int) -> None:
        self._size, self._seed = (width, height), chance.getrandbits(30)
        slant = chance.uniform(-0.2, 0.2)
        self._sheets = [self._sheet(chance, slant, 70 if n < 5 else 260, n >= 5) for n in range(10)]

    def _sheet(self, chance: random.Random, slant: float, count: int, near: bool) -> Picture:
        width, height = self._size[0] + _MARGIN, self._size[1] + _MARGIN
        unit, sheet = self._size[1] / 540, np.zeros((height, width), np.uint8)
        for _ in range(count):
            x, y, long = chance.uniform(0, width), chance.uniform(-40, height), chance.uniform(12, 60) * unit
            end = (round(x + slant * long), round(y + long))
            thick = 1 if chance.random() < 0.8 else 2
            cv2.line(sheet, (round(x), round(y)), end, chance.randint(18, 60), thick, cv2.LINE_AA)
        for _ in range(chance.randint(1, 3) if near else 0):  # close to the lens: wide and out of focus
            x, y, long = chance.uniform(0, width), chance.uniform(-100, height), chance.uniform(120, 300) * unit
            soft = np.zeros_like(sheet)
            cv2.line(soft, (round(x), round(y)), (round(x + slant * long), round(y + long)), 50, round(7 * unit))
            sheet = np.asarray(cv2.add(sheet, cv2.GaussianBlur(soft, (0, 0), 3 * unit)), np.uint8)
        return np.asarray(cv2.merge([sheet, sheet, sheet]), np.uint8)

    def onto(self, frame: Picture, now: float, index: int) -> None:
        """Draw the streaks of one picture."""
        pick = random.Random(index * 7919 + self._seed)
        heavy = math.sin(now / 11) + 0.5 * math.sin(now / 3.7) > 0
        sheet = self._sheets[pick.randrange(5) + (5 if heavy else 0)]
        if pick.random() < 0.5:
            sheet = sheet[::-1, ::-1]
        left, top = pick.randrange(_MARGIN), pick.randrange(_MARGIN)
        part = np.ascontiguousarray(sheet[top : top + frame.shape[0], left : left + frame.shape[1]])
        cv2.add(frame, part, dst=frame)


@dataclass(frozen=True, slots=True)
class _Flake:
    stamp: Stamp
    x: float
    y: float
    drift: float
    fall: float
    flutter: float
    phase: float


class Snow:
    """Flakes of every size that sink slowly; a few so near that they are large and soft."""

    def __init__(self, chance: random.Random, width: int, height: int) -> None:
        self._size, unit = (width, height), height / 540
        wind = chance.uniform(-30, 30) * unit
        self._flakes = [
            self._flake(chance, unit, wind, *kind)
            for kind, count in (((0.9, 2.0, 70), 110), ((2.0, 4.0, 140), 28), ((8.0, 22.0, 330), 4))
            for _ in range(count)
        ]

    def _flake(self, chance: random.Random, unit: float, wind: float, low: float, high: float, fall: float) -> _Flake:
        radius, fall = chance.uniform(low, high) * unit, fall * unit * chance.uniform(0.7, 1.3)
        near = low > 5
        stretch = 1 + fall * _EXPOSURE_S / (2 * radius) * (1 if near else 0.5)
        alpha = gaussian_spot(radius, chance.uniform(0.3, 0.55) if near else chance.uniform(0.55, 0.9), stretch)
        stamp = premultiplied(np.array((236, 232, 230), np.uint8), alpha)
        return _Flake(
            stamp,
            chance.random(),
            chance.random(),
            wind * chance.uniform(0.5, 1.5),
            fall,
            chance.uniform(2, 9) * unit,
            chance.uniform(0, 6.28),
        )

    def onto(self, frame: Picture, now: float) -> None:
        """Draw all flakes where they are."""
        width, height = self._size[0] + 2 * _MARGIN, self._size[1] + 2 * _MARGIN
        for flake in self._flakes:
            fallen = flake.y * height + flake.fall * now
            turn = int(fallen // height)  # each time it begins again at the top it does so elsewhere
            x = (flake.x + 0.618 * turn) * width + flake.drift * now + flake.flutter * math.sin(1.9 * now + flake.phase)
            left = round(x % width) - _MARGIN - flake.stamp.pixels.shape[1] // 2
            flake.stamp.onto(frame, left, round(fallen % height) - _MARGIN - flake.stamp.pixels.shape[0] // 2)


@dataclass(frozen=True, slots=True)
class _Insect:
    begin_s: float
    end_s: float
    size: float
    opacity: float
    points: tuple[tuple[float, float], ...]

    def place(self, now: float) -> tuple[float, float]:
        """Where it is on its crooked way."""
        done = min(1.0, max(0.0, (now - self.begin_s) / (self.end_s - self.begin_s))) * (len(self.points) - 1)
        leg = min(len(self.points) - 2, int(done))
        (x0, y0), (x1, y1), part = self.points[leg], self.points[leg + 1], done - leg
        return x0 + (x1 - x0) * part, y0 + (y1 - y0) * part


class Insects:
    """Something large, blurred and half transparent that darts past for a fraction of a second."""

    def __init__(self, chance: random.Random, seconds: float, width: int, height: int) -> None:
        self._insects: list[_Insect] = []
        now = chance.uniform(5, 12)
        while now < seconds:
            points = [(chance.uniform(-0.1, 1.1) * width, chance.uniform(-0.1, 1.1) * height)]
            for _ in range(chance.randint(2, 4)):
                x, y = points[-1]
                points.append((x + chance.gauss(0, 0.25) * width, y + chance.gauss(0, 0.25) * height))
            size = chance.uniform(30, 120) * height / 540
            self._insects.append(
                _Insect(now, now + chance.uniform(0.2, 0.6), size, chance.uniform(0.35, 0.7), tuple(points))
            )
            now += chance.expovariate(1 / 18) + 1.5

    def onto(self, frame: Picture, now: float, night: bool) -> None:
        """Draw those that are there; lamps make them bright at night."""
        for insect in self._insects:
            if insect.begin_s <= now < insect.end_s:
                self._draw(frame, insect, now, (225, 228, 228) if night else (46, 52, 58))

    def _draw(self, frame: Picture, insect: _Insect, now: float, colour: tuple[int, int, int]) -> None:
        (x0, y0), (x1, y1) = insect.place(now - _EXPOSURE_S), insect.place(now)
        margin = round(insect.size)
        left, top = round(min(x0, x1)) - margin, round(min(y0, y1)) - margin
        wide, high = round(abs(x1 - x0)) + 2 * margin, round(abs(y1 - y0)) + 2 * margin
        alpha = np.zeros((high, wide), np.uint8)
        ends = ((round(x0) - left, round(y0) - top), (round(x1) - left, round(y1) - top))
        cv2.line(alpha, *ends, round(255 * insect.opacity), max(2, round(insect.size * 0.55)), cv2.LINE_8)
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), insect.size * 0.16), np.uint8)
        premultiplied(np.array(colour, np.uint8), alpha).onto(frame, left, top)
