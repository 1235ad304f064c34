"""Draw distractors: what comes to feeders and is no bird (squirrel, cat, hand, person, leaf).

The demo's model was never trained on them; they test how it handles unknown objects. As in
`birdwatchd.demo.drawing.birds`, a drawing is a pure function of its arguments, in the same coordinates.
"""

import math
import random
from collections.abc import Callable

from birdwatchd.demo.drawing.birds import Pose
from birdwatchd.demo.drawing.canvas import Canvas, Sprite, Transform, circle, finish, smooth
from birdwatchd.demo.drawing.plumage import Colour, Point

__all__ = ["DISTRACTORS", "SIZES", "draw_distractor"]

_BEND = {"perched": 0.0, "alert": 10.0, "pecking": -14.0, "flutter": 18.0, "flying": -6.0}  # degrees


def draw_distractor(kind: str, pose: Pose, size_px: int, seed: int) -> Sprite:
    """Draw one of `DISTRACTORS`, about `size_px` pixels high.

    `seed` stands for the individual; of the pose, its bend, facing and movement are used.
    Raises KeyError for another kind.
    """
    rng = random.Random(f"{kind}/{seed}")
    canvas = Canvas(size_px, rng)
    _DRAW[kind](canvas, rng, _BEND[pose.posture], pose.wings)
    return finish(canvas, rng, facing_left=pose.facing_left)


def _vary_colour(rng: random.Random, colour: Colour, spread: int) -> Colour:
    red, green, blue = (min(240, max(16, part + rng.randint(-spread, spread))) for part in colour)
    return red, green, blue


def _any_colour(rng: random.Random) -> Colour:
    return rng.randrange(25, 225), rng.randrange(25, 225), rng.randrange(25, 225)


def _squirrel(canvas: Canvas, rng: random.Random, bend: float, beat: float) -> None:
    fur = _vary_colour(rng, rng.choice(((150, 92, 52), (118, 110, 102), (92, 66, 50))), 10)
    belly = _vary_colour(rng, (214, 200, 182), 8)
    tail = Transform((-0.22, 0.12), 8 * beat, (1.0, rng.uniform(0.9, 1.1)))
    back = ((0.0, 0.0), (-0.2, 0.02), (-0.42, 0.3), (-0.36, 0.72))
    brush = (*back, (-0.1, 0.98), (0.1, 0.9), (-0.06, 0.72), (-0.1, 0.4))
    canvas.fill(tail.apply_all(smooth(brush)), fur)
    body = Transform((0.0, 0.34), 62 + bend, (0.36, 0.25 * canvas.plump))
    canvas.fill(body.apply_all(circle((0.0, 0.0), 1.0)), fur)
    canvas.fill(body.apply_all(circle((0.1, -0.45), 0.5)), belly)
    canvas.fill(circle((-0.03, 0.14), 0.17), fur)
    neck = body.apply((0.95, -0.1))
    head = Transform((neck[0] + 0.05, neck[1] + 0.03), bend / 2, (0.17, 0.14))
    for ear in (0.2, -0.35):
        canvas.fill(head.apply_all([(ear - 0.25, 0.7), (ear - 0.1, 1.7), (ear + 0.3, 0.75)]), fur)
    canvas.fill(head.apply_all(circle((0.0, 0.0), 1.0)), fur)
    canvas.fill(head.apply_all(circle((0.75, -0.25), 0.45)), belly)
    canvas.fill(head.apply_all(circle((0.3, 0.25), 0.17)), (14, 14, 14))
    paw = body.apply((0.5, -1.0))
    canvas.line([paw, (paw[0] + 0.1, paw[1] + 0.02 + 0.05 * beat)], 0.07, fur)


def _cat(canvas: Canvas, rng: random.Random, bend: float, beat: float) -> None:
    fur = _vary_colour(rng, rng.choice(((58, 54, 54), (176, 122, 70), (128, 124, 118), (206, 198, 186))), 10)
    dark: Colour = (fur[0] * 2 // 3, fur[1] * 2 // 3, fur[2] * 2 // 3)
    canvas.line([(-0.5, 0.42), (-0.8, 0.55), (-0.9, 0.8 + 0.15 * beat)], 0.09, fur)
    for x in (-0.45, -0.3, 0.25, 0.4):
        canvas.line([(x, 0.4), (x + 0.03 * beat, 0.02)], 0.11, fur)
    body = Transform((-0.02, 0.47), bend / 4, (0.58, 0.22 * canvas.plump))
    canvas.fill(body.apply_all(circle((0.0, 0.0), 1.0)), fur)
    for stripe in range(5):
        x = -0.7 + 0.3 * stripe
        canvas.line(body.apply_all([(x, 0.9 * math.sqrt(1 - x * x)), (x + 0.08, 0.1)]), 0.04, dark)
    head = Transform((0.62, 0.68 + bend / 150), bend / 3, (0.22, 0.2))
    for ear in (-0.5, 0.45):
        canvas.fill(head.apply_all([(ear - 0.35, 0.6), (ear, 1.55), (ear + 0.35, 0.6)]), fur)
    canvas.fill(head.apply_all(circle((0.0, 0.0), 1.0)), fur)
    for eye in (-0.3, 0.45):
        canvas.fill(head.apply_all(circle((eye, 0.15), 0.17)), (190, 200, 70))
        canvas.fill(head.apply_all(circle((eye, 0.15), 0.08)), (14, 14, 14))
    canvas.fill(head.apply_all([(0.0, -0.2), (0.2, -0.2), (0.1, -0.35)]), (214, 140, 140))


def _hand(canvas: Canvas, rng: random.Random, bend: float, beat: float) -> None:
    skin = _vary_colour(rng, rng.choice(((226, 182, 152), (196, 146, 112), (142, 98, 72), (98, 66, 50))), 8)
    sleeve = _any_colour(rng)
    arm = Transform((0.0, 0.45), bend + rng.uniform(-15, 15))
    canvas.line(arm.apply_all([(-0.05, -0.1), (-1.0, -0.35)]), 0.28, skin)
    canvas.line(arm.apply_all([(-0.5, -0.22), (-1.2, -0.42)]), 0.4, sleeve)
    palm = ((-0.2, -0.2), (0.15, -0.22), (0.3, -0.05), (0.28, 0.16), (0.0, 0.22), (-0.22, 0.1))
    canvas.fill(arm.apply_all(smooth(palm)), skin)
    for finger in range(4):
        root, angle = arm.apply((0.24, -0.13 + 0.09 * finger)), -18 + 13 * finger + 6 * beat + arm.angle
        reach = 0.34 - 0.05 * abs(finger - 1.6)
        tip = (root[0] + reach * math.cos(math.radians(angle)), root[1] + reach * math.sin(math.radians(angle)))
        canvas.line([root, tip], 0.085, skin)
        canvas.fill(circle(tip, 0.042), skin)
    canvas.line(arm.apply_all([(0.02, 0.15), (0.18, 0.36 + 0.04 * beat)]), 0.095, skin)


def _person(canvas: Canvas, rng: random.Random, bend: float, beat: float) -> None:
    skin = _vary_colour(rng, rng.choice(((226, 182, 152), (142, 98, 72))), 8)
    shirt, trousers, hair = (_any_colour(rng) for _ in range(3))
    for side in (-1, 1):
        canvas.line([(0.06 * side, 0.62), (0.1 * side + 0.08 * beat * side, 0.02)], 0.12, trousers)
    canvas.fill([(-0.17, 0.6), (0.17, 0.6), (0.21, 1.12), (-0.21, 1.12)], shirt)
    for side in (-1, 1):
        hand = (0.3 * side + 0.1 * beat, 0.68 + bend / 90)
        canvas.line([(0.2 * side, 1.08), (0.29 * side, 0.88), hand], 0.09, shirt)
        canvas.fill(circle(hand, 0.05), skin)
    head = Transform((bend / 300, 1.27), bend / 3, (0.12, 0.15))
    canvas.fill(head.apply_all(circle((0.0, 0.0), 1.0)), skin)
    canvas.fill(head.apply_all([*(p for p in circle((0.0, 0.1), 1.08) if p[1] > 0.2)]), hair)


def _leaf(canvas: Canvas, rng: random.Random, bend: float, beat: float) -> None:
    green = rng.choice(((96, 140, 56), (150, 130, 50), (176, 100, 44), (66, 110, 52)))
    colour = _vary_colour(rng, green, 14)
    vein: Colour = (colour[0] * 3 // 4, colour[1] * 3 // 4, colour[2] * 3 // 4)
    leaf = Transform((0.0, 0.4), rng.uniform(-60, 60) + bend + 15 * beat, (0.55, rng.uniform(0.17, 0.3)))
    turns = [step * math.pi / 20 for step in range(21)]
    edge: list[Point] = [(-math.cos(t), math.sin(t) * (1 - 0.35 * math.cos(t))) for t in turns]
    canvas.fill(leaf.apply_all(edge + [(x, -y) for x, y in edge[::-1]]), colour)
    canvas.line(leaf.apply_all([(-1.35, 0.1), (-1.0, 0.0), (0.95, 0.0)]), 0.022, vein)
    for step in range(5):
        x = -0.6 + 0.3 * step
        for side in (-1, 1):
            canvas.line(leaf.apply_all([(x, 0.0), (x + 0.2, 0.6 * side)]), 0.012, vein)


_DRAW: dict[str, Callable[[Canvas, random.Random, float, float], None]] = {
    "squirrel": _squirrel,
    "cat": _cat,
    "hand": _hand,
    "person": _person,
    "leaf": _leaf,
}

DISTRACTORS: tuple[str, ...] = tuple(_DRAW)

SIZES = {"squirrel": 1.2, "cat": 1.6, "hand": 1.1, "person": 1.6, "leaf": 0.6}
"""Height next to that of a house sparrow, as they look from a feeder's camera; a person stands further away."""
