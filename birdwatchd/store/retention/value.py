"""Say what a clip, a picture or a visit is worth, and put them in the order in which they may go. Pure functions.

Deleting by age throws the only rarity away and keeps ten thousand sparrows. So only ordinary visits go by age, and what
somebody may still want to name or cannot be seen again goes after them: uncertain visits, the best picture of a species
in a month, rarities, firsts, and what a person has reviewed. Uncertain visits are many: kept before everything
ordinary, they would in the end leave no room for what is new. So an ordinary visit of the last month stays longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

__all__ = ["FRESH_S", "Item", "Kind", "Limit", "Value", "order"]

FRESH_S = 30 * 86_400.0  # an ordinary visit younger than this goes after uncertain ones


class Kind(StrEnum):
    """What goes, in this order."""

    CLIP = "clip"
    PICTURES = "pictures"
    VISIT = "visit"


class Value(IntEnum):
    """Why something is kept, least first; what both reasons hold for has the greater value."""

    ORDINARY = 0
    UNCERTAIN = 1
    BEST_OF_MONTH = 2  # of its species; a picture only
    RARE = 3
    FIRST_OF_YEAR = 4
    FIRST_EVER = 5
    REVIEWED = 6

    @property
    def by_age(self) -> bool:
        """Whether it goes by its age alone."""
        return self is Value.ORDINARY

    @property
    def text(self) -> str:
        """For people."""
        return self.name.lower().replace("_", " ")


class Limit(StrEnum):
    """The setting for which something goes."""

    KEEP_DAYS = "keep_days"
    MAX_GB = "max_gb"
    MIN_FREE_GB = "min_free_gb"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that may go: the clip of a visit, pictures of a visit, or the visit itself.

    Attributes:
        age_s: since the visit began, seconds.
        files: that go with it, relative to home.
        size: bytes that the home takes less.
        freed: bytes that the disk has more: none of a file that a backup on the same disk shares.
        limit: for which it goes; None while that is not decided.
    """

    kind: Kind
    visit_id: str
    value: Value
    age_s: float
    files: tuple[str, ...]
    size: int
    freed: int
    limit: Limit | None = None


def order(item: Item, fresh_s: float = FRESH_S) -> tuple[int, float, str]:
    """A key that is smaller for what goes earlier, within one kind: less valuable, then older.

    Args:
        fresh_s: an ordinary visit that is younger goes after uncertain ones.
    """
    rank = 2 * int(item.value)
    if item.value is Value.ORDINARY and item.age_s < fresh_s:
        rank = 2 * int(Value.UNCERTAIN) + 1
    return rank, -item.age_s, item.visit_id
