"""Write the file that eBird gives: a bar chart in its exact format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from birdwatchd.species.verdict.ebird import QUARTERS

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def ebird_file(path: Path, rows: Mapping[str, list[float]], checklists: float = 100.0) -> Path:
    """A download as eBird writes it: blank lines, a title, months, sample sizes, every line ending in a tab."""
    lines = ["", "", "Frequency of observations in the selected location(s).:", f"Number of taxa: \t{len(rows)}", ""]
    lines += ["\t" + "".join(f"{month}\t\t\t\t" for month in MONTHS)]
    lines += ["Sample Size:\t" + "".join(f"{checklists}\t" for _ in range(QUARTERS)), ""]
    lines += [name + "\t" + "".join(_cell(value) + "\t" for value in values) for name, values in rows.items()]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def _cell(value: float) -> str:
    """Java writes small numbers as 9.345E-4."""
    return f"{value:.4E}".replace("E-0", "E-") if 0 < value < 1e-3 else str(value)
