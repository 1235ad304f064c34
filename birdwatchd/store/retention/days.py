"""List what lies on the disk: pictures and clips by UTC month, and how much they take, without listing it all again.

A file is whole when it has its name and never changes, and a new name changes its folder's time. So a folder whose time
is as before takes what it took before.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["File", "Folders", "MonthFiles", "VisitFiles"]

_DAY = re.compile(r"(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/[0-9]{2}$")
_FILE = re.compile(r"^(?P<visit>[0-9A-Za-z_-]{1,64}?)(-(?P<index>\d+)(?P<frame>-frame)?\.jpg|\.mp4)$")


@dataclass(frozen=True, slots=True)
class File:
    """A picture or a clip.

    Attributes:
        name: path relative to home.
        size: bytes.
        shared: the file has another name too, in a backup, so that deleting this one frees nothing.
    """

    name: str
    size: int
    shared: bool


@dataclass(slots=True)
class VisitFiles:
    """The files of one visit; pictures, and the whole frames beside them, by the index of their moment."""

    clip: File | None = None
    pictures: dict[int, File] = field(default_factory=dict)
    frames: dict[int, File] = field(default_factory=dict)


MonthFiles = dict[str, VisitFiles]  # by visit id


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a folder took when its time was `mtime_ns`."""

    mtime_ns: int
    clips: int
    pictures: int


class Folders:
    """The day folders of a home. Belongs to one thread."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._taken: dict[str, _Taken] = {}

    def measure(self) -> tuple[int, int]:
        """Bytes that clips and pictures take."""
        taken: dict[str, _Taken] = {}
        for folders in self.months().values():
            for folder in folders:
                try:
                    mtime_ns = os.stat(folder).st_mtime_ns
                    known = self._taken.get(folder)
                    fresh = known is not None and known.mtime_ns == mtime_ns
                    taken[folder] = known if known is not None and fresh else self._list_sizes(folder, mtime_ns)
                except FileNotFoundError:  # removed at this moment
                    continue
        self._taken = taken
        return sum(one.clips for one in taken.values()), sum(one.pictures for one in taken.values())

    def months(self) -> dict[tuple[int, int], list[str]]:
        """The folders of the days of each month that has any, oldest first."""
        found: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
        for folder in (self._home / "media").glob("*/[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"):
            match = _DAY.search(folder.as_posix())
            if match is not None and 1 <= int(match["month"]) <= 12:
                found[int(match["year"]), int(match["month"])].append(str(folder))
        return {month: sorted(found[month]) for month in sorted(found)}

    def files(self, folders: list[str]) -> MonthFiles:
        """The files in some folders, by visit."""
        found: defaultdict[str, VisitFiles] = defaultdict(VisitFiles)
        for folder in folders:
            relative = Path(folder).relative_to(self._home).as_posix()
            for entry in _entries(folder):
                match = _FILE.match(entry.name)
                if match is None:
                    continue
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                file = File(f"{relative}/{entry.name}", facts.st_size, facts.st_nlink > 1)
                if match["index"] is None:
                    found[match["visit"]].clip = file
                else:
                    visit = found[match["visit"]]
                    (visit.frames if match["frame"] else visit.pictures)[int(match["index"])] = file
        return dict(found)

    def _list_sizes(self, folder: str, mtime_ns: int) -> _Taken:
        files = self.files([folder]).values()
        clips = sum(one.clip.size for one in files if one.clip is not None)
        return _Taken(
            mtime_ns, clips, sum(file.size for one in files for file in (*one.pictures.values(), *one.frames.values()))
        )


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
