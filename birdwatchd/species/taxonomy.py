"""Give every class of a model its scientific name, family and order, and know which classes are no birds.

Models spell their classes as they like (`House sparrow`, `house_sparrow`, `Passer domesticus`); the table
that ships with this package is keyed so that all of these are one. A class that the table does not hold
stays usable under the model's own name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from birdwatchd.records import Label

__all__ = ["Taxonomy", "bundled_taxonomy", "name_key", "species_keys"]

# What trained classifiers call "none of my birds"; birder's own models use `Unknown`.
_NO_SPECIES = frozenset({"unknown", "background", "not a bird", "no bird", "other", "empty"})
_SPELLING = str.maketrans({"_": " ", "-": " ", "'": None, "\N{RIGHT SINGLE QUOTATION MARK}": None})


def name_key(name: str) -> str:
    """Reduce a name to what counts in comparing names: no case, no `_`, `-` or apostrophe, single spaces."""
    return " ".join(name.translate(_SPELLING).casefold().split())


def species_keys(label: Label) -> tuple[str, ...]:
    """The keys of all names of one species: as it is shown, in English, scientific."""
    return tuple(name_key(name) for name in (label.common_name, label.english_name, label.scientific_name) if name)


class Taxonomy:
    """Names of birds, found by common or by scientific name."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self._by_key: dict[str, Label] = {}
        self.all = tuple(labels)
        """Every bird of the table."""
        for label in self.all:
            self._by_key[name_key(label.common_name)] = label
            if label.scientific_name:
                self._by_key[name_key(label.scientific_name)] = label

    def label(self, name: str) -> Label:
        """The label of one class; for a class that the table does not hold, its name and nothing else."""
        key = name_key(name)
        if key in _NO_SPECIES:
            return Label(name, is_species=False)
        return self._by_key.get(key) or Label(name)

    def labels(self, names: Iterable[str]) -> tuple[Label, ...]:
        """The labels of a model's classes, in their order."""
        return tuple(self.label(name) for name in names)


@cache
def bundled_taxonomy() -> Taxonomy:
    """The table that ships with the package: 551 birds with common and scientific name, family and order."""
    table = files("birdwatchd.species").joinpath("data", "species.csv").read_text(encoding="utf-8")
    return Taxonomy([_label(row) for row in csv.DictReader(table.splitlines())])


def _label(row: Mapping[str, str]) -> Label:
    return Label(
        common_name=row["common_name"],
        scientific_name=row["scientific_name"] or None,
        family=row["family"] or None,
        order=row["order"] or None,
    )


def names_of(label: Label) -> frozenset[str]:
    """Every name by which a list may mean this class: species, genus, family, order."""
    names = (label.common_name, label.english_name, label.scientific_name, label.genus, label.family, label.order)
    return frozenset(name_key(name) for name in names if name)
