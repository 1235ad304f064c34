"""Occlusion heatmaps: how much each part of an image contributes to a class, measured by hiding it.

Each cell of a grid is replaced by a blur of itself and the network is run again (occlusion; Zeiler and Fergus,
"Visualizing and Understanding Convolutional Networks", ECCV 2014). That is some eighty forward passes, works with every
network, and measures what it claims to. Class activation maps of the last features do not work here: DaViT's last stage
attends to the whole image from every place, and its map of a bird was no brighter on the bird than beside it.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network.torch_errors import weights_errors

# isort: split
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from birdwatchd.records import FloatArray
from birdwatchd.species.network.checkpoint import Checkpoint

__all__ = ["Heatmap", "occlusion_heatmap", "overlay"]

GRID = 9  # cells across and down
PATCH = 2.5  # cells wide is what is hidden at once: a bird's head or wing, in a crop with some margin around it
BATCH = 9
# Colour map: RGBA at fractions of the largest logit drop.
_COLOURS = (
    (0.0, (70, 20, 120, 0)),
    (0.35, (200, 40, 80, 110)),
    (0.7, (250, 140, 20, 170)),
    (1.0, (255, 245, 120, 215)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """What contributes to one class in one image.

    Attributes:
        index: of the class.
        probability: of the class.
        logit_drop: how much its logit, above the mean of all classes, falls when a cell is hidden; negative where
            that raises it; float32, shape (GRID, GRID), over the whole image.
    """

    index: int
    probability: float
    logit_drop: FloatArray


def occlusion_heatmap(checkpoint: Checkpoint, image: Image.Image, among: Sequence[int] = ()) -> Heatmap:
    """Measure which parts of an image make a network see a class in it.

    Args:
        image: any size, any mode; preprocessed as for classification.
        among: classes of which the most probable is taken; of all by default.

    Raises:
        ModelUnusable: the network cannot be run.
    """
    with weights_errors(f"{checkpoint.name} cannot be run", "use other weights"), torch.inference_mode():
        inputs = checkpoint.transform(image.convert("RGB"))
        logits = checkpoint.net(inputs[None])[0]
        chosen = max(among or range(len(logits)), key=lambda index: float(logits[index]))
        unhidden = float(logits[chosen] - logits.mean())
        hidden = torch.cat([checkpoint.net(batch) for batch in torch.split(_occluded(inputs), BATCH)])
        scores = (hidden[:, chosen] - hidden.mean(dim=1)).reshape(GRID, GRID)
        probability = float(logits.softmax(dim=0)[chosen])
    return Heatmap(chosen, probability, np.asarray(unhidden - scores.numpy(), np.float32))


def _occluded(inputs: torch.Tensor) -> torch.Tensor:
    """The image, shape (3, height, width), with each cell hidden in turn: (GRID², 3, height, width)."""
    _, height, width = inputs.shape
    kernel = 2 * (min(height, width) // 6) + 1
    blurred = v2.functional.gaussian_blur(inputs, [kernel, kernel], [kernel / 4, kernel / 4])
    rows, columns = _masks(height), _masks(width)
    masks = torch.stack([row[:, None] * column[None] for row in rows for column in columns])[:, None]
    occluded: torch.Tensor = inputs * (1 - masks) + blurred * masks
    return occluded


def _masks(length: int) -> list[torch.Tensor]:
    """For each cell along a side, how much each pixel is hidden: 1 inside, falling to 0 over half a cell."""
    position = (torch.arange(length) + 0.5) * GRID / length
    return [((PATCH / 2 + 0.5 - (position - (cell + 0.5)).abs()) / 0.5).clamp(0, 1) for cell in range(GRID)]


def overlay(image: Image.Image, logit_drop: FloatArray) -> Image.Image:
    """The image in grey with what contributes to the class laid over it, from red to bright yellow.

    Args:
        logit_drop: of a `Heatmap`; cells that speak against the class stay grey.
    """
    top = max(float(logit_drop.max()), 1e-6)
    scaled = Image.fromarray(np.clip(logit_drop / top, 0, 1).astype(np.float32))
    values = np.clip(np.asarray(scaled.resize(image.size, Image.Resampling.BICUBIC)), 0, 1)
    stops = [stop for stop, _ in _COLOURS]
    channels = [np.interp(values, stops, [colour[i] for _, colour in _COLOURS]) for i in range(4)]
    heat: NDArray[np.uint8] = np.stack(channels, axis=-1).astype(np.uint8)
    grey = image.convert("L").convert("RGBA")
    return Image.alpha_composite(grey, Image.fromarray(heat, "RGBA")).convert("RGB")
