"""Keep the crops as JPEG files, `media/<camera>/<YYYY>/<MM>/<DD>/<visit id>-<index>.jpg`, by UTC day.

Where a camera's `store` is `frames`, the whole frame lies beside its crop, `<visit id>-<index>-frame.jpg`. No row names
it: it belongs to its crop, and goes with it.
A file is there in whole or not at all (temporary name, fsync, rename), and before the row that names it (its folder is
synced as well). A
crash in between leaves a file without a row, and so does a database that was lost, emptied or restored from an old
backup: nobody can tell these apart, so `sweep` moves such files to `lost+found/` and deletes none. A lock file tells
them from files that are being written: writers share it from the first file to the commit, a sweep wants it alone.
Clips, `<visit id>.mp4`, are written beside them by the camera processes, which cannot hold that lock to the commit:
each locks its own unfinished file, and a finished one has an hour to be named.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from birdwatchd.errors import StoreBusy, StoreError
from birdwatchd.records import Visit, rfc3339
from birdwatchd.store.rescue.exif import without_exif

__all__ = [
    "CACHE",
    "DAY_FOLDERS",
    "LOST",
    "MADE",
    "PRIVATE",
    "Media",
    "MediaFile",
    "Swept",
    "forget_made",
    "frame_path",
    "home_lock",
    "made_path",
    "media_files",
]

LOST = "lost+found"  # below home; paths in it are as they were below home
CACHE = "cache"  # below home: what the page makes of crops, all of which can be made again
MADE = ("160.webp", "320.webp", "why.jpg")  # how the names of these files end, after the crop's own
PRIVATE = 0o750  # of a new home and folder of backups, as the service has it: who passes by sees no garden
DAY_FOLDERS = "*/[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"
LOCK_NAME = "birdwatchd.lock"
MARK_NAME = ".swept"
LOCK_TIMEOUT_S = 10.0  # as long as SQLite waits for its own lock
_ID = re.compile(r"^[0-9A-Za-z_-]{1,64}\Z")
_OURS = re.compile(
    r"^\.?(?P<visit>[0-9A-Za-z_-]{1,64}?)(-(?P<index>\d{1,9})(?P<frame>-frame)?(~\d+)?\.jpg|(?P<clip>(~\d+)?\.mp4))(?P<part>\.part)?\Z"
)
FRAME_SUFFIX = "-frame.jpg"
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


def frame_path(crop: str) -> str:
    """Where the whole frame of a crop lies, if it is kept."""
    return crop.removesuffix(".jpg") + FRAME_SUFFIX


def made_path(home: Path, crop: str, kind: str) -> Path:
    """Where a picture lies that was made of a crop; `kind` is one of `MADE`."""
    return home / CACHE / f"{crop}.{kind}"


def forget_made(home: Path, crop: str) -> None:
    """Delete what was made of a crop that goes: nothing else may still show it."""
    for kind in MADE:
        with suppress(OSError):
            made_path(home, crop, kind).unlink()


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A crop, a whole frame, a clip, or an unfinished one, by what its name says.

    Attributes:
        name: relative to home, with `/`.
        index: of the moment that a crop or frame shows; None for a clip.
        unfinished: it was not renamed to its final name.
        whole: it is the whole frame of a crop.
    """

    name: str
    visit_id: str
    index: int | None
    unfinished: bool
    whole: bool = False


def media_files(home: Path, folder: Path) -> list[MediaFile]:
    """The crops and clips of one day's folder, sorted by name; other files are left out."""
    relative = folder.relative_to(home).as_posix()
    matches = ((name, _OURS.match(name)) for name in sorted(os.listdir(folder)))
    return [
        MediaFile(
            f"{relative}/{name}",
            match["visit"],
            int(match["index"]) if match["index"] else None,
            unfinished=bool(match["part"]),
            whole=bool(match["frame"]),
        )
        for name, match in matches
        if match
    ]


@dataclass(slots=True)
class Swept:
    """What a sweep did.

    Attributes:
        moved: crops and clips that no row names, now in `lost+found/`.
        left: those that could not be moved; they are where they were.
        deleted: unfinished files of processes that have ended.
        problem: why files could not be moved.
    """

    moved: int = 0
    left: int = 0
    deleted: int = 0
    problem: str = field(default="")


class Media:
    """The crop files below one home."""

    def __init__(self, home: Path, without_pictures: Collection[str] = ()) -> None:
        """
        Args:
            without_pictures: cameras of which no picture is written any more, and none is given to be sent.
        """
        self.home = home
        self.root = home / "media"
        self._without_pictures = frozenset(without_pictures)

    def keeps_pictures_of(self, camera: str) -> bool:
        """Whether pictures of a camera are written."""
        return camera not in self._without_pictures

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

    def sync_folders(self, names: Iterable[str]) -> None:
        """Wait until the disk has the names of these files as well: a row that survives a power cut may name them.

        Raises:
            OSError: a folder cannot be read.
        """
        for folder in sorted({(self.home / name).parent for name in names}):
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, name: str) -> None:
        """Delete a file that is not wanted, and what was made of it; one that cannot go is left to the next sweep."""
        with suppress(OSError):
            (self.home / name).unlink()
        forget_made(self.home, name)

    def remove_crop(self, name: str) -> None:
        """Delete a crop and its whole frame, as `remove` does."""
        self.remove(name)
        self.remove(frame_path(name))

    def read(self, name: str | None) -> bytes | None:
        """A crop's file; None where there is none (any more)."""
        if name is None:
            return None
        try:
            return (self.home / name).read_bytes()
        except FileNotFoundError:
            return None

    def picture(self, name: str | None) -> bytes | None:
        """A crop as it was classified, without what the store wrote into it; None where there is none (any more).

        This is what is sent: of a camera whose pictures are not to be kept there is none, also none of before.
        """
        jpeg = self.read(name) if name is not None and self._may_send(name) else None
        return None if jpeg is None else without_exif(jpeg)

    def version(self, name: str) -> int | None:
        """What changes with a crop's file, of one that `picture` gives; None for another."""
        if not self._may_send(name):
            return None
        try:
            return (self.home / name).stat().st_mtime_ns
        except (OSError, ValueError):
            return None

    def _may_send(self, name: str) -> bool:
        return self._without_pictures.isdisjoint(name.split("/")[1:2])  # the camera's folder

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

    def sweep(self, named: Callable[[list[str]], set[str]], now: datetime) -> Swept:
        """Move crops and clips that no row names to `lost+found/`, and delete unfinished files.

        Call it holding the lock alone. Only folders that changed since the last sweep are listed: a new file changes
        its folder's time, and both times come from the same clock. So the work is one `stat` per camera and day, and
        one listing per changed day. The mark of a sweep that was itself cut short counts for nothing.

        Args:
            named: given visit ids, the paths of crops and clips (relative to home) that rows of these visits name.
            now: to tell how old a clip is; also written into the mark, for people.
        """
        swept = Swept()
        if not self.root.is_dir():
            return swept
        mark = self.root / MARK_NAME
        begun = mark.with_name(f"{MARK_NAME}.part")  # its time is from before the first look
        since = mark.stat().st_mtime_ns if mark.exists() else 0
        begun.write_text(f"last swept at {rfc3339(now)}\n", encoding="utf-8")
        if since > begun.stat().st_mtime_ns:  # the clock was ahead at that sweep: nobody knows what has changed since
            since = 0
        for folder in self.root.glob(DAY_FOLDERS):
            if folder.stat().st_mtime_ns >= since:
                self._sweep_folder(folder, named, now, swept)
        os.replace(begun, mark)
        return swept

    def _sweep_folder(self, folder: Path, named: Callable[[list[str]], set[str]], now: datetime, swept: Swept) -> None:
        stray, waiting = self.strays(folder, named, now)
        if waiting:
            os.utime(folder)  # so that the next sweep looks here again
        for file in stray:
            if file.unfinished:
                self.remove(file.name)
                swept.deleted += 1
                continue
            try:
                self.set_aside(file.name)
                swept.moved += 1
            except OSError as error:  # another file system, a lost+found that belongs to root, a full disk
                swept.left += 1
                swept.problem = f"{error.filename}: {error.strerror}"

    def strays(
        self, folder: Path, named: Callable[[list[str]], set[str]], now: datetime
    ) -> tuple[list[MediaFile], list[MediaFile]]:
        """The files of a day's folder that no row names: those that none will, and clips whose row may yet come."""
        found = media_files(self.home, folder)
        keep = named(sorted({file.visit_id for file in found}))
        unnamed = [file for file in found if file.name not in keep]
        waiting = [file for file in unnamed if file.index is None and self._is_expected(file, now)]
        return [file for file in unnamed if file not in waiting], waiting

    def set_aside(self, name: str) -> str:
        """Move a file to `lost+found/`; returns its path there, relative to home. A different file there stays.

        Raises:
            OSError: it cannot be moved, and is where it was.
        """
        place = f"{LOST}/{name}"
        (self.home / place).parent.mkdir(parents=True, exist_ok=True)
        return self.move(name, place)

    def move(self, name: str, place: str) -> str:
        """Move a file within home; returns where it is then: a different file that has the place already stays there.

        Raises:
            OSError: it cannot be moved, and is where it was.
        """
        stem, dot, suffix = place.rpartition(".")
        free, number = place, 2
        while (self.home / free).exists() and not filecmp.cmp(self.home / name, self.home / free, shallow=False):
            free, number = f"{stem}~{number}{dot}{suffix}", number + 1
        os.rename(self.home / name, self.home / free)
        return free

    def _is_expected(self, clip: MediaFile, now: datetime) -> bool:
        """Whether a clip without a row is still being written, or so new that its row may yet come."""
        try:
            with (self.home / clip.name).open("rb") as file:
                if not clip.unfinished:
                    return abs(now.timestamp() - os.fstat(file.fileno()).st_mtime) < UNNAMED_CLIP_S
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except BlockingIOError:
            return True
        except OSError:  # gone meanwhile, or not to be read: `remove` does what can be done
            return False
