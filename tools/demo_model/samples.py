"""Draw training pictures for the demo classifier: square crops as the daemon cuts them, each with its class.

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
    chance = random.Random(f"stock/{seed}")
    drawn = tuple(tuple(_draw(chance, species) for _ in range(sprites)) for species in SPECIES)
    scenes = tuple(paint_backdrop(chance.getrandbits(30), *_FRAMES[index % len(_FRAMES)]) for index in range(backdrops))
    return Stock(drawn, scenes)


def _draw(chance: random.Random, species: str) -> NDArray[np.uint8]:
    posture = chance.choice(_POSTURES)
    pose = Pose(posture, chance.random() < 0.5, chance.uniform(-1, 1))  # type: ignore[arg-type]
    size = chance.choice((48, 72, 96, 130, 180)) * PLUMAGE[species].size
    return draw_bird(species, pose, round(size), chance.getrandbits(30)).pixels


def draw_samples(stock: Stock, seed: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`count` crops, uint8 (count, SIZE, SIZE, 3) RGB, and their classes, int64 (count,)."""
    chance = random.Random(f"samples/{seed}")
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        label = UNKNOWN if chance.random() < _UNKNOWN_SHARE else chance.randrange(len(SPECIES))
        crop = _no_bird(stock, chance) if label == UNKNOWN else _bird(stock, chance, label)
        pictures[index] = np.asarray(_spoil(crop, chance))
        labels[index] = label
    return pictures, labels


def _bird(stock: Stock, chance: random.Random, label: int) -> Image.Image:
    """A square around one bird, up to a fifth off centre, moved to stay inside the frame."""
    scene = chance.choice(stock.backdrops)
    height, width = scene.picture.shape[:2]
    sprite = Image.fromarray(chance.choice(stock.sprites[label]))
    longer = min(24 * (300 / 24) ** chance.random(), 0.62 * height)
    gain = longer / max(sprite.size)
    if gain < 1 or chance.random() < 0.5:
        sprite = sprite.resize(
            (max(6, round(sprite.width * gain)), max(6, round(sprite.height * gain))),
            Image.Resampling.BICUBIC,
        )
    if chance.random() < 0.25:
        sprite = _streak(sprite, chance)
    longer = max(sprite.size)
    side = min(max(48, round(longer * chance.uniform(1.15, 2.0))), height)
    x, y = _stand(scene, chance, longer)
    left, top = (
        x + chance.uniform(-0.18, 0.18) * side - side / 2,
        y + chance.uniform(-0.18, 0.18) * side - side / 2,
    )
    left, top = min(max(round(left), 0), width - side), min(max(round(top), 0), height - side)
    crop = _background(scene, chance, (left, top, side))
    crop.paste(sprite, (round(x - sprite.width / 2 - left), round(y - sprite.height / 2 - top)), sprite)
    return crop


def _stand(scene: Backdrop, chance: random.Random, longer: int) -> tuple[float, float]:
    """The middle of a bird: on a perch, anywhere in the picture, or half out of it."""
    height, width = scene.picture.shape[:2]
    kind = chance.random()
    if kind < 0.5:
        perch = chance.choice(scene.perches)
        return (perch.x + chance.uniform(-0.05, 0.05)) * width, perch.y * height - longer * chance.uniform(0.2, 0.45)
    if kind < 0.9:
        return chance.uniform(0.05, 0.95) * width, chance.uniform(0.05, 0.95) * height
    inside = longer * chance.uniform(0.12, 0.5)
    if chance.random() < 0.5:
        return chance.choice((inside, width - inside)), chance.uniform(0.2, 0.8) * height
    return chance.uniform(0.1, 0.9) * width, inside


def _background(scene: Backdrop, chance: random.Random, square: tuple[int, int, int]) -> Image.Image:
    """The backdrop inside (left, top, side), with the branch where it hangs at some moment."""
    left, top, side = square
    crop = Image.fromarray(scene.picture[top : top + side, left : left + side])
    branch = Image.fromarray(scene.branch.swing[chance.randrange(SWAY_STEPS)])
    crop.paste(branch, (scene.branch.left - left, scene.branch.top - top), branch)
    return crop


def _streak(sprite: Image.Image, chance: random.Random) -> Image.Image:
    """Motion blur: the bird's mean over a short straight path."""
    reach = max(2, round(max(sprite.size) * chance.uniform(0.04, 0.16)))
    angle = chance.uniform(-0.7, 0.7)
    wide, tall = sprite.width + reach, sprite.height + reach
    total = np.zeros((tall, wide, 4), np.float32)
    pixels = np.asarray(sprite, np.float32)
    solid = np.concatenate((pixels[..., :3] * pixels[..., 3:] / 255, pixels[..., 3:]), axis=2)
    for step in range(6):
        along = (step / 5 - 0.5) * reach
        x, y = round(reach / 2 + along * math.cos(angle)), round(reach / 2 + along * math.sin(angle))
        total[y : y + sprite.height, x : x + sprite.width] += solid
    total /= 6
    total[..., :3] *= 255 / np.maximum(total[..., 3:], 1)
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8), "RGBA")


def _no_bird(stock: Stock, chance: random.Random) -> Image.Image:
    """What a false alarm looks like: foliage, the branch, the feeder, a smear, something that is no bird."""
    scene = chance.choice(stock.backdrops)
    height, width = scene.picture.shape[:2]
    side = min(round(48 * (440 / 48) ** chance.random()), height)
    x, y = chance.uniform(0, width), chance.uniform(0, height)
    kind = chance.random()
    if kind < 0.25:
        branch = scene.branch.swing[0].shape
        x, y = scene.branch.left + chance.random() * branch[1], scene.branch.top + chance.random() * branch[0]
    elif kind < 0.5:
        perch = chance.choice(scene.perches)
        x, y = perch.x * width, (perch.y + chance.uniform(-0.25, 0.05)) * height
    left, top = (min(max(round(at - side / 2), 0), end - side) for at, end in ((x, width), (y, height)))
    crop = _background(scene, chance, (left, top, side))
    if chance.random() < 0.25:
        _thing(crop, chance)
    return crop


def _thing(crop: Image.Image, chance: random.Random) -> None:
    """A blob or a bar of one colour, or the whole crop in it: a hand, a shadow, a test picture."""
    draw, side = ImageDraw.Draw(crop), crop.width
    colour = tuple(chance.randrange(15, 240) for _ in range(3))
    points = sorted(chance.uniform(-0.1, 1.1) * side for _ in range(4))
    box = (points[0], points[1], points[2] + 1, points[3] + 1)
    kind = chance.random()
    if kind < 0.3:
        draw.ellipse(box, fill=colour)
    elif kind < 0.6:
        draw.rectangle(box, fill=colour)
    elif kind < 0.85:
        draw.polygon([(chance.uniform(0, side), chance.uniform(0, side)) for _ in range(5)], fill=colour)
    else:
        draw.rectangle((0, 0, side, side), fill=colour)


def _spoil(crop: Image.Image, chance: random.Random) -> Image.Image:
    """Light, noise, defocus and compression, then the classifier's own size."""
    if chance.random() < 0.15:
        crop = crop.filter(ImageFilter.GaussianBlur(crop.width * chance.uniform(0.004, 0.014)))
    noise = np.random.default_rng(chance.getrandbits(32))
    pixels = np.asarray(crop, np.float32) * chance.uniform(0.88, 1.1)
    grain = noise.standard_normal((*pixels.shape[:2], 1), np.float32) * chance.uniform(0, 4.5)
    tint = noise.standard_normal(pixels.shape, np.float32) * chance.uniform(0, 2)
    crop = Image.fromarray(np.clip(pixels + grain + tint, 0, 255).astype(np.uint8))
    packed = io.BytesIO()
    crop.save(packed, "JPEG", quality=chance.randint(40, 95))
    return Image.open(packed).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
