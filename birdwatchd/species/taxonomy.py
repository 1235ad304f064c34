"""The taxonomy: look up a model's class names, for common and scientific name, family and order.

Models spell their classes differently (`House sparrow`, `house_sparrow`, `Passer domesticus`); the tables that ship
with this package find all of these. There are two: the birds of the default model, and those of the world (AviList).
The first decides what its species are called, because stored visits have these names; what the second calls them is a
synonym. A class that is in neither stays usable under the model's own name.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

from birdwatchd.records import Label
from birdwatchd.species.old_names import current_names, epithet_stem

__all__ = ["Taxonomy", "bundled_taxonomy", "name_key", "names_of", "species_keys"]

# What trained classifiers call "none of my birds"; birder's own models use `Unknown`.
_NO_SPECIES = frozenset({"unknown", "background", "not a bird", "no bird", "other", "empty"})
_SPELLING = str.maketrans({"_": " ", "-": " ", "'": None, "\N{RIGHT SINGLE QUOTATION MARK}": None})
# Hebrew lists have maqaf for a hyphen, geresh for an apostrophe, and perhaps points (vowels); nobody types them.
_SPELLING |= {ord("\N{HEBREW PUNCTUATION MAQAF}"): " ", ord("\N{HEBREW PUNCTUATION GERESH}"): None}
_SPELLING |= {ord("\N{HEBREW PUNCTUATION GERSHAYIM}"): None, ord('"'): None}
_SPELLING |= {point: None for point in range(0x0591, 0x05C8) if unicodedata.category(chr(point)) == "Mn"}
# Third words of classes that are no subspecies: a model that tells sexes or ages apart means to.
_SEX_OR_AGE = frozenset(
    {"male", "female", "adult", "juvenile", "immature", "subadult", "chick", "nestling", "breeding", "nonbreeding"}
)
_CROSS = "\N{MULTIPLICATION SIGN}"


def name_key(name: str) -> str:
    """Normalise a name for comparing: no case, no `_`, `-`, apostrophe or Hebrew point, single spaces."""
    return " ".join(name.translate(_SPELLING).casefold().split())


def species_keys(label: Label) -> tuple[str, ...]:
    """The `name_key` of each name of one species: as it is shown, in English, synonyms, and last the scientific."""
    names = (label.common_name, label.english_name, *label.synonyms, label.scientific_name)
    return tuple(name_key(name) for name in names if name)


class Taxonomy:
    """Names of birds, found by common or by scientific name, or by a synonym."""

    def __init__(self, labels: Sequence[Label], others: Sequence[Label] = ()) -> None:
        """
        Args:
            others: more birds; a name that is also one of the first means that one.
        """
        self.all = (*labels, *others)
        """Every bird of the table."""
        self._by_key: dict[str, Label] = {}
        self._scientific: dict[str, Label] = {}  # by lower case
        self._genera: dict[str, Label] = {}  # one species of each, by lower case
        for label in (*others, *labels):
            for key in species_keys(label):
                self._by_key[key] = label
            for name in _binomials(label):
                scientific = name.casefold()
                self._scientific[scientific] = self._genera[scientific.split()[0]] = label

    def label(self, name: str) -> Label:
        """The label of one class; for a class that is not in the table, what its name tells."""
        return self.labels((name,))[0]

    def find(self, name: str) -> Label | None:
        """The species that a name means, also an old one or a subspecies; None if it means none of the table."""
        label = self.label(name)
        in_table = label.scientific_name and label.scientific_name.casefold() in self._scientific
        return label if in_table else None

    def labels(self, names: Iterable[str]) -> tuple[Label, ...]:
        """The labels of a model's classes, in their order; several classes may be one species.

        A subspecies is its species, or the species that it was raised to (there cannot be two of one name in a genus).
        An old scientific name is today's species where `old_names` finds it; else it is a name of its own, with family
        and order of its genus.
        """
        given = tuple(names)
        known = [self._known(name) for name in given]
        scientific = self._mostly_scientific(given)
        old = {
            name: self._species_name(name, scientific) for name, label in zip(given, known, strict=True) if not label
        }
        moved = self._moved({species for species in old.values() if species}, filter(None, known))
        return tuple(label or self._unknown(name, old[name], moved) for name, label in zip(given, known, strict=True))

    def _known(self, name: str) -> Label | None:
        """The label of a class that the table has, also as a subspecies, or that is no species."""
        key = name_key(name)
        if key in _NO_SPECIES:
            return Label(name, is_species=False)
        label = self._by_key.get(key)
        words = key.split()
        if label is None and len(words) == 3 and words[2] not in _SEX_OR_AGE:
            genus, species, subspecies = words
            label = self._scientific.get(f"{genus} {subspecies}") or self._scientific.get(f"{genus} {species}")
            return replace(label, synonyms=(*label.synonyms, name)) if label else None
        return label

    def _mostly_scientific(self, names: Sequence[str]) -> bool:
        """Whether a model has scientific names: most of the species that are in the table do."""
        keys = [key for name in names if (key := name_key(name)) in self._by_key]
        return 2 * sum(key in self._scientific for key in keys) > len(keys)

    def _species_name(self, name: str, scientific: bool) -> str | None:
        """The scientific name of the species of a class that is not in the table, or None if its name is not one."""
        words = name_key(name).split()
        genus_known = bool(words) and words[0] in self._genera
        if not (genus_known or scientific) or len(words) not in (2, 3) or words[-1] in _SEX_OR_AGE:
            return None
        return f"{words[0].capitalize()} {words[1]}"

    def _moved(self, old_names: set[str], classes: Iterable[Label]) -> dict[str, str]:
        if not old_names:
            return {}
        families = {name: label.family for label in self.all if (name := label.scientific_name)}
        return current_names(sorted(old_names), families, {label.scientific_name or "" for label in classes})

    def _unknown(self, name: str, species: str | None, moved: Mapping[str, str]) -> Label:
        """The label of a class that is not in the table under its name."""
        if species is not None and species in moved:
            label = self._scientific[moved[species].casefold()]
            return replace(label, synonyms=(*label.synonyms, name))
        hybrid = name.replace("\\xd7", _CROSS)  # as it is written where labels had to be ASCII
        shown = species or (hybrid if _CROSS in hybrid else None)
        if shown is None:
            return Label(name)
        genus = self._genera.get(shown.split(maxsplit=1)[0].casefold(), Label(shown))
        synonyms = (name,) if name_key(name) != name_key(shown) else ()
        return Label(shown, shown, genus.family, genus.order, synonyms=synonyms)


@cache
def bundled_taxonomy() -> Taxonomy:
    """The tables that ship with the package: common and scientific name, family and order of the birds of the world.

    It is read at the first call (about 0.1 s): nobody pays for it who needs no names.
    """
    return Taxonomy(*_joined(_read("species.csv"), _read("avilist.csv")))


def _read(name: str) -> list[Label]:
    table = files("birdwatchd.species").joinpath("data", name).read_text(encoding="utf-8")
    rows = csv.reader(table.splitlines())
    column = {heading: number for number, heading in enumerate(next(rows))}
    common, scientific = column["common_name"], column["scientific_name"]
    family, order = column["family"], column["order"]
    return [Label(row[common], row[scientific] or None, row[family] or None, row[order] or None) for row in rows]


def _joined(first: Sequence[Label], second: Sequence[Label]) -> tuple[list[Label], list[Label]]:
    """The birds of the first table and what the second has besides; its names for the first become their synonyms.

    Two rows are one bird if they have the same scientific name, or else the same epithet, and their family has no other
    bird with it, and they are the same kind of bird (`Northern goshawk`, `Eurasian Goshawk`).
    """
    second_by_name = {label.scientific_name: label for label in second}
    pairs = {label: second_by_name.get(label.scientific_name) for label in first}
    taken = {label.scientific_name for label in first}
    alone = {label.family for label, other in pairs.items() if other is None}
    rest = [label for label in second if label.family in alone and label.scientific_name not in taken]
    for label in first:
        pairs[label] = pairs[label] or _moved_bird(label, rest)
    taken |= {other.scientific_name for other in pairs.values() if other}
    joined = [_with_names_of(label, pairs[label]) for label in first]
    return joined, [label for label in second if label.scientific_name not in taken]


def _moved_bird(label: Label, others: Iterable[Label]) -> Label | None:
    """The same bird in another genus, among those that are no other bird."""
    stem = epithet_stem(label.scientific_name or "")
    family = (other for other in others if other.family == label.family)
    same = [other for other in family if epithet_stem(other.scientific_name or "") == stem]
    return same[0] if len(same) == 1 and _kind(same[0]) == _kind(label) else None


def _kind(label: Label) -> str:
    return name_key(label.common_name).split()[-1]


def _with_names_of(label: Label, other: Label | None) -> Label:
    if other is None:
        return label
    own = species_keys(label)
    names = (other.common_name, other.scientific_name)
    return replace(label, synonyms=tuple(name for name in names if name and name_key(name) not in own))


def _binomials(label: Label) -> Iterator[str]:
    """The scientific names of a species, today's last; English names have capitals in the second word."""
    for name in (*label.synonyms, label.scientific_name):
        words = name.split() if name else []
        if name and len(words) == 2 and words[1].islower():
            yield name


def names_of(label: Label) -> frozenset[str]:
    """The `name_key` of every name that includes this class: of its species, genus, family and order."""
    groups = (label.genus, label.family, label.order)
    return frozenset([*species_keys(label), *(name_key(name) for name in groups if name)])
