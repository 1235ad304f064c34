"""Make pictures small for lists, once."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict

from PIL import Image

__all__ = ["SmallPictures"]

KEPT = 512  # small pictures in memory, some 10 kB each
QUALITY = 82
MOST_PIXELS = 20_000_000  # of a picture that is made smaller; crops have less than one


class SmallPictures:
    """Pictures made smaller, the newest of them kept in memory. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str, jpeg: bytes, size: int) -> bytes | None:
        """A picture as WebP, at most so many pixels wide and high; None where the file is damaged.

        Args:
            name: its file, which never changes.
        """
        key = (name, size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            made = _smaller(jpeg, size)  # one at a time: memory matters more than who waits a moment
            if made is not None:
                self._kept[key] = made
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return made


def _smaller(jpeg: bytes, size: int) -> bytes | None:
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.draft("RGB", (size, size))
            small = image.convert("RGB")
            small.thumbnail((size, size), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for damaged files
        return None
    written = io.BytesIO()
    small.save(written, "WEBP", quality=QUALITY)
    return written.getvalue()
