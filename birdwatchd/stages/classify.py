"""Classify the crops of all cameras in shared batches, and revise the verdict of each visit.

Evidence comes in by the mailbox, judged evidence goes on to record. Nothing flows back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from birdwatchd.flow import Handover, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import (
    Box,
    Evidence,
    FloatArray,
    Moment,
    Prediction,
    Verdict,
)

__all__ = ["Classify", "Judged", "Predictor", "RunningVerdict"]

STOPPING_CROPS_S = 4.0  # how long after the stop crops are still classified; the rest of the deadline is for writing


@dataclass(frozen=True, slots=True)
class Judged:
    """Evidence with what the network said of its moments, and the verdict on the whole visit so far.

    `box` is the bird's in the best picture of the visit so far.
    """

    evidence: Evidence
    predictions: tuple[Prediction, ...]
    verdict: Verdict
    moments: int
    box: Box | None = None


class RunningVerdict(Protocol):
    """What this stage needs of a visit's running verdict (`birdwatchd.species.verdict.fusion`)."""

    @property
    def moments(self) -> int:
        """Moments taken so far."""

    def add(self, logits: FloatArray, quality: float, embedding: FloatArray) -> None:
        """Take one more moment into account; a better picture counts more."""

    def verdict(self) -> Verdict:
        """The verdict on all moments so far."""


class Predictor(Protocol):
    """What this stage needs of the classifier."""

    @property
    def max_batch(self) -> int:
        """Crops worth collecting for one call."""

    def predict(self, moments: Sequence[tuple[str, Moment]]) -> list[Prediction]:
        """Predictions of those moments that could be read."""


@dataclass(slots=True)
class _OpenVisit:
    running: RunningVerdict
    best: Moment | None = None

    def take(self, prediction: Prediction) -> None:
        self.running.add(prediction.logits, prediction.moment.quality, prediction.embedding)
        if self.best is None or prediction.moment.quality > self.best.quality:
            self.best = prediction.moment


class Classify:
    """Crops of all cameras through one network, in shared batches."""

    def __init__(
        self,
        mailbox: Mailbox,
        out: Handover[tuple[Judged, ...]],
        classifier: Predictor,
        begin: Callable[[datetime], RunningVerdict],
        metrics: Metrics,
        *,
        max_wait_s: float,
        stop: Stop,
    ) -> None:
        """
        Args:
            begin: gives the verdict of a new visit, by when it began: what is likely hangs on the season.
        """
        self._mailbox, self._out, self._classifier = mailbox, out, classifier
        self._begin, self._metrics, self._max_wait_s, self._stop = begin, metrics, max_wait_s, stop
        self._visits: dict[str, _OpenVisit] = {}
        self.beat = time.monotonic()

    def run(self) -> None:
        """Until the mailbox ends: cameras first, then what they left here."""
        try:
            while self.run_once():
                self._beat()
        finally:
            self._out.close()

    def run_once(self) -> bool:
        """One batch; False when there will be no more."""
        stopping = self._stop.is_set()
        batch = self._mailbox.take(1 if stopping else self._classifier.max_batch, 0 if stopping else self._max_wait_s)
        if batch is None:
            return False
        if batch:
            self._out.put(self.judge(self._affordable(batch)), self._beat)
        return True

    def _beat(self) -> None:
        self.beat = time.monotonic()

    def judge(self, batch: Sequence[Evidence]) -> tuple[Judged, ...]:
        """Predict all moments of a batch together, and revise the verdict of each visit in it, in order."""
        began = time.monotonic()
        wanted = [(evidence.visit_id, moment) for evidence in batch for moment in evidence.moments]
        predictions = self._classifier.predict(wanted) if wanted else []
        if wanted:
            self._metrics.add("classify_seconds_total", time.monotonic() - began)
        by_moment = {(p.visit_id, p.moment.index): p for p in predictions}
        return tuple(self._judge_one(evidence, by_moment) for evidence in batch)

    def _judge_one(self, evidence: Evidence, by_moment: Mapping[tuple[str, int], Prediction]) -> Judged:
        visit = self._visits.get(evidence.visit_id)
        if visit is None:
            visit = self._visits[evidence.visit_id] = _OpenVisit(self._begin(evidence.start))
        mine = [by_moment.get((evidence.visit_id, moment.index)) for moment in evidence.moments]
        found = tuple(p for p in mine if p is not None)
        for prediction in found:
            visit.take(prediction)
        if evidence.end is not None:
            del self._visits[evidence.visit_id]
        verdict = visit.running.verdict()
        return Judged(evidence, found, verdict, visit.running.moments, visit.best.box if visit.best else None)

    def _affordable(self, batch: Sequence[Evidence]) -> Sequence[Evidence]:
        """While stopping, a slow machine classifies only as long as the deadline allows; ends are never lost."""
        if self._stop.for_seconds(time.monotonic()) < STOPPING_CROPS_S:
            return batch
        dropped = sum(len(evidence.moments) for evidence in batch)
        if dropped:
            self._metrics.add("crops_dropped_total", dropped, reason="stopping")
        return [replace(evidence, moments=()) for evidence in batch]
