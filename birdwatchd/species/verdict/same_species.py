"""Add up the classes of a model that are one species, so that subspecies do not share out its probability.

A model that knows three juncos of one species and finds each as likely as the others is sure of the species. The
probabilities of such classes are added in each moment, before anything is averaged, so a bird that looks like one
subspecies in one picture and like another in the next loses nothing. Classes that have different common names are not
added up: sexes and ages, or `Feral pigeon` beside `Rock pigeon`, were meant to be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from birdwatchd.records import FloatArray, Label

__all__ = ["SameSpecies"]


class SameSpecies:
    """The species of some classes.

    Attributes:
        labels: one for each species, in the order of the first of its classes; other classes have theirs.
        index: of the species, for each class.
    """

    def __init__(self, classes: Sequence[Label]) -> None:
        numbers: dict[object, int] = {}
        labels: list[Label] = []
        index = []
        for position, label in enumerate(classes):
            named = label.is_species and label.scientific_name
            key = (label.scientific_name, label.english_name or label.common_name) if named else position
            number = numbers.setdefault(key, len(labels))
            if number == len(labels):
                labels.append(label)
            else:
                synonyms = dict.fromkeys((*labels[number].synonyms, *label.synonyms))
                labels[number] = replace(labels[number], synonyms=tuple(synonyms))
            index.append(number)
        self.labels, self.index = tuple(labels), tuple(index)
        self._order = np.argsort(self.index, kind="stable")
        self._starts = np.searchsorted(np.array(self.index)[self._order], np.arange(len(labels)))

    def merge(self, logits: FloatArray) -> FloatArray:
        """Logits of species from those of classes: the probability of a species is the sum of its classes'.

        Args:
            logits: float32, shape (…, classes).

        Returns:
            float32, shape (…, species); the same array where each class is a species of its own.

        Raises:
            ValueError: it is another number of classes.
        """
        if logits.shape[-1] != len(self.index):
            raise ValueError(f"logits of {logits.shape[-1]} classes given, {len(self.index)} expected")
        if len(self.labels) == len(self.index):
            return logits
        merged: FloatArray = np.logaddexp.reduceat(logits[..., self._order], self._starts, axis=-1)
        return merged
