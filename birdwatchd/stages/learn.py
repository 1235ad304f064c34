"""The learn stage: refit the experience of a fusion when visits were reviewed, so that corrections apply to new visits.

Reviews are written by other processes while the daemon runs, so this polls the store: for new reviews every few
seconds, for all other visits every hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from birdwatchd.flow import Stop, StoreRetry
from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.learned.experience import Example, Experience
from birdwatchd.species.verdict.fusion import Fusion, logsumexp, mean_logits
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


def experience_of(examples: Examples, network: Model, labels: Sequence[Label], settings: SpeciesSettings) -> Experience:
    """The experience of a network at this station, empty if `species.learn` is off.

    Args:
        labels: the classes, as they are shown.
    """
    if not settings.learn:
        return Experience(labels)
    seen = (*network.reference, *_stored_examples(examples, network.model_id))
    return Experience(labels, seen, inlier_quantile=settings.familiar)


def _stored_examples(examples: Examples, model: str) -> Iterator[Example]:
    for visit in examples.of_model(model, MAX_VISITS):
        energy = float("nan") if visit.logits is None else logsumexp(mean_logits(visit.logits, visit.qualities))
        yield Example(visit.embeddings, visit.predicted, energy, visit.review is not None, visit.truth)


class Learn:
    """Keeps the experience of one `Fusion` up to date."""

    def __init__(self, examples: Examples, network: Model, fusion: Fusion, settings: SpeciesSettings) -> None:
        self._examples, self._network, self._fusion, self._settings = examples, network, fusion, settings
        self._retry = StoreRetry(on_first=lambda error: log.debug("learning waits: %s", error))
        self._mark: tuple[int, int] | None = None
        self._learned_s = 0.0

    def run(self, stop: Stop) -> None:
        """Run until the stop."""
        while not stop.wait(POLL_S):
            self.run_once(time.monotonic())

    def run_once(self, now_s: float) -> None:
        """Refit if there are new reviews or an hour has passed; a busy database is polled again later.

        Args:
            now_s: monotonic.
        """
        if self._settings.learn:
            self._retry.attempt(lambda: self._learn(now_s), None)

    def _learn(self, now_s: float) -> None:
        mark = self._examples.reviews_version()
        if mark == self._mark and now_s - self._learned_s < REFRESH_S:
            return
        experience = experience_of(self._examples, self._network, self._fusion.labels, self._settings)
        if self._mark is not None and mark != self._mark:
            log.info("learned from reviews: %d visits were corrected", experience.corrections)
        self._fusion.experience, self._mark, self._learned_s = experience, mark, now_s
