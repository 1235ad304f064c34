"""Say how boxes lie to each other, where that takes more than their overlap."""

from __future__ import annotations

from birdwatchd.records import Box

__all__ = ["at_edge", "grown", "kept_inside", "rest_of", "share_in", "touch"]


def at_edge(box: Box, margin: float = 0.01) -> bool:
    """Whether a box comes within `margin` (fraction of the frame) of the frame's edge."""
    return box.x < margin or box.y < margin or box.x + box.w > 1 - margin or box.y + box.h > 1 - margin


def grown(box: Box, by: float) -> Box:
    """The box with a margin of this share of its width and height on every side."""
    return Box(box.x - by * box.w, box.y - by * box.h, (1 + 2 * by) * box.w, (1 + 2 * by) * box.h)


def share_in(box: Box, other: Box) -> float:
    """Share of a box that lies in another, 0 … 1."""
    w = min(box.x + box.w, other.x + other.w) - max(box.x, other.x)
    h = min(box.y + box.h, other.y + other.h) - max(box.y, other.y)
    return w * h / max(box.area, 1e-9) if w > 0 and h > 0 else 0.0


def rest_of(whole: Box, part: Box) -> Box:
    """The largest strip of a box beside, above or below a part of it."""
    right, bottom = part.x + part.w, part.y + part.h
    strips = (
        Box(whole.x, whole.y, max(0.0, part.x - whole.x), whole.h),
        Box(right, whole.y, max(0.0, whole.x + whole.w - right), whole.h),
        Box(whole.x, whole.y, whole.w, max(0.0, part.y - whole.y)),
        Box(whole.x, bottom, whole.w, max(0.0, whole.y + whole.h - bottom)),
    )
    return max(strips, key=lambda strip: strip.area)


def kept_inside(box: Box, whole: Box) -> Box:
    """The box moved to lie inside another where it fits."""
    x = min(max(box.x, whole.x), max(whole.x, whole.x + whole.w - box.w))
    y = min(max(box.y, whole.y), max(whole.y, whole.y + whole.h - box.h))
    return Box(x, y, box.w, box.h)


def touch(a: Box, b: Box, grow: float) -> bool:
    """Whether two boxes overlap when each is grown by this share of the larger one."""
    gx, gy = grow * max(a.w, b.w), grow * max(a.h, b.h)
    return a.x - gx < b.x + b.w and b.x - gx < a.x + a.w and a.y - gy < b.y + b.h and b.y - gy < a.y + a.h
