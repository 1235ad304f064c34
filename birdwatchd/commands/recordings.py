"""Find the recordings below some paths: a file, a folder, a camera-trap card as it comes out of the camera.

Cards carry what is no recording: the shadow files that macOS writes beside each file (`._IMG_0001.MP4`), bins, and the
photos of cameras that take both. What is passed over is counted, so that nobody wonders where it went.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from birdwatchd.commands.terminal import plain
from birdwatchd.errors import ConfigError

__all__ = ["Found", "find_recordings", "text_of", "unreadable"]

_CAMERAS = ("mp4", "m4v", "mov", "mkv", "avi", "ts", "mts", "m2ts", "asf", "wmv", "3gp", "dav", "mjpeg", "mjpg")
_OTHERS = ("webm", "mpg", "mpeg", "flv", "ogv", "h264", "h265", "264", "265", "hevc", "mxf")
SUFFIXES = frozenset(f".{suffix}" for suffix in _CAMERAS + _OTHERS)
_PHOTOS = ("jpg", "jpeg", "png", "heic", "heif", "tif", "tiff", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf")
PHOTOS = frozenset(f".{suffix}" for suffix in _PHOTOS)
SHADOW = "._"  # macOS keeps what its own file system would hold beside each file
# What was deleted, and what systems and storage boxes keep for themselves, by the names of folders in lower case.
BINS = frozenset(
    {
        ".trashes",
        ".trash",
        "$recycle.bin",
        "recycler",
        "system volume information",
        ".spotlight-v100",
        ".fseventsd",
        ".documentrevisions-v100",
        ".temporaryitems",
        "@eadir",
        "#recycle",
        "lost.dir",
    }
)


@dataclass(slots=True)
class Found:
    """What lies below some paths.

    Attributes:
        recordings: files as named; of folders every file below with a video's suffix, sorted. One that is named twice,
            perhaps by a link, is there once.
        problems: a line for each thing that is there and cannot be read (rights, a bad card).
        passed_over: files with a video's suffix that are shadows, or lie in a bin.
        photos: pictures, which are not read.
    """

    recordings: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    passed_over: int = 0
    photos: int = 0

    @property
    def notices(self) -> list[str]:
        """What to say of what was passed over."""
        lines = []
        if self.passed_over:
            what = "file is" if self.passed_over == 1 else "files are"
            lines.append(f"{self.passed_over:,} {what} passed over: shadows of macOS (._NAME), or in a bin")
        if self.photos:
            what = "photo is" if self.photos == 1 else "photos are"
            lines.append(f"{self.photos:,} {what} passed over: only recordings are read yet")
        return lines


def find_recordings(paths: Sequence[Path]) -> Found:
    """Look for recordings; links to folders are not followed.

    Raises:
        ConfigError: a path does not exist.
    """
    found = Found()
    once: dict[str, Path] = {}
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{plain(path)}: no such file or folder", "check the path") from None
        except OSError as error:
            found.problems.append(unreadable(path, error))
            continue
        for recording in _below(path, found) if is_folder else [path]:
            once.setdefault(os.path.realpath(recording), recording)
    found.recordings = list(once.values())
    return found


def unreadable(path: Path, error: OSError) -> str:
    """A line about a file or folder that the system does not give."""
    return f"{text_of(path)}: {error.strerror}; check the card"


def text_of(path: Path) -> str:
    """A path as text that can be stored and written anywhere: bytes that are no UTF-8 become `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _below(folder: Path, found: Found) -> list[Path]:
    def note(error: OSError) -> None:
        found.problems.append(unreadable(Path(error.filename or folder), error))

    return sorted(_files(folder, found, note))


def _files(folder: Path, found: Found, note: object) -> Iterator[Path]:
    """Every file that may be a recording; the others are counted."""
    for at, _, names in os.walk(folder, onerror=note):  # type: ignore[arg-type]
        in_bin = any(part.lower() in BINS or part.startswith(".Trash-") for part in Path(at).relative_to(folder).parts)
        for name in names:
            suffix = Path(name).suffix.lower()
            if suffix in SUFFIXES:
                if in_bin or name.startswith(SHADOW):
                    found.passed_over += 1
                else:
                    yield Path(at, name)
            elif suffix in PHOTOS and not in_bin and not name.startswith(SHADOW):
                found.photos += 1
