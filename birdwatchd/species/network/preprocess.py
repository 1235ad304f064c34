"""Preprocess crops for a network as birder's transform does, resizing either with PIL on the host or on the GPU.

birder's transform resizes with PIL (bicubic with antialiasing, rounded to bytes), centre-crops, scales to 0 … 1 and
normalises. On the CPU PIL does the resizing. A GPU is sent the decoded JPEG in its own size and resizes it in floats:
about one byte in seven differs from PIL's by one, few by two, because PIL rounds twice, also between rows and columns.
Over 200 crops of odd sizes the demo model's probabilities differ by 0.00008 on average, and its top class never.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network import torch_errors  # noqa: F401

# isort: split
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from birdwatchd.records import FloatArray

__all__ = ["MAX_UPLOAD_RATIO", "Forward", "Outputs", "Pixels", "Preprocessing"]

Pixels = NDArray[np.uint8]
Outputs = tuple[FloatArray, FloatArray]  # logits (n, classes), embeddings (n, dim)
Forward = Callable[[Tensor], tuple[Tensor, Tensor]]  # normalised input (n, 3, h, w) to logits and embeddings

# A crop is uploaded in its own size up to this many times the network's width, height and pixels. Beyond it the upload
# would cost more than PIL does, and the device's antialiasing kernel would need more taps than torch allows for.
MAX_UPLOAD_RATIO = 4


class Preprocessing:
    """birder's transform in three steps that can each run where they are cheapest.

    Args:
        transform: what `birder.classification_transform` returns.
        size: (height, width) of the network's input.
    """

    def __init__(self, transform: Any, size: tuple[int, int]) -> None:
        steps: Sequence[Any] = transform.transforms
        split = next(i for i, step in enumerate(steps) if isinstance(step, v2.ToDtype))
        self._to_pixels = v2.Compose(steps[:split])
        self._resize = v2.Compose([step for step in steps[:split] if not isinstance(step, v2.PILToTensor)])
        self.size = size
        # From ToDtype on the transform is linear in each channel: its values at 0 and 255 determine it.
        to_input = v2.Compose(steps[split:])
        ends = [to_input(torch.full((3, 1, 1), level, dtype=torch.uint8)) for level in (0, 255)]
        self._shift: Tensor = ends[0]
        self._scale: Tensor = (ends[1].double() - ends[0].double()).div(255).float()

    def to(self, device: torch.device) -> None:
        """Move the constants of `normalise` to a device."""
        self._shift, self._scale = self._shift.to(device), self._scale.to(device)

    def resize_on_host(self, image: Image.Image) -> Pixels:
        """Resize by birder's own steps: uint8, shape (3, height, width), RGB."""
        pixels: Tensor = self._to_pixels(image.convert("RGB"))
        return pixels.numpy()

    def for_upload(self, image: Image.Image) -> Pixels:
        """The crop for `resize_on_device`, in its own size unless that exceeds `MAX_UPLOAD_RATIO`.

        Returns:
            uint8, shape (3, h, w), RGB, with h · w at most `MAX_UPLOAD_RATIO` times the network's pixels.
        """
        height, width = self.size
        small = image.height <= MAX_UPLOAD_RATIO * height and image.width <= MAX_UPLOAD_RATIO * width
        if small and image.height * image.width <= MAX_UPLOAD_RATIO * height * width:
            return np.array(image.convert("RGB")).transpose(2, 0, 1)
        return self.resize_on_host(image)

    def resize_on_device(self, crop: Tensor) -> Tensor:
        """Resize a crop on the device where it is: uint8, shape (3, h, w), to uint8, shape (3, height, width).

        A byte may differ by 2 from what `resize_on_host` gives.
        """
        if tuple(crop.shape[1:]) == self.size:
            return crop
        resized: Tensor = self._resize(crop.float())
        return resized.round_().clamp_(0, 255).to(torch.uint8)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels, uint8, shape (n, 3, height, width), to the input, float32, `channels_last`.

        Within 2e-6 of birder's, which divides where this multiplies.
        """
        floats = pixels.to(torch.float32, memory_format=torch.channels_last)
        return torch.addcmul(self._shift, floats, self._scale)
