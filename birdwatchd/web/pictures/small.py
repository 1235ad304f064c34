"""Make pictures small for lists, once."""

from __future__ import annotations

import io
import threading

from PIL import Image

from birdwatchd.store.media import Media
from birdwatchd.web.pictures.kept import KeptPictures

__all__ = ["SIZES", "SmallPictures"]

SIZES = ("160", "320")  # pixels of the longer side of a small picture
QUALITY = 82
MOST_PIXELS = 20_000_000  # of a picture that is made smaller; crops have less than one


class SmallPictures:
    """Crops made smaller, and kept. Safe to use from several threads."""

    def __init__(self, media: Media, kept: KeptPictures) -> None:
        self._media, self._kept = media, kept
        self._lock = threading.Lock()

    def of(self, crop: str, size: str) -> bytes | None:
        """A crop as WebP; None where there is none (any more) that may be shown, or it is damaged.

        Args:
            size: one of `SIZES`.
        """
        kind = f"{size}.webp"
        found = self._kept.get(crop, kind)
        if found is not None:
            return found
        with self._lock:  # one at a time: memory matters more than who waits a moment
            found = self._kept.get(crop, kind)  # somebody else may have waited for it, too
            if found is not None:
                return found
            version, jpeg = self._media.version(crop), self._media.picture(crop)
            if version is None or jpeg is None:
                return None
            made = _smaller(jpeg, int(size))
            if made is not None:
                self._kept.put(crop, kind, made, version)
            return made


def _smaller(jpeg: bytes, size: int) -> bytes | None:
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.draft("RGB", (size, size))
            small = image.convert("RGB")
            small.thumbnail((size, size), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged files
        return None
    written = io.BytesIO()
    small.save(written, "WEBP", quality=QUALITY)
    return written.getvalue()
