"""Index the names of birds, so that a rule may name a species in any language, or its genus, family or order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from birdwatchd.records import Label, Rank, Verdict
from birdwatchd.species.taxonomy import name_key, names_of, species_keys

__all__ = ["NameIndex"]


class NameIndex:
    """The names of some labels and of the groups above them. All names are compared by their `name_key`."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self._species: dict[str, list[Label]] = {}
        self._groups: dict[str, frozenset[str]] = {}  # of a genus, family or order: itself and the groups above it
        above: dict[tuple[str | None, ...], None] = {}
        for label in labels:
            for key in species_keys(label):
                self._species.setdefault(key, []).append(label)
            above[label.genus, label.family, label.order] = None
        for names in above:
            groups = [name_key(name) for name in names if name]
            for number, group in enumerate(groups):
                self._groups.setdefault(group, frozenset(groups[number:]))

    def keys_of(self, verdict: Verdict) -> frozenset[str]:
        """The keys of every name that includes the bird of this verdict: its synonyms and the groups it belongs to."""
        own = [name_key(name) for name in (verdict.scientific_name, verdict.common_name) if name]
        found = [label for key in own for label in self._species.get(key, ())]
        exact = [label for label in found if set(own) <= set(species_keys(label))]  # two may share one of its names
        keys = frozenset(own).union(*map(names_of, exact or found))
        groups = list(own)
        if verdict.rank is Rank.SPECIES and verdict.scientific_name:
            groups = [name_key(verdict.scientific_name.split()[0])]
        return keys.union(groups, *(self._groups.get(key, frozenset()) for key in groups))

    def unknown(self, names: Sequence[str]) -> list[str]:
        """Those of some names that are not in the index: mostly spelling mistakes."""
        return [name for name in names if (key := name_key(name)) not in self._groups and key not in self._species]
