"""Say whether birds could be recorded into a home, and make and change nothing there: for who checks before a start."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from birdwatchd.errors import StoreError, StoreTooOld
from birdwatchd.store.database import FILE_NAME, Database, refuse_emptied
from birdwatchd.store.sqlite_errors import store_errors

__all__ = ["is_usable_home"]


def is_usable_home(home: Path) -> bool:
    """Whether a home that can be used is there already; False if it can be made.

    Raises:
        StoreTooNew, StoreDamaged, StoreError: `birdwatchd run` could not use it, or not as this user.
    """
    path = home / FILE_NAME
    with store_errors(path):
        refuse_emptied(path)
        if not path.exists():
            folder = next(one for one in (home, *home.absolute().parents) if one.exists())
            if not folder.is_dir():
                raise StoreError(f"{home} cannot be made: {folder} is a file", "set `home`")
            if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
                raise StoreError(f"{home} cannot be made: no right to write in {folder}", "set `home`")
            return False
        _require_right(home, os.W_OK | os.X_OK)
        _require_right(path, os.R_OK | os.W_OK)
        with suppress(StoreTooOld):  # the start upgrades it
            Database.open_existing(home).close()
    return True


def _require_right(path: Path, mode: int) -> None:
    if not os.access(path, mode, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
