"""Keep the crops as JPEG files, `media/<camera>/<YYYY>/<MM>/<DD>/<visit id>-<index>.jpg`, by UTC day.

A file is there in whole or not at all (temporary name, fsync, rename), and before the row that names it. A
crash in between leaves a file without a row; `sweep` deletes those. A lock file tells the one from the other
while several processes write: writers share it from the first file to the commit, a sweep wants it alone.
Clips, `<visit id>.mp4`, are written beside them by the camera processes, which cannot hold that lock to the commit:
each locks its own unfinished file, and a finished one has an hour to be named.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from birdwatchd.errors import StoreBusy, StoreError
from birdwatchd.records import Visit, rfc3339

__all__ = ["Media", "home_lock"]

LOCK_NAME = "birdwatchd.lock"
MARK_NAME = ".swept"
LOCK_TIMEOUT_S = 10.0  # as long as SQLite waits for its own lock
_ID = re.compile(r"^[0-9A-Za-z_-]{1,64}\Z")
_OURS = re.compile(r"^\.?(?P<visit>[0-9A-Za-z_-]{1,64}?)(-\d+\.jpg|(?P<clip>\.mp4))(?P<part>\.part)?$")
UNNAMED_CLIP_S = 3600.0  # a finished clip waits for its row behind a busy classifier or a locked database


@contextmanager
def home_lock(home: Path, *, shared: bool) -> Iterator[None]:
    """Hold the lock of `home`, shared or alone. The system lets go of it for a process that dies.

    Raises:
        StoreBusy: somebody else held it for 10 s.
    """
    descriptor = os.open(home / LOCK_NAME, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)  # any reader may lock
    try:
        _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, home)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int, home: Path) -> None:
    until, pause = time.monotonic() + LOCK_TIMEOUT_S, threading.Event()
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StoreBusy(
                    f"{home}: another process holds {LOCK_NAME}", "try again when it has finished"
                ) from None
            pause.wait(0.01)
        else:
            return


class Media:
    """The crop files below one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "media"

    def path_of(self, visit: Visit, index: int) -> str:
        """Where a crop belongs, relative to home.

        Raises:
            StoreError: the visit's id is no file name.
        """
        if not _ID.match(visit.visit_id):
            raise StoreError(f"visit id {visit.visit_id!r} cannot name a file", "use letters, digits, - and _")
        folder = re.sub(r"[^A-Za-z0-9_-]", "_", visit.camera)[:64] or "_"
        return f"media/{folder}/{visit.start:%Y/%m/%d}/{visit.visit_id}-{index}.jpg"

    def write(self, name: str, jpeg: bytes) -> None:
        """Put a whole file in place or none.

        Raises:
            OSError: the disk is full or will not be written.
        """
        target = self.home / name
        part = target.with_name(f".{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(jpeg)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except OSError:
            self.remove(str(part.relative_to(self.home)))
            raise

    def remove(self, name: str) -> None:
        """Delete a file that is not wanted; one that is gone or cannot go is left to the next sweep."""
        with suppress(OSError):
            (self.home / name).unlink()

    def read(self, name: str | None) -> bytes | None:
        """A crop's bytes; None where there is none (any more)."""
        if name is None:
            return None
        try:
            return (self.home / name).read_bytes()
        except FileNotFoundError:
            return None

    def has_clip(self, name: str) -> bool:
        """Whether a clip's name (relative to home) leads to a file below the media folder, and over no link.

        A camera process says it, and could have been taken over by what it decodes.
        """
        path = self.home / name
        if not path.is_relative_to(self.root):
            return False
        try:
            is_file = stat.S_ISREG(path.lstat().st_mode)
            real = path.resolve(strict=True)
        except OSError:
            return False
        root = self.root.resolve()
        return is_file and real == root / path.relative_to(self.root)

    def sweep(self, named: Callable[[list[str]], set[str]], now: datetime) -> int:
        """Delete unfinished files, and crops and clips that no row names; how many. Call it holding the lock alone.

        Only folders that changed since the last sweep are listed: a new file changes its folder's time, and
        both times come from the same clock. So the work is one `stat` per camera and day, and one listing per
        changed day. The mark of a sweep that was itself cut short counts for nothing.

        Args:
            named: given visit ids, the paths of crops and clips (relative to home) that rows of these visits name.
            now: to tell how old a clip is; also written into the mark, for people.
        """
        if not self.root.is_dir():
            return 0
        mark = self.root / MARK_NAME
        begun = mark.with_name(f"{MARK_NAME}.part")  # its time is from before the first look
        since = mark.stat().st_mtime_ns if mark.exists() else 0
        begun.write_text(f"last swept at {rfc3339(now)}\n", encoding="utf-8")
        gone = 0
        for folder in self.root.glob("*/[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"):
            if folder.stat().st_mtime_ns >= since:
                gone += self._sweep_folder(folder, named, now)
        os.replace(begun, mark)
        return gone

    def _sweep_folder(self, folder: Path, named: Callable[[list[str]], set[str]], now: datetime) -> int:
        found = [(entry.name, match) for entry in os.scandir(folder) if (match := _OURS.match(entry.name))]
        keep = named(sorted({match["visit"] for _, match in found}))
        relative = folder.relative_to(self.home).as_posix()
        stray = [(f"{relative}/{name}", match) for name, match in found if f"{relative}/{name}" not in keep]
        waiting = [name for name, match in stray if match["clip"] and self._is_expected(name, match, now)]
        if waiting:
            os.utime(folder)  # so that the next sweep looks here again
        gone = [name for name, _ in stray if name not in waiting]
        for name in gone:
            self.remove(name)
        return len(gone)

    def _is_expected(self, name: str, match: re.Match[str], now: datetime) -> bool:
        """Whether a clip without a row is still being written, or so new that its row may yet come."""
        try:
            with (self.home / name).open("rb") as file:
                if not match["part"]:
                    return now.timestamp() - os.fstat(file.fileno()).st_mtime < UNNAMED_CLIP_S
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except BlockingIOError:
            return True
        except OSError:  # gone meanwhile, or not to be read: `remove` does what can be done
            return False
