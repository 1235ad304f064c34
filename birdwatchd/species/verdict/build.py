"""Build the fusion of one station: its model's classes with the user's names for them, and the prior of its place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.names import read_names, translated
from birdwatchd.species.verdict.fusion import Fusion, unmatched_species
from birdwatchd.species.verdict.prior import Prior
from birdwatchd.species.verdict.same_species import SameSpecies

__all__ = ["fusion_for", "shown_labels"]

log = logging.getLogger(__name__)


def shown_labels(labels: Sequence[Label], settings: SpeciesSettings) -> tuple[Label, ...]:
    """A model's classes under the names that the user wants to see.

    Raises:
        ConfigError: the names file cannot be used.
    """
    if settings.names_file is None:
        return tuple(labels)
    return translated(labels, read_names(settings.names_file, settings.names_language))


def fusion_for(
    labels: Sequence[Label], settings: SpeciesSettings, zone: ZoneInfo, *, temperature: float = 1.0
) -> Fusion:
    """The fusion of one station for the classes of its model; warns of names in the settings that no class has.

    Args:
        temperature: of the model, as `birdwatchd calibrate` found it.

    Raises:
        ConfigError: the names file or the bar chart cannot be used.
    """
    shown = shown_labels(labels, settings)
    for key, name in unmatched_species(settings, shown):
        log.warning("species.%s names %s, which the model does not know: check the spelling", key, name)
    prior = Prior(SameSpecies(shown).labels, settings, zone)
    return Fusion(shown, settings, prior.on if prior.active else None, temperature=temperature)
