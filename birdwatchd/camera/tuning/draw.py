"""Draw text, labels, legends and birds onto images: what sheets and videos are made of.

Images are BGR, uint8 (height, width, 3), and are drawn upon in place. OpenCV's fonts know ASCII only, so everything
else is written as its nearest ASCII sign or as `?`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

from birdwatchd.camera.tuning.log import UNCONFIRMED, Image

__all__ = [
    "GREY",
    "INK",
    "LINE",
    "PAPER",
    "REASONS",
    "VISIT_COLOURS",
    "WHITE",
    "Colour",
    "draw_bird",
    "label",
    "legend",
    "reason_colour",
    "resized",
    "text_width",
    "time_text",
    "write",
]

Colour = tuple[int, int, int]

PAPER: Colour = (252, 252, 250)
WHITE: Colour = (255, 255, 255)
INK: Colour = (45, 38, 33)
GREY: Colour = (125, 118, 112)
LINE: Colour = (214, 210, 205)
FONT = cv2.FONT_HERSHEY_SIMPLEX

# What each reason of the gate means, for people; colours told apart also by the colour-blind (Okabe and Ito 2008).
REASONS: dict[str, tuple[Colour, str]] = {
    "faint": ((178, 114, 0), "hardly more than noise"),
    "thin": ((233, 180, 86), "rain, threads, twigs"),
    "light": ((66, 228, 240), "only another light"),
    "sway": ((115, 158, 0), "same leaf, moved a bit"),
    "soft": ((167, 121, 204), "no edges: shadow, blur"),
    "masked": ((90, 90, 90), "mostly in a mask"),
    UNCONFIRMED: ((0, 94, 213), "followed, but not a bird"),
}
# One per visit, in turn, BGR (the ten of Tableau, without grey).
VISIT_COLOURS: tuple[Colour, ...] = (
    (44, 160, 44), (40, 39, 214), (180, 119, 31), (14, 127, 255), (189, 103, 148), (75, 86, 140),
    (194, 119, 227), (34, 189, 188), (207, 190, 23), (140, 220, 140), (150, 150, 255), (230, 180, 120),
)  # fmt: skip


def reason_colour(why: str) -> Colour:
    """The colour of a reason; grey for one that is not known here."""
    return REASONS[why][0] if why in REASONS else GREY


def ascii_of(text: str) -> str:
    """Text in the signs that the font has."""
    text = text.translate({0x00D7: "x", 0x2026: "...", 0x2013: "-", 0x2019: "'", 0x00B7: "-"})
    return unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode().replace("\n", " ")


def text_width(text: str, scale: float = 0.5, *, bold: bool = False) -> int:
    """Pixels that `write` needs across."""
    return int(cv2.getTextSize(ascii_of(text), FONT, scale, 2 if bold else 1)[0][0])


def write(
    image: Image, text: str, x: float, y: float, scale: float = 0.5, colour: Colour = INK, *, bold: bool = False
) -> int:
    """Write text with its baseline at `y`; returns the x where it ends."""
    cv2.putText(image, ascii_of(text), (round(x), round(y)), FONT, scale, colour, 2 if bold else 1, cv2.LINE_AA)
    return round(x) + text_width(text, scale, bold=bold)


def label(image: Image, text: str, x: float, y: float, colour: Colour, scale: float = 0.5) -> None:
    """Write text on a dark plate inside the image, so that it can be read on any background."""
    height, width = image.shape[:2]
    wide = text_width(text, scale) + 8
    left = round(min(max(0.0, x), max(0, width - wide)))
    bottom = round(min(max(18.0, y), height - 1))
    plate = image[max(0, bottom - 18) : bottom, left : left + wide]
    plate[:] = plate // 4
    write(image, text, left + 4, bottom - 5, scale, colour)


def legend(image: Image, entries: Sequence[tuple[Colour, str]], x: int, y: int, columns: int, pitch: int) -> None:
    """Swatches with their meaning, row by row; `y` is the baseline of the first row."""
    for number, (colour, text) in enumerate(entries):
        left, base = x + number % columns * pitch, y + number // columns * 22
        cv2.rectangle(image, (left, base - 11), (left + 13, base + 1), colour, cv2.FILLED)
        write(image, text, left + 20, base)


def resized(image: Image, width: int, height: int) -> Image:
    """The image scaled to exactly these pixels; a copy."""
    smaller = width < image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.array(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def time_text(seconds: float, *, fine: bool = False) -> str:
    """Seconds as m:ss or h:mm:ss, with tenths where `fine`."""
    if fine and seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    text = f"{whole // 60 % 60}:{whole % 60:02d}"
    if whole >= 3600:
        text = f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{int(seconds * 10) % 10}" if fine else text


def draw_bird(image: Image, x: float, y: float, size: float, colour: Colour) -> None:
    """The outline of a perched bird, filled, in the square of side `size` whose top left corner is (x, y)."""

    def at(across: float, down: float) -> tuple[int, int]:
        return round((x + across * size) * 16), round((y + down * size) * 16)  # sixteenths of a pixel: shift=4

    tail = np.array([at(0.34, 0.5), at(0.0, 0.88), at(0.1, 0.98), at(0.46, 0.72)], np.int32)
    beak = np.array([at(0.84, 0.14), at(1.0, 0.24), at(0.84, 0.3)], np.int32)
    axes = (round(0.34 * size * 16), round(0.22 * size * 16))
    cv2.fillPoly(image, [tail, beak], colour, cv2.LINE_AA, 4)
    cv2.ellipse(image, at(0.54, 0.52), axes, -42, 0, 360, colour, cv2.FILLED, cv2.LINE_AA, 4)
    cv2.circle(image, at(0.75, 0.22), round(0.17 * size * 16), colour, cv2.FILLED, cv2.LINE_AA, 4)
