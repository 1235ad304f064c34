"""The prior of a place and season: one weight for each class of a model, to multiply its probability with.

A classifier trained on all species of a country considers each of them equally likely on any day. A user's lists, the
months of a species, and how often it is reported nearby (an eBird bar chart) say otherwise. They weight the network's
probabilities and never decide alone: only `deny` makes a name impossible. A species that is unlikely and seen all the
same is not hidden but called rare.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.old_names import epithet_stem
from birdwatchd.species.taxonomy import name_key, names_of
from birdwatchd.species.verdict.ebird import QUARTERS, BarChart, quarter_of, read_bar_chart

__all__ = ["Expectation", "Prior", "matched"]

UNLISTED_WEIGHT = 0.03  # of what is on no allow list, or out of its months: a twentieth to a thirtieth of the others
MIN_FREQUENCY = 0.001  # share of checklists assumed for a species that was never reported: nobody looked everywhere
ALWAYS_FREQUENCY = 0.2  # share of checklists assumed for what the user says is always to be expected
RARE_FREQUENCY = 0.005  # share of checklists below which a species is rare
SMOOTHING = 8.0  # weight of the whole year's mean against a quarter's own checklists, as a number of checklists


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """What is expected on one day.

    Attributes:
        weights: to multiply probabilities with, 0 … 1, shape (classes,).
        rare: whether seeing it would be a rarity, shape (classes,).
    """

    weights: NDArray[np.float64]
    rare: NDArray[np.bool_]


class Prior:
    """The expectations of one station for the classes of one model."""

    def __init__(self, labels: Sequence[Label], settings: SpeciesSettings, zone: ZoneInfo) -> None:
        """
        Args:
            zone: whose calendar it is.

        Raises:
            ConfigError: the bar chart cannot be read.
        """
        self._zone, self._strength = zone, settings.bar_chart_strength
        names = [names_of(label) for label in labels]
        self._species = np.array([label.is_species for label in labels])
        self._denied = _mask(names, settings.deny)
        self._always = _mask(names, settings.always)
        self._allowed = _mask(names, settings.allow) if settings.allow else np.ones(len(labels), bool)
        self._months = _months(names, settings)
        self._frequency: NDArray[np.float64] | None = None
        self.missing: tuple[str, ...] = ()
        """Classes of the model that the bar chart does not hold: species that are not there, or have another name."""
        if settings.bar_chart is not None:
            chart = read_bar_chart(settings.bar_chart)
            rows = matched(labels, chart)
            self.missing = tuple(
                label.common_name for label, row in zip(labels, rows, strict=True) if label.is_species and row is None
            )
            self._frequency = _frequencies(chart, rows)
        self._by_quarter: dict[tuple[int, int], Expectation] = {}

    @property
    def active(self) -> bool:
        """Whether any class is expected more than another."""
        lists = self._denied.any() or not self._allowed.all() or not self._months.all()
        return bool(lists) or self._frequency is not None

    def on(self, at: datetime) -> Expectation:
        """What is expected at a time (aware)."""
        day = at.astimezone(self._zone).date()
        key = day.month - 1, quarter_of(day)
        if key not in self._by_quarter:
            self._by_quarter[key] = self._expectation(*key)
        return self._by_quarter[key]

    def _expectation(self, month: int, quarter: int) -> Expectation:
        listed = (self._allowed & self._months[:, month]) | self._always
        weights = np.where(listed, 1.0, UNLISTED_WEIGHT)
        rare = ~listed
        if self._frequency is not None:
            here = self._frequency[:, quarter]
            frequency = np.where(self._always, np.maximum(here, ALWAYS_FREQUENCY), here)
            weights = weights * np.maximum(frequency, MIN_FREQUENCY) ** self._strength
            rare |= frequency < RARE_FREQUENCY
        weights[self._denied] = 0.0
        weights[~self._species] = 1.0  # how probable "no bird" is has nothing to do with the season
        return Expectation(weights, rare & self._species)


def matched(labels: Sequence[Label], chart: BarChart) -> list[int | None]:
    """The row of the chart for each class: by scientific or common name or a synonym, else by specific epithet.

    Names change: genera are split and renamed while the second word of the scientific name (the epithet) stays. So a
    class and a row that are still unmatched belong together if no others share that word.
    """
    by_name: dict[str, int] = {}
    for row, taxon in enumerate(chart.taxa):
        by_name.setdefault(name_key(taxon.common_name), row)
    for row, taxon in enumerate(chart.taxa):
        if taxon.scientific_name:
            by_name[name_key(taxon.scientific_name)] = row
    found = [_first(by_name, (label.scientific_name, label.common_name, *label.synonyms)) for label in labels]
    taken = {row for row in found if row is not None}
    rows = _by_epithet((row, taxon.scientific_name) for row, taxon in enumerate(chart.taxa) if row not in taken)
    alone = (index for index, label in enumerate(labels) if label.is_species and found[index] is None)
    classes = _by_epithet((index, labels[index].scientific_name) for index in alone)
    for epithet, index in classes.items():
        if index is not None and rows.get(epithet) is not None:
            found[index] = rows[epithet]
    return found


def _first(by_name: dict[str, int], names: Iterable[str | None]) -> int | None:
    return next((by_name[name_key(name)] for name in names if name and name_key(name) in by_name), None)


def _by_epithet(names: Iterable[tuple[int, str | None]]) -> dict[str, int | None]:
    """Numbers by second word of the name, without the ending that agrees with the genus; None where two share it."""
    found: dict[str, int | None] = {}
    for number, name in names:
        if name and len(name.split()) >= 2:
            stem = epithet_stem(name)
            found[stem] = None if stem in found else number
    return found


def _mask(names: Sequence[frozenset[str]], wanted: Iterable[str]) -> NDArray[np.bool_]:
    keys = {name_key(name) for name in wanted}
    return np.array([bool(keys & mine) for mine in names])


def _months(names: Sequence[frozenset[str]], settings: SpeciesSettings) -> NDArray[np.bool_]:
    """Which class may be expected in which month, shape (classes, 12)."""
    result = np.ones((len(names), 12), bool)
    for name, months in settings.months.items():
        here = _mask(names, (name,))
        result[here] = [month in months for month in range(1, 13)]
    return result


def _frequencies(chart: BarChart, rows: Sequence[int | None]) -> NDArray[np.float64]:
    """Share of checklists for each class and quarter, shape (classes, 48).

    They are smoothed over neighbouring quarters and towards the mean of the year: one checklist says little.
    """
    n = chart.checklists
    seen = chart.frequency * n
    total = max(float(n.sum()), 1.0)
    year = seen.sum(axis=1) / total
    wide_seen = (np.roll(seen, 1, axis=1) + 2 * seen + np.roll(seen, -1, axis=1)) / 4
    wide_n = (np.roll(n, 1) + 2 * n + np.roll(n, -1)) / 4
    smooth = (wide_seen + SMOOTHING * year[:, None]) / (wide_n + SMOOTHING)
    result = np.zeros((len(rows), QUARTERS))
    for index, row in enumerate(rows):
        if row is not None:
            result[index] = smooth[row]
    return result
