"""Copy pictures and clips from one folder to another: by hard link where the file system allows it, and each only once.

They never change once they are in place, so a link is as good as a copy until the disk itself breaks.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from birdwatchd.store.media import frame_path

__all__ = ["Copied", "MediaCopier", "remove_unnamed"]

SAME_TIME_NS = 2_000_000_000  # memory sticks keep the time of a file to two seconds
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_DAYS = "*/[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"
_NAME = re.compile(r"media/[A-Za-z0-9_-]{1,64}/[0-9]{4}/[0-9]{2}/[0-9]{2}/[A-Za-z0-9_~-]{1,90}\.(jpg|mp4)")
_OURS = re.compile(r"^\.?(?P<visit>[0-9A-Za-z_-]{1,64}?)(-\d+(-frame)?\.jpg|\.mp4)(\.part)?$")


@dataclass(slots=True)
class Copied:
    """What became of the files.

    Attributes:
        there: were there already.
        linked: share their bytes with the original.
        missing: were not to be found in either folder, or cannot be read any more.
    """

    there: int = 0
    linked: int = 0
    copied: int = 0
    copied_bytes: int = 0
    missing: int = 0


class MediaCopier:
    """Copies files, by their paths relative to both folders."""

    def __init__(self, source: Path, target: Path, owner: tuple[int, int] | None = None) -> None:
        """
        Args:
            owner: user and group that the copies are to belong to; None for whoever runs this.
        """
        self._source, self._target, self._owner = source, target, owner
        self._links = True
        self.copied = Copied()

    def copy(self, name: str) -> bool:
        """Bring one file over, unless it is there already; False if there is none that can be read in either folder.

        A name that leads out of the media folder (a backup may come from anywhere) is that of no file.

        Raises:
            OSError: the target cannot be written, or the source must not be read.
        """
        if not _NAME.fullmatch(name):
            self.copied.missing += 1
            return False
        source, target = self._source / name, self._target / name
        there = _facts(target)
        try:
            wanted = os.lstat(source)
        except (FileNotFoundError, NotADirectoryError):
            wanted = None
        if wanted is None or not stat.S_ISREG(wanted.st_mode):
            self.copied.there += there is not None
            self.copied.missing += there is None
            return there is not None
        if there is not None and _same(there, wanted):
            self.copied.there += 1
            return True
        self._make_folders(target.parent)
        try:
            self._write(source, target, wanted)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EIO):
                raise
            self.copied.missing += 1  # deleted at this moment, or on a bad block: one picture is not all of them
            return False
        return True

    def copy_named(self, name: str) -> bool:
        """As `copy`, of a file that a row names: a crop brings its whole frame along, where there is one."""
        copied = self.copy(name)
        frame = frame_path(name)
        if copied and frame != name and _NAME.fullmatch(frame) and _facts(self._source / frame) is not None:
            self.copy(frame)
        return copied

    def _write(self, source: Path, target: Path, wanted: os.stat_result) -> None:
        part = target.with_name(f".{target.name}.part")
        with suppress(FileNotFoundError):
            part.unlink()
        with ExitStack() as undo:
            undo.callback(part.unlink, missing_ok=True)
            linked = self._links and self._link(source, part)
            if not linked:
                shutil.copyfile(source, part, follow_symlinks=False)
                os.utime(part, ns=(wanted.st_atime_ns, wanted.st_mtime_ns))
            if self._owner is not None:
                os.chown(part, *self._owner)
            os.replace(part, target)
        self.copied.linked += linked
        self.copied.copied += not linked
        self.copied.copied_bytes += 0 if linked else wanted.st_size

    def _link(self, source: Path, part: Path) -> bool:
        try:
            os.link(source, part, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._links = error.errno == errno.EMLINK  # the next file may have fewer names; the others stay as they are
            return False
        return True

    def _make_folders(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            one.mkdir(exist_ok=True)
            if self._owner is not None:
                os.chown(one, *self._owner)


def remove_unnamed(folder: Path, named: Callable[[list[str]], set[str]]) -> int:
    """Delete pictures, clips and unfinished files below `folder`/media that no database names; how many.

    Args:
        named: given visit ids, the paths (relative to the folder) that rows of these visits name.
    """
    gone = 0
    for day in (folder / "media").glob(_DAYS):
        found = [(entry.name, match) for entry in os.scandir(day) if (match := _OURS.match(entry.name))]
        keep = named(sorted({match["visit"] for _, match in found}))
        for path in (day / name for name, _ in found):
            if path.relative_to(folder).as_posix() not in keep:
                path.unlink(missing_ok=True)
                gone += 1
        for empty in _empty_from(day, folder / "media"):
            with suppress(OSError):
                empty.rmdir()
    return gone


def _empty_from(day: Path, root: Path) -> Iterator[Path]:
    """The folder of a day, its month, year and camera, as long as each is empty."""
    folder = day
    while folder != root and not any(folder.iterdir()):
        yield folder
        folder = folder.parent


def _facts(path: Path) -> os.stat_result | None:
    try:
        facts = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return facts if stat.S_ISREG(facts.st_mode) else None


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return True
    return one.st_size == other.st_size and abs(one.st_mtime_ns - other.st_mtime_ns) <= SAME_TIME_NS
