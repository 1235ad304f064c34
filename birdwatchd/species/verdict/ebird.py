"""Parse eBird bar charts: how often each species is reported in a county, a hotspot or a country, by week.

On a region's page under *Bar Charts*, "Download Histogram Data". Tab-separated text: a title, `Number of taxa:`, a row
of months, `Sample Size:` with the number of complete checklists in each of 48 quarters of a month, and then a row for
each taxon: its name, since some years with the scientific name in `<em class="sci">`, and the share of these
checklists that report it. The first three quarters of a month have seven days, the last has the rest. Rows that are
no species (`gull sp.`, `Sooty/Great Shearwater`, hybrids) are left out; subspecies groups are added to their species.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdwatchd.errors import ConfigError
from birdwatchd.text_file import NotText, read_text

__all__ = ["QUARTERS", "BarChart", "Taxon", "quarter_of", "read_bar_chart"]

QUARTERS = 48
MOST_BYTES = 50_000_000  # a country's bar chart has less than one
MOST_NAME = 500  # letters of a name, with its scientific one
_SAMPLE_SIZE = "Sample Size:"
_SCIENTIFIC = re.compile(r"\s*\(?\s*<em[^>]*>(?P<name>[^<]*)</em>\s*\)?\s*$")
_GROUP = re.compile(r"\s*\([^()]*\)\s*$")  # `Mallard (Domestic type)`, `Yellow-rumped Warbler (Myrtle)`
_NO_SPECIES = re.compile(r"\bsp\.|/|\bhybrid\b| x ")
_HINT = 'download it from a region\'s bar charts on ebird.org ("Download Histogram Data") and keep it as it is'


@dataclass(frozen=True, slots=True)
class Taxon:
    """One species of a bar chart, as eBird writes it."""

    common_name: str
    scientific_name: str | None


@dataclass(frozen=True, slots=True, eq=False)
class BarChart:
    """How often each species is reported in one place, through the year.

    Attributes:
        taxa: the species.
        frequency: share of complete checklists, 0 … 1, shape (taxa, 48).
        checklists: how many there were, shape (48,).
    """

    taxa: tuple[Taxon, ...]
    frequency: NDArray[np.float64]
    checklists: NDArray[np.float64]


def quarter_of(day: date) -> int:
    """Which of the 48 quarters a day is in: the 1st, 8th, 15th and 22nd of each month begin one."""
    return 4 * (day.month - 1) + min(3, (day.day - 1) // 7)


def read_bar_chart(path: Path) -> BarChart:
    """Read a downloaded file.

    Raises:
        ConfigError: it cannot be read, or is no bar chart; says what was expected.
    """
    try:
        lines = read_text(path, most_bytes=MOST_BYTES).splitlines()
    except NotText as problem:
        raise ConfigError(f"species.bar_chart {path} {problem}", _HINT) from None
    checklists: NDArray[np.float64] | None = None
    rows: dict[Taxon, NDArray[np.float64]] = {}
    for number, line in enumerate(lines, 1):
        name, _, rest = line.partition("\t")
        if len(name) > MOST_NAME:
            raise ConfigError(f"species.bar_chart {path}:{number}: begins with more than {MOST_NAME} letters", _HINT)
        if name.strip() == _SAMPLE_SIZE:
            checklists = _numbers(path, number, rest, most=np.inf)
        elif checklists is not None and name.strip():
            taxon = _taxon(name)
            if taxon is not None:
                rows[taxon] = np.minimum(1.0, rows.get(taxon, 0.0) + _numbers(path, number, rest, most=1.0))
    if checklists is None:
        raise ConfigError(f"species.bar_chart {path} has no line that begins with `{_SAMPLE_SIZE}`", _HINT)
    if not rows:
        raise ConfigError(f"species.bar_chart {path} names no species", "choose a region with sightings")
    return BarChart(tuple(rows), np.stack(list(rows.values())), checklists)


def _taxon(name: str) -> Taxon | None:
    scientific = _SCIENTIFIC.search(name)
    common = name[: scientific.start()] if scientific else name
    if _NO_SPECIES.search(common):
        return None
    words = scientific["name"].split() if scientific else []
    if len(words) == 1:  # only a genus
        return None
    return Taxon(_GROUP.sub("", common.strip()), " ".join(words[:2]) or None)


def _numbers(path: Path, line: int, text: str, *, most: float) -> NDArray[np.float64]:
    try:
        values = np.array([float(cell) for cell in text.split("\t") if cell.strip()])
    except ValueError:
        values = np.empty(0)
    if len(values) != QUARTERS or not ((values >= 0) & (values <= most)).all():
        raise ConfigError(f"species.bar_chart {path}:{line}: is not {QUARTERS} numbers from 0 to {most:g}", _HINT)
    return values
