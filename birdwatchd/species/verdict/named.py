"""Find the species that a person means: by common, scientific or local name, an old name, or a subspecies."""

from __future__ import annotations

from collections.abc import Sequence

from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key, species_keys
from birdwatchd.species.verdict.build import shown_labels

__all__ = ["NO_MATCH", "SpeciesNames", "closeness", "find_species", "similar_species"]

NO_MATCH = 5


def find_species(name: str, settings: SpeciesSettings) -> Label | None:
    """The species with this name, as the user wants to see it; None if there is none.

    Raises:
        ConfigError: the names file cannot be used.
    """
    key = name_key(name)
    for label in shown_labels(bundled_taxonomy().all, settings):
        if key in species_keys(label):
            return label
    old = bundled_taxonomy().find(name)  # an old name, or a subspecies
    return None if old is None else shown_labels((old,), settings)[0]


class SpeciesNames:
    """All species by the beginnings of their names, for who types one after the other."""

    def __init__(self, settings: SpeciesSettings) -> None:
        """Raises ConfigError where the names file cannot be used."""
        self._settings = settings
        self._keys = [(species_keys(label), label) for label in shown_labels(bundled_taxonomy().all, settings)]

    def find(self, text: str) -> list[Label]:
        """The species with this name; else all with a name in which a word begins so, those closest to it first.

        A name is the one that is shown, the English or the scientific one, or a synonym. The only name that begins with
        `hoopoe` is that of an extinct starling: the Eurasian hoopoe must be among those to choose from.
        """
        exact = find_species(text, self._settings)
        if exact is not None:
            return [exact]
        key = name_key(text)
        if not key:
            return []
        found = [(closeness(label, keys, key), label) for keys, label in self._keys]
        return [label for rank, label in sorted(found, key=lambda one: one[0]) if rank < NO_MATCH]


def closeness(label: Label, keys: Sequence[str], key: str) -> int:
    """How close a species' names are to what is typed, 0 … `NO_MATCH`.

    0 for a name itself; 1 for its last words, since they say what kind of bird it is: `robin` is the European robin
    rather than the Robin Accentor; 2 where the last word goes on, 3 for the beginning of a name, 4 for that of another
    word. Of a scientific name the first word says more.

    Args:
        keys: as `species_keys` gives them.
        key: the `name_key` of what is typed.
    """
    if not any(f" {key}" in f" {one}" for one in keys):
        return NO_MATCH
    scientific = name_key(label.scientific_name or "")
    return min(_closeness(one, key, common=one != scientific) for one in keys)


def _closeness(name: str, key: str, *, common: bool) -> int:
    if name == key:
        return 0
    before, found, after = f" {name}".rpartition(f" {key}")
    if not found:
        return NO_MATCH
    if common and " " not in after:
        return 2 if after else 1
    return 3 if not before or name.startswith(key) else 4


def similar_species(name: str, settings: SpeciesSettings) -> str:
    """Up to three names that are spelled much like this one, in words; empty if there are none.

    Raises:
        ConfigError: the names file cannot be used.
    """
    import difflib

    labels = shown_labels(bundled_taxonomy().all, settings)
    by_key = {name_key(one): one for label in labels for one in (label.common_name, label.scientific_name) if one}
    return " or ".join(by_key[key] for key in difflib.get_close_matches(name_key(name), by_key, n=3, cutoff=0.6))
