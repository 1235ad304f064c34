"""A rectangle in a frame: everywhere in fractions of the frame, with a top-left origin."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Box"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in fractions of the frame, top-left origin."""

    x: float
    y: float
    w: float
    h: float

    @property
    def centre(self) -> tuple[float, float]:
        """Centre (x, y) in fractions of the frame."""
        return self.x + self.w / 2, self.y + self.h / 2

    @property
    def area(self) -> float:
        """Share of the frame that is covered."""
        return self.w * self.h

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, 0 … 1."""
        w = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        h = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        if w <= 0 or h <= 0:
            return 0.0
        return w * h / (self.area + other.area - w * h)

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Box(x, y, max(self.x + self.w, other.x + other.w) - x, max(self.y + self.h, other.y + other.h) - y)

    def rounded(self, digits: int = 4) -> list[float]:
        """The four numbers for JSON."""
        return [round(float(v), digits) for v in (self.x, self.y, self.w, self.h)]
