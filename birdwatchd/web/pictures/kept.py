"""Keep what the page makes of crops below `cache/`, as many as there is use for; the one used longest ago goes first.

Such a file has the time of its crop's file as its own, so that one made of an older crop is known, and the time of its
last use as its time of access: nothing else has to be kept in step, and a restart knows what the process before knew.
It is shown only as long as its crop is there and may be shown. Whoever deletes a crop deletes what was made of it
(`store/media.py`); `tidy` finds what was deleted by hand. The disk is not waited for (fsync): what a power cut leaves
half-written is seen by its ends, and made again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from birdwatchd.disk import DiskRoom
from birdwatchd.store.media import CACHE, MADE, Media, forget_made, made_path

__all__ = ["MOST", "KeptPictures"]

# How many of each kind are kept: some 3, 13 and 40 kB each, together about 90 MB.
MOST: Mapping[str, int] = {"160.webp": 8_000, "320.webp": 4_000, "why.jpg": 200}
TIDY_S = 600.0
USED_AGAIN_S = 3600.0  # a use within the hour is not noted again: cards wear out by writing
ABANDONED_S = 3600.0  # after which an unfinished file is nobody's
# For backup programs: https://bford.info/cachedir/
TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# birdwatchd makes these pictures anew from its crops.\n"


class KeptPictures:
    """The pictures that were made of one home's crops. Safe to use from several threads, and by several processes."""

    def __init__(self, media: Media, most: Mapping[str, int] = MOST) -> None:
        """
        Args:
            most: how many of each kind are kept.
        """
        self._media, self._most = media, most
        self._root = media.home / CACHE
        self._lock = threading.Lock()
        self._used: dict[str, OrderedDict[str, float]] = {kind: OrderedDict() for kind in MADE}  # by crop, oldest first
        self._tidied_s = float("-inf")

    def get(self, crop: str, kind: str) -> bytes | None:
        """What was made of a crop, as it is now; None where that is not kept, or the crop may not be shown."""
        self._tidy_sometimes()
        version = self._media.version(crop)
        if version is None:
            forget_made(self._media.home, crop)
            return None
        path = made_path(self._media.home, crop, kind)
        try:
            facts = path.stat()
            if facts.st_mtime_ns != version:
                path.unlink()
                return None
            data = path.read_bytes()
        except OSError:
            return None
        if not _is_whole(data):
            return None
        if time.time() - facts.st_atime > USED_AGAIN_S:
            with suppress(OSError):
                os.utime(path, ns=(time.time_ns(), version))
        with self._lock:
            self._used[kind][crop] = time.time()
            self._used[kind].move_to_end(crop)
        return data

    def put(self, crop: str, kind: str, data: bytes, version: int) -> bool:
        """Keep what was made of a crop; False where it cannot be kept: the disk is full, or not ours to write.

        Args:
            version: of the crop's file, from before it was read.
        """
        path = made_path(self._media.home, crop, kind)
        if ".." in path.parts or not path.is_relative_to(self._root / "media"):
            return False
        part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            if not DiskRoom.at(self._media.home).for_pictures:
                return False
            self._make_folder(path.parent)
            part.write_bytes(data)
            os.utime(part, ns=(time.time_ns(), version))
            os.replace(part, path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            return False
        with self._lock:
            self._used[kind][crop] = time.time()
            self._used[kind].move_to_end(crop)
        self._drop_surplus()
        return True

    def tidy(self) -> None:
        """Delete what was made of crops that are gone or changed, and what is too much."""
        began, found = time.time(), list[tuple[float, str, str]]()
        for crop, kind, path in self._files():
            with suppress(OSError):
                facts = path.stat()
                if self._media.version(crop) == facts.st_mtime_ns:
                    found.append((facts.st_atime, kind, crop))
                else:
                    path.unlink()
        with self._lock:
            for kind, used in self._used.items():
                known = {crop: at for at, one, crop in found if one == kind}
                newest = {crop: max(at, used.get(crop, 0.0)) for crop, at in known.items()}
                newest |= {crop: at for crop, at in used.items() if at >= began}  # made meanwhile
                used.clear()
                used.update(sorted(newest.items(), key=lambda one: one[1]))
        self._drop_surplus()

    def _tidy_sometimes(self) -> None:
        with self._lock:
            if time.monotonic() - self._tidied_s < TIDY_S:
                return
            self._tidied_s = time.monotonic()
        threading.Thread(target=self.tidy, name="tidy pictures", daemon=True).start()

    def _files(self) -> Iterator[tuple[str, str, Path]]:
        """What is kept, as crop, kind and file; deletes empty folders and what nobody finished on the way."""
        for folder, _, names in os.walk(self._root / "media", topdown=False):
            for name in names:
                path = Path(folder, name)
                kind = next((one for one in MADE if name.endswith(f".jpg.{one}") and not name.startswith(".")), None)
                if kind is not None:
                    yield path.relative_to(self._root).as_posix().removesuffix(f".{kind}"), kind, path
                    continue
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > ABANDONED_S or not name.endswith(".part"):
                        path.unlink()
            with suppress(OSError):  # it is not empty
                if time.time() - os.stat(folder).st_mtime > ABANDONED_S:  # else somebody may be about to write there
                    os.rmdir(folder)

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tag = self._root / "CACHEDIR.TAG"
        if not tag.exists():
            tag.write_bytes(TAG)

    def _drop_surplus(self) -> None:
        with self._lock:
            surplus = [
                (used.popitem(last=False)[0], kind)
                for kind, used in self._used.items()
                for _ in range(len(used) - self._most[kind])
            ]
        for crop, kind in surplus:
            with suppress(OSError):
                made_path(self._media.home, crop, kind).unlink()


def _is_whole(data: bytes) -> bool:
    """Whether a WebP or JPEG file is as long as it says."""
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 == len(data)
    return data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9"
