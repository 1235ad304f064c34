"""Send a test bird through the running stages and say how far it came: classify, verdict, record, publish.

Its evidence goes into the mailbox as any camera's does, and the same code classifies and writes it. It is no visit:
its camera has a name that no configuration can have, the transaction that writes it is rolled back, and the only
message that is sent goes to a topic of its own. So no list, first, statistic or experience ever holds it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from birdwatchd.camera.process.wire import WireError, decode
from birdwatchd.errors import StoreError
from birdwatchd.flow import Mailbox
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import TEST_CAMERA, Evidence, Message, Visit, rfc3339
from birdwatchd.store import MomentRow, Outbox, Writer

__all__ = ["SelfTest", "unpack"]

CLASSIFY_S = 60.0  # a slow machine with full lanes; the first crop of a visit overtakes others
PUBLISH_S = 20.0
POLL_S = 0.1


class SelfTest:
    """Runs one test at a time. `answer` belongs to the socket's thread, `take` to the record stage's."""

    def __init__(
        self,
        mailbox: Mailbox,
        writer: Writer,
        outbox: Outbox,
        metrics: Metrics,
        *,
        model: str,
        topics: Topics | None,
        wake: Callable[[], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            model: that is loaded, name@version.
            topics: None if no broker is configured.
            wake: wakes the publisher.
            clock: wall time.
        """
        self._mailbox, self._writer, self._outbox, self._metrics = mailbox, writer, outbox, metrics
        self._model, self._topics, self._wake, self._clock = model, topics, wake, clock
        self._changed = threading.Condition()
        self._waits_for = ""  # id of the test visit
        self._classified: tuple[Visit, int] | None = None  # and how many of its crops were classified
        self._problem: str | None = None  # why it could not be recorded; empty if it was

    def take(self, visit: Visit, moments: Sequence[MomentRow]) -> None:
        """The record stage has a test visit: rehearse writing it. Never raises a StoreError: real visits go on."""
        with self._changed:
            if visit.visit_id != self._waits_for:
                return  # its test gave up
            self._classified = visit, len(moments)
            self._changed.notify_all()
        problem = ""
        try:
            self._writer.rehearse(visit, moments, self._clock())
        except StoreError as error:
            problem = str(error)
        with self._changed:
            self._problem = problem
            self._changed.notify_all()

    def answer(self, request: bytes) -> Iterator[dict[str, Any]]:
        """Run a test with the evidence of a request (`camera.process.wire`); gives a line for each step."""
        evidence = unpack(request)
        if isinstance(evidence, str):
            yield _step("camera", evidence)
            return
        yield _step("camera", "", f"{len(evidence.moments)} crop accepted from the test camera")
        with self._changed:
            self._waits_for, self._classified, self._problem = evidence.visit_id, None, None
        try:
            yield from self._follow(evidence)
        finally:
            with self._changed:
                self._waits_for = ""

    def _follow(self, evidence: Evidence) -> Iterator[dict[str, Any]]:
        begun_s = time.monotonic()
        self._mailbox.open_lane(TEST_CAMERA)
        self._mailbox.put(TEST_CAMERA, evidence)
        self._mailbox.close_lane(TEST_CAMERA)
        with self._changed:
            self._changed.wait_for(lambda: self._classified is not None, CLASSIFY_S)
            classified = self._classified
        took_s = time.monotonic() - begun_s
        if classified is None:
            waiting = int(self._metrics.total("crops_waiting"))
            yield _step("classify", f"no answer in {CLASSIFY_S:.0f} s, {waiting} crops wait; see the log for its stage")
            return
        visit, crops = classified
        if not crops:
            yield _step("classify", "the network gave no answer; see crops_undecodable_total in the metrics")
            return
        yield _step("classify", "", f"{self._model}, after {took_s:.2f} s")
        verdict = visit.verdict
        name = verdict.common_name or "no name"
        yield _step("verdict", "", f"{name}, {verdict.state.value}, {verdict.score:.0%}", name=verdict.common_name)
        with self._changed:
            self._changed.wait_for(lambda: self._problem is not None, CLASSIFY_S)
            problem = self._problem
        if problem is None:
            problem = f"no answer in {CLASSIFY_S:.0f} s; see the log for the database"
        yield _step("record", problem, "written with its crop, read back, and taken back")
        if not problem:
            yield self._publish(visit)

    def _publish(self, visit: Visit) -> dict[str, Any]:
        """Send the one message of the test, and wait until the broker has acknowledged it."""
        if self._topics is None:
            return _step("publish", "", "no broker is configured")
        now = self._clock()
        facts = {"selftest": visit.visit_id, "at": rfc3339(now), "common_name": visit.verdict.common_name}
        message = Message(self._topics.selftest, json.dumps(facts, ensure_ascii=False).encode())
        begun_s = time.monotonic()
        try:
            row = self._outbox.enqueue(message, now)
            self._wake()
            pause = threading.Event()
            while self._outbox.is_waiting(row) and time.monotonic() - begun_s < PUBLISH_S:
                pause.wait(POLL_S)
            if self._outbox.is_waiting(row):
                before = self._outbox.depth() - 1
                self._outbox.delivered([row], now)  # a test that arrives next week helps nobody
                away = self._metrics.get("mqtt_connected") == 0
                why = "the broker is not connected; see the log" if away else f"{before} messages wait before it"
                return _step("publish", f"not acknowledged in {PUBLISH_S:.0f} s: {why}")
        except StoreError as error:
            return _step("publish", str(error))
        took_s = time.monotonic() - begun_s
        return _step("publish", "", f"the broker acknowledged {message.topic} after {took_s:.2f} s")


def unpack(request: bytes) -> Evidence | str:
    """The evidence of a test, or why it is none; where it came from, it is a test's."""
    try:
        head = int.from_bytes(request[4:8], "big")
        item = decode(request[8 : 8 + head], request[8 + head :])
    except WireError as error:
        return error.message
    if not isinstance(item, Evidence) or item.camera != TEST_CAMERA or len(item.moments) != 1 or item.end is None:
        return "this is no test bird: one crop of the test camera, of a visit that is over"
    return item


def _step(step: str, problem: str, text: str = "", **more: Any) -> dict[str, Any]:
    return {"step": step, "ok": not problem, "text": problem or text, **more}
