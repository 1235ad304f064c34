"""One progress bar for every command that takes a while: on stderr, and gone when it is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from birdwatchd.commands.terminal import err

__all__ = ["progress_bar", "track"]

T = TypeVar("T")


def progress_bar(unit: str = "") -> Progress:
    """A bar with description, count of `unit`s and time remaining. Descriptions are plain text, without markup."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, transient=True)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Give the items one by one, with a bar.

    Args:
        total: how many there will be; None where that is not known.
    """
    with progress_bar() as progress:
        yield from progress.track(items, total=total, description=description)
