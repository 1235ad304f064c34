"""Name what lies in a folder of backups: complete databases by date, one tree of pictures and clips, whose it is.

A database has its final name only once it is verified and every file that it names is there. So whatever has such a
name is a complete backup, and a backup that was killed is one that never was.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from birdwatchd.errors import StoreBusy, StoreError, StoreFull
from birdwatchd.store.backup.database_copy import remove_part, stamp_of
from birdwatchd.whole_file import part_of, write_whole

__all__ = ["BackupFolder", "folder_errors"]

MARKER_NAME = "birdwatchd-backup.json"
LOCK_NAME = "birdwatchd-backup.lock"
_DATABASE = re.compile(r"birdwatchd-(?P<stamp>\d{8}T\d{6}Z)\.sqlite3")


@dataclass(frozen=True, slots=True)
class BackupFolder:
    """A folder of backups of one home."""

    path: Path

    def databases(self) -> list[Path]:
        """The databases of complete backups, oldest first."""
        return sorted(path for path in self.path.glob("birdwatchd-*.sqlite3") if _DATABASE.fullmatch(path.name))

    def new_database(self, now: datetime) -> Path:
        """The name of the next database: later than all there are, also after the clock was set back."""
        at = now.astimezone(UTC).replace(microsecond=0)
        if newest := self.databases():
            match = _DATABASE.fullmatch(newest[-1].name)
            assert match is not None
            before = datetime.strptime(match["stamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            at = max(at, before + timedelta(seconds=1))
        return self.path / f"birdwatchd-{stamp_of(at)}.sqlite3"

    def choose(self, name: str | None) -> Path:
        """The newest database, or the newest whose date begins with `name` (`20260501`, or the whole file name).

        Raises:
            StoreError: there is none.
        """
        found = self.databases()
        if not found:
            raise StoreError(f"{self.path}: holds no backup", "give the folder that `birdwatchd backup` wrote to")
        wanted = [path for path in found if path.name.removeprefix("birdwatchd-").startswith(name or "")]
        wanted = wanted or [path for path in found if path.name == name]
        if not wanted:
            dates = ", ".join(path.name for path in found)
            raise StoreError(f"{self.path}: holds no backup {name}", f"choose one of {dates}")
        return wanted[-1]

    def claim(self, home: Path, machine: str) -> None:
        """Write down whose backups these are, or check it: those of two stations would delete each other's pictures.

        Raises:
            StoreError: it holds the backups of another home, or other things.
            OSError: it cannot be written.
        """
        marker = self.path / MARKER_NAME
        mine = {"home": str(home), "machine": machine}
        if marker.exists():
            held = _read_marker(marker)
            if held != mine:
                whose = f"{held.get('home', 'another home')} on {held.get('machine', 'another machine')}"
                raise StoreError(
                    f"{self.path}: holds the backups of {whose}",
                    f"choose another folder; if this home continues that one, delete {marker}",
                )
            return
        ours = (LOCK_NAME, "lost+found", part_of(marker).name)
        if not self.databases() and any(entry.name not in ours for entry in os.scandir(self.path)):
            raise StoreError(f"{self.path}: is not empty", "choose an empty or a new folder")
        write_whole(marker, (json.dumps(mine) + "\n").encode())

    def remove_unfinished(self) -> None:
        """Delete databases that a killed backup left unfinished, and what SQLite wrote beside them."""
        for part in self.path.glob(".birdwatchd-*.sqlite3.part*"):
            remove_part(part)

    @contextmanager
    def lock(self, *, shared: bool) -> Iterator[None]:
        """Keep other backups out; a restore, which changes nothing here, only keeps out backups.

        Raises:
            StoreBusy: somebody else is at it.
        """
        path = self.path / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if shared else os.O_CREAT), 0o644)
        except FileNotFoundError:  # a copy of the folder, perhaps on a disk that cannot be written
            yield
            return
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise StoreBusy(f"{self.path}: another backup or restore is running", "wait until it has ended") from None
        finally:
            os.close(descriptor)


@contextmanager
def folder_errors(path: Path) -> Iterator[None]:
    """Translate what the file system raises about a folder of backups.

    Raises:
        StoreFull, StoreError: saying what to do.
    """
    try:
        yield
    except StoreFull as error:
        raise _full(error.message) from error
    except OSError as error:
        where = error.filename or path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(f"{where}: no room on the disk") from error
        if error.errno == errno.ENOENT:
            raise StoreError(f"{where}: does not exist", "make the folder above it, or mount the disk") from error
        hint = "check its owner and rights, and that the disk is mounted and can be written"
        raise StoreError(f"{where}: {error.strerror or error}", hint) from error


def _full(message: str) -> StoreFull:
    return StoreFull(message, "free some space there, or keep fewer databases; earlier backups are as they were")


def _read_marker(marker: Path) -> dict[str, str]:
    try:
        held = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        held = {}
    return held if isinstance(held, dict) else {}
