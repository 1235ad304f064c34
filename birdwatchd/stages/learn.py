"""The learn stage: refit the experience of a fusion when visits were reviewed, so that corrections apply to new visits.

Reviews are written by other processes while the daemon runs, so this polls the store: for new reviews every few
seconds, for all other visits every hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from birdwatchd.flow import Stop, StoreRetry
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.learned.experience import Example, Experience
from birdwatchd.species.taxonomy import species_keys
from birdwatchd.species.verdict.best_moments import BestMoments, BirdEvidence
from birdwatchd.species.verdict.fusion import Fusion
from birdwatchd.species.verdict.same_species import SameSpecies
from birdwatchd.store import Examples

__all__ = ["Learn", "Model", "experience_of"]

log = logging.getLogger(__name__)

POLL_S = 5.0  # between two polls for new reviews
REFRESH_S = 3600.0  # after which visits without a review are read again too
MAX_VISITS = 1000


class Model(Protocol):
    """What this stage needs of a network."""

    @property
    def model_id(self) -> str:
        """Name and version: only visits of the same model are comparable."""

    @property
    def reference(self) -> Sequence[Example]:
        """Examples that came with the weights."""


def experience_of(stored: Examples, network: Model, by_species: SameSpecies, settings: SpeciesSettings) -> Experience:
    """The experience of a network at this station, empty if `species.learn` is off.

    Args:
        by_species: its species, as they are shown.
    """
    labels = by_species.labels
    if not settings.learn:
        return Experience(labels)
    examples = (*network.reference, *_stored_examples(stored, network.model_id, by_species))
    return Experience(labels, examples, inlier_quantile=settings.familiar)


def _stored_examples(stored: Examples, model: str, by_species: SameSpecies) -> Iterator[Example]:
    labels = {key: label for label in by_species.labels for key in species_keys(label)}
    evidence = BirdEvidence(by_species.labels)
    for visit in stored.of_model(model, MAX_VISITS):
        embeddings, energy = visit.embeddings, float("nan")
        if visit.logits is not None:  # of the same moments as a verdict is made of
            best = BestMoments(evidence)
            for moment in zip(by_species.merge(visit.logits), visit.qualities, visit.embeddings, strict=True):
                best.add(*moment)
            counted = best.counted()
            assert counted.embeddings is not None
            embeddings, energy = counted.embeddings.astype(np.float16), evidence.energy(counted.logits)
        truth = visit.truth
        if truth is not None:  # with all its names: the visit may be from when it was called otherwise
            truth = next((labels[key] for key in species_keys(truth) if key in labels), truth)
        yield Example(embeddings, visit.predicted, energy, visit.review is not None, truth)


class Learn:
    """Keeps the experience of one `Fusion` up to date."""

    def __init__(self, stored: Examples, network: Model, fusion: Fusion, settings: SpeciesSettings) -> None:
        self._stored, self._network, self._fusion, self._settings = stored, network, fusion, settings
        self._retry = StoreRetry(
            on_first=lambda error: log.warning("reviews are not learned from: %s", error),
            on_again=lambda: log.info("reviews are learned from again"),
        )
        self._reviews: object = None  # version of those that were learned from
        self._learned_s = 0.0
        self.beat_s = time.monotonic()

    def run(self, stop: Stop) -> None:
        """Run until the stop."""
        while not stop.wait(POLL_S):
            self.beat_s = time.monotonic()
            self.run_once(self.beat_s)

    def run_once(self, now_s: float) -> None:
        """Refit if there are new reviews or an hour has passed; a busy database is polled again later.

        Args:
            now_s: monotonic.
        """
        if self._settings.learn:
            self._retry.attempt(lambda: self._refit(now_s), None)

    def _refit(self, now_s: float) -> None:
        version = self._stored.reviews_version()
        if version == self._reviews and now_s - self._learned_s < REFRESH_S:
            return
        experience = experience_of(self._stored, self._network, self._fusion.by_species, self._settings)
        if self._reviews is not None and version != self._reviews:
            many = "" if experience.corrections == 1 else "s"
            log.info("now using your reviews: %d corrected visit%s", experience.corrections, many)
        self._fusion.experience, self._reviews, self._learned_s = experience, version, now_s
