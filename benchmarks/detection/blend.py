"""Lay small pictures over a large one in place; everything drawn in the scenes goes through here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Picture", "Stamp", "gaussian_spot", "premultiplied", "smear", "smooth_noise"]

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stamp:
    """A small picture: uint8 (H, W, 4), blue, green, red already multiplied by alpha, and alpha."""

    pixels: Picture

    def onto(self, frame: Picture, left: int, top: int) -> None:
        """Lay it over the frame with its upper left corner at (left, top); what falls outside is cut off."""
        height, width = frame.shape[:2]
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(width, left + self.pixels.shape[1]), min(height, top + self.pixels.shape[0])
        if x1 <= x0 or y1 <= y0:
            return
        part = self.pixels[y0 - top : y1 - top, x0 - left : x1 - left]
        under = frame[y0:y1, x0:x1]
        rest = (255 - part[..., 3:]).astype(np.uint16)
        under[...] = np.minimum(part[..., :3] + (under * rest + 127) // 255, 255)


def premultiplied(bgr: Picture, alpha: Picture) -> Stamp:
    """A stamp of straight colours (H, W, 3) or one colour (3,) and alpha (H, W)."""
    colour = np.broadcast_to(np.asarray(bgr, np.uint16), (*alpha.shape, 3))
    pixels = np.empty((*alpha.shape, 4), np.uint8)
    pixels[..., :3] = (colour * alpha[..., None].astype(np.uint16) + 127) // 255
    pixels[..., 3] = alpha
    return Stamp(pixels)


def smear(stamp: Stamp, dx: float, dy: float) -> tuple[Stamp, int]:
    """Motion blur along (dx, dy) pixels, centred; returns the larger stamp and by how much each side grew."""
    length = math.hypot(dx, dy)
    if length < 1.0:
        return stamp, 0
    reach = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for step in np.linspace(-0.5, 0.5, max(5, round(length * 2))):
        _drop(kernel, reach + step * dx, reach + step * dy)
    padded = cv2.copyMakeBorder(stamp.pixels, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    blurred = cv2.filter2D(padded, -1, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT)
    return Stamp(np.asarray(blurred, np.uint8)), reach


def _drop(kernel: NDArray[np.float32], x: float, y: float) -> None:
    """Add one unit at a point between four cells."""
    left, top = math.floor(x), math.floor(y)
    fx, fy = x - left, y - top
    for column, across in ((left, 1 - fx), (left + 1, fx)):
        for row, down in ((top, 1 - fy), (top + 1, fy)):
            if 0 <= row < kernel.shape[0] and 0 <= column < kernel.shape[1]:
                kernel[row, column] += across * down


def gaussian_spot(radius: float, opacity: float, stretch: float = 1.0) -> Picture:
    """Alpha of a soft round spot, uint8; `stretch` makes it longer downward."""
    across, down = math.ceil(radius * 2.0), math.ceil(radius * 2.0 * stretch)
    x = np.arange(-across, across + 1, dtype=np.float32) / radius
    y = np.arange(-down, down + 1, dtype=np.float32) / (radius * stretch)
    distance = np.sqrt(x[None, :] ** 2 + y[:, None] ** 2)
    soft = 1.0 / (1.0 + np.exp((distance - 1.0) * 5.0))
    return np.asarray(255 * opacity * soft, np.uint8)


def smooth_noise(chance: np.random.Generator, width: int, height: int, scale: float) -> NDArray[np.float32]:
    """A smooth random field, float32 (height, width), mean 0, spread 1, with features of about `scale` pixels."""
    small = chance.normal(size=(max(3, round(height / scale)) + 2, max(3, round(width / scale)) + 2))
    field = cv2.resize(small.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), np.float32)
