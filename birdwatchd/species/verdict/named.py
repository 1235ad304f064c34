"""Find the species that a person means: by common, scientific or local name, an old name, or a subspecies."""

from __future__ import annotations

from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key, species_keys
from birdwatchd.species.verdict.build import shown_labels

__all__ = ["SpeciesNames", "find_species", "similar_species"]


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
        """The species with this name; else all with a name in which a word begins so, the first word first.

        A name is the one that is shown, the English or the scientific one, or a synonym. The only name that begins with
        `hoopoe` is that of an extinct starling: the Eurasian hoopoe must be among those to choose from.
        """
        exact = find_species(text, self._settings)
        if exact is not None:
            return [exact]
        key = name_key(text)
        if not key:
            return []
        found = [(keys, label) for keys, label in self._keys if any(f" {key}" in f" {one}" for one in keys)]
        first = [label for keys, label in found if any(one.startswith(key) for one in keys)]
        return [*first, *(label for _, label in found if label not in first)]


def similar_species(name: str, settings: SpeciesSettings) -> str:
    """Up to three names that are spelled much like this one, in words; empty if there are none.

    Raises:
        ConfigError: the names file cannot be used.
    """
    import difflib

    labels = shown_labels(bundled_taxonomy().all, settings)
    by_key = {name_key(one): one for label in labels for one in (label.common_name, label.scientific_name) if one}
    return " or ".join(by_key[key] for key in difflib.get_close_matches(name_key(name), by_key, n=3, cutoff=0.6))
