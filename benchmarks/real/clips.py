"""Read the list of clips: where each lies, and which species may rightly be named in it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from birdwatchd.species.taxonomy import bundled_taxonomy

__all__ = ["Clip", "read_clips", "today"]


@dataclass(frozen=True, slots=True)
class Clip:
    """A recorded clip.

    Attributes:
        name: repository:path.
        species: today's scientific names of what is in it; empty where there is no bird.
    """

    name: str
    path: Path
    has_bird: bool
    species: frozenset[str]


def read_clips(table: Path, folders: Sequence[Path]) -> list[Clip]:
    """The clips of a table, in its order.

    Args:
        table: CSV with the columns repository, path, kind (`bird` or `none`), species (scientific, `|` between).
        folders: each may hold owner__repository/path.

    Raises:
        FileNotFoundError: a clip of the table is in none of the folders.
    """
    clips = []
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            below = Path(row["repository"].replace("/", "__"), row["path"])
            path = next((folder / below for folder in folders if (folder / below).is_file()), None)
            if path is None:
                raise FileNotFoundError(f"{below}, a clip of {table}, is in none of the folders")
            species = frozenset(today(name) for name in row["species"].split("|") if name)
            clips.append(Clip(f"{row['repository']}:{row['path']}", path.resolve(), row["kind"] == "bird", species))
    return clips


def today(name: str) -> str:
    """The scientific name by which birdwatchd knows a species."""
    return bundled_taxonomy().label(name).scientific_name or name
