"""Know by which names a rule may mean a bird: its own, in any language, and those of its genus, family and order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from birdwatchd.records import Label, Rank, Verdict
from birdwatchd.species.taxonomy import name_key, names_of, species_keys

__all__ = ["Kin"]


class Kin:
    """Who belongs to whom, from the labels of a table or of a model."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self._names: dict[str, frozenset[str]] = {}
        self._above: dict[str, frozenset[str]] = {}
        for label in labels:
            names = names_of(label)
            for key in species_keys(label):
                self._names[key] = names
            ranks = [name_key(name) for name in (label.genus, label.family, label.order) if name]
            for number, rank in enumerate(ranks):
                self._above.setdefault(rank, frozenset(ranks[number:]))

    def names(self, verdict: Verdict) -> frozenset[str]:
        """Every name, reduced to its key, that means the bird of this verdict."""
        own = [name_key(name) for name in (verdict.scientific_name, verdict.common_name) if name]
        found = frozenset(own).union(*(self._names.get(key, frozenset()) for key in own))
        groups = list(own)
        if verdict.rank is Rank.SPECIES and verdict.scientific_name:
            groups = [name_key(verdict.scientific_name.split()[0])]
        return found.union(groups, *(self._above.get(key, frozenset()) for key in groups))

    def unknown(self, names: Sequence[str]) -> list[str]:
        """Those of some names that mean no bird here: spelling mistakes, mostly."""
        every = self._above.keys() | {key for names in self._names.values() for key in names}
        return [name for name in names if name_key(name) not in every]
