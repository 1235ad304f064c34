"""Index the names of birds, so that a rule may name a species in any language, or its genus, family or order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from birdwatchd.records import Label, Rank, Verdict
from birdwatchd.species.taxonomy import name_key, names_of, species_keys

__all__ = ["NameIndex"]


class NameIndex:
    """The names of some labels and of the groups above them. All names are compared by their `name_key`."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self._synonyms: dict[str, frozenset[str]] = {}
        self._groups: dict[str, frozenset[str]] = {}  # of a genus, family or order: itself and the groups above it
        for label in labels:
            names = names_of(label)
            for key in species_keys(label):
                self._synonyms[key] = names
            groups = [name_key(name) for name in (label.genus, label.family, label.order) if name]
            for number, group in enumerate(groups):
                self._groups.setdefault(group, frozenset(groups[number:]))

    def keys_of(self, verdict: Verdict) -> frozenset[str]:
        """The keys of every name that includes the bird of this verdict: its synonyms and the groups it belongs to."""
        own = [name_key(name) for name in (verdict.scientific_name, verdict.common_name) if name]
        keys = frozenset(own).union(*(self._synonyms.get(key, frozenset()) for key in own))
        groups = list(own)
        if verdict.rank is Rank.SPECIES and verdict.scientific_name:
            groups = [name_key(verdict.scientific_name.split()[0])]
        return keys.union(groups, *(self._groups.get(key, frozenset()) for key in groups))

    def unknown(self, names: Sequence[str]) -> list[str]:
        """Those of some names that are not in the index: mostly spelling mistakes."""
        known = self._groups.keys() | {key for names in self._synonyms.values() for key in names}
        return [name for name in names if name_key(name) not in known]
