"""The stages of the main process: classify, record, upkeep. Each is a `run()` around a `run_once()`.

Evidence comes in by the mailbox, judged evidence goes on to record, and record writes a visit's revision and its
messages in one transaction, then wakes the publisher. Nothing flows back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from birdwatchd.errors import StoreBusy, StoreFull
from birdwatchd.flow import Handover, Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import (
    Box,
    CameraState,
    CameraStatus,
    Evidence,
    FloatArray,
    Moment,
    Prediction,
    Verdict,
    Visit,
)

__all__ = ["Classify", "Judged", "Record", "Upkeep"]

log = logging.getLogger(__name__)

STOPPING_CROPS_S = 4.0  # how long after the stop crops are still classified; the rest of the deadline is for writing
RETRY_WRITE_S = 1.0
RING_GAUGES = ("ring_seconds", "ring_bytes")  # how far back a camera's kept video reaches, and its memory
KEPT_CHANGES = 8  # changes of state per camera that wait to be logged and told; different notices likewise


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


Write = Callable[[Visit, Sequence[Prediction]], bool]


class Record:
    """Write what was judged: one transaction per visit revision, and nothing is forgotten while the disk is busy."""

    def __init__(
        self,
        inbox: Handover[tuple[Judged, ...]],
        write: Write,
        model: str,
        metrics: Metrics,
        *,
        stop: Stop,
        wake: Callable[[], None],
        on_visit: Callable[[Visit], None],
    ) -> None:
        """
        Args:
            write: stores a revision with its moments and messages; True if it was news.
            wake: tells the publisher that there may be messages.
            on_visit: is shown every revision that was stored.
        """
        self._inbox, self._write, self._model, self._metrics = inbox, write, model, metrics
        self._stop, self._wake, self._on_visit = stop, wake, on_visit
        self.beat = time.monotonic()

    def run(self) -> None:
        """Until classify has closed the hand-over and it is empty."""
        try:
            while self.run_once():
                self.beat = time.monotonic()
        finally:
            self._inbox.close()  # should this stage die, nobody waits for it

    def run_once(self) -> bool:
        """One batch of judged evidence; False when there will be no more."""
        item = self._inbox.take()
        if item == "ended":
            return False
        if item == "nothing yet":
            return True
        for judged in item:
            visit = visit_of(judged, self._model)
            if self._persist(visit, judged.predictions):
                self._metrics.add("visit_revisions_total", camera=visit.camera)
                self._on_visit(visit)
        self._wake()
        return True

    def _persist(self, visit: Visit, predictions: Sequence[Prediction]) -> bool:
        said = False
        while True:
            try:
                return self._write(visit, predictions)
            except (StoreBusy, StoreFull) as error:
                if self._stop.for_seconds(time.monotonic()) > STOPPING_CROPS_S:
                    raise
                if not said:
                    log.error("visits wait to be written: %s", error)
                    said = True
                self._metrics.add("store_retries_total")
                self.beat = time.monotonic()
                self._stop.wait(RETRY_WRITE_S)


def visit_of(judged: Judged, model: str) -> Visit:
    """The visit as it stands after this evidence."""
    evidence = judged.evidence
    return Visit(
        visit_id=evidence.visit_id,
        camera=evidence.camera,
        revision=evidence.revision,
        start=evidence.start,
        end=evidence.end,
        last_seen=evidence.last_seen,
        verdict=judged.verdict,
        moments=judged.moments,
        count_max=evidence.count_max,
        box=judged.box,
        model=model,
        media=evidence.media,
        start_s=evidence.start_s,
        end_s=evidence.end_s,
        clip=evidence.clip,
        clip_cut=evidence.clip_cut,
    )


class Upkeep:
    """What has to happen on the side: camera states to log, effort and MQTT; the service manager's watchdog."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        on_status: Callable[[CameraStatus], None],
        on_change: Callable[[CameraStatus], None],
        healthy: Callable[[], bool],
        beat_service: Callable[[], None],
    ) -> None:
        """
        Args:
            on_status: is given every report (effort).
            on_change: is told when a camera's state changes (MQTT).
            healthy: whether every stage beats.
            beat_service: tells the service manager that all is well.
        """
        self._metrics, self._on_status, self._on_change = metrics, on_status, on_change
        self._healthy, self._beat_service = healthy, beat_service
        self._lock = threading.Lock()
        self._new: dict[str, deque[CameraStatus]] = {}
        self._notices: dict[str, dict[str, bool]] = {}  # of each camera, and whether they are logged
        self._frames: dict[str, tuple[int, int]] = {}  # that came and were late, as each camera's process counted last
        self._trouble = self._store_busy = False
        self.cameras: dict[str, CameraStatus] = {}

    def take_status(self, status: CameraStatus) -> None:
        """Called by the camera readers; quick. Keeps the newest report of each state, a few changes per camera.

        Should nobody look for long (a locked database), the oldest changes of a camera that comes and goes are
        forgotten; what it is now is never.
        """
        with self._lock:
            notices = self._notices.setdefault(status.camera, {})
            if status.notice and len(notices) < KEPT_CHANGES:
                notices.setdefault(status.notice, False)
            mine = self._new.setdefault(status.camera, deque(maxlen=KEPT_CHANGES))
            if mine and mine[-1].state is status.state:
                mine[-1] = status
            else:
                mine.append(status)

    def run(self, stop: Stop) -> None:
        """Every half second, and once more at the stop (which comes when the cameras have said their last)."""
        while not stop.wait(0.5):
            self.run_once()
        self.run_once()

    def run_once(self) -> None:
        """Handle what cameras reported since the last time."""
        with self._lock:
            news, self._new = self._new, {}
            notices = [(camera, text) for camera, said in self._notices.items() for text in said if not said[text]]
            for camera, text in notices:
                self._notices[camera][text] = True
        for camera, text in notices:
            log.warning("camera %s: %s", camera, text)
        self._store_busy = False
        for status in (status for reports in news.values() for status in reports):
            self._metrics.set("camera_fps", status.fps, camera=status.camera)
            self._count_frames(status)
            self._metrics.set("camera_lag_seconds", status.lag_s, camera=status.camera)
            for name, value in status.extra:
                if name in RING_GAUGES:
                    self._metrics.set(f"camera_{name}", value, camera=status.camera)
            before = self.cameras.get(status.camera)
            self.cameras[status.camera] = status
            self._note_effort(status)
            if before is None or before.state is not status.state:
                self._say(before, status)
                self._on_change(status)
            elif before.detail != status.detail:
                self._say_detail(status)
        if self._healthy():
            self._beat_service()

    def _count_frames(self, status: CameraStatus) -> None:
        """Count what came, and what of it came too late to be looked at, also across a camera's processes.

        A process counts from its own start; the counters here must not fall when it is started again.
        """
        frames, late = self._frames.get(status.camera, (0, 0))
        if status.frames < frames or status.late < late:
            frames = late = 0  # another process
        self._frames[status.camera] = status.frames, status.late
        self._metrics.add("frames_total", status.frames - frames, camera=status.camera)
        self._metrics.add("frames_skipped_total", status.late - late, camera=status.camera)

    def _note_effort(self, status: CameraStatus) -> None:
        """A busy or full database costs seconds of effort here, never the daemon; the next report extends the span.

        It is asked once a round: each try may wait for seconds, and the watchdog must be fed meanwhile.
        """
        if self._store_busy:
            return
        try:
            self._on_status(status)
        except (StoreBusy, StoreFull) as error:
            self._metrics.add("store_retries_total")
            if not self._trouble:
                log.error("camera effort is not written: %s", error)
            self._trouble = self._store_busy = True
        else:
            self._trouble = False

    def _say_detail(self, status: CameraStatus) -> None:
        """Something about a camera that is no change of its state."""
        if status.detail:
            level = logging.WARNING if status.state is CameraState.ONLINE else logging.INFO
            log.log(level, "camera %s: %s", status.camera, status.detail)
        else:
            log.info("camera %s: nothing is lost any more", status.camera)

    def _say(self, before: CameraStatus | None, status: CameraStatus) -> None:
        if status.state is CameraState.ONLINE:
            log.info("camera %s: online, %d×%d pixels", status.camera, status.width, status.height)
            if status.detail:
                self._say_detail(status)
        elif status.state is CameraState.OFFLINE:
            level = logging.ERROR if status.refused else logging.WARNING
            log.log(level, "camera %s: offline: %s", status.camera, status.detail)
        elif status.state in (CameraState.FINISHED, CameraState.DISABLED) and before is not None:
            log.info("camera %s: stopped%s", status.camera, f" ({status.detail})" if status.detail else "")
