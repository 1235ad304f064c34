"""Find species while their name is being typed: by local, English or scientific name."""

from __future__ import annotations

import threading
from collections.abc import Collection

from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key, species_keys
from birdwatchd.species.verdict.build import shown_labels

__all__ = ["Names"]

MOST = 10


class Names:
    """The names of the world's birds, as this station shows them. Read when they are first asked for."""

    def __init__(self, settings: SpeciesSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._known: list[tuple[str, tuple[str, ...], Label]] = []

    def find(self, text: str, seen: Collection[str] = ()) -> list[Label]:
        """Up to ten species that a text may mean, best first.

        A name that begins like the text comes before one with a word that does; among these the species that were seen
        here come first.

        Args:
            seen: names by which the species that were seen here are remembered.

        Raises:
            ConfigError: the names file cannot be used.
        """
        key = name_key(text)
        if not key:
            return []
        found: list[tuple[int, bool, int, Label]] = []
        for place, (text_of_all, keys, label) in enumerate(self._table()):
            if f" {key}" not in text_of_all:
                continue
            rank = min(_rank(one, key) for one in keys)
            if rank < 3:
                found.append((rank, (label.scientific_name or label.common_name) not in seen, place, label))
        return [label for *_, label in sorted(found, key=lambda one: one[:3])[:MOST]]

    def _table(self) -> list[tuple[str, tuple[str, ...], Label]]:
        """Every species once, with all its names in one text, each after a space, and with the keys of its names."""
        with self._lock:
            if not self._known:
                labels = shown_labels(bundled_taxonomy().all, self._settings)
                once = {label.scientific_name: label for label in reversed(labels) if label.is_species}
                known = [(species_keys(label), label) for label in reversed(once.values())]
                self._known = [("".join(f" {key}" for key in keys), keys, label) for keys, label in known]
            return self._known


def _rank(name: str, key: str) -> int:
    """0 for the name itself, 1 for a beginning, 2 for the beginning of a word, 3 for nothing of the kind."""
    if name == key:
        return 0
    return 1 if name.startswith(key) else 2 if f" {key}" in name else 3
