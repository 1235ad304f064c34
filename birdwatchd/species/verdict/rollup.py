"""Roll up probabilities to genus, family and order, for when no single species is certain enough.

Look-alikes share a genus: two warblers at 0.45 each are uncertain as species and almost certain as a genus. Sums are
taken over the classes of a model, so a genus of which it knows one species adds nothing to that species.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Label, Rank

__all__ = ["Group", "Groups"]


@dataclass(frozen=True, slots=True)
class Group:
    """Several species of one model that share a name.

    Attributes:
        name: scientific name of the genus, family or order.
        share: probability that it is one of them.
    """

    rank: Rank
    name: str
    share: float

    @property
    def common_name(self) -> str:
        """What to call it: `Sylvia sp.`, `Paridae`."""
        return f"{self.name} sp." if self.rank is Rank.GENUS else self.name


class Groups:
    """Genera, families and orders of a model's classes."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self._ranks = {
            Rank.GENUS: _numbered([label.genus if label.is_species else None for label in labels]),
            Rank.FAMILY: _numbered([label.family if label.is_species else None for label in labels]),
            Rank.ORDER: _numbered([label.order if label.is_species else None for label in labels]),
        }

    def best(self, p: NDArray[np.float64]) -> tuple[Group, ...]:
        """The most probable group of each rank, genus first; a rank without groups of two or more is left out.

        Args:
            p: probabilities, shape (classes,).
        """
        result = []
        for rank, (names, number) in self._ranks.items():
            inside = number >= 0
            if inside.any():
                shares = np.bincount(number[inside], p[inside], len(names))
                largest = int(shares.argmax())
                result.append(Group(rank, names[largest], float(shares[largest])))
        return tuple(result)

    def has(self, group: Group, index: int) -> bool:
        """Whether a class, by its index, belongs to a group."""
        names, number = self._ranks[group.rank]
        return bool(number[index] >= 0) and names[number[index]] == group.name

    def share(self, p: NDArray[np.float64], rank: Rank, name: str) -> float:
        """The probability, of `p` with shape (classes,), that it is one of a group; 0 for an unknown group."""
        names, number = self._ranks[rank]
        return float(p[number == names.index(name)].sum()) if name in names else 0.0


def _numbered(names: Sequence[str | None]) -> tuple[list[str], NDArray[np.int64]]:
    """The names that two or more classes have, and which of them each class has; -1 for none."""
    groups = sorted({name for name in names if name and sum(name == other for other in names) > 1})
    number = {name: index for index, name in enumerate(groups)}
    return groups, np.array([number.get(name, -1) if name else -1 for name in names], np.int64)
