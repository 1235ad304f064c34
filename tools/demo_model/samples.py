"""Draw training data for the demo classifier: square crops as the daemon cuts them, each with its class.

A crop shows one bird of the demo, drawn by `birdwatchd.demo.drawing.birds` over a `birdwatchd.demo.drawing.backdrop`,
off centre, with more or less air around it, sometimes cut by the frame's edge, with noise, blur and compression; or it
shows no bird and is called `Unknown`. Everything follows from the seed.
"""

import io
import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from birdwatchd.demo.drawing.backdrop import SWAY_STEPS, Backdrop, paint_backdrop
from birdwatchd.demo.drawing.birds import SPECIES, Pose, draw_bird
from birdwatchd.demo.drawing.plumage import PLUMAGE

SIZE = 128
CLASSES: tuple[str, ...] = (*SPECIES, "Unknown")
UNKNOWN = len(SPECIES)

_UNKNOWN_SHARE = 0.18
_POSTURES = ("perched",) * 5 + ("pecking",) * 3 + ("alert",) * 3 + ("flutter",) * 2 + ("flying",) * 3
_FRAMES = ((960, 540), (640, 360), (1280, 720))


@dataclass(frozen=True, slots=True)
class Stock:
    """What crops are put together from: sprites by class, uint8 RGBA (H, W, 4), and painted backdrops."""

    sprites: tuple[tuple[NDArray[np.uint8], ...], ...]
    backdrops: tuple[Backdrop, ...]


def make_stock(seed: int, sprites: int, backdrops: int) -> Stock:
    """Draw `sprites` birds of each species and `backdrops` scenes, all different."""
    rng = random.Random(f"stock/{seed}")
    drawn = tuple(tuple(_draw(rng, species) for _ in range(sprites)) for species in SPECIES)
    scenes = tuple(paint_backdrop(rng.getrandbits(30), *_FRAMES[index % len(_FRAMES)]) for index in range(backdrops))
    return Stock(drawn, scenes)


def _draw(rng: random.Random, species: str) -> NDArray[np.uint8]:
    posture = rng.choice(_POSTURES)
    pose = Pose(posture, rng.random() < 0.5, rng.uniform(-1, 1))  # type: ignore[arg-type]
    size = rng.choice((48, 72, 96, 130, 180)) * PLUMAGE[species].size
    return draw_bird(species, pose, round(size), rng.getrandbits(30)).pixels


def draw_samples(stock: Stock, seed: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`count` crops, uint8 (count, SIZE, SIZE, 3) RGB, and their classes, int64 (count,)."""
    rng = random.Random(f"samples/{seed}")
    crops = np.empty((count, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        label = UNKNOWN if rng.random() < _UNKNOWN_SHARE else rng.randrange(len(SPECIES))
        crop = _no_bird(stock, rng) if label == UNKNOWN else _bird(stock, rng, label)
        crops[index] = np.asarray(_degrade(crop, rng))
        labels[index] = label
    return crops, labels


def _bird(stock: Stock, rng: random.Random, label: int) -> Image.Image:
    """A square around one bird, up to a fifth off centre, moved to stay inside the frame."""
    scene = rng.choice(stock.backdrops)
    height, width = scene.image.shape[:2]
    sprite = Image.fromarray(rng.choice(stock.sprites[label]))
    longer = min(24 * (300 / 24) ** rng.random(), 0.62 * height)
    gain = longer / max(sprite.size)
    if gain < 1 or rng.random() < 0.5:
        sprite = sprite.resize(
            (max(6, round(sprite.width * gain)), max(6, round(sprite.height * gain))),
            Image.Resampling.BICUBIC,
        )
    if rng.random() < 0.25:
        sprite = _streak(sprite, rng)
    longer = max(sprite.size)
    side = min(max(48, round(longer * rng.uniform(1.15, 2.0))), height)
    x, y = _stand(scene, rng, longer)
    left, top = (
        x + rng.uniform(-0.18, 0.18) * side - side / 2,
        y + rng.uniform(-0.18, 0.18) * side - side / 2,
    )
    left, top = min(max(round(left), 0), width - side), min(max(round(top), 0), height - side)
    crop = _background(scene, rng, (left, top, side))
    crop.paste(sprite, (round(x - sprite.width / 2 - left), round(y - sprite.height / 2 - top)), sprite)
    return crop


def _stand(scene: Backdrop, rng: random.Random, longer: int) -> tuple[float, float]:
    """The middle of a bird: on a perch, anywhere in the image, or half out of it."""
    height, width = scene.image.shape[:2]
    kind = rng.random()
    if kind < 0.5:
        perch = rng.choice(scene.perches)
        return (perch.x + rng.uniform(-0.05, 0.05)) * width, perch.y * height - longer * rng.uniform(0.2, 0.45)
    if kind < 0.9:
        return rng.uniform(0.05, 0.95) * width, rng.uniform(0.05, 0.95) * height
    inside = longer * rng.uniform(0.12, 0.5)
    if rng.random() < 0.5:
        return rng.choice((inside, width - inside)), rng.uniform(0.2, 0.8) * height
    return rng.uniform(0.1, 0.9) * width, inside


def _background(scene: Backdrop, rng: random.Random, square: tuple[int, int, int]) -> Image.Image:
    """The backdrop inside (left, top, side), with the branch where it hangs at some moment."""
    left, top, side = square
    crop = Image.fromarray(scene.image[top : top + side, left : left + side])
    branch = Image.fromarray(scene.branch.swing[rng.randrange(SWAY_STEPS)])
    crop.paste(branch, (scene.branch.left - left, scene.branch.top - top), branch)
    return crop


def _streak(sprite: Image.Image, rng: random.Random) -> Image.Image:
    """Motion blur: the bird's mean over a short straight path."""
    reach = max(2, round(max(sprite.size) * rng.uniform(0.04, 0.16)))
    angle = rng.uniform(-0.7, 0.7)
    wide, tall = sprite.width + reach, sprite.height + reach
    total = np.zeros((tall, wide, 4), np.float32)
    pixels = np.asarray(sprite, np.float32)
    solid = np.concatenate((pixels[..., :3] * pixels[..., 3:] / 255, pixels[..., 3:]), axis=2)
    for step in range(6):
        along = (step / 5 - 0.5) * reach
        x, y = round(reach / 2 + along * math.cos(angle)), round(reach / 2 + along * math.sin(angle))
        total[y : y + sprite.height, x : x + sprite.width] += solid  # type: ignore[arg-type]
    total /= 6
    total[..., :3] *= 255 / np.maximum(total[..., 3:], 1)
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8), "RGBA")


def _no_bird(stock: Stock, rng: random.Random) -> Image.Image:
    """What a false alarm looks like: foliage, the branch, the feeder, a smear, something that is no bird."""
    scene = rng.choice(stock.backdrops)
    height, width = scene.image.shape[:2]
    side = min(round(48 * (440 / 48) ** rng.random()), height)
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    kind = rng.random()
    if kind < 0.25:
        branch = scene.branch.swing[0].shape
        x, y = scene.branch.left + rng.random() * branch[1], scene.branch.top + rng.random() * branch[0]
    elif kind < 0.5:
        perch = rng.choice(scene.perches)
        x, y = perch.x * width, (perch.y + rng.uniform(-0.25, 0.05)) * height
    left, top = (min(max(round(middle - side / 2), 0), end - side) for middle, end in ((x, width), (y, height)))
    crop = _background(scene, rng, (left, top, side))
    if rng.random() < 0.25:
        _draw_object(crop, rng)
    return crop


def _draw_object(crop: Image.Image, rng: random.Random) -> None:
    """A blob or a bar of one colour, or the whole crop in it: a hand, a shadow, a test image."""
    draw, side = ImageDraw.Draw(crop), crop.width
    colour = tuple(rng.randrange(15, 240) for _ in range(3))
    points = sorted(rng.uniform(-0.1, 1.1) * side for _ in range(4))
    box = (points[0], points[1], points[2] + 1, points[3] + 1)
    kind = rng.random()
    if kind < 0.3:
        draw.ellipse(box, fill=colour)
    elif kind < 0.6:
        draw.rectangle(box, fill=colour)
    elif kind < 0.85:
        draw.polygon([(rng.uniform(0, side), rng.uniform(0, side)) for _ in range(5)], fill=colour)
    else:
        draw.rectangle((0, 0, side, side), fill=colour)


def _degrade(crop: Image.Image, rng: random.Random) -> Image.Image:
    """Add defocus, light, noise and compression, and resize to the classifier's input."""
    if rng.random() < 0.15:
        crop = crop.filter(ImageFilter.GaussianBlur(crop.width * rng.uniform(0.004, 0.014)))
    noise = np.random.default_rng(rng.getrandbits(32))
    pixels = np.asarray(crop, np.float32) * rng.uniform(0.88, 1.1)
    grain = noise.standard_normal((*pixels.shape[:2], 1), np.float32) * rng.uniform(0, 4.5)
    tint = noise.standard_normal(pixels.shape, np.float32) * rng.uniform(0, 2)
    crop = Image.fromarray(np.clip(pixels + grain + tint, 0, 255).astype(np.uint8))
    packed = io.BytesIO()
    crop.save(packed, "JPEG", quality=rng.randint(40, 95))
    return Image.open(packed).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
