"""Find the species that a person means: by common, scientific or local name, an old name, or a subspecies."""

from __future__ import annotations

from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key, species_keys
from birdwatchd.species.verdict.build import shown_labels

__all__ = ["find_species", "similar_species"]


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


def similar_species(name: str, settings: SpeciesSettings) -> str:
    """Up to three names that are spelled much like this one, in words; empty if there are none.

    Raises:
        ConfigError: the names file cannot be used.
    """
    import difflib

    labels = shown_labels(bundled_taxonomy().all, settings)
    by_key = {name_key(one): one for label in labels for one in (label.common_name, label.scientific_name) if one}
    return " or ".join(by_key[key] for key in difflib.get_close_matches(name_key(name), by_key, n=3, cutoff=0.6))
