"""Find which part of a camera's main picture its small stream shows, and convert places between the two.

Small streams of another shape than the main one are squeezed, cut at the sides, or have black bars. Squeezed ones need
nothing, for places are fractions. Of the others a box would be cut out beside the bird: up to an eighth of the picture
for 4:3 out of the middle of 16:9.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Box

__all__ = ["SAME_VIEW", "StreamView", "find_view"]

Luma = NDArray[np.uint8]
COARSE, FINE = 192, 384  # pixels of the main picture's width in which the other is looked for
LEAST_SHARE, STEP, FINE_STEP = 0.4, 0.01, 0.0025  # of the main picture's width, and between the sizes that are tried
ALIKE = 0.93  # correlation from which two pictures are the same, whatever else would fit better
FITS, BETTER = 0.85, 0.05  # correlation of a part that is taken for it, and by how much more than the whole fits
DOUBTFUL = 0.5  # below this not even the whole picture fits: perhaps another moment will tell
LEAST_CONTRAST = 4.0  # levels of grey; a dark picture is like any other
FLAT = 14  # levels of grey between which a row of a black bar stays
MOST_BAR = 0.34  # of the picture's height or width, on each side


@dataclass(frozen=True, slots=True)
class StreamView:
    """What the small stream shows: a part of the main picture, fractions of it; beyond its edges where it has bars."""

    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0

    def to_main(self, box: Box) -> Box:
        """A box in the small picture as one in the main picture; what lies outside of that is cut off."""
        left, top = self.left + box.x * self.width, self.top + box.y * self.height
        right, bottom = left + box.w * self.width, top + box.h * self.height
        left, top = min(max(left, 0.0), 1.0), min(max(top, 0.0), 1.0)
        return Box(left, top, max(0.0, min(right, 1.0) - left), max(0.0, min(bottom, 1.0) - top))

    def to_small(self, box: Box) -> Box:
        """A box in the main picture as one in the small picture."""
        return Box(
            (box.x - self.left) / self.width,
            (box.y - self.top) / self.height,
            box.w / self.width,
            box.h / self.height,
        )

    def cut(self, luma: Luma, size: tuple[int, int]) -> Luma:
        """The part of a main picture that the small stream shows, in its size; bars are black."""
        across, down = size
        if self == SAME_VIEW:
            return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)
        whole = round(across / self.width), round(down / self.height)
        scaled = np.asarray(cv2.resize(luma, whole, interpolation=cv2.INTER_AREA), np.uint8)
        x, y = round(self.left * whole[0]), round(self.top * whole[1])
        part = np.zeros((down, across), np.uint8)
        inner = scaled[max(0, y) : y + down, max(0, x) : x + across]
        at_y, at_x = max(0, -y), max(0, -x)
        part[at_y : at_y + inner.shape[0], at_x : at_x + inner.shape[1]] = inner
        return part


SAME_VIEW = StreamView()


def find_view(small: Luma, main: Luma) -> StreamView | None:
    """The part of the main picture that the small one shows; None where the two cannot be compared now.

    Args:
        small, main: luma of about the same moment, uint8 (height, width); they need not be of the same size or shape.
    """
    if min(float(small.std()), float(main.std())) < LEAST_CONTRAST:
        return None
    left, top, right, bottom = _content(small)
    content = small[top:bottom, left:right]
    whole = _correlation(_resized(content, COARSE, main), _resized(main, COARSE, main))
    found = SAME_VIEW
    if whole < ALIKE:
        score, part = _search(content, main)
        if score >= FITS and score > whole + BETTER:
            found, whole = part, score
    if whole < DOUBTFUL:
        return None
    rows, columns = small.shape
    width, height = found.width * columns / (right - left), found.height * rows / (bottom - top)
    return StreamView(found.left - left / columns * width, found.top - top / rows * height, width, height)


def _search(content: Luma, main: Luma) -> tuple[float, StreamView]:
    """Where pictures with pixels of the same shape fit best: the correlation, and the part of the main picture."""
    best = max(
        (_fit(content, main, COARSE, share) for share in np.arange(LEAST_SHARE, 1.0 + STEP / 2, STEP)), key=_score
    )
    around = np.arange(best[1].width - STEP, min(1.0, best[1].width + STEP) + FINE_STEP / 2, FINE_STEP)
    return max((_fit(content, main, FINE, share) for share in around), key=_score)


def _fit(content: Luma, main: Luma, width: int, share: float) -> tuple[float, StreamView]:
    """Where a picture fits best if it shows so much of the main picture's width."""
    reference = _resized(main, width, main)
    across = round(share * width)
    down = round(across * content.shape[0] / content.shape[1])
    if not (8 <= across <= reference.shape[1] and 8 <= down <= reference.shape[0]):
        return -1.0, SAME_VIEW
    template = cv2.resize(content, (across, down), interpolation=cv2.INTER_AREA)
    _, score, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(reference, template, cv2.TM_CCOEFF_NORMED))
    rows = reference.shape[0]
    return float(score), StreamView(x / width, y / rows, across / width, down / rows)


def _score(found: tuple[float, StreamView]) -> float:
    return found[0]


def _resized(luma: Luma, width: int, shape_of: Luma) -> Luma:
    height = max(1, round(width * shape_of.shape[0] / shape_of.shape[1]))
    return np.asarray(cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _correlation(one: Luma, other: Luma) -> float:
    return float(cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED)[0, 0])


def _content(luma: Luma) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is not a black bar."""
    top, bottom = _without_bars(luma)
    left, right = _without_bars(luma.T)
    return left, top, right, bottom


def _without_bars(rows: Luma) -> tuple[int, int]:
    count = len(rows)
    bar = np.ptp(rows, axis=1) <= FLAT
    first = int(np.argmin(bar))
    last = count - int(np.argmin(bar[::-1]))
    if bar.all() or first > MOST_BAR * count or last < (1 - MOST_BAR) * count:
        return 0, count
    return first, last
