"""A canvas for drawing animals as filled outlines, with supersampling for smooth edges.

Coordinates: feet at the origin, x forward and y up, in units of the animal's height.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from birdwatchd.demo.drawing.plumage import Colour, Point

__all__ = ["Canvas", "Sprite", "Transform", "circle", "finish", "rotate", "smooth"]

_LEFT, _RIGHT, _TOP, _BOTTOM = -1.3, 1.3, 1.75, -0.85
_LOW, _HIGH = 14, 241  # room for sensor noise, so that adding it never wraps a byte


@dataclass(frozen=True, slots=True)
class Sprite:
    """A drawn animal, cropped to its outline.

    `pixels` is uint8 (H, W, 4), RGBA with straight alpha; `feet` is the (x, y) pixel that stands on the
    perch, which may lie outside the sprite for a flying bird.
    """

    pixels: NDArray[np.uint8]
    feet: tuple[int, int]


def finish(canvas: Canvas, rng: random.Random, *, facing_left: bool) -> Sprite:
    """Shade what was drawn, which faces right, mirror it if it is to face left, downsample it and crop it."""
    image = _shade(canvas.image, rng)
    origin = canvas.place((0.0, 0.0))
    if facing_left:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        origin = (image.width - origin[0], origin[1])
    return _trim(image, origin, canvas.zoom)


def _trim(image: Image.Image, origin: Point, zoom: int) -> Sprite:
    """Downsample the canvas `zoom` times and crop it to what is visible."""
    small = image.reduce(zoom)
    pixels = np.asarray(small)
    rows = np.flatnonzero(pixels[..., 3].max(axis=1) > 24)
    columns = np.flatnonzero(pixels[..., 3].max(axis=0) > 24)
    top, left = int(rows[0]), int(columns[0])
    cut = pixels[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].copy()
    np.clip(cut[..., :3], _LOW, _HIGH, out=cut[..., :3])
    return Sprite(cut, (round(origin[0] / zoom) - left, round(origin[1] / zoom) - top))


def _shade(image: Image.Image, rng: random.Random) -> Image.Image:
    """Light it from above and give it a little texture; transparency is left alone."""
    height, width = image.height, image.width
    slope = np.linspace(1.10, 0.80, height, dtype=np.float32)[:, None]
    grain = np.random.default_rng(rng.getrandbits(32)).normal(1.0, 0.05, (48, 48)).astype(np.float32)
    texture = np.asarray(Image.fromarray(grain).resize((width, height), Image.Resampling.BILINEAR))
    pixels = np.array(image)
    rgb = pixels[..., :3] * (slope * texture)[..., None]
    pixels[..., :3] = np.clip(rgb, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels, "RGBA")


class Canvas:
    """A large transparent image on which outlines in the animal's coordinates are filled."""

    def __init__(self, size_px: int, rng: random.Random) -> None:
        self.zoom = 4 if size_px <= 64 else 3 if size_px <= 140 else 2
        self._unit = size_px * self.zoom
        width = math.ceil((_RIGHT - _LEFT) * size_px) * self.zoom
        height = math.ceil((_TOP - _BOTTOM) * size_px) * self.zoom
        self.image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        light = rng.uniform(0.95, 1.05)
        self._gain = tuple(light * rng.uniform(0.97, 1.03) for _ in range(3))
        self._plump = rng.uniform(0.95, 1.06)

    @property
    def plump(self) -> float:
        """This individual's depth of body against the species' usual one."""
        return self._plump

    def place(self, point: Point) -> Point:
        """Canvas pixel of a point in the animal's coordinates."""
        return ((point[0] - _LEFT) * self._unit, (_TOP - point[1]) * self._unit)

    def mask(self, outline: Sequence[Point]) -> Image.Image:
        """The inside of an outline, as an "L" image of the canvas's size."""
        mask = Image.new("L", self.image.size, 0)
        ImageDraw.Draw(mask).polygon([self.place(point) for point in outline], fill=255)
        return mask

    def fill(self, outline: Sequence[Point], colour: Colour, clip: Image.Image | None = None) -> None:
        """Fill an outline, only inside `clip` where one is given."""
        tint = self._tint(colour)
        if clip is None:
            ImageDraw.Draw(self.image).polygon([self.place(point) for point in outline], fill=tint)
            return
        self.image.paste(tint, (0, 0), ImageChops.multiply(self.mask(outline), clip))

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a bent line `width` heights thick."""
        pixels = max(2, round(width * self._unit))
        places = [self.place(point) for point in points]
        ImageDraw.Draw(self.image).line(places, fill=self._tint(colour), width=pixels, joint="curve")

    def _tint(self, colour: Colour) -> tuple[int, int, int, int]:
        red, green, blue = (min(255, round(part * gain)) for part, gain in zip(colour, self._gain, strict=True))
        return (red, green, blue, 255)


@dataclass(frozen=True, slots=True)
class Transform:
    """From a part's coordinates to the animal's: stretch by `scale`, rotate by `angle` degrees, move to `origin`."""

    origin: Point
    angle: float
    scale: Point = (1.0, 1.0)

    def apply(self, point: Point) -> Point:
        """The point in the animal's coordinates."""
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        x, y = point[0] * self.scale[0], point[1] * self.scale[1]
        return (self.origin[0] + x * cosine - y * sine, self.origin[1] + x * sine + y * cosine)

    def apply_all(self, points: Sequence[Point]) -> list[Point]:
        """Every point in the animal's coordinates."""
        return [self.apply(point) for point in points]


def rotate(point: Point, degrees: float) -> Point:
    return Transform((0.0, 0.0), degrees).apply(point)


def circle(centre: Point, radius: float, count: int = 40) -> list[Point]:
    steps = (2 * math.pi * step / count for step in range(count))
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in steps]


def smooth(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """A closed Catmull-Rom curve through the points."""
    curve: list[Point] = []
    count = len(points)
    for index in range(count):
        p0, p1, p2, p3 = (points[(index + shift) % count] for shift in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            near = list(zip(weights, (p0, p1, p2, p3), strict=True))
            curve.append((sum(w * p[0] for w, p in near) / 2, sum(w * p[1] for w, p in near) / 2))
    return curve
