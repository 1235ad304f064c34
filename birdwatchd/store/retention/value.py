"""Say what a clip, a picture or a visit is worth, and put them in the order in which they may go. Pure functions.

Deleting by age throws the only rarity away and keeps ten thousand sparrows. So ordinary visits go by age, uncertain
ones as if they were a quarter as old (somebody may still want to name them), and what cannot be seen again goes after
all of these: the best picture of a species in a month, rarities, firsts, and what a person has reviewed. Uncertain
visits do not outlive all others: a fifth of all visits, kept for ever, would in the end leave no room for a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

__all__ = ["UNCERTAIN_FACTOR", "Item", "Kind", "Limit", "Value", "counted_age_s", "order"]

UNCERTAIN_FACTOR = 4.0  # uncertain visits are kept so many times as long as ordinary ones


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
        return self <= Value.UNCERTAIN

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


def counted_age_s(value: Value, age_s: float) -> float:
    """The age by which things of a value are compared, seconds."""
    return age_s / UNCERTAIN_FACTOR if value is Value.UNCERTAIN else age_s


def order(item: Item) -> tuple[int, float, str]:
    """A key that is smaller for what goes earlier, within one kind: less valuable, then older."""
    rank = 0 if item.value.by_age else int(item.value)
    return rank, -counted_age_s(item.value, item.age_s), item.visit_id
