"""Let naming learn from what the store holds: when a person corrected a visit, the next one like it is named better.

A stage of its own, because reviews are written by other processes while the daemon runs. It looks for new ones every
few seconds and for what else was seen every hour, and gives the naming a new experience.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from birdwatchd.flow import StoreRetry
from birdwatchd.records import Label
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.learned.experience import Experience, Seen
from birdwatchd.species.verdict.fusion import Fusion, log_sum, mean_logits
from birdwatchd.store import Examples

__all__ = ["Learning", "Named", "experience_of"]

log = logging.getLogger(__name__)

LOOK_S = 5.0  # between looks for new reviews
AGAIN_S = 3600.0  # after which what was seen meanwhile counts too
VISITS = 1000


class Named(Protocol):
    """What learning needs of a network."""

    @property
    def model_id(self) -> str:
        """Name and version: visits of others teach it nothing."""

    @property
    def reference(self) -> Sequence[Seen]:
        """Visits that came with the weights."""


class Stopping(Protocol):
    """What `run` needs of a stop."""

    def wait(self, seconds: float, /) -> bool:
        """Sleep, but wake when the end is asked for; True if it is."""


def experience_of(examples: Examples, network: Named, labels: Sequence[Label], settings: SpeciesSettings) -> Experience:
    """What the visits of a network at this station teach, or nothing where the settings say so.

    Args:
        labels: the classes, as they are shown.
    """
    if not settings.learn:
        return Experience(labels)
    seen = (*network.reference, *_seen(examples, network.model_id))
    return Experience(labels, seen, familiar=settings.familiar)


def _seen(examples: Examples, model: str) -> Iterator[Seen]:
    for visit in examples.of_model(model, VISITS):
        energy = float("nan") if visit.logits is None else log_sum(mean_logits(visit.logits, visit.qualities))
        yield Seen(visit.embeddings, visit.predicted, energy, visit.review is not None, visit.truth)


class Learning:
    """Keeps one `Fusion` up to date."""

    def __init__(self, examples: Examples, network: Named, fusion: Fusion, settings: SpeciesSettings) -> None:
        self._examples, self._network, self._fusion, self._settings = examples, network, fusion, settings
        self._retry = StoreRetry(on_first=lambda error: log.debug("learning waits: %s", error))
        self._mark: tuple[int, int] | None = None
        self._learned_at = 0.0

    def run(self, stop: Stopping) -> None:
        """Until the stop."""
        while not stop.wait(LOOK_S):
            self.run_once(time.monotonic())

    def run_once(self, now: float) -> None:
        """Learn, if there is something new to learn from; a busy database can wait.

        Args:
            now: monotonic seconds.
        """
        if self._settings.learn:
            self._retry.attempt(lambda: self._learn(now), None)

    def _learn(self, now: float) -> None:
        mark = self._examples.reviews_version()
        if mark == self._mark and now - self._learned_at < AGAIN_S:
            return
        experience = experience_of(self._examples, self._network, self._fusion.labels, self._settings)
        if self._mark is not None and mark != self._mark:
            log.info("learned from reviews: %d visits were corrected", experience.corrections)
        self._fusion.experience, self._mark, self._learned_at = experience, mark, now
