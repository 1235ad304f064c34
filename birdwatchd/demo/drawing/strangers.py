"""Draw what comes to feeders and is no bird: squirrel, cat, hand, person, leaf.

As `birdwatchd.demo.drawing.birds` draws birds: a drawing is a pure function of its arguments, in the same coordinates.
The demo's model was never shown them; they are for finding out what it makes of them.
"""

import math
import random
from collections.abc import Callable

from birdwatchd.demo.drawing.birds import Pose
from birdwatchd.demo.drawing.plumage import Colour, Point
from birdwatchd.demo.drawing.sheet import Frame, Sheet, Sprite, circle, finish, smooth

__all__ = ["SIZES", "STRANGERS", "draw_stranger"]

_BEND = {"perched": 0.0, "alert": 10.0, "pecking": -14.0, "flutter": 18.0, "flying": -6.0}  # degrees


def draw_stranger(kind: str, pose: Pose, size_px: int, seed: int) -> Sprite:
    """Draw one of `STRANGERS`, about `size_px` pixels high.

    `seed` stands for the individual; of the pose, how it bends, which way it looks and what it moves are used.
    Raises KeyError for another kind.
    """
    chance = random.Random(f"{kind}/{seed}")
    sheet = Sheet(size_px, chance)
    _DRAW[kind](sheet, chance, _BEND[pose.posture], pose.wings)
    return finish(sheet, chance, facing_left=pose.facing_left)


def _near(chance: random.Random, colour: Colour, spread: int) -> Colour:
    red, green, blue = (min(240, max(16, part + chance.randint(-spread, spread))) for part in colour)
    return red, green, blue


def _any_colour(chance: random.Random) -> Colour:
    return chance.randrange(25, 225), chance.randrange(25, 225), chance.randrange(25, 225)


def _squirrel(sheet: Sheet, chance: random.Random, bend: float, beat: float) -> None:
    fur = _near(chance, chance.choice(((150, 92, 52), (118, 110, 102), (92, 66, 50))), 10)
    belly = _near(chance, (214, 200, 182), 8)
    tail = Frame((-0.22, 0.12), 8 * beat, (1.0, chance.uniform(0.9, 1.1)))
    back = ((0.0, 0.0), (-0.2, 0.02), (-0.42, 0.3), (-0.36, 0.72))
    brush = (*back, (-0.1, 0.98), (0.1, 0.9), (-0.06, 0.72), (-0.1, 0.4))
    sheet.fill(tail.all(smooth(brush)), fur)
    body = Frame((0.0, 0.34), 62 + bend, (0.36, 0.25 * sheet.plump))
    sheet.fill(body.all(circle((0.0, 0.0), 1.0)), fur)
    sheet.fill(body.all(circle((0.1, -0.45), 0.5)), belly)
    sheet.fill(circle((-0.03, 0.14), 0.17), fur)
    neck = body.at((0.95, -0.1))
    head = Frame((neck[0] + 0.05, neck[1] + 0.03), bend / 2, (0.17, 0.14))
    for ear in (0.2, -0.35):
        sheet.fill(head.all([(ear - 0.25, 0.7), (ear - 0.1, 1.7), (ear + 0.3, 0.75)]), fur)
    sheet.fill(head.all(circle((0.0, 0.0), 1.0)), fur)
    sheet.fill(head.all(circle((0.75, -0.25), 0.45)), belly)
    sheet.fill(head.all(circle((0.3, 0.25), 0.17)), (14, 14, 14))
    paw = body.at((0.5, -1.0))
    sheet.line([paw, (paw[0] + 0.1, paw[1] + 0.02 + 0.05 * beat)], 0.07, fur)


def _cat(sheet: Sheet, chance: random.Random, bend: float, beat: float) -> None:
    fur = _near(chance, chance.choice(((58, 54, 54), (176, 122, 70), (128, 124, 118), (206, 198, 186))), 10)
    dark: Colour = (fur[0] * 2 // 3, fur[1] * 2 // 3, fur[2] * 2 // 3)
    sheet.line([(-0.5, 0.42), (-0.8, 0.55), (-0.9, 0.8 + 0.15 * beat)], 0.09, fur)
    for x in (-0.45, -0.3, 0.25, 0.4):
        sheet.line([(x, 0.4), (x + 0.03 * beat, 0.02)], 0.11, fur)
    body = Frame((-0.02, 0.47), bend / 4, (0.58, 0.22 * sheet.plump))
    sheet.fill(body.all(circle((0.0, 0.0), 1.0)), fur)
    for stripe in range(5):
        x = -0.7 + 0.3 * stripe
        sheet.line(body.all([(x, 0.9 * math.sqrt(1 - x * x)), (x + 0.08, 0.1)]), 0.04, dark)
    head = Frame((0.62, 0.68 + bend / 150), bend / 3, (0.22, 0.2))
    for ear in (-0.5, 0.45):
        sheet.fill(head.all([(ear - 0.35, 0.6), (ear, 1.55), (ear + 0.35, 0.6)]), fur)
    sheet.fill(head.all(circle((0.0, 0.0), 1.0)), fur)
    for eye in (-0.3, 0.45):
        sheet.fill(head.all(circle((eye, 0.15), 0.17)), (190, 200, 70))
        sheet.fill(head.all(circle((eye, 0.15), 0.08)), (14, 14, 14))
    sheet.fill(head.all([(0.0, -0.2), (0.2, -0.2), (0.1, -0.35)]), (214, 140, 140))


def _hand(sheet: Sheet, chance: random.Random, bend: float, beat: float) -> None:
    skin = _near(chance, chance.choice(((226, 182, 152), (196, 146, 112), (142, 98, 72), (98, 66, 50))), 8)
    sleeve = _any_colour(chance)
    arm = Frame((0.0, 0.45), bend + chance.uniform(-15, 15))
    sheet.line(arm.all([(-0.05, -0.1), (-1.0, -0.35)]), 0.28, skin)
    sheet.line(arm.all([(-0.5, -0.22), (-1.2, -0.42)]), 0.4, sleeve)
    palm = ((-0.2, -0.2), (0.15, -0.22), (0.3, -0.05), (0.28, 0.16), (0.0, 0.22), (-0.22, 0.1))
    sheet.fill(arm.all(smooth(palm)), skin)
    for finger in range(4):
        root, way = arm.at((0.24, -0.13 + 0.09 * finger)), -18 + 13 * finger + 6 * beat + arm.angle
        reach = 0.34 - 0.05 * abs(finger - 1.6)
        tip = (root[0] + reach * math.cos(math.radians(way)), root[1] + reach * math.sin(math.radians(way)))
        sheet.line([root, tip], 0.085, skin)
        sheet.fill(circle(tip, 0.042), skin)
    sheet.line(arm.all([(0.02, 0.15), (0.18, 0.36 + 0.04 * beat)]), 0.095, skin)


def _person(sheet: Sheet, chance: random.Random, bend: float, beat: float) -> None:
    skin = _near(chance, chance.choice(((226, 182, 152), (142, 98, 72))), 8)
    shirt, trousers, hair = (_any_colour(chance) for _ in range(3))
    for side in (-1, 1):
        sheet.line([(0.06 * side, 0.62), (0.1 * side + 0.08 * beat * side, 0.02)], 0.12, trousers)
    sheet.fill([(-0.17, 0.6), (0.17, 0.6), (0.21, 1.12), (-0.21, 1.12)], shirt)
    for side in (-1, 1):
        hand = (0.3 * side + 0.1 * beat, 0.68 + bend / 90)
        sheet.line([(0.2 * side, 1.08), (0.29 * side, 0.88), hand], 0.09, shirt)
        sheet.fill(circle(hand, 0.05), skin)
    head = Frame((bend / 300, 1.27), bend / 3, (0.12, 0.15))
    sheet.fill(head.all(circle((0.0, 0.0), 1.0)), skin)
    sheet.fill(head.all([*(p for p in circle((0.0, 0.1), 1.08) if p[1] > 0.2)]), hair)


def _leaf(sheet: Sheet, chance: random.Random, bend: float, beat: float) -> None:
    green = chance.choice(((96, 140, 56), (150, 130, 50), (176, 100, 44), (66, 110, 52)))
    colour = _near(chance, green, 14)
    vein: Colour = (colour[0] * 3 // 4, colour[1] * 3 // 4, colour[2] * 3 // 4)
    leaf = Frame((0.0, 0.4), chance.uniform(-60, 60) + bend + 15 * beat, (0.55, chance.uniform(0.17, 0.3)))
    turns = [step * math.pi / 20 for step in range(21)]
    edge: list[Point] = [(-math.cos(t), math.sin(t) * (1 - 0.35 * math.cos(t))) for t in turns]
    sheet.fill(leaf.all(edge + [(x, -y) for x, y in edge[::-1]]), colour)
    sheet.line(leaf.all([(-1.35, 0.1), (-1.0, 0.0), (0.95, 0.0)]), 0.022, vein)
    for step in range(5):
        x = -0.6 + 0.3 * step
        for side in (-1, 1):
            sheet.line(leaf.all([(x, 0.0), (x + 0.2, 0.6 * side)]), 0.012, vein)


_DRAW: dict[str, Callable[[Sheet, random.Random, float, float], None]] = {
    "squirrel": _squirrel,
    "cat": _cat,
    "hand": _hand,
    "person": _person,
    "leaf": _leaf,
}

STRANGERS: tuple[str, ...] = tuple(_DRAW)

SIZES = {"squirrel": 1.2, "cat": 1.6, "hand": 1.1, "person": 1.6, "leaf": 0.6}
"""Height next to that of a house sparrow, as they look from a feeder's camera; a person stands further away."""
