"""Paint what the camera sees when nothing happens: foliage that wind may move, and things in front that it may not."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.blend import Picture, Stamp, premultiplied, smooth_noise

__all__ = ["Perch", "Scenery", "paint_scenery"]

Colour = tuple[int, int, int]
_GREENS: tuple[Colour, ...] = ((48, 86, 62), (60, 108, 84), (74, 128, 104), (70, 98, 72), (88, 142, 128), (42, 66, 48))
_WOODS: tuple[Colour, ...] = ((66, 92, 122), (82, 110, 140), (60, 80, 104))


@dataclass(frozen=True, slots=True)
class Perch:
    """A place to stand, pixels of the feet. `ground` names what it is on: birds on the same ground can meet."""

    x: float
    y: float
    ground: str


@dataclass(frozen=True, slots=True)
class Scenery:
    """The empty scene.

    Attributes:
        behind: uint8 BGR (H, W, 3), foliage, sky, wall and lawn.
        front: feeder and bare branches, as large as the frame, cut to `front_at` (left, top).
        still: `behind` with `front` over it.
        foliage: float32 (H, W), how far wind may move the picture here, 0 ... 1.
    """

    behind: Picture
    front: tuple[tuple[Stamp, int, int], ...]
    still: Picture
    foliage: NDArray[np.float32]
    perches: tuple[Perch, ...]


def paint_scenery(seed: int, width: int, height: int) -> Scenery:
    """Paint one scene, the same for the same arguments."""
    chance, unit = random.Random(f"scenery/{seed}"), height / 540
    behind, foliage = _paint_foliage(chance, seed, width, height, unit)
    _paint_still_things(chance, behind, foliage, unit)
    sheet = _Sheet(width, height, unit)
    perches = [*_paint_feeder(chance, sheet), *_paint_branches(chance, sheet)]
    front = sheet.cut()
    texture = 1 + 0.03 * smooth_noise(np.random.default_rng(seed), width, height, 2 * unit)
    behind = np.asarray(np.clip(behind * texture[..., None], 8, 245), np.uint8)
    still = behind.copy()
    for stamp, left, top in front:
        stamp.onto(still, left, top)
    loose = np.asarray(cv2.GaussianBlur(foliage, (0, 0), 12 * unit), np.float32)
    return Scenery(behind, front, still, loose, tuple(perches))


def leaf(x: float, y: float, length: float, angle: float) -> NDArray[np.int32]:
    """The outline of a pointed leaf with its stalk at (x, y), in sixteenths of a pixel."""
    cosine, sine = length * math.cos(angle), length * math.sin(angle)
    half = ((0.0, 0.0), (0.15, 0.13), (0.35, 0.2), (0.65, 0.16), (1.0, 0.0), (0.65, -0.16), (0.35, -0.2), (0.15, -0.13))
    points = [(x + a * cosine - b * sine, y + a * sine + b * cosine) for a, b in half]
    return np.array([(round(px * 16), round(py * 16)) for px, py in points], np.int32)


def vary(chance: random.Random, colour: Colour, by: float) -> Colour:
    """A colour a little lighter or darker."""
    gain = chance.uniform(1 - by, 1 + by)
    blue, green, red = (min(240, round(part * gain)) for part in colour)
    return blue, green, red


def _paint_foliage(
    chance: random.Random, seed: int, width: int, height: int, unit: float
) -> tuple[Picture, NDArray[np.float32]]:
    """Three layers of leaves, the farther the more out of focus, over some sky."""
    fall = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 0.6
    sky = np.array(chance.choice(((200, 190, 176), (170, 180, 165), (180, 186, 190))), np.float32)
    low = np.array(vary(chance, chance.choice(_GREENS), 0.1), np.float32)
    image = np.broadcast_to(sky * (1 - fall) + low * fall, (height, width, 3)).astype(np.uint8).copy()
    warm = chance.uniform(0.85, 1.15)
    for count, long, blur in ((220, 110, 9.0), (320, 60, 3.0), (420, 32, 0.9)):
        for _ in range(count):
            x, y = chance.uniform(-0.05, 1.05) * width, chance.random() ** 0.7 * 1.1 * height
            size, angle = long * unit * chance.uniform(0.6, 1.4), chance.uniform(0, 2 * math.pi)
            blue, green, red = vary(chance, chance.choice(_GREENS), 0.35)
            colour = (blue, green, min(240, round(red * warm)))
            cv2.fillPoly(image, [leaf(x, y, size, angle)], colour, cv2.LINE_AA, 4)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur * unit), np.uint8)
    gain = 1 + 0.22 * smooth_noise(np.random.default_rng((seed, 1)), width, height, 90 * unit)
    image = np.asarray(np.clip(image * np.clip(gain, 0.5, 1.5)[..., None], 8, 240), np.uint8)
    return image, np.ones((height, width), np.float32)


def _paint_still_things(chance: random.Random, image: Picture, foliage: NDArray[np.float32], unit: float) -> None:
    """A wall, a fence or a lawn, or none of them."""
    height, width = image.shape[:2]
    kind = chance.choice(("none", "wall", "fence", "lawn"))
    if kind == "lawn":
        top = round(height * chance.uniform(0.78, 0.88))
        blades = np.random.default_rng(chance.getrandbits(32)).normal(1, 0.18, (height - top, width, 1))
        grass = cv2.GaussianBlur(blades.astype(np.float32), (0, 0), 0.8 * unit, sigmaY=2.5 * unit)[..., None]
        image[top:] = np.clip(np.array((58, 120, 92)) * grass, 8, 240)
        foliage[top:] = 0
    if kind == "fence":
        top, board = round(height * 0.55), round(46 * unit)
        for left in range(0, width, board + round(14 * unit)):
            cv2.rectangle(image, (left, top), (left + board, height), vary(chance, (84, 104, 122), 0.12), -1)
            foliage[top:, left : left + board] = 0
    if kind == "wall":
        edge, brick_h, brick_w = round(width * chance.uniform(0.2, 0.32)), round(18 * unit), round(44 * unit)
        image[:, :edge], foliage[:, :edge] = (120, 128, 132), 0
        for row, y in enumerate(range(0, height, brick_h)):
            for x in range(-(row % 2) * brick_w // 2, edge, brick_w):
                right, bottom = min(edge - 1, x + brick_w - 3), y + brick_h - 3
                cv2.rectangle(image, (max(0, x), y), (right, bottom), vary(chance, (70, 88, 138), 0.15), -1)


class _Sheet:
    """A transparent picture of the frame's size, drawn on by parts that are cut out of it again."""

    def __init__(self, width: int, height: int, unit: float) -> None:
        self.width, self.height, self.unit = width, height, unit
        self._parts: list[tuple[Stamp, int, int]] = []
        self._clear()

    def _clear(self) -> None:
        self.colour = np.zeros((self.height, self.width, 3), np.uint8)
        self.alpha = np.zeros((self.height, self.width), np.uint8)

    def polygon(self, points: NDArray[np.int32], colour: Colour) -> None:
        """Fill an outline given in sixteenths of a pixel."""
        cv2.fillPoly(self.colour, [points], colour, cv2.LINE_8, 4)
        cv2.polylines(self.colour, [points], True, colour, 2, cv2.LINE_8, 4)
        cv2.fillPoly(self.alpha, [points], 255, cv2.LINE_AA, 4)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill a rectangle."""
        corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        self.polygon(np.array([(round(x * 16), round(y * 16)) for x, y in corners], np.int32), colour)

    def line(self, points: list[tuple[float, float]], thickness: float, colour: Colour) -> None:
        """Draw a bent line."""
        path = np.array([(round(x * 16), round(y * 16)) for x, y in points], np.int32)
        wide = max(1, round(thickness))
        cv2.polylines(self.colour, [path], False, colour, wide + 2, cv2.LINE_8, 4)
        cv2.polylines(self.alpha, [path], False, 255, wide, cv2.LINE_AA, 4)

    def finish_part(self) -> None:
        """What was drawn since the last call becomes one stamp."""
        rows, columns = np.flatnonzero(self.alpha.any(axis=1)), np.flatnonzero(self.alpha.any(axis=0))
        if rows.size:
            top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
            part = (slice(top, bottom), slice(left, right))
            self._parts.append((premultiplied(self.colour[part], self.alpha[part]), left, top))
        self._clear()

    def cut(self) -> tuple[tuple[Stamp, int, int], ...]:
        """All parts with their places."""
        return tuple(self._parts)


def _paint_feeder(chance: random.Random, sheet: _Sheet) -> list[Perch]:
    """A hanging tube above a tray, or a table on a post; birds stand on the tray."""
    unit, wood = sheet.unit, vary(chance, chance.choice(_WOODS), 0.15)
    x, y = sheet.width * chance.uniform(0.4, 0.6), sheet.height * chance.uniform(0.68, 0.78)
    half, thick = sheet.width * chance.uniform(0.2, 0.26), 22 * unit
    if chance.random() < 0.5:
        sheet.line([(x, 0), (x, y - 240 * unit)], 2 * unit, (72, 70, 70))
        sheet.box(x - 28 * unit, y - 210 * unit, x + 28 * unit, y, (160, 176, 178))
        sheet.box(x - 22 * unit, y - 140 * unit, x + 22 * unit, y - 4, (72, 112, 138))
        roof = ((x - 52 * unit, y - 208 * unit), (x, y - 252 * unit), (x + 52 * unit, y - 208 * unit))
        sheet.polygon(np.array([(round(a * 16), round(b * 16)) for a, b in roof], np.int32), wood)
    else:
        sheet.box(x - 24 * unit, y, x + 24 * unit, sheet.height, vary(chance, wood, 0.1))
    sheet.finish_part()
    sheet.box(x - half, y, x + half, y + thick, wood)
    for _ in range(14):
        left, row = chance.uniform(x - half, x + half * 0.7), y + chance.uniform(2, thick - 2)
        sheet.line([(left, row), (left + half * 0.3, row)], 1, vary(chance, wood, 0.2))
    for _ in range(60):
        seed_x = x + chance.uniform(-0.95, 0.95) * half
        sheet.box(seed_x, y - 2 * unit, seed_x + 4 * unit, y + unit, vary(chance, (96, 146, 176), 0.3))
    sheet.finish_part()
    return [Perch(x + half * shift, y + 2 * unit, "tray") for shift in (-0.8, -0.5, -0.2, 0.2, 0.5, 0.8)]


def _paint_branches(chance: random.Random, sheet: _Sheet) -> list[Perch]:
    """Two bare boughs in front of the foliage, one from each side."""
    perches: list[Perch] = []
    for side, low in ((0, 0.34), (1, 0.5)):
        root = (0.0 if side == 0 else float(sheet.width), sheet.height * (low + chance.uniform(-0.06, 0.06)))
        reach = sheet.width * chance.uniform(0.24, 0.3) * (1 if side == 0 else -1)
        drop = sheet.height * chance.uniform(-0.08, 0.04)
        points = [
            (root[0] + reach * s, root[1] + drop * s + 5 * sheet.unit * math.sin(7 * s))
            for s in (step / 12 for step in range(13))
        ]
        colour = vary(chance, (58, 76, 92), 0.2)
        sheet.line(points, chance.uniform(6, 10) * sheet.unit, colour)
        sheet.line([points[8], (points[8][0] + reach * 0.15, points[8][1] - 60 * sheet.unit)], 3 * sheet.unit, colour)
        sheet.finish_part()
        perches += [Perch(px, py - 2 * sheet.unit, f"bough{side}") for px, py in points[4:12:2]]
    return perches
