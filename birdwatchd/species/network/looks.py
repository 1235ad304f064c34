"""Give the network what each look at an image shows: its marked part, a brightened copy of that, or all of it."""

from __future__ import annotations

from PIL import Image

from birdwatchd.seen_part import Look, seen_part
from birdwatchd.species.network.brighten import brightened

__all__ = ["shown_by"]


def shown_by(look: Look, image: Image.Image) -> Image.Image | None:
    """What a look at an image gives the network; None where there is no such look at it.

    Args:
        image: any mode.
    """
    part = seen_part(image)
    if look is Look.WIDER:
        return None if part is image else image
    return brightened(part.convert("RGB")) if look is Look.BRIGHTER else part
