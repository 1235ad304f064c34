"""Paint what a feeder camera sees when no bird is there: blurred foliage, a feeder, perches, a leafy branch.

Everything is drawn with Pillow from a seed, once per scene, so a frame only has to copy it. Brightness stays
clear of black and white by the margin that sensor noise needs.
"""

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

LOW, HIGH = 14, 241
"""Limits of a painted byte: noise of up to 12 either way is added later without a check for overflow."""

SWAY_STEPS = 24
"""How many positions the swaying branch is drawn in, from one end of its swing to the other."""

_GREENS = ((62, 86, 48), (84, 108, 60), (104, 128, 74), (72, 98, 70), (128, 142, 88), (52, 74, 50))
_WOODS = ((122, 92, 66), (140, 110, 82), (108, 84, 66))


@dataclass(frozen=True, slots=True)
class Perch:
    """A place to stand: `x` and `y` of the feet in fractions of the frame."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Branch:
    """The swaying branch: its pictures through one swing, uint8 RGBA (H, W, 4), and their top-left pixel."""

    swing: tuple[NDArray[np.uint8], ...]
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The still image, uint8 RGB (H, W, 3), where birds may stand in it, and what moves in it."""

    image: NDArray[np.uint8]
    perches: tuple[Perch, ...]
    branch: Branch


def paint_backdrop(seed: int, width: int, height: int) -> Backdrop:
    """Paint the backdrop of one scene, `width` by `height` pixels."""
    rng = random.Random(f"backdrop/{seed}")
    foliage = _paint_foliage(rng, width, height)
    tray_y, centre = rng.uniform(0.66, 0.78), rng.uniform(0.36, 0.64)
    half = rng.uniform(0.22, 0.27)
    if rng.random() < 0.5:
        _paint_hanging_feeder(foliage, rng, centre, tray_y, half)
    else:
        _paint_table(foliage, rng, centre, tray_y, half)
    perches = tuple(Perch(centre + half * shift, tray_y + 0.008) for shift in (-0.72, 0.72, -0.24, 0.24))
    image = _grain(np.asarray(foliage), seed)
    return Backdrop(image, perches, _paint_branch(rng, width, height))


def _leaf(place: tuple[float, float], length: float, angle: float) -> list[tuple[float, float]]:
    """The outline of one pointed leaf with its stalk at `place`, in pixels and radians."""
    cosine, sine = length * math.cos(angle), length * math.sin(angle)
    half = ((0.0, 0.0), (0.3, 0.2), (0.65, 0.17), (1.0, 0.0), (0.65, -0.17), (0.3, -0.2))
    return [(place[0] + x * cosine - y * sine, place[1] + x * sine + y * cosine) for x, y in half]


def _vary(rng: random.Random, colour: tuple[int, int, int], by: float) -> tuple[int, int, int]:
    gain = rng.uniform(1 - by, 1 + by)
    red, green, blue = (min(255, round(part * gain)) for part in colour)
    return red, green, blue


def _paint_foliage(rng: random.Random, width: int, height: int) -> Image.Image:
    """Three layers of leaves, the farther the more out of focus, over a sky that shows through at the top."""
    sky = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    top = np.array(rng.choice(((176, 190, 188), (160, 178, 160), (190, 186, 168))), np.float32)
    bottom = np.array(_vary(rng, rng.choice(_GREENS), 0.1), np.float32)
    wash = np.broadcast_to(top * (1 - sky) ** 1.5 + bottom * (1 - (1 - sky) ** 1.5), (height, width, 3))
    image = Image.fromarray(wash.astype(np.uint8))
    hue = tuple(rng.uniform(0.9, 1.12) for _ in range(3))
    for count, size, blur in ((140, 0.26, 0.022), (120, 0.17, 0.011), (60, 0.1, 0.005)):
        draw = ImageDraw.Draw(image)
        for _ in range(count):
            green = _vary(rng, rng.choice(_GREENS), 0.25)
            colour = tuple(min(235, round(part * gain)) for part, gain in zip(green, hue, strict=True))
            depth = rng.random() ** 0.6
            place = (rng.uniform(-0.1, 1.1) * width, depth * 1.1 * height)
            length = size * height * rng.uniform(0.6, 1.3)
            draw.polygon(_leaf(place, length, rng.uniform(0, 2 * math.pi)), fill=colour)
        image = image.filter(ImageFilter.GaussianBlur(blur * height))
    return image


def _paint_hanging_feeder(image: Image.Image, rng: random.Random, centre: float, tray_y: float, half: float) -> None:
    """A seed tube on a wire above a round tray."""
    draw, wood = ImageDraw.Draw(image), _vary(rng, rng.choice(_WOODS), 0.15)
    width, height = image.size
    x, y, reach = centre * width, tray_y * height, half * width
    tube, roof = 0.05 * height, 0.09 * height
    draw.line((x, 0, x, y - 0.46 * height), fill=(70, 70, 72), width=max(1, height // 220))
    draw.rectangle((x - tube, y - 0.4 * height, x + tube, y), fill=(178, 176, 160))
    draw.rectangle((x - tube * 0.8, y - 0.27 * height, x + tube * 0.8, y), fill=(138, 112, 72))
    for _ in range(150):
        seed_x, seed_y = x + rng.uniform(-0.75, 0.75) * tube, y - rng.random() * 0.26 * height
        colour = _vary(rng, (164, 134, 86), 0.3)
        draw.ellipse((seed_x, seed_y, seed_x + height / 150, seed_y + height / 110), fill=colour)
    draw.polygon(((x - roof, y - 0.4 * height), (x, y - 0.47 * height), (x + roof, y - 0.4 * height)), fill=wood)
    _paint_board(draw, rng, (x - reach, y, x + reach, y + 0.035 * height), wood)


def _paint_table(image: Image.Image, rng: random.Random, centre: float, tray_y: float, half: float) -> None:
    """A board on a post, with scattered seed."""
    draw, wood = ImageDraw.Draw(image), _vary(rng, rng.choice(_WOODS), 0.15)
    width, height = image.size
    x, y, reach = centre * width, tray_y * height, half * width
    post = 0.045 * height
    _paint_board(draw, rng, (x - post, y, x + post, height), _vary(rng, wood, 0.1))
    _paint_board(draw, rng, (x - reach, y, x + reach, y + 0.05 * height), wood)
    for _ in range(40):
        seed_x, seed_y = x + rng.uniform(-0.9, 0.9) * reach, y - rng.uniform(-0.004, 0.004) * height
        draw.ellipse((seed_x, seed_y, seed_x + height / 110, seed_y + height / 150), fill=(176, 146, 96))


def _paint_board(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    box: tuple[float, float, float, float],
    colour: tuple[int, int, int],
) -> None:
    """A piece of wood with a lit edge and some grain along its longer side."""
    left, top, right, bottom = box
    draw.rectangle(box, fill=colour)
    lying = right - left > bottom - top
    for _ in range(14):
        shade = _vary(rng, colour, 0.18)
        if lying:
            y, x = rng.uniform(top, bottom), rng.uniform(left, right)
            draw.line((x, y, min(right, x + (right - left) * 0.3), y), fill=shade)
        else:
            x, y = rng.uniform(left, right), rng.uniform(top, bottom)
            draw.line((x, y, x, min(bottom, y + (bottom - top) * 0.4)), fill=shade)
    lit = tuple(min(235, round(part * 1.2)) for part in colour)
    draw.line((left, top, right, top), fill=lit, width=max(1, round((bottom - top) / 9) if lying else 1))


def _grain(image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Fine texture and a darker rim, as a small lens leaves; within the limits for noise."""
    height, width = image.shape[:2]
    rng = np.random.default_rng(seed)
    fine = rng.normal(1.0, 0.02, (height, width, 1)).astype(np.float32)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    rim = 1.0 - 0.12 * (across**2 + down**2)
    return np.clip(image * fine * rim, LOW, HIGH).astype(np.uint8)


def _paint_branch(rng: random.Random, width: int, height: int) -> Branch:
    """A leafy branch that reaches in from an upper corner, bent a little more in each image."""
    reach, drop = round(0.2 * width), round(0.26 * height)
    image = Image.new("RGBA", (reach, drop), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    end = (reach * 0.86, drop * 0.55)
    draw.line((0, drop * 0.2, *end), fill=(96, 74, 56, 255), width=max(2, height // 110))
    for index in range(15):
        along = (index + 1) / 15
        x, y = along * end[0], drop * 0.2 + along * (end[1] - drop * 0.2)
        angle = 0.35 + (1 if index % 2 else -1) * rng.uniform(0.5, 1.1)
        colour = (*_vary(rng, rng.choice(_GREENS[:4]), 0.2), 255)
        draw.polygon(_leaf((x, y), 0.095 * height * rng.uniform(0.7, 1.1), angle), fill=colour)
    on_right = rng.random() < 0.5
    if on_right:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    swing = tuple(_bend(image, step / (SWAY_STEPS - 1) * 2 - 1, on_right) for step in range(SWAY_STEPS))
    return Branch(swing, width - reach if on_right else 0, round(rng.uniform(0.0, 0.06) * height))


def _bend(image: Image.Image, sway: float, on_right: bool) -> NDArray[np.uint8]:
    """Shear the branch so that its free end moves by 1.5 % of its own height for `sway` 1."""
    slope = 0.022 * sway * (1 if on_right else -1)
    shift = -slope * image.width if on_right else 0.0
    bent = image.transform(image.size, Image.Transform.AFFINE, (1, 0, 0, slope, 1, shift), Image.Resampling.BILINEAR)
    pixels = np.array(bent)
    np.clip(pixels[..., :3], LOW, HIGH, out=pixels[..., :3])
    return pixels
