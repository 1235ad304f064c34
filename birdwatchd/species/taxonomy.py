"""The taxonomy: look up a model's class names, for scientific name, family and order, and compare names of birds.

Models spell their classes differently (`House sparrow`, `house_sparrow`, `Passer domesticus`); the table that ships
with this package finds all of these. A class that is not in the table stays usable under the model's own name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from birdwatchd.records import Label

__all__ = ["Taxonomy", "bundled_taxonomy", "name_key", "names_of", "species_keys"]

# What trained classifiers call "none of my birds"; birder's own models use `Unknown`.
_NO_SPECIES = frozenset({"unknown", "background", "not a bird", "no bird", "other", "empty"})
_SPELLING = str.maketrans({"_": " ", "-": " ", "'": None, "\N{RIGHT SINGLE QUOTATION MARK}": None})


def name_key(name: str) -> str:
    """Normalise a name for comparing: no case, no `_`, `-` or apostrophe, single spaces."""
    return " ".join(name.translate(_SPELLING).casefold().split())


def species_keys(label: Label) -> tuple[str, ...]:
    """The `name_key` of each name of one species: as it is shown, in English, scientific."""
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
        """The label of one class; for a class that is not in the table, its name and nothing else."""
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
    """The `name_key` of every name that includes this class: of its species, genus, family and order."""
    names = (label.common_name, label.english_name, label.scientific_name, label.genus, label.family, label.order)
    return frozenset(name_key(name) for name in names if name)
