"""One part of the measurement as it is shown and kept: a table with its title, and what must be said about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["Part", "as_json", "from_json", "table"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the page.

    Attributes:
        text: what was done, before the table.
        remarks: what came of it, after the table, a paragraph each.
        versions: programs with their versions, and the machine.
        data: every single figure, for other programs.
    """

    name: str
    title: str
    text: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    def as_markdown(self) -> str:
        """A chapter of the page."""
        pieces = [f"## {self.title}", self.text, table(self.columns, self.rows), *self.remarks]
        if self.versions:
            pieces.append(f"Measured with: {'; '.join(self.versions)}.")
        return "\n\n".join(pieces) + "\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column to the left and all others to the right.

    Raises:
        ValueError: a row is longer or shorter than the head.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"a row has not {len(columns)} cells")
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def as_json(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Everything, for other programs and for `from_json`."""
    return [asdict(part) for part in parts]


def from_json(data: Sequence[dict[str, Any]]) -> list[Part]:
    """What `as_json` wrote, also after it has been through a file."""
    names = {f.name for f in fields(Part)}
    parts = []
    for entry in data:
        own = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items() if k in names}
        parts.append(Part(**own | {"rows": tuple(tuple(row) for row in entry["rows"])}))
    return parts
