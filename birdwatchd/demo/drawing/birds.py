"""Draw a cartoon bird of a given species, pose and size, for the demo's scenes and its small classifier.

A drawing is a pure function of its arguments. The bird is built from few parts (tail, legs, body, neck,
head, bill, wing), each a polygon in the plane with its feet at the origin, x forward and y up, in units of
the bird's height. It is drawn facing right at several times the wanted size and shrunk, which smooths the
edges. Only Pillow draws; NumPy holds the result.
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

from PIL import ImageChops

from birdwatchd.demo.drawing.plumage import PLUMAGE, Bar, Colour, Plumage, Point
from birdwatchd.demo.drawing.sheet import Frame, Sheet, Sprite, circle, finish, smooth, turn

SPECIES: tuple[str, ...] = tuple(PLUMAGE)
"""Common names of the eight species, in alphabetical order."""

Posture = Literal["perched", "pecking", "alert", "flutter", "flying"]
POSTURES: tuple[Posture, ...] = ("perched", "pecking", "alert", "flutter", "flying")


@dataclass(frozen=True, slots=True)
class Pose:
    """How a bird holds itself. `wings` is the wing beat, -1 down to 1 up; only open wings show it."""

    posture: Posture = "perched"
    facing_left: bool = False
    wings: float = 0.5


@dataclass(frozen=True, slots=True)
class _Stance:
    """Angles in degrees, anticlockwise: the body's axis and the bill, and where the head sits on the body."""

    tilt: float
    bill: float
    head: Point  # in half axes of the body
    neck: float  # how far the head is lifted, in heights
    standing: bool = True


_STANCES: dict[Posture, _Stance] = {
    "perched": _Stance(40, 2, (0.86, 0.42), 0.02),
    "pecking": _Stance(-14, -52, (1.12, 0.05), -0.02),
    "alert": _Stance(56, 12, (0.95, 0.3), 0.06),
    "flutter": _Stance(30, 0, (0.9, 0.35), 0.02),
    "flying": _Stance(10, -4, (1.02, 0.2), 0.0, standing=False),
}


def draw_bird(species: str, pose: Pose, size_px: int, seed: int) -> Sprite:
    """Draw one bird whose height, when perched, is about `size_px` pixels.

    `seed` stands for the individual: it shifts colours and proportions slightly, the same way in every pose.
    Raises KeyError for a species that is not in SPECIES.
    """
    chance = random.Random(f"{species}/{seed}")
    sheet = Sheet(size_px, chance)
    _draw_parts(sheet, PLUMAGE[species], pose)
    return finish(sheet, chance, facing_left=pose.facing_left)


def _draw_parts(sheet: Sheet, look: Plumage, pose: Pose) -> None:
    """Draw the bird from the far side to the near one."""
    stance = _STANCES[pose.posture]
    depth = look.half_depth * sheet.plump
    hip = turn((-0.12 * look.half_length, -0.82 * depth), stance.tilt)
    body = Frame((-hip[0], look.leg_length - hip[1]), stance.tilt, (look.half_length, depth))
    neck = body.at(stance.head)
    head = Frame((neck[0], neck[1] + stance.neck), stance.bill, (look.head_radius, look.head_radius))
    open_wings = pose.posture in ("flutter", "flying")
    if open_wings:
        _draw_open_wing(sheet, look, body, pose.wings * 0.85, near=False)
    _draw_legs(sheet, look, body, stance.standing)
    _draw_tail(sheet, look, body)
    _draw_body(sheet, look, body, head)
    _draw_head(sheet, look, head)
    if open_wings:
        _draw_open_wing(sheet, look, body, pose.wings, near=True)
    else:
        _draw_folded_wing(sheet, look, body)


def _draw_legs(sheet: Sheet, look: Plumage, body: Frame, standing: bool) -> None:
    """Two legs with toes when standing; tucked away in flight."""
    if not standing:
        return
    for shift in (-0.055, 0.045):
        knee = body.at((-0.1, -0.6))
        sheet.line([(knee[0] + shift, knee[1]), (shift, 0.015)], 0.026, look.legs)
        sheet.line([(shift - 0.05, 0.01), (shift + 0.075, 0.01)], 0.022, look.legs)


def _draw_tail(sheet: Sheet, look: Plumage, body: Frame) -> None:
    """A long wedge behind the body, in line with its back."""
    root, droop = Frame(body.at((-0.78, 0.05)), body.angle - 4), look.tail_width
    reach = look.tail_length

    def edge(along: float) -> tuple[Point, Point]:
        half = droop * (0.36 + 0.14 * along)
        return (-along * reach, half), (-along * reach, -half)

    outline = [edge(0.0)[0], edge(0.97)[0], (-reach, 0.0), edge(0.97)[1], edge(0.0)[1]]
    sheet.fill(root.all(outline), look.tail)
    for bar in look.tail_bars:
        (a, b), (c, d) = edge(bar.begin), edge(bar.end)
        sheet.fill(root.all([a, c, d, b]), bar.colour)


def _draw_body(sheet: Sheet, look: Plumage, body: Frame, head: Frame) -> None:
    """The body's egg with its marks, joined to the head by a neck of the body's colour."""
    egg = body.all(_egg())
    chest, radius = body.at((0.45, 0.1)), look.half_depth * 0.8
    neck = _hull(chest, radius, head.origin, look.head_radius * 0.9)
    sheet.fill(neck, look.body)
    sheet.fill(egg, look.body)
    whole = ImageChops.lighter(sheet.mask(egg), sheet.mask(neck))
    for patch in look.patches:
        if patch.part == "body":
            sheet.fill(body.all(smooth(patch.outline)), patch.colour, whole)


def _draw_head(sheet: Sheet, look: Plumage, head: Frame) -> None:
    """Crest, bill, the round of the head with its marks, and the eye."""
    if look.crest:
        _draw_crest(sheet, look, head)
    _draw_bill(sheet, look, head)
    ball = head.all(circle((0.0, 0.0), 1.0))
    sheet.fill(ball, look.head)
    inside = sheet.mask(ball)
    for patch in look.patches:
        if patch.part == "head":
            sheet.fill(head.all(smooth(patch.outline)), patch.colour, inside)
    size = 0.034 / look.head_radius
    sheet.fill(head.all(circle((0.38, 0.18), size * 1.3)), look.eye_ring)
    sheet.fill(head.all(circle((0.38, 0.18), size)), look.eye)
    sheet.fill(head.all(circle((0.43, 0.26), size * 0.35)), (240, 240, 240))


def _draw_bill(sheet: Sheet, look: Plumage, head: Frame) -> None:
    """A tapering bill, bent downward where the species' is."""
    bill = look.bill
    top: list[Point] = []
    bottom: list[Point] = []
    for step in range(9):
        along = step / 8
        fall = -bill.curve * bill.length * along * along
        half = bill.depth / 2 * (1 - along) ** 0.8
        x = look.head_radius * 0.85 + along * bill.length
        top.append((x, fall + half))
        bottom.append((x, fall - half))
    frame = Frame(head.origin, head.angle)
    sheet.fill(frame.all(top + bottom[::-1]), bill.colour)


def _draw_crest(sheet: Sheet, look: Plumage, head: Frame) -> None:
    """A fan of feathers with dark tips, half raised, as a hoopoe wears it."""
    for degrees in (158, 142, 126, 110, 94, 78):
        way, across = math.radians(degrees), math.radians(degrees + 90)
        reach = 2.5 - abs(degrees - 128) / 90

        def feather(along: float, half: float, way: float = way, across: float = across) -> Point:
            return (
                along * math.cos(way) + half * math.cos(across),
                along * math.sin(way) + half * math.sin(across),
            )

        shaft = [feather(0.5, 0.2), feather(reach, 0.24), feather(reach + 0.12, 0.0), feather(reach, -0.24)]
        sheet.fill(head.all([*shaft, feather(0.5, -0.2)]), look.head)
        tip = [feather(reach - 0.3, 0.24), *shaft[1:], feather(reach - 0.3, -0.24)]
        sheet.fill(head.all(tip), (28, 24, 26))


def _draw_folded_wing(sheet: Sheet, look: Plumage, body: Frame) -> None:
    """A leaf along the flank, from the shoulder to past the rump, with its bars."""
    outline = smooth(((0.52, 0.3), (0.2, 0.68), (-0.4, 0.62), (-1.25, 0.12), (-0.5, -0.25), (0.2, -0.32)))
    leaf = body.all(outline)
    sheet.fill(leaf, look.wing)
    inside = sheet.mask(leaf)
    for bar in look.wing_bars:
        sheet.fill(body.all(_across_folded(bar)), bar.colour, inside)


def _across_folded(bar: Bar) -> list[Point]:
    """The slanting band of a bar on the folded wing, in body coordinates."""
    begin, end = 0.6 - 1.75 * bar.begin, 0.6 - 1.75 * bar.end
    return [(begin, 0.9), (end, 0.9), (end - 0.18, -0.6), (begin - 0.18, -0.6)]


def _draw_open_wing(sheet: Sheet, look: Plumage, body: Frame, beat: float, near: bool) -> None:
    """A spread wing at one moment of its beat: seen edge on at 0, reaching up at 1 and down at -1."""
    lift = math.copysign(max(abs(beat), 0.22), beat) * 0.78
    root = body.at((0.2, 0.35)) if near else body.at((0.28, 0.45))

    def rib(along: float, chord: float) -> Point:
        """`along` the span, 0 to 1, and `chord` from the leading edge, 0, to the trailing one, 1."""
        sweep = -0.22 * along * along + 0.06 * math.sin(math.pi * along)
        depth = 0.34 * (1 - 0.75 * along**2.2)
        return (root[0] + sweep + 0.12 - chord * depth, root[1] + lift * along)

    spans = [step / 10 for step in range(11)]
    outline = [rib(along, 0.0) for along in spans]
    outline += [rib(along, 1.0 - 0.1 * (index % 2)) for index, along in enumerate(spans)][::-1]
    shade = 1.0 if near else 0.75
    sheet.fill(outline, _dim(look.wing, shade))
    for bar in look.wing_bars:
        band = [rib(bar.begin, 0.05), rib(bar.end, 0.05), rib(bar.end, 0.92), rib(bar.begin, 0.92)]
        sheet.fill(band, _dim(bar.colour, shade))


def _dim(colour: Colour, shade: float) -> Colour:
    return (round(colour[0] * shade), round(colour[1] * shade), round(colour[2] * shade))


def _egg() -> list[Point]:
    """A unit ellipse, fuller in the breast than at the tail."""
    steps = (2 * math.pi * step / 60 for step in range(60))
    return [(math.cos(a), math.sin(a) * (1 + 0.18 * math.cos(a))) for a in steps]


def _hull(a: Point, a_radius: float, b: Point, b_radius: float) -> list[Point]:
    """The outline of two circles and what lies between them."""
    way = math.atan2(b[1] - a[1], b[0] - a[0])
    gap = max(math.dist(a, b), abs(a_radius - b_radius) + 1e-6)
    spread = math.acos((a_radius - b_radius) / gap)
    turns = [spread + (2 * math.pi - 2 * spread) * step / 16 for step in range(17)]
    round_a = [(a[0] + a_radius * math.cos(way + t), a[1] + a_radius * math.sin(way + t)) for t in turns]
    ends = [-spread + 2 * spread * step / 16 for step in range(17)]
    round_b = [(b[0] + b_radius * math.cos(way + t), b[1] + b_radius * math.sin(way + t)) for t in ends]
    return round_a + round_b
