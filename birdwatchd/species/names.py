"""Translate species names: read a table of scientific and local names, and apply it to a model's labels.

Any text table with a header will do, separated by commas, semicolons or tabs: the IOC's multilingual list saved as CSV,
a national checklist, or the user's own. The column of scientific names is found by its heading; the other is chosen by
`names_language`, or is the only other one.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from birdwatchd.errors import ConfigError, shortened
from birdwatchd.records import Label
from birdwatchd.species.taxonomy import name_key
from birdwatchd.text_file import NotText, read_text

__all__ = ["read_names", "translated"]

MOST_BYTES = 50_000_000  # the IOC's list in 40 languages has 7
_SCIENTIFIC = frozenset({"scientific name", "scientific", "species", "latin", "latin name", "ioc name", "sci name"})
_HINT = "write a header such as `scientific_name,name`, and one line for each species"


def read_names(path: Path, language: str = "") -> dict[str, str]:
    """Names by `name_key` of the scientific name.

    Args:
        language: heading of the column wanted; may be left out where there is only one besides the scientific names.

    Raises:
        ConfigError: it cannot be read, or has no such column.
    """
    try:
        lines = read_text(path, most_bytes=MOST_BYTES).splitlines()
    except NotText as problem:
        raise ConfigError(f"species.names_file {path} {problem}", "check the path, and save it as UTF-8") from None
    header = lines[0] if lines else ""
    separator = max("\t;,", key=header.count)
    try:
        rows = list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise ConfigError(f"species.names_file {path} is no table ({error})", _HINT) from None
    scientific, wanted = _columns(path, [cell.strip() for cell in rows[0]] if rows else [], language)
    names = {}
    for row in rows[1:]:
        if len(row) > max(scientific, wanted) and row[scientific].strip() and row[wanted].strip():
            names[name_key(row[scientific])] = " ".join(row[wanted].split())
    if not names:
        raise ConfigError(f"species.names_file {path} holds no names", _HINT)
    return names


def _columns(path: Path, header: Sequence[str], language: str) -> tuple[int, int]:
    keys = [name_key(cell) for cell in header]
    scientific = next((index for index, key in enumerate(keys) if key in _SCIENTIFIC), None)
    if scientific is None:
        raise ConfigError(f"species.names_file {path}:1: has no column `scientific_name`", _HINT)
    others = [index for index in range(len(keys)) if index != scientific]
    if language:
        chosen = next((index for index in others if keys[index] == name_key(language)), None)
        if chosen is None:
            known = shortened(", ".join(header[index] for index in others))
            raise ConfigError(f"species.names_file {path}:1: has no column `{language}`", f"it has: {known}")
        return scientific, chosen
    if len(others) != 1:
        known = shortened(", ".join(header[index] for index in others)) or "none"
        raise ConfigError(f"species.names_language is needed: {path} has several columns or none", f"it has: {known}")
    return scientific, others[0]


def translated(labels: Sequence[Label], names: Mapping[str, str]) -> tuple[Label, ...]:
    """Labels with the names of the file, where it has one; the model's own stays as `english_name`."""
    result = []
    for label in labels:
        scientific = (label.scientific_name, *label.synonyms) if label.scientific_name else ()
        name = next((names[key] for one in scientific if one and (key := name_key(one)) in names), None)
        result.append(replace(label, common_name=name, english_name=label.common_name) if name else label)
    return tuple(result)
