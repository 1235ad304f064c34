"""Find the recordings that lie before another in its folder: those that may show the same place without its bird."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["earlier_recordings"]

EARLIER = 3  # recordings of the folder that come before this one by name


def earlier_recordings(path: Path, names: Sequence[str]) -> list[Path]:
    """The nearest first.

    Args:
        names: of all files in its folder, sorted.
    """
    suffix = path.suffix.lower()
    before = [name for name in names if name < path.name and name.lower().endswith(suffix)]
    return [path.parent / name for name in before[: -EARLIER - 1 : -1]]
