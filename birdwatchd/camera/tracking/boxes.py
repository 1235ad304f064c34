"""Measure how boxes lie to each other, beyond their IoU: distances, shares, splits and moves.

The tracker asks these questions of every pair of track and region; boxes are fractions of the frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from birdwatchd.records import Box

__all__ = [
    "at_edge",
    "distance",
    "distance_to_path",
    "expanded",
    "largest_rest",
    "moved_inside",
    "nearest",
    "share_inside",
    "touch",
    "within_reach",
]

REACH = 3.0  # sizes of the larger of two boxes: no bird is further from where it was a moment before


def at_edge(box: Box, margin: float = 0.01) -> bool:
    """Whether a box comes within `margin` (fraction of the frame) of the frame's edge."""
    return box.x < margin or box.y < margin or box.x + box.w > 1 - margin or box.y + box.h > 1 - margin


def distance(point: tuple[float, float], box: Box) -> float:
    """From a point to the nearest of a box; 0 inside it."""
    x, y = point
    across = max(box.x - x, 0.0, x - box.x - box.w)
    return math.hypot(across, max(box.y - y, 0.0, y - box.y - box.h))


def distance_to_path(point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]) -> float:
    """From a point to the nearest point of the straight path between two others."""
    (x, y), (x0, y0) = point, start
    dx, dy = end[0] - x0, end[1] - y0
    done = ((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-12)
    done = min(1.0, max(0.0, done))
    return math.hypot(x - x0 - done * dx, y - y0 - done * dy)


def expanded(box: Box, by: float) -> Box:
    """The box with a margin of this share of its width and height on every side."""
    return Box(box.x - by * box.w, box.y - by * box.h, (1 + 2 * by) * box.w, (1 + 2 * by) * box.h)


def share_inside(box: Box, other: Box) -> float:
    """Share of a box that lies in another, 0 … 1."""
    w = min(box.x + box.w, other.x + other.w) - max(box.x, other.x)
    h = min(box.y + box.h, other.y + other.h) - max(box.y, other.y)
    return w * h / max(box.area, 1e-9) if w > 0 and h > 0 else 0.0


def largest_rest(whole: Box, part: Box) -> Box:
    """The largest strip of a box beside, above or below a part of it."""
    right, bottom = part.x + part.w, part.y + part.h
    strips = (
        Box(whole.x, whole.y, max(0.0, part.x - whole.x), whole.h),
        Box(right, whole.y, max(0.0, whole.x + whole.w - right), whole.h),
        Box(whole.x, whole.y, whole.w, max(0.0, part.y - whole.y)),
        Box(whole.x, bottom, whole.w, max(0.0, whole.y + whole.h - bottom)),
    )
    return max(strips, key=lambda strip: strip.area)


def moved_inside(box: Box, whole: Box) -> Box:
    """The box moved to lie inside another where it fits."""
    x = min(max(box.x, whole.x), max(whole.x, whole.x + whole.w - box.w))
    y = min(max(box.y, whole.y), max(whole.y, whole.y + whole.h - box.h))
    return Box(x, y, box.w, box.h)


def touch(a: Box, b: Box, grow: float) -> bool:
    """Whether two boxes overlap when each is expanded by this share of the larger one."""
    gx, gy = grow * max(a.w, b.w), grow * max(a.h, b.h)
    return a.x - gx < b.x + b.w and b.x - gx < a.x + a.w and a.y - gy < b.y + b.h and b.y - gy < a.y + a.h


def within_reach(box: Box, other: Box) -> bool:
    """Whether two boxes are near enough to show one bird some moments apart."""
    (x0, y0), (x1, y1) = box.centre, other.centre
    return abs(x0 - x1) < REACH * max(box.w, other.w) and abs(y0 - y1) < REACH * max(box.h, other.h)


def nearest(box: Box, others: Sequence[Box]) -> Box:
    """The one that overlaps most; of those that do not, the one that is least far."""
    x, y = box.centre

    def nearness(other: Box) -> tuple[float, float]:
        return box.iou(other), -math.hypot(other.centre[0] - x, other.centre[1] - y)

    return max(others, key=nearness)
