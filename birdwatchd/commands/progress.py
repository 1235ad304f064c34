"""How far a command is that takes a while: a progress bar on stderr that is gone in the end, and what a scan counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from birdwatchd.commands.terminal import counted, err

__all__ = ["ScanTally", "progress_bar", "track"]

T = TypeVar("T")
LEFT_OUT = "no name, and nothing in it moved like an animal (dust, leaves, light)"
NEVER_EMPTY = (
    "a place never seen empty before: a bird that sits still from beginning to end is not seen; "
    "scan a folder with more recordings of the same camera"
)


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


@dataclass(slots=True)
class ScanTally:
    """What a scan has counted so far.

    Attributes:
        files: recordings that were scanned now, to their ends.
        skipped: recordings that were scanned before.
        elsewhere: of these, those that lay under another path then, or lie here twice.
        known: visits that were stored before.
        misdated: recordings with a date that cannot be.
        new_places: recordings of places that were never seen empty before.
        seconds: of video.
    """

    files: int = 0
    skipped: int = 0
    elsewhere: int = 0
    misdated: int = 0
    failed: int = 0
    visits: int = 0
    known: int = 0
    withdrawn: int = 0
    new_places: int = 0
    seconds: float = 0.0
    by_name: dict[str, int] = field(default_factory=dict)

    def lines(self, *, stopped: bool) -> Iterator[str]:
        """All that is said at the end."""
        parts = [f"{counted(self.files, 'file')} scanned ({self.seconds:.0f} s of video)"]
        if self.skipped:
            elsewhere = f" ({self.elsewhere} of them under another path)" if self.elsewhere else ""
            parts.append(f"{self.skipped} done before{elsewhere}")
        parts += [counted(self.visits, "visit"), f"{self.failed} failed"]
        yield ("stopped: " if stopped else "") + ", ".join(parts)
        for name, number in sorted(self.by_name.items(), key=lambda item: -item[1]):
            yield f"  {number:>4}  {name}"
        if self.known:
            share = "all" if self.known == self.visits else f"{self.known}"
            yield f"{share} of these visits were stored before"
        if self.withdrawn:
            yield f"{counted(self.withdrawn, 'visit')} left out: {LEFT_OUT}"
        if self.misdated:
            yield f"{counted(self.misdated, 'recording')} with a date that cannot be, see above"
        if self.new_places:
            show = "recording shows" if self.new_places == 1 else "recordings show"
            yield f"{self.new_places} {show} {NEVER_EMPTY}"
        if stopped:
            yield "run the same command again to continue"
