"""Brighten a crop whose bird is dark, to be classified once more."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["brightened"]

BIRD_SHARE = 1 / 1.4  # of a crop's side, in its middle: where the bird is; the rest is margin
MIDDLE_GREY = 118  # of 255: 18 % of the light, as sRGB encodes it; to this the bird is brightened
DARK = 90  # a bird below this is dark: a stop or so under middle grey
BACKLIT_SHARE = 0.15  # a dark bird before bright leaves takes so much of the middle of its crop at least,
BACKLIT = 45  # and is this dark
MAX_GAIN = 4.0  # more shows noise


def brightened(image: Image.Image) -> Image.Image | None:
    """A copy as with a longer exposure, in which the bird is middle grey on average; None where it is not dark.

    Of a bird that stands before a bright background the dark part is brightened so.

    Args:
        image: RGB.
    """
    across, down = (round(side * (1 - BIRD_SHARE) / 2) for side in image.size)
    inner = np.asarray(image.convert("L").crop((across, down, image.width - across, image.height - down)))
    mean, dark = float(inner.mean()), float(np.quantile(inner, BACKLIT_SHARE))
    if mean < DARK:
        light = mean
    elif dark < BACKLIT:
        light = dark
    else:
        return None
    gain = min(MAX_GAIN, MIDDLE_GREY / max(light, 1.0))
    return image.point([min(255, round(level * gain)) for level in range(256)] * 3)
