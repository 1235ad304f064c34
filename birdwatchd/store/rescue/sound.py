"""Tell rows that can be read from rows that cannot: a flipped byte inside a row is no damage to SQLite.

Values are those that Python's sqlite3 gives with `text_factory = bytes`: text that is no UTF-8 must not end a query.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from birdwatchd.records import Phase, Rank, State
from birdwatchd.store import schema
from birdwatchd.store.reviews import ReviewVerdict
from birdwatchd.store.timekeeping.doubt import Doubt

__all__ = ["ROW_TABLES", "sound_row"]

# Every table with rows of its own, those that others point to first. Triggers keep the other two.
ROW_TABLES: tuple[sa.Table, ...] = tuple(
    table for table in schema.metadata.sorted_tables if table not in (schema.embedded, schema.species_month)
)
_WORDS: dict[str, type[StrEnum]] = {
    "visit.state": State,
    "visit.rank": Rank,
    "visit.phase": Phase,
    "superseded.state": State,
    "superseded.rank": Rank,
    "review.verdict": ReviewVerdict,
    "alert.phase": Phase,
    "clock.doubt": Doubt,
}


def sound_row(table: sa.Table, columns: Sequence[str], raw: Sequence[Any]) -> dict[str, Any] | None:
    """A row's values by column, as sqlite3 takes them; None if one of them is not what its column holds."""
    values: dict[str, Any] = {}
    try:
        for name, value in zip(columns, raw, strict=True):
            values[name] = _sound(table.c[name], value)
        _check_lengths(table, values)
    except (ValueError, TypeError, OverflowError):
        return None
    return values


def _sound(column: sa.Column[Any], value: Any) -> Any:
    """The value, text decoded.

    Raises:
        ValueError, TypeError: it is not what the column holds.
    """
    if value is None:
        if not column.nullable:
            raise ValueError(f"{column} is empty")
        return None
    kind = type(column.type)
    if issubclass(kind, sa.String | schema.UtcTime | schema.JsonText):
        if not isinstance(value, bytes):
            raise TypeError(f"{column}: {value!r:.40} is no text")
        value = value.decode()
    if not _FITS[kind](column, value):
        raise ValueError(f"{column}: {value!r:.40}")
    return value


def _is_time(column: sa.Column[Any], text: str) -> bool:
    del column
    return datetime.fromisoformat(text).tzinfo is not None


def _is_text(column: sa.Column[Any], text: str) -> bool:
    words = _WORDS.get(f"{column.table.name}.{column.name}")
    return "\0" not in text and (words is None or text in set(words))


def _check_lengths(table: sa.Table, values: Mapping[str, Any]) -> None:
    if table is schema.moment and len(values["embedding"]) != 2 * values["dim"]:
        raise ValueError("the embedding is cut off")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


def _is_top(value: Any) -> bool:
    pairs = isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
    return pairs and all(isinstance(name, str) and _is_number(p) for name, p in value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_news(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"state", "rank", "common_name", "phase", "count_max"}


# What is to be true of a value, by the type of its column.
_FITS: dict[type[Any], Callable[[sa.Column[Any], Any], bool]] = {
    sa.LargeBinary: lambda column, value: isinstance(value, bytes),
    sa.Boolean: lambda column, value: value in (0, 1),
    sa.Integer: lambda column, value: isinstance(value, int),
    sa.BigInteger: lambda column, value: isinstance(value, int),
    sa.Float: lambda column, value: _is_number(value),
    sa.String: _is_text,
    sa.Text: _is_text,
    schema.UtcTime: _is_time,
    schema.JsonText: lambda column, text: _SHAPES[column.name](json.loads(text)),
}
_SHAPES: dict[str, Callable[[Any], bool]] = {
    "box": _is_box,
    "top": _is_top,
    "raw_top": _is_top,
    "reasons": _is_texts,
    "firsts": _is_texts,
    "channels": _is_texts,
    "told_as": _is_news,
}
