"""Notice that somebody wrote to the database, without asking any table (SQLite's `PRAGMA data_version`)."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["Changes"]


class Changes:
    """Watches a home's database with a connection of its own, which only reads. Belongs to one thread at a time."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: of the database file, which need not exist yet.
        """
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._version: int | None = None

    def look(self) -> bool:
        """Whether another connection committed anything since the last look; True when the file is another one.

        The first look at a file says True.

        Raises:
            StoreBusy, StoreError: it cannot be read now.
        """
        try:
            found = self._path.stat()
        except OSError:
            self.close()
            return False
        if not stat.S_ISREG(found.st_mode):  # a named pipe would be waited for; whoever opens the store says so
            self.close()
            return False
        file = (found.st_dev, found.st_ino)
        with store_errors(self._path):
            if self._connection is None or file != self._file:
                self.close()
                self._connection = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
                )
                self._file = file
            with closing(self._connection.execute("PRAGMA data_version")) as answer:
                version = int(answer.fetchone()[0])
        changed, self._version = version != self._version, version
        return changed

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._file = self._version = None
