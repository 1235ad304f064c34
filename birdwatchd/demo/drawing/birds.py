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

from birdwatchd.demo.drawing.canvas import Canvas, Sprite, Transform, circle, finish, rotate, smooth
from birdwatchd.demo.drawing.plumage import PLUMAGE, Bar, Colour, Plumage, Point

SPECIES: tuple[str, ...] = tuple(PLUMAGE)
"""Common names of the eight species, in alphabetical order."""

Posture = Literal["perched", "pecking", "alert", "flutter", "flying"]


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
    rng = random.Random(f"{species}/{seed}")
    canvas = Canvas(size_px, rng)
    _draw_parts(canvas, PLUMAGE[species], pose)
    return finish(canvas, rng, facing_left=pose.facing_left)


def _draw_parts(canvas: Canvas, plumage: Plumage, pose: Pose) -> None:
    """Draw the bird from the far side to the near one."""
    stance = _STANCES[pose.posture]
    depth = plumage.half_depth * canvas.plump
    hip = rotate((-0.12 * plumage.half_length, -0.82 * depth), stance.tilt)
    body = Transform((-hip[0], plumage.leg_length - hip[1]), stance.tilt, (plumage.half_length, depth))
    neck = body.apply(stance.head)
    head = Transform((neck[0], neck[1] + stance.neck), stance.bill, (plumage.head_radius, plumage.head_radius))
    open_wings = pose.posture in ("flutter", "flying")
    if open_wings:
        _draw_open_wing(canvas, plumage, body, pose.wings * 0.85, near=False)
    _draw_legs(canvas, plumage, body, stance.standing)
    _draw_tail(canvas, plumage, body)
    _draw_body(canvas, plumage, body, head)
    _draw_head(canvas, plumage, head)
    if open_wings:
        _draw_open_wing(canvas, plumage, body, pose.wings, near=True)
    else:
        _draw_folded_wing(canvas, plumage, body)


def _draw_legs(canvas: Canvas, plumage: Plumage, body: Transform, standing: bool) -> None:
    """Two legs with toes when standing; tucked away in flight."""
    if not standing:
        return
    for shift in (-0.055, 0.045):
        knee = body.apply((-0.1, -0.6))
        canvas.line([(knee[0] + shift, knee[1]), (shift, 0.015)], 0.026, plumage.legs)
        canvas.line([(shift - 0.05, 0.01), (shift + 0.075, 0.01)], 0.022, plumage.legs)


def _draw_tail(canvas: Canvas, plumage: Plumage, body: Transform) -> None:
    """A long wedge behind the body, in line with its back."""
    root, droop = Transform(body.apply((-0.78, 0.05)), body.angle - 4), plumage.tail_width
    reach = plumage.tail_length

    def edge(along: float) -> tuple[Point, Point]:
        half = droop * (0.36 + 0.14 * along)
        return (-along * reach, half), (-along * reach, -half)

    outline = [edge(0.0)[0], edge(0.97)[0], (-reach, 0.0), edge(0.97)[1], edge(0.0)[1]]
    canvas.fill(root.apply_all(outline), plumage.tail)
    for bar in plumage.tail_bars:
        (a, b), (c, d) = edge(bar.begin), edge(bar.end)
        canvas.fill(root.apply_all([a, c, d, b]), bar.colour)


def _draw_body(canvas: Canvas, plumage: Plumage, body: Transform, head: Transform) -> None:
    """The body's egg with its marks, joined to the head by a neck of the body's colour."""
    egg = body.apply_all(_egg())
    chest, radius = body.apply((0.45, 0.1)), plumage.half_depth * 0.8
    neck = _hull(chest, radius, head.origin, plumage.head_radius * 0.9)
    canvas.fill(neck, plumage.body)
    canvas.fill(egg, plumage.body)
    whole = ImageChops.lighter(canvas.mask(egg), canvas.mask(neck))
    for patch in plumage.patches:
        if patch.part == "body":
            canvas.fill(body.apply_all(smooth(patch.outline)), patch.colour, whole)


def _draw_head(canvas: Canvas, plumage: Plumage, head: Transform) -> None:
    """Crest, bill, the round of the head with its marks, and the eye."""
    if plumage.crest:
        _draw_crest(canvas, plumage, head)
    _draw_bill(canvas, plumage, head)
    ball = head.apply_all(circle((0.0, 0.0), 1.0))
    canvas.fill(ball, plumage.head)
    inside = canvas.mask(ball)
    for patch in plumage.patches:
        if patch.part == "head":
            canvas.fill(head.apply_all(smooth(patch.outline)), patch.colour, inside)
    size = 0.034 / plumage.head_radius
    canvas.fill(head.apply_all(circle((0.38, 0.18), size * 1.3)), plumage.eye_ring)
    canvas.fill(head.apply_all(circle((0.38, 0.18), size)), plumage.eye)
    canvas.fill(head.apply_all(circle((0.43, 0.26), size * 0.35)), (240, 240, 240))


def _draw_bill(canvas: Canvas, plumage: Plumage, head: Transform) -> None:
    """A tapering bill, bent downward where the species' is."""
    bill = plumage.bill
    top: list[Point] = []
    bottom: list[Point] = []
    for step in range(9):
        along = step / 8
        fall = -bill.curve * bill.length * along * along
        half = bill.depth / 2 * (1 - along) ** 0.8
        x = plumage.head_radius * 0.85 + along * bill.length
        top.append((x, fall + half))
        bottom.append((x, fall - half))
    frame = Transform(head.origin, head.angle)
    canvas.fill(frame.apply_all(top + bottom[::-1]), bill.colour)


def _draw_crest(canvas: Canvas, plumage: Plumage, head: Transform) -> None:
    """A fan of feathers with dark tips, half raised, as a hoopoe wears it."""
    for degrees in (158, 142, 126, 110, 94, 78):
        angle, across = math.radians(degrees), math.radians(degrees + 90)
        reach = 2.5 - abs(degrees - 128) / 90

        def feather(along: float, half: float, angle: float = angle, across: float = across) -> Point:
            return (
                along * math.cos(angle) + half * math.cos(across),
                along * math.sin(angle) + half * math.sin(across),
            )

        shaft = [feather(0.5, 0.2), feather(reach, 0.24), feather(reach + 0.12, 0.0), feather(reach, -0.24)]
        canvas.fill(head.apply_all([*shaft, feather(0.5, -0.2)]), plumage.head)
        tip = [feather(reach - 0.3, 0.24), *shaft[1:], feather(reach - 0.3, -0.24)]
        canvas.fill(head.apply_all(tip), (28, 24, 26))


def _draw_folded_wing(canvas: Canvas, plumage: Plumage, body: Transform) -> None:
    """A leaf along the flank, from the shoulder to past the rump, with its bars."""
    outline = smooth(((0.52, 0.3), (0.2, 0.68), (-0.4, 0.62), (-1.25, 0.12), (-0.5, -0.25), (0.2, -0.32)))
    leaf = body.apply_all(outline)
    canvas.fill(leaf, plumage.wing)
    inside = canvas.mask(leaf)
    for bar in plumage.wing_bars:
        canvas.fill(body.apply_all(_across_folded(bar)), bar.colour, inside)


def _across_folded(bar: Bar) -> list[Point]:
    """The slanting band of a bar on the folded wing, in body coordinates."""
    begin, end = 0.6 - 1.75 * bar.begin, 0.6 - 1.75 * bar.end
    return [(begin, 0.9), (end, 0.9), (end - 0.18, -0.6), (begin - 0.18, -0.6)]


def _draw_open_wing(canvas: Canvas, plumage: Plumage, body: Transform, beat: float, near: bool) -> None:
    """A spread wing at one moment of its beat: seen edge on at 0, reaching up at 1 and down at -1."""
    lift = math.copysign(max(abs(beat), 0.22), beat) * 0.78
    root = body.apply((0.2, 0.35)) if near else body.apply((0.28, 0.45))

    def rib(along: float, chord: float) -> Point:
        """`along` the span, 0 to 1, and `chord` from the leading edge, 0, to the trailing one, 1."""
        sweep = -0.22 * along * along + 0.06 * math.sin(math.pi * along)
        depth = 0.34 * (1 - 0.75 * along**2.2)
        return (root[0] + sweep + 0.12 - chord * depth, root[1] + lift * along)

    spans = [step / 10 for step in range(11)]
    outline = [rib(along, 0.0) for along in spans]
    outline += [rib(along, 1.0 - 0.1 * (index % 2)) for index, along in enumerate(spans)][::-1]
    shade = 1.0 if near else 0.75
    canvas.fill(outline, _dim(plumage.wing, shade))
    for bar in plumage.wing_bars:
        band = [rib(bar.begin, 0.05), rib(bar.end, 0.05), rib(bar.end, 0.92), rib(bar.begin, 0.92)]
        canvas.fill(band, _dim(bar.colour, shade))


def _dim(colour: Colour, shade: float) -> Colour:
    return (round(colour[0] * shade), round(colour[1] * shade), round(colour[2] * shade))


def _egg() -> list[Point]:
    """A unit ellipse, fuller in the breast than at the tail."""
    steps = (2 * math.pi * step / 60 for step in range(60))
    return [(math.cos(a), math.sin(a) * (1 + 0.18 * math.cos(a))) for a in steps]


def _hull(a: Point, a_radius: float, b: Point, b_radius: float) -> list[Point]:
    """The outline of two circles and what lies between them."""
    angle = math.atan2(b[1] - a[1], b[0] - a[0])
    gap = max(math.dist(a, b), abs(a_radius - b_radius) + 1e-6)
    spread = math.acos((a_radius - b_radius) / gap)
    turns = [spread + (2 * math.pi - 2 * spread) * step / 16 for step in range(17)]
    round_a = [(a[0] + a_radius * math.cos(angle + t), a[1] + a_radius * math.sin(angle + t)) for t in turns]
    ends = [-spread + 2 * spread * step / 16 for step in range(17)]
    round_b = [(b[0] + b_radius * math.cos(angle + t), b[1] + b_radius * math.sin(angle + t)) for t in ends]
    return round_a + round_b
