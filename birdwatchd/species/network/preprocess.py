"""Bring a picture to a network's input as birder does, on the processor or on the device.

birder's transform resizes with PIL (bicubic, widened where it makes smaller, rounded to bytes), cuts out the middle,
scales to 0 … 1 and normalises. On the CPU PIL does its part. A GPU gets the picture as the camera's JPEG had it and
resizes there, in floats: every seventh byte or so differs from PIL's by one, seldom by two, for PIL rounds twice,
between rows and columns too. Over 200 crops of odd sizes the demo model's probabilities differ by 0.00008 on average,
and its first choice never.
"""

from __future__ import annotations

# Before torch: it prepares OpenMP.
from birdwatchd.species.network import torch_errors  # noqa: F401

# isort: split
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

__all__ = ["ROOM", "Pixels", "Preparation"]

Pixels = NDArray[np.uint8]

# A picture goes to the device in its own size up to this many times the network's width, height and pixels. Beyond
# it the way there would cost more than PIL does, and the device's kernel has room for few more neighbours.
ROOM = 4


class Preparation:
    """birder's transform in three parts that can be used where they are cheapest.

    Args:
        transform: what `birder.classification_transform` returns.
        size: (height, width) of the network's input.
    """

    def __init__(self, transform: Any, size: tuple[int, int]) -> None:
        steps: Sequence[Any] = transform.transforms
        at = next(i for i, step in enumerate(steps) if isinstance(step, v2.ToDtype))
        self._to_pixels = v2.Compose(steps[:at])
        self._resize = v2.Compose([step for step in steps[:at] if not isinstance(step, v2.PILToTensor)])
        self.size = size
        # From ToDtype on it is a straight line for each channel: two points tell it.
        to_input = v2.Compose(steps[at:])
        ends = [to_input(torch.full((3, 1, 1), level, dtype=torch.uint8)) for level in (0, 255)]
        self._shift: Tensor = ends[0]
        self._scale: Tensor = (ends[1].double() - ends[0].double()).div(255).float()

    def to(self, device: torch.device) -> None:
        """Move what `normalised` needs to a device."""
        self._shift, self._scale = self._shift.to(device), self._scale.to(device)

    def on_host(self, image: Image.Image) -> Pixels:
        """Resize by birder's own steps: uint8, shape (3, height, width), RGB."""
        pixels: Tensor = self._to_pixels(image.convert("RGB"))
        return pixels.numpy()

    def for_device(self, image: Image.Image) -> Pixels:
        """The picture for `on_device`, in its own size where it is no larger than `ROOM` allows.

        Returns:
            uint8, shape (3, h, w), RGB, with h · w at most `ROOM` times the network's pixels.
        """
        height, width = self.size
        small = image.height <= ROOM * height and image.width <= ROOM * width
        if small and image.height * image.width <= ROOM * height * width:
            return np.array(image.convert("RGB")).transpose(2, 0, 1)
        return self.on_host(image)

    def on_device(self, picture: Tensor) -> Tensor:
        """Resize where the picture is: uint8, shape (3, h, w), to uint8, shape (3, height, width).

        A byte may differ by 2 from what `on_host` gives.
        """
        if tuple(picture.shape[1:]) == self.size:
            return picture
        resized: Tensor = self._resize(picture.float())
        return resized.round_().clamp_(0, 255).to(torch.uint8)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels, uint8, shape (n, 3, height, width), to the input, float32, `channels_last`.

        Within 2e-6 of birder's, which divides where this multiplies.
        """
        floats = pixels.to(torch.float32, memory_format=torch.channels_last)
        return torch.addcmul(self._shift, floats, self._scale)
