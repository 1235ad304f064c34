"""The classify stage: crops of all cameras go through one network in shared batches and revise their visits' verdicts.

Evidence comes in by the mailbox; it goes on to the record stage with predictions and verdict. Nothing flows back.
Pictures that named nothing are looked at again (`birdwatchd.species.verdict.second_look`), those of all visits of a
batch together.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from birdwatchd.flow import Handover, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import (
    LIFELESS,
    Box,
    Evidence,
    Moment,
    Prediction,
    State,
    Verdict,
)
from birdwatchd.seen_part import Look
from birdwatchd.species.verdict.second_look import RunningVerdict, SecondLooks, look_again

__all__ = ["ClassifiedEvidence", "Classify", "Predictor"]

NAMELESS = frozenset({State.UNKNOWN, State.REJECTED})  # verdicts that do not keep what is lifeless
MOST_WITHDRAWN = 256  # visits remembered until their clips have come
STOPPING_CROPS_S = 4.0  # how long after the stop crops are still classified; the rest of the deadline is for writing


class Predictor(Protocol):
    """What is needed of the classifier."""

    @property
    def max_batch(self) -> int:
        """Crops worth collecting for one call."""

    def predict(self, moments: Sequence[tuple[str, Moment]], *, look: Look = Look.FIRST) -> list[Prediction]:
        """Predictions of those moments whose crops could be decoded, and of which there is such a look."""


@dataclass(frozen=True, slots=True)
class ClassifiedEvidence:
    """Evidence with the predictions of its moments, and the verdict on the whole visit so far.

    `moments` counts those of the visit so far that could be classified; `box` is the bird's in the one that shows
    most of it. `withdrawn`: the visit is over and was none: it neither moved like an animal nor has a name.
    """

    evidence: Evidence
    predictions: tuple[Prediction, ...]
    verdict: Verdict
    moments: int
    box: Box | None = None
    withdrawn: bool = False


@dataclass(slots=True)
class _OpenVisit:
    running: RunningVerdict
    second_looks: SecondLooks
    best: Moment | None = None
    _most: tuple[float, float] = (0.0, 0.0)

    def add(self, prediction: Prediction) -> None:
        moment = prediction.moment
        self.running.add(prediction.logits, moment.quality, prediction.embedding)
        shows = self.running.evidence_of(prediction.logits), moment.quality
        if self.best is None or shows > self._most:
            self.best, self._most = moment, shows


class Classify:
    """Classifies crops of all cameras in shared batches."""

    def __init__(
        self,
        mailbox: Mailbox,
        out: Handover[tuple[ClassifiedEvidence, ...]],
        classifier: Predictor,
        begin: Callable[[datetime], RunningVerdict],
        metrics: Metrics,
        *,
        max_wait_s: float,
        stop: Stop,
    ) -> None:
        """
        Args:
            begin: makes the running verdict of a new visit from its start, which decides the season's prior.
        """
        self._mailbox, self._out, self._classifier = mailbox, out, classifier
        self._begin, self._metrics, self._max_wait_s, self._stop = begin, metrics, max_wait_s, stop
        self._visits: dict[str, _OpenVisit] = {}
        self._withdrawn: OrderedDict[str, None] = OrderedDict()
        self.beat_s = time.monotonic()

    def run(self) -> None:
        """Run until the mailbox has ended and is empty."""
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
            self._out.put(self.classify(self._before_deadline(batch)), self._beat)
        return True

    def _beat(self) -> None:
        self.beat_s = time.monotonic()

    def classify(self, batch: Sequence[Evidence]) -> tuple[ClassifiedEvidence, ...]:
        """Predict all moments of a batch of evidence together, and revise the verdict of each visit in it, in order."""
        begun_s = time.monotonic()
        moments = [(evidence.visit_id, moment) for evidence in batch for moment in evidence.moments]
        for evidence in batch:
            self._open(evidence)
        predictions: list[Prediction] = []
        if moments:
            visits = {name: (visit.running, visit.second_looks) for name, visit in self._visits.items()}
            predictions, again = look_again(self._classifier.predict, self._classifier.predict(moments), visits)
            self._metrics.add("second_looks_total", again)
            self._metrics.add("classify_seconds_total", time.monotonic() - begun_s)
        by_moment = {(p.visit_id, p.moment.index): p for p in predictions}
        return tuple(self._classify_one(evidence, by_moment) for evidence in batch)

    def _open(self, evidence: Evidence) -> _OpenVisit:
        """The visit of some evidence; a new one also where it has ended, and its clip comes afterwards."""
        visit = self._visits.get(evidence.visit_id)
        if visit is None:
            running = self._begin(evidence.start)
            visit = self._visits[evidence.visit_id] = _OpenVisit(running, SecondLooks(running.branch()))
        return visit

    def _classify_one(self, evidence: Evidence, by_moment: Mapping[tuple[str, int], Prediction]) -> ClassifiedEvidence:
        visit = self._open(evidence)
        mine = [by_moment.get((evidence.visit_id, moment.index)) for moment in evidence.moments]
        found = tuple(p for p in mine if p is not None)
        for prediction in found:
            visit.add(prediction)
        if evidence.end is not None:
            del self._visits[evidence.visit_id]
        verdict = visit.running.verdict()
        withdrawn = self._is_withdrawn(evidence, verdict)
        if withdrawn:
            verdict = replace(verdict, state=State.REJECTED)
        if evidence.end is not None and evidence.lifeless:
            verdict = replace(verdict, reasons=(LIFELESS, *verdict.reasons))
        best = visit.best.box if visit.best else None
        return ClassifiedEvidence(evidence, found, verdict, visit.running.moments, best, withdrawn)

    def _is_withdrawn(self, evidence: Evidence, verdict: Verdict) -> bool:
        """Whether a visit that ends, or whose clip comes after its end, was none."""
        if evidence.clip is not None:  # nothing is known any more of what its name was
            return evidence.visit_id in self._withdrawn
        if evidence.end is None or not evidence.lifeless or verdict.state not in NAMELESS:
            return False
        self._withdrawn[evidence.visit_id] = None
        while len(self._withdrawn) > MOST_WITHDRAWN:
            self._withdrawn.popitem(last=False)
        return True

    def _before_deadline(self, batch: Sequence[Evidence]) -> Sequence[Evidence]:
        """The batch without its crops once there is no time left to classify while stopping; ends are never lost."""
        if self._stop.for_seconds(time.monotonic()) < STOPPING_CROPS_S:
            return batch
        for evidence in batch:
            if evidence.moments:
                dropped = len(evidence.moments)
                self._metrics.add("crops_dropped_total", dropped, camera=evidence.camera, reason="stopping")
        return [replace(evidence, moments=()) for evidence in batch]
