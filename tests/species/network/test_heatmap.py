"""The heatmap lies on the bird, and changes with the class."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.demo.drawing.birds import SPECIES
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.network.checkpoint import Checkpoint, read_checkpoint
from birdwatchd.species.network.heatmap import occlusion_heatmap, overlay


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return read_checkpoint(ModelSettings(name="demo"), tmp_path_factory.mktemp("models"), progress=False)


def scene_with(species: str, seed: int) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """A square with the bird anywhere in it, twice as wide as the bird, and where the bird is, as fractions."""
    scene = Scene(SceneSpec(seed, 640, 360, 10), (ScheduledVisit(species, 0.0, 3.0, seed=seed),))
    x, y, w, h = scene.truth_boxes(15)[0][1]
    left, top, width, height = x * 640, y * 360, w * 640, h * 360
    side = min(360, round(2.0 * max(width, height)))
    rng = np.random.default_rng(seed)
    begin_x = int(np.clip(left - rng.uniform(0, side - width), 0, 640 - side))
    begin_y = int(np.clip(top - rng.uniform(0, side - height), 0, 360 - side))
    image = Image.fromarray(np.ascontiguousarray(scene.frame(15)[begin_y : begin_y + side, begin_x : begin_x + side]))
    return image, ((left - begin_x) / side, (top - begin_y) / side, width / side, height / side)


def test_what_counts_is_where_the_bird_is(demo: Checkpoint) -> None:
    """Of all birds in all places: a place of the grid that is on the bird counts more than one that is not."""
    nearer = []
    for number, species in enumerate(SPECIES * 3):
        image, (x, y, w, h) = scene_with(species, 700 + number)
        drop = occlusion_heatmap(demo, image).logit_drop
        rows, columns = (np.arange(drop.shape[axis]) + 0.5 for axis in (0, 1))
        inside_x = (columns / drop.shape[1] >= x) & (columns / drop.shape[1] <= x + w)
        inside_y = (rows / drop.shape[0] >= y) & (rows / drop.shape[0] <= y + h)
        on_bird = inside_y[:, None] & inside_x[None]
        if on_bird.any() and not on_bird.all():
            nearer.append(float(drop[on_bird].mean()) > float(drop[~on_bird].mean()))
    assert len(nearer) >= 20
    assert np.mean(nearer) >= 0.9


def test_the_overlay_is_bright_where_it_counts() -> None:
    """Grey elsewhere, so that the colours are the evidence and not the bird's."""
    image = Image.new("RGB", (64, 64), (100, 120, 90))
    drop = np.full((4, 4), -1.0, np.float32)
    drop[0, 3] = 2.0
    pixels = np.asarray(overlay(image, drop)).astype(int)
    assert pixels.shape == (64, 64, 3)
    grey = pixels[48:, :16]
    assert (np.ptp(grey, axis=-1) <= 1).all()
    hot = pixels[:12, 52:]
    assert hot[..., 0].mean() > hot[..., 2].mean() + 40


def test_the_class_that_is_asked_for(demo: Checkpoint) -> None:
    """`Why not a great tit?` is answered for the great tit."""
    image, _ = scene_with("European goldfinch", 41)
    best, other = occlusion_heatmap(demo, image), occlusion_heatmap(demo, image, (3,))
    assert demo.classes[best.index] == "European goldfinch"
    assert (other.index, best.probability > 0.7, other.probability < 0.3) == (3, True, True)
    assert best.logit_drop.shape == other.logit_drop.shape
    assert not np.allclose(best.logit_drop, other.logit_drop)


def test_an_even_picture_has_no_place_that_counts(demo: Checkpoint) -> None:
    """Hiding nothing behind nothing changes nothing."""
    assert np.abs(occlusion_heatmap(demo, Image.new("RGB", (50, 80), (90, 120, 90))).logit_drop).max() < 1e-3
