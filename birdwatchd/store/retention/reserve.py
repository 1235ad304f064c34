"""Hold some megabytes of the disk for the day on which it is full: for a start, and for the visits of that day.

SQLite cannot even be opened on a disk without a free page, so a daemon that is restarted there could neither record nor
delete. The reserve is a file of no content; deleting it makes the room.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

from birdwatchd.disk import DiskRoom, Storage
from birdwatchd.store.store import Store

__all__ = ["Reserve", "open_store"]

log = logging.getLogger(__name__)

FILE_NAME = "birdwatchd.reserve"
BYTES, SHARE = 16_000_000, 0.02  # the smaller of both; a visit takes some 20 kB of the database


class Reserve:
    """The reserve of one home."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE_NAME

    def hold(self) -> bool:
        """Take the reserve, unless it is held; False where that cannot be done, and there is none."""
        if self._path.exists():
            return True
        part = self._path.with_name(f".{FILE_NAME}.part")
        with suppress(OSError):
            size = min(BYTES, round(SHARE * DiskRoom.at(self._path.parent).total))
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
            os.replace(part, self._path)
            return True
        with suppress(OSError):
            part.unlink()
        return False

    def release(self) -> bool:
        """Let go of it; False if none was held."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def open_store(home: Path, zone: ZoneInfo, *, check: bool = False, without_pictures: Collection[str] = ()) -> Store:
    """`Store.open`, on a full disk with the help of the reserve.

    Raises:
        StoreError: as `Store.open` says.
    """
    with suppress(OSError):  # no home yet
        if DiskRoom.at(home).storage is Storage.FULL and Reserve(home).release():
            log.error("%s: the disk is full; starting with the room that was held for this", home)
    return Store.open(home, zone=zone, check=check, without_pictures=without_pictures)
