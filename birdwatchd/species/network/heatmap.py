"""Show what in a picture speaks for a name: how much the score of a class loses when a place is hidden.

Place after place is replaced by a blur of itself and the network is asked again (occlusion; Zeiler and Fergus,
"Visualizing and Understanding Convolutional Networks", ECCV 2014). It takes some eighty questions, works with every
network, and means what it says. Class activation maps of the last features do not here: DaViT's last stage looks at the
whole picture from every place, and its map of a bird was no brighter on the bird than beside it.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network.torch_errors import weights_errors

# isort: split
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import v2

from birdwatchd.records import FloatArray
from birdwatchd.species.network.checkpoint import Checkpoint

__all__ = ["Why", "overlay", "why"]

PLACES = 9  # across and down
HIDDEN = 2.5  # places wide is what is hidden at once: a bird's head or wing, in a crop with some air around it
BATCH = 9
_HEAT = ((0.0, (70, 20, 120, 0)), (0.35, (200, 40, 80, 110)), (0.7, (250, 140, 20, 170)), (1.0, (255, 245, 120, 215)))


@dataclass(frozen=True, slots=True, eq=False)
class Why:
    """What speaks for one class in one picture.

    Attributes:
        index: of the class.
        probability: of the class.
        loss: how much its logit, above the mean of all classes, falls when a place is hidden; negative where that
            helps it; shape (PLACES, PLACES), for the whole picture.
    """

    index: int
    probability: float
    loss: FloatArray


def why(checkpoint: Checkpoint, image: Image.Image, index: int | None = None) -> Why:
    """Ask a network why it sees a class in a picture.

    Args:
        image: any size, any mode; prepared as for classification.
        index: of the class; the most probable one by default.

    Raises:
        ModelUnusable: the network cannot be run.
    """
    with weights_errors(f"{checkpoint.name} cannot be run", "use other weights"), torch.inference_mode():
        inputs = checkpoint.transform(image.convert("RGB"))
        logits = checkpoint.net(inputs[None])[0]
        chosen = int(logits.argmax()) if index is None else index
        whole = float(logits[chosen] - logits.mean())
        left = torch.cat([checkpoint.net(batch) for batch in torch.split(_hidden(inputs), BATCH)])
        scores = (left[:, chosen] - left.mean(dim=1)).reshape(PLACES, PLACES)
        probability = float(logits.softmax(dim=0)[chosen])
    return Why(chosen, probability, np.asarray(whole - scores.numpy(), np.float32))


def _hidden(inputs: torch.Tensor) -> torch.Tensor:
    """The picture, shape (3, height, width), with each place hidden in turn: (PLACES², 3, height, width)."""
    _, height, width = inputs.shape
    kernel = 2 * (min(height, width) // 6) + 1
    blurred = v2.functional.gaussian_blur(inputs, [kernel, kernel], [kernel / 4, kernel / 4])
    rows, columns = _windows(height), _windows(width)
    masks = torch.stack([row[:, None] * column[None] for row in rows for column in columns])[:, None]
    hidden: torch.Tensor = inputs * (1 - masks) + blurred * masks
    return hidden


def _windows(length: int) -> list[torch.Tensor]:
    """For each place along a side, how much each pixel is hidden: 1 inside, falling to 0 over half a place."""
    at = (torch.arange(length) + 0.5) * PLACES / length
    return [((HIDDEN / 2 + 0.5 - (at - (place + 0.5)).abs()) / 0.5).clamp(0, 1) for place in range(PLACES)]


def overlay(image: Image.Image, loss: FloatArray) -> Image.Image:
    """The picture in grey with what speaks for the class laid over it, from red to bright yellow.

    Args:
        loss: of `why`; places that speak against the class stay grey.
    """
    top = max(float(loss.max()), 1e-6)
    heat = Image.fromarray(np.clip(loss / top, 0, 1).astype(np.float32)).resize(image.size, Image.Resampling.BICUBIC)
    values = np.clip(np.asarray(heat), 0, 1)
    at = [stop for stop, _ in _HEAT]
    layers = [np.interp(values, at, [colour[i] for _, colour in _HEAT]) for i in range(4)]
    veil: NDArray[np.uint8] = np.stack(layers, axis=-1).astype(np.uint8)
    base = image.convert("L").convert("RGBA")
    return Image.alpha_composite(base, Image.fromarray(veil, "RGBA")).convert("RGB")
