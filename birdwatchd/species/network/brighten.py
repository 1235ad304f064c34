"""Brighten a crop whose bird is dark, to be classified once more."""

from __future__ import annotations

from PIL import Image, ImageStat

__all__ = ["brightened"]

BIRD_SHARE = 1 / 1.4  # of a crop's side, in its middle: where the bird is; the rest is margin
MIDDLE_GREY = 118  # of 255: 18 % of the light, as sRGB encodes it; to this the bird is brightened
DARK = 90  # a bird below this is dark: a stop or so under middle grey
MAX_GAIN = 4.0  # more shows noise


def brightened(image: Image.Image) -> Image.Image | None:
    """A copy as with a longer exposure, in which the bird is middle grey on average; None where it is not dark.

    Args:
        image: RGB.
    """
    across, down = (round(side * (1 - BIRD_SHARE) / 2) for side in image.size)
    inner = image.convert("L").crop((across, down, image.width - across, image.height - down))
    mean = float(ImageStat.Stat(inner).mean[0])
    if mean >= DARK:
        return None
    gain = min(MAX_GAIN, MIDDLE_GREY / max(mean, 1.0))
    return image.point([min(255, round(level * gain)) for level in range(256)] * 3)
