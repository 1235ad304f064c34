"""A crop becomes the network's input as birder makes it, by PIL or on the device."""

from __future__ import annotations

# Before torch and birder, as in the daemon: it quietens both.
from birdwatchd.species.network import checkpoint  # noqa: F401

# isort: split
import io
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import birder
import numpy as np
import pytest
import torch
from birder.common.fs_ops import load_model_with_cfg
from birder.data.transforms.classification import get_rgb_stats
from PIL import Image

from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import schedule
from birdwatchd.species.network.preprocess import MAX_UPLOAD_RATIO, Pixels, Preprocessing

Jpeg = Callable[[int, int, int], bytes]


@pytest.fixture(scope="module")
def preprocessing() -> Preprocessing:
    """For 128 × 96 pixels."""
    return Preprocessing(birder.classification_transform((128, 96), get_rgb_stats("birder")), (128, 96))


def test_normalising_is_birders(preprocessing: Preprocessing) -> None:
    """All 256 levels of all channels: what the network sees must be what it was trained on."""
    transform = birder.classification_transform((128, 96), get_rgb_stats("birder"))
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(3, axis=0)
    expected = torch.stack([transform.transforms[-1](step) for step in [torch.from_numpy(levels)[..., None] / 255]])
    found = preprocessing.normalise(torch.from_numpy(levels)[None, ..., None])
    assert (found - expected).abs().max() <= 2e-6


def test_a_picture_keeps_its_size_for_the_device_unless_it_is_large(preprocessing: Preprocessing, jpeg: Jpeg) -> None:
    """What is packed for the device must fit into the room that was made for it."""
    for width, height in ((37, 91), (96, 128), (96 * 2, 128 * 2)):
        assert preprocessing.for_upload(Image.open(io.BytesIO(jpeg(width, height, 1)))).shape == (3, height, width)
    for width, height in ((96 * MAX_UPLOAD_RATIO + 1, 8), (8, 128 * MAX_UPLOAD_RATIO + 1), (300, 300), (1000, 900)):
        image = Image.open(io.BytesIO(jpeg(width, height, 1)))
        found = preprocessing.for_upload(image)
        assert found.shape == (3, 128, 96)
        assert (found == preprocessing.resize_on_host(image)).all()


def test_grey_and_transparent_pictures_are_colours_on_the_device_too(preprocessing: Preprocessing) -> None:
    """Infra-red cameras send grey JPEGs."""
    assert preprocessing.for_upload(Image.new("L", (50, 40), 9)).shape == (3, 40, 50)
    assert (preprocessing.for_upload(Image.new("CMYK", (50, 40))) == 255).all()


def crops(count: int) -> list[Image.Image]:
    """Birds of the demo's cartoon scene with some of what is around them, of odd sizes."""
    chance = np.random.default_rng(7)
    scene = Scene(SceneSpec(4, 960, 540, fps=12), schedule(4, 40))
    found: list[Image.Image] = []
    while len(found) < count:
        index = int(chance.integers(0, 480))
        for _, (x, y, w, h) in scene.truth_boxes(index)[:1]:
            around_w, around_h = w * 960 * chance.uniform(0.3, 1.6), h * 540 * chance.uniform(0.3, 1.6)
            left, top = max(0, round(x * 960 - around_w)), max(0, round(y * 540 - around_h))
            right, bottom = round((x + w) * 960 + around_w), round((y + h) * 540 + around_h)
            found.append(Image.fromarray(scene.frame(index)[top:bottom, left:right]))
    return found


def test_names_are_the_same_when_the_device_resizes() -> None:
    """A bird must not get another name because a GPU made its picture smaller: 200 crops, the demo's real weights."""
    weights = Path(str(files("birdwatchd.species"))) / "weights"
    net, config = load_model_with_cfg(weights / "demo.json", weights / "demo.safetensors")
    size = (128, 128)
    preprocessing = Preprocessing(birder.classification_transform(size, config["rgb_stats"]), size)
    images = crops(200)
    by_pil = np.stack([preprocessing.resize_on_host(image) for image in images])
    uploads: list[Pixels] = [np.array(image).transpose(2, 0, 1) for image in images]  # in their own size, all of them
    by_device = torch.stack([preprocessing.resize_on_device(torch.from_numpy(upload)) for upload in uploads])
    assert len({upload.shape for upload in uploads}) > 150
    with torch.inference_mode():
        expected, found = (
            net.eval()(preprocessing.normalise(pixels)).softmax(1) for pixels in (torch.from_numpy(by_pil), by_device)
        )
    assert (found - expected).abs().mean() <= 0.002
    assert (found.argmax(1) == expected.argmax(1)).float().mean() >= 0.995
    off = (by_device.int() - torch.from_numpy(by_pil).int()).abs()
    assert off.max() <= 2
    assert off.float().mean() < 0.2
