"""`birdwatchd backup` and `restore`: copy the home to another disk while the daemon runs, and bring it back."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from birdwatchd.commands.progress import progress_bar
from birdwatchd.commands.terminal import counted, err, out, shown, size
from birdwatchd.settings.config import Config
from birdwatchd.store import BackedUp, Restored, back_up, restore

__all__ = ["run_backup", "run_restore"]


def run_backup(config: Config, folder: Path, *, keep: int) -> int:
    """Back the home up to a folder and say what was copied.

    Args:
        keep: databases that stay in the folder.

    Raises:
        ConfigError, StoreError: there is no new backup; the earlier ones are as they were.
    """
    with _counting("backing up") as on_file:
        done = back_up(config.home, folder, datetime.now(UTC), machine=platform.node(), keep=keep, on_file=on_file)
    _print_backup(done)
    if os.stat(folder).st_dev == os.stat(config.home).st_dev:
        err.print("  The backup is on the same disk as the home, and lost with it if the disk breaks.", soft_wrap=True)
    return 0


def _print_backup(done: BackedUp) -> None:
    out.print(f"{shown(done.database)}: {counted(done.visits, 'visit')}, verified", soft_wrap=True)
    media = done.media
    parts = [f"{media.copied:,} copied ({size(media.copied_bytes)})"] if media.copied or not media.linked else []
    parts += [f"{media.linked:,} linked"] if media.linked else []
    parts += [f"{media.there:,} there already"]
    parts += [f"{media.missing:,} not found or not readable"] if media.missing else []
    out.print(f"  pictures and clips: {', '.join(parts)}", soft_wrap=True)
    if done.removed_databases or done.removed_files:
        gone = f"{counted(done.removed_databases, 'older database')}, {counted(done.removed_files, 'file')} of theirs"
        out.print(f"  removed: {gone}", soft_wrap=True)
    if not done.noted:
        err.print("  The home cannot be written, so `birdwatchd status` does not know of this backup.", soft_wrap=True)
    if done.problem:
        err.print(f"  {shown(done.problem)}; delete that file, so that what nothing names can go", soft_wrap=True)


def run_restore(config: Config, folder: Path, *, name: str | None, replace: bool) -> int:
    """Bring the home back from a folder of backups and say what came.

    Args:
        name: which backup, by the beginning of its date; None for the newest.
        replace: also into a home that has visits.

    Raises:
        ConfigError, StoreError: nothing was restored; a database that was there is as it was.
    """
    with _counting("restoring") as on_file:
        done = restore(folder, config.home, name=name, replace=replace, on_file=on_file)
    _print_restore(done, config.home)
    return 0


def _print_restore(done: Restored, home: Path) -> None:
    media = done.media
    out.print(
        f"{shown(home)}: {counted(done.visits, 'visit')} of {shown(done.database.name)}, verified", soft_wrap=True
    )
    there = f", {media.there:,} there already" if media.there else ""
    out.print(f"  pictures and clips: {media.copied + media.linked:,} restored{there}", soft_wrap=True)
    if media.missing:
        err.print(f"  {counted(media.missing, 'file')} that the visits name are not in the backup", soft_wrap=True)
    if done.replaced is not None:
        out.print(
            f"  the database that was there is kept as {shown(done.replaced)}; the next start takes the pictures and"
            " clips that only it names out of media",
            soft_wrap=True,
        )


@contextmanager
def _counting(what: str) -> Iterator[Callable[[], None]]:
    with progress_bar("files") as progress:
        task = progress.add_task(what, total=None)
        yield lambda: progress.advance(task)
