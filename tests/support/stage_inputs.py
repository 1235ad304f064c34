"""Make evidence, a classifier and a classify stage for the tests of stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from birdwatchd.flow import Handover, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import Box, Crop, Evidence, Label, Moment, Prediction
from birdwatchd.seen_part import Look
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.species.verdict.fusion import Fusion
from birdwatchd.stages.classify import ClassifiedEvidence, Classify

AT = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
LABELS = (Label("Great tit", "Parus major"), Label("House sparrow", "Passer domesticus"))


def moment(index: int, quality: float = 0.5) -> Moment:
    return Moment(index, AT, Box(0.1 * index, 0.2, 0.1, 0.1), quality, Crop(b"", 1, 1))


def evidence(visit: str, revision: int, *moments: Moment, end: datetime | None = None) -> Evidence:
    return Evidence(visit, "cam", revision, AT, end, AT + timedelta(seconds=revision), moments, 1)


@dataclass
class FakeClassifier:
    """A classifier whose logits are given by the test, per moment index; keeps the sizes of its batches.

    Attributes:
        brightened: logits of the brightened copies of those moments that are dark.
        wider: logits of the whole pictures of those moments that show more than the network is given first.
    """

    logits: dict[int, tuple[float, float]]
    max_batch: int = 8
    batches: list[int] = field(default_factory=list)
    brightened: dict[int, tuple[float, float]] = field(default_factory=dict)
    wider: dict[int, tuple[float, float]] = field(default_factory=dict)
    second_batches: list[int] = field(default_factory=list)

    def predict(self, moments: Sequence[tuple[str, Moment]], *, look: Look = Look.FIRST) -> list[Prediction]:
        logits = {Look.FIRST: self.logits, Look.BRIGHTER: self.brightened, Look.WIDER: self.wider}[look]
        if look is not Look.WIDER:
            (self.second_batches if look is Look.BRIGHTER else self.batches).append(len(moments))
        return [
            Prediction(visit, m, np.array(logits[m.index], np.float32), np.zeros(4, np.float32))
            for visit, m in moments
            if m.index in logits
        ]


def classify_stage(classifier: FakeClassifier, stop: Stop | None = None) -> Classify:
    fusion = Fusion(LABELS, SpeciesSettings())
    metrics = Metrics()
    out: Handover[tuple[ClassifiedEvidence, ...]] = Handover("record", metrics)
    box = Mailbox(metrics)
    return Classify(box, out, classifier, fusion.running, metrics, max_wait_s=0, stop=stop or Stop())
