"""Write a file whole or not at all: a full disk or a kill must leave neither half a file nor one that is in the way.

It is written beside its place under another name, and gets its own name when it is on the disk. That other name is
always the same, so that what a kill left is written over: of each file there may be one writer at a time.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["part_of", "write_new", "write_whole"]


def part_of(path: Path) -> Path:
    """Where a file is while it is written; its suffix stays, for programs that ask it what to write."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


def write_whole(
    path: Path, data: bytes, mode: int | None = None, *, owner: tuple[int, int] | None = None, old: Path | None = None
) -> None:
    """Put a file in its place, also where one is: readers find the old one or the new one.

    Args:
        mode: its permissions; what the process's umask leaves by default.
        owner: user and group that it is given to, for root.
        old: the name under which the file that was there is kept; it replaces what had this name.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    part = part_of(path)
    try:
        _write(part, data, mode, owner)
        if old is not None:
            _keep(path, old)
        os.replace(part, path)
    except OSError:
        _remove(part)
        raise


def write_new(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put a file where none is.

    Raises:
        FileExistsError: one is there, which stays.
        OSError: it cannot be written, and nothing is there.
    """
    part = part_of(path)
    try:
        _write(part, data, mode, None)
        _name_new(part, path)
    finally:
        _remove(part)


def _write(part: Path, data: bytes, mode: int | None, owner: tuple[int, int] | None) -> None:
    part.unlink(missing_ok=True)  # of a process that was killed
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else mode)
    with open(descriptor, "wb") as file:
        if mode is not None:
            os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        if owner is not None:
            os.fchown(descriptor, *owner)
        os.fsync(descriptor)


def _keep(path: Path, other: Path) -> None:
    """Give a file a second name; it has its own all the time, as a service may be started at any moment."""
    part = part_of(other)
    part.unlink(missing_ok=True)  # of a process that was killed
    try:
        try:
            os.link(path, part)
        except OSError:  # a file system without hard links
            shutil.copy2(path, part)
        os.replace(part, other)
    finally:
        _remove(part)  # where `other` is the same file already, it is still there (rename(2))


def _name_new(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, such as a memory card's
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(part, path)


def _remove(part: Path) -> None:
    with suppress(OSError):
        part.unlink()
