"""Say what each of the demo's eight birds looks like, as data: colours, proportions and marks.

Lengths are in units of the bird's height when perched (feet to crown is about 1). Marks are outlines in the
frame of their part: for the body, x = 1 is the breast and y = 1 the back, in half axes of the body's ellipse;
for the head, in radii, with x = 1 where the bill begins and y = 1 the crown. Birds face right here.
"""

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]
Point = tuple[float, float]
Outline = tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Patch:
    """A coloured mark on one part; `outline` is a closed curve through its points, clipped to the part."""

    part: Literal["body", "head"]
    colour: Colour
    outline: Outline


@dataclass(frozen=True, slots=True)
class Bar:
    """A band across the wing or tail between two fractions of its length, 0 at the root and 1 at the tip."""

    begin: float
    end: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Bill:
    """A bill: `curve` is how far the tip bends down, as a fraction of its length."""

    colour: Colour
    length: float
    depth: float
    curve: float = 0.0


@dataclass(frozen=True, slots=True)
class Plumage:
    """One species as the demo draws it."""

    body: Colour
    head: Colour
    wing: Colour
    tail: Colour
    legs: Colour
    bill: Bill
    patches: tuple[Patch, ...]
    wing_bars: tuple[Bar, ...] = ()
    tail_bars: tuple[Bar, ...] = ()
    half_length: float = 0.36
    half_depth: float = 0.235
    head_radius: float = 0.185
    tail_length: float = 0.42
    tail_width: float = 0.13
    leg_length: float = 0.17
    eye: Colour = (18, 16, 16)
    eye_ring: Colour = (18, 16, 16)
    crest: bool = False
    size: float = 1.0
    """Height against the other seven, so that a dove is larger than a tit."""


BLACK: Colour = (26, 24, 28)
WHITE: Colour = (238, 236, 230)

_BELLY: Outline = ((1.1, -0.1), (0.3, -0.15), (-0.5, -0.3), (-1.1, -0.6), (-0.6, -1.3), (0.6, -1.3))
_THROAT: Outline = ((1.2, 0.7), (0.75, 0.75), (0.55, 0.0), (0.75, -0.8), (1.2, -0.8))
_RUMP: Outline = ((-0.55, 0.9), (-1.1, 0.6), (-1.1, -0.2), (-0.8, -0.1))
_BIB: Outline = ((1.2, -0.05), (0.75, -0.12), (0.45, -0.5), (0.35, -1.2), (1.2, -1.2))
_CHEEK: Outline = ((0.45, 0.0), (-0.1, 0.15), (-0.65, -0.05), (-0.6, -0.55), (-0.05, -0.7), (0.4, -0.5))

_HOOPOE = Plumage(
    body=(220, 162, 118),
    head=(224, 160, 112),
    wing=BLACK,
    tail=BLACK,
    legs=(120, 110, 105),
    bill=Bill((64, 58, 60), 0.42, 0.055, curve=0.32),
    patches=(Patch("body", (240, 215, 190), _BELLY), Patch("body", WHITE, _RUMP)),
    wing_bars=(Bar(0.22, 0.34, WHITE), Bar(0.46, 0.57, WHITE), Bar(0.68, 0.78, WHITE)),
    tail_bars=(Bar(0.45, 0.68, WHITE),),
    half_length=0.36,
    half_depth=0.19,
    head_radius=0.13,
    tail_length=0.45,
    leg_length=0.13,
    crest=True,
    size=1.1,
)

_GREAT_TIT = Plumage(
    body=(238, 206, 58),
    head=BLACK,
    wing=(98, 120, 142),
    tail=(72, 84, 104),
    legs=(92, 104, 122),
    bill=Bill((36, 34, 38), 0.1, 0.06),
    patches=(
        Patch(
            "body",
            (134, 150, 66),
            ((1.0, 0.75), (0.2, 0.4), (-0.7, 0.25), (-1.1, 0.3), (-0.6, 1.2), (0.6, 1.2)),
        ),
        Patch(
            "body",
            BLACK,
            (
                (1.2, 0.3),
                (0.92, 0.1),
                (0.62, -0.5),
                (0.0, -0.78),
                (-0.6, -0.8),
                (-0.4, -1.2),
                (0.6, -1.2),
                (1.2, -0.6),
            ),
        ),
        Patch("head", WHITE, _CHEEK),
    ),
    wing_bars=(Bar(0.3, 0.39, WHITE),),
    half_length=0.35,
    half_depth=0.25,
    head_radius=0.21,
    tail_length=0.36,
    tail_width=0.11,
    size=0.85,
)

_HOUSE_SPARROW = Plumage(
    body=(196, 184, 168),
    head=(118, 66, 36),
    wing=(138, 88, 50),
    tail=(92, 72, 56),
    legs=(170, 130, 110),
    bill=Bill((40, 36, 36), 0.13, 0.1),
    patches=(
        Patch(
            "body",
            (146, 98, 58),
            ((1.0, 0.8), (0.2, 0.5), (-0.7, 0.35), (-1.1, 0.4), (-0.6, 1.2), (0.6, 1.2)),
        ),
        Patch("body", BLACK, ((1.2, 0.8), (0.8, 0.7), (0.7, 0.1), (1.2, -0.2))),
        Patch("head", (150, 148, 148), ((1.1, 0.45), (0.2, 0.55), (-0.7, 0.6), (-0.4, 1.2), (0.7, 1.2))),
        Patch("head", (222, 218, 210), ((0.35, -0.1), (-0.2, 0.05), (-0.7, -0.2), (-0.5, -0.8), (0.1, -0.95))),
        Patch("head", BLACK, _BIB),
    ),
    wing_bars=(
        Bar(0.2, 0.27, WHITE),
        Bar(0.4, 0.46, (70, 44, 28)),
        Bar(0.56, 0.62, (70, 44, 28)),
        Bar(0.74, 0.8, (70, 44, 28)),
    ),
    half_length=0.36,
    half_depth=0.255,
    head_radius=0.2,
    tail_length=0.36,
    size=0.88,
)

_LAUGHING_DOVE = Plumage(
    body=(204, 158, 160),
    head=(206, 162, 172),
    wing=(166, 112, 84),
    tail=(112, 98, 100),
    legs=(176, 74, 84),
    bill=Bill((62, 56, 62), 0.09, 0.04),
    patches=(
        Patch("body", (232, 218, 216), ((0.3, -0.5), (-0.4, -0.4), (-1.1, -0.5), (-0.6, -1.3), (0.3, -1.3))),
        Patch("body", (92, 60, 56), ((0.98, 0.62), (0.76, 0.72), (0.66, 0.52), (0.8, 0.32), (1.0, 0.36))),
        Patch("body", (170, 118, 92), ((0.4, 0.75), (-0.4, 0.4), (-1.1, 0.3), (-0.6, 1.2), (0.2, 1.2))),
    ),
    wing_bars=(Bar(0.0, 0.2, (150, 160, 182)), Bar(0.2, 0.36, (134, 146, 172)), Bar(0.84, 1.0, (84, 74, 76))),
    tail_bars=(Bar(0.86, 1.0, WHITE),),
    half_length=0.43,
    half_depth=0.25,
    head_radius=0.135,
    tail_length=0.52,
    tail_width=0.15,
    leg_length=0.11,
    eye_ring=(120, 70, 70),
    size=1.08,
)

_KINGFISHER = Plumage(
    body=(112, 58, 34),
    head=(112, 56, 32),
    wing=(24, 146, 190),
    tail=(30, 132, 182),
    legs=(196, 60, 44),
    bill=Bill((206, 48, 38), 0.42, 0.13),
    patches=(
        Patch("body", WHITE, _THROAT),
        Patch("body", (36, 156, 194), ((0.3, 0.85), (-0.4, 0.5), (-1.1, 0.4), (-0.6, 1.2), (0.2, 1.2))),
        Patch("head", WHITE, ((0.95, -0.45), (0.4, -0.4), (0.1, -0.75), (0.2, -1.3), (1.2, -1.3))),
    ),
    wing_bars=(Bar(0.0, 0.22, (98, 50, 32)), Bar(0.22, 0.34, BLACK), Bar(0.8, 1.0, (30, 44, 60))),
    half_length=0.36,
    half_depth=0.24,
    head_radius=0.2,
    tail_length=0.36,
    leg_length=0.09,
    size=1.08,
)

_JAY = Plumage(
    body=(196, 150, 130),
    head=(200, 156, 138),
    wing=(60, 52, 56),
    tail=(30, 28, 32),
    legs=(150, 118, 100),
    bill=Bill((44, 42, 46), 0.16, 0.085),
    patches=(
        Patch("body", WHITE, _RUMP),
        Patch(
            "head",
            BLACK,
            ((0.75, -0.1), (0.35, -0.15), (-0.15, -0.55), (0.05, -1.0), (0.55, -0.75), (0.9, -0.35)),
        ),
        Patch("head", (226, 214, 206), ((1.1, 0.45), (0.3, 0.55), (-0.3, 0.75), (0.2, 1.2), (0.9, 1.0))),
        Patch("head", (236, 228, 222), ((1.15, -0.5), (0.7, -0.65), (0.4, -1.2), (1.1, -1.2))),
    ),
    wing_bars=(
        Bar(0.0, 0.22, (184, 138, 118)),
        Bar(0.22, 0.28, (24, 60, 150)),
        Bar(0.28, 0.34, (110, 176, 232)),
        Bar(0.34, 0.4, (24, 60, 150)),
        Bar(0.4, 0.46, (110, 176, 232)),
        Bar(0.52, 0.68, WHITE),
    ),
    half_length=0.38,
    half_depth=0.25,
    head_radius=0.175,
    tail_length=0.48,
    tail_width=0.15,
    leg_length=0.15,
    eye=(20, 20, 26),
    eye_ring=(210, 220, 235),
    size=1.16,
)

_GOLDFINCH = Plumage(
    body=(206, 166, 116),
    head=(236, 230, 220),
    wing=(26, 24, 26),
    tail=(32, 30, 32),
    legs=(190, 140, 120),
    bill=Bill((232, 214, 190), 0.16, 0.085),
    patches=(
        Patch("body", WHITE, ((0.45, -0.3), (-0.3, -0.35), (-1.1, -0.3), (-0.6, -1.3), (0.3, -1.3))),
        Patch("body", (238, 226, 206), ((1.2, 0.2), (0.85, 0.25), (0.75, -0.25), (1.1, -0.5))),
        Patch("head", BLACK, ((0.3, 1.2), (0.05, 0.55), (-0.45, 0.25), (-0.5, -0.4), (-1.2, -0.3), (-1.0, 0.9))),
        Patch(
            "head",
            (206, 28, 34),
            ((1.2, 0.62), (0.5, 0.75), (0.12, 0.35), (0.2, -0.3), (0.55, -0.72), (1.2, -0.6)),
        ),
    ),
    wing_bars=(Bar(0.3, 0.6, (246, 206, 30)), Bar(0.93, 1.0, WHITE)),
    tail_bars=(Bar(0.88, 1.0, WHITE),),
    half_length=0.36,
    half_depth=0.235,
    head_radius=0.19,
    tail_length=0.36,
    size=0.84,
)

_SUNBIRD = Plumage(
    body=(34, 46, 104),
    head=(26, 84, 116),
    wing=(38, 34, 48),
    tail=(28, 28, 40),
    legs=(30, 28, 32),
    bill=Bill((28, 26, 30), 0.4, 0.05, curve=0.4),
    patches=(
        Patch("body", (30, 110, 120), ((1.1, 0.9), (0.3, 0.5), (-0.4, 0.6), (0.0, 1.2), (0.8, 1.2))),
        Patch("body", (92, 46, 140), ((1.2, 0.4), (0.8, 0.5), (0.5, -0.2), (0.7, -1.0), (1.2, -0.8))),
        Patch("body", (240, 130, 34), ((0.62, 0.0), (0.42, 0.12), (0.3, -0.15), (0.45, -0.4), (0.62, -0.25))),
        Patch("head", (40, 132, 140), ((0.9, 0.5), (0.1, 0.5), (-0.7, 0.4), (-0.3, 1.2), (0.6, 1.2))),
    ),
    half_length=0.34,
    half_depth=0.22,
    head_radius=0.175,
    tail_length=0.3,
    tail_width=0.1,
    size=0.78,
)

PLUMAGE: dict[str, Plumage] = {
    "Eurasian hoopoe": _HOOPOE,
    "Eurasian jay": _JAY,
    "European goldfinch": _GOLDFINCH,
    "Great tit": _GREAT_TIT,
    "House sparrow": _HOUSE_SPARROW,
    "Laughing dove": _LAUGHING_DOVE,
    "Palestine sunbird": _SUNBIRD,
    "White-throated kingfisher": _KINGFISHER,
}
"""The demo's species by common name, spelled as in the taxonomy the daemon ships."""
