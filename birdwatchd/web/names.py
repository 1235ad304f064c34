"""Find species while their name is being typed: by local, English or scientific name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence

from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key, species_keys
from birdwatchd.species.verdict.build import shown_labels
from birdwatchd.species.verdict.named import NO_MATCH, closeness

__all__ = ["Names"]

MOST = 10


class Names:
    """The names of the world's birds, as this station shows them. Read when they are first asked for."""

    def __init__(self, settings: SpeciesSettings, classes: Callable[[], Sequence[str]] = tuple) -> None:
        """
        Args:
            classes: gives the classes of the model, which are the birds of a region; asked once.
        """
        self._settings, self._classes = settings, classes
        self._region: frozenset[str | None] = frozenset()
        self._lock = threading.Lock()
        self._known: list[tuple[str, tuple[str, ...], Label]] = []

    def find(self, text: str, seen: Collection[str] = ()) -> list[Label]:
        """Up to ten species that a text may mean, best first.

        A species with just this name; then those that were seen here, those that the model knows, and all others; among
        each of them as `closeness` says, and short names before long ones.

        Args:
            seen: names by which the species that were seen here are remembered.

        Raises:
            ConfigError: the names file cannot be used.
        """
        key = name_key(text)
        if not key:
            return []
        found: list[tuple[bool, int, int, int, Label]] = []
        for text_of_all, keys, label in self._table():
            if f" {key}" in text_of_all and (rank := closeness(label, keys, key)) < NO_MATCH:
                here = (label.scientific_name or label.common_name) in seen
                place = 0 if here else 1 if label.scientific_name in self._region else 2
                found.append((rank > 0, place, rank, label.common_name.count(" "), label))
        return [label for *_, label in sorted(found, key=lambda one: one[:4])[:MOST]]

    def _table(self) -> list[tuple[str, tuple[str, ...], Label]]:
        """Every species once, with all its names in one text, each after a space, and with the keys of its names."""
        with self._lock:
            if not self._known:
                labels = shown_labels(bundled_taxonomy().all, self._settings)
                once = {label.scientific_name: label for label in reversed(labels) if label.is_species}
                known = [(species_keys(label), label) for label in reversed(once.values())]
                known_here = bundled_taxonomy().labels(self._classes())
                self._region = frozenset(label.scientific_name for label in known_here if label.is_species)
                self._known = [("".join(f" {key}" for key in keys), keys, label) for keys, label in known]
            return self._known
