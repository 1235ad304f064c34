"""Threads and the bounded queues between them, and how they stop.

Every queue here is bounded and counted, and its class says what happens when it is full. Every wait listens to a
stop or to the end of its queue. Blanket `except`s live in `Crew`, where an error ends everything, and in
`WorkerThread`, which passes it on to whoever waits for the result; nowhere else in the project.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from birdwatchd.errors import BirdwatchError, StoreUnavailable
from birdwatchd.metrics import Metrics
from birdwatchd.records import TEST_CAMERA, Evidence, Moment

__all__ = ["Backoff", "Crew", "Handover", "Mailbox", "Stop", "StoreRetry", "WorkerThread"]

log = logging.getLogger(__name__)
T = TypeVar("T")


class Stop:
    """One flag that ends the system, with the time it was raised (`since_s`, monotonic seconds).

    `armed` says that there is something to finish first; before that a signal may end the process at once.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self.armed = False
        self.reason = ""
        self.since_s: float | None = None

    def set(self, reason: str = "") -> None:
        """Raise the flag. The first reason stays. Not for signal handlers: it takes a lock."""
        if not self._event.is_set():
            self.reason = reason
            self.since_s = time.monotonic()
            self._event.set()

    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake at once when the flag is raised; True if it is."""
        return self._event.wait(seconds)

    def for_seconds(self, now_s: float) -> float:
        """How long ago the flag was raised, seconds; 0 while it is not. `now_s` is of the monotonic clock."""
        return 0.0 if self.since_s is None else now_s - self.since_s


class Backoff:
    """Waiting times that double from `first_s` to `last_s`, each shortened by up to a quarter by chance.

    The jitter keeps a hundred cameras behind one switch from connecting at the same instant.
    """

    def __init__(self, first_s: float, last_s: float, chance: Callable[[], float]) -> None:
        self.first_s, self.last_s, self._chance = first_s, last_s, chance
        self._next_s = first_s

    def next_wait_s(self) -> float:
        """Seconds to wait before the next try."""
        wait_s = self._next_s
        self._next_s = min(self._next_s * 2, self.last_s)
        return wait_s * (1.0 - 0.25 * self._chance())

    def reset(self) -> None:
        """Start over after a success."""
        self._next_s = self.first_s


class StoreRetry:
    """Call the store again while it is busy or full. Belongs to one thread; the first failure in a row is logged."""

    def __init__(
        self,
        on_first: Callable[[StoreUnavailable], None] = lambda error: None,
        on_each: Callable[[], None] = lambda: None,
        on_again: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            on_first: is given the first error after a success, to say why things wait.
            on_each: is called at every failure, to count it.
            on_again: is called at the first success after a failure, to say that things go on.
        """
        self._on_first, self._on_each, self._on_again = on_first, on_each, on_again
        self.failing = False

    def attempt(self, call: Callable[[], T], otherwise: T) -> T:
        """Call once, for stages that come back by themselves: the result, or `otherwise` where the store failed."""
        try:
            result = call()
        except StoreUnavailable as error:
            self._note(error)
            return otherwise
        self._note_success()
        return result

    def until_done(self, call: Callable[[], T], wait: Callable[[], bool]) -> T:
        """Call until the store takes it.

        Args:
            wait: sleeps between two calls; returns False to give up.

        Raises:
            StoreUnavailable: the error at which `wait` gave up.
        """
        while True:
            try:
                result = call()
            except StoreUnavailable as error:
                self._note(error)
                if not wait():
                    raise
            else:
                self._note_success()
                return result

    def _note_success(self) -> None:
        if self.failing:
            self.failing = False
            self._on_again()

    def _note(self, error: StoreUnavailable) -> None:
        self._on_each()
        if not self.failing:
            self._on_first(error)
        self.failing = True


@dataclass(slots=True)
class _Lane:
    queue: deque[Evidence] = field(default_factory=deque)
    crops: int = 0
    closed: bool = False


class Mailbox:
    """Evidence on its way to the classifier: one lane per camera, `lane_crops` crops each.

    When a lane is full and `when_full` is "shed" (live cameras), the least useful crop is forgotten and counted;
    with "wait" (files) the sender waits. What is known of a visit (that it began, ended) is never shed: it is small. A
    revision without crops goes once a newer one of the same visit is there, which says the same and more.
    Lanes are served in turn, so that a windy camera cannot starve a quiet one, and within a lane the first look at a
    new visit goes first: on a slow machine it would wait behind dozens of further looks at birds that have a name.
    """

    def __init__(self, metrics: Metrics, *, lane_crops: int = 64, when_full: Literal["shed", "wait"] = "shed") -> None:
        self._metrics, self._lane_crops, self._when_full = metrics, lane_crops, when_full
        self._lanes: dict[str, _Lane] = {}
        self._turn: deque[str] = deque()
        self._changed = threading.Condition()

    def open_lane(self, name: str) -> None:
        """Announce a sender; the mailbox does not end before its lane is closed."""
        with self._changed:
            self._lanes[name] = _Lane()
            if name not in self._turn:
                self._turn.append(name)

    def close_lane(self, name: str) -> None:
        """This sender sends no more."""
        with self._changed:
            self._lanes[name].closed = True
            self._changed.notify_all()

    def put(self, lane_name: str, evidence: Evidence) -> None:
        """Add evidence to a lane; may shed or wait, see the class."""
        with self._changed:
            lane = self._lanes[lane_name]
            if self._when_full == "wait":
                self._changed.wait_for(lambda: lane.crops < self._lane_crops or lane.closed)
            _forget_superseded(lane, evidence.visit_id)
            lane.queue.append(evidence)
            lane.crops += len(evidence.moments)
            while lane.crops > self._lane_crops:
                _forget_least_useful(lane)
                self._metrics.add("crops_dropped_total", camera=evidence.camera, reason="lane_full")
            self._note_waiting(lane_name)
            self._changed.notify_all()

    def take(self, max_crops: int, max_wait_s: float, poll_s: float = 1.0) -> list[Evidence] | None:
        """Wait for evidence and return up to `max_crops` crops' worth of it, oldest first, lanes in turn.

        Once something is there, waits up to `max_wait_s` for a fuller batch. Returns [] after `poll_s` without
        evidence (so that the caller can beat), and None when all lanes are closed and empty.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting() > 0 or self._ended(), poll_s):
                return []
            self._changed.wait_for(lambda: self._crops() >= max_crops or self._all_closed(), max_wait_s)
            if self._ended():
                return None
            batch = list(self._draw(max_crops))
            self._changed.notify_all()
            return batch

    def _draw(self, max_crops: int) -> Iterator[Evidence]:
        drawn = 0
        while self._waiting() and drawn < max_crops:
            name = self._turn[0]
            self._turn.rotate(-1)
            lane = self._lanes[name]
            if lane.queue:
                evidence = _pop_next(lane.queue)
                lane.crops -= len(evidence.moments)
                self._note_waiting(name)
                drawn += max(1, len(evidence.moments))
                yield evidence

    def _note_waiting(self, name: str) -> None:
        if name != TEST_CAMERA:
            self._metrics.set("crops_waiting", self._lanes[name].crops, camera=name)

    def _waiting(self) -> int:
        return sum(len(lane.queue) for lane in self._lanes.values())

    def _crops(self) -> int:
        return sum(lane.crops for lane in self._lanes.values())

    def _all_closed(self) -> bool:
        return all(lane.closed for lane in self._lanes.values())

    def _ended(self) -> bool:
        return self._all_closed() and not self._waiting()


def _pop_next(queue: deque[Evidence]) -> Evidence:
    """Take the oldest evidence that has the first look at a visit, else the oldest: a visit's own stays in order."""
    position = next((i for i, one in enumerate(queue) if any(m.index == 0 for m in one.moments)), 0)
    evidence = queue[position]
    del queue[position]
    return evidence


def _forget_superseded(lane: _Lane, visit_id: str) -> None:
    """Drop what waits of a visit, has no crops and does not end it: a newer revision comes."""
    for position, waiting in enumerate(lane.queue):
        if waiting.visit_id == visit_id and not waiting.moments and waiting.end is None:
            del lane.queue[position]
            return  # there is never more than one


def _forget_least_useful(lane: _Lane) -> None:
    """Drop one crop: the lowest quality, but the first look at a visit only when nothing else is left."""

    def usefulness(entry: tuple[int, Moment]) -> tuple[bool, float]:
        return entry[1].index == 0, entry[1].quality

    entries = [(i, m) for i, evidence in enumerate(lane.queue) for m in evidence.moments]
    position, worst = min(entries, key=usefulness)
    evidence = lane.queue[position]
    rest = tuple(m for m in evidence.moments if m is not worst)
    lane.crops -= 1
    superseded = any(later.visit_id == evidence.visit_id for later in islice(lane.queue, position + 1, None))
    if not rest and superseded:
        del lane.queue[position]  # a newer revision of the same visit says all that this one still could
    else:
        lane.queue[position] = replace(evidence, moments=rest)


class Handover(Generic[T]):
    """A few items between two stages. When full the giver waits, and the time it waited is counted."""

    def __init__(self, name: str, metrics: Metrics, *, bound: int = 4) -> None:
        self._name, self._metrics, self._bound = name, metrics, bound
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, beat: Callable[[], None] = lambda: None) -> None:
        """Give an item; waits while `bound` items are there (the taker always drains, even while stopping).

        Args:
            beat: called about every second of waiting, so that a giver who waits is not taken for one that is stuck.
        """
        with self._changed:
            start_s = time.monotonic()
            while not self._changed.wait_for(lambda: len(self._items) < self._bound or self._closed, 1.0):
                beat()
            self._metrics.add(f"{self._name}_wait_seconds_total", time.monotonic() - start_s)
            self._items.append(item)
            self._metrics.set(f"{self._name}_queue_length", len(self._items))
            self._changed.notify_all()

    def take(self, poll_s: float = 1.0) -> T | Literal["nothing yet", "ended"]:
        """The oldest item, "nothing yet" after `poll_s`, or "ended" when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, poll_s)
            if self._items:
                item = self._items.popleft()
                self._metrics.set(f"{self._name}_queue_length", len(self._items))
                self._changed.notify_all()
                return item
            return "ended" if self._closed else "nothing yet"

    def close(self) -> None:
        """No more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Crew:
    """The threads of the system. If one dies of something unexpected, the stop is raised and the reason kept."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._threads: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def start(self, name: str, run: Callable[[], None]) -> None:
        """Run `run` in a thread called `name`."""
        thread = threading.Thread(target=self._guard, args=(name, run), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guard(self, name: str, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # the one blanket except: an unexpected end of one is the end of all
            if isinstance(error, BirdwatchError):  # says itself what is wrong, and what to do
                log.critical("%s failed; birdwatchd stops: %s", name, error)
            else:
                log.critical("%s failed unexpectedly; birdwatchd stops", name, exc_info=error)
            self.failure = self.failure or error
            self._stop.set(f"{name} failed: {type(error).__name__}")

    def join(self, deadline_s: float | None) -> list[str]:
        """Wait for all, together at most `deadline_s`; name those who are late, with the line they stand at."""
        until_s = None if deadline_s is None else time.monotonic() + deadline_s
        for thread in self._threads:
            thread.join(None if until_s is None else max(0.0, until_s - time.monotonic()))
        late = [thread for thread in self._threads if thread.is_alive()]
        frames = sys._current_frames()
        for thread in late:
            stack = traceback.format_stack(frames[thread.ident]) if thread.ident in frames else ["?\n"]
            log.error("%s did not stop in time; it stands at\n%s", thread.name, "".join(stack[-3:]).rstrip())
        return [thread.name for thread in late]

    def alive(self) -> list[str]:
        """Names of the threads that still run."""
        return [thread.name for thread in self._threads if thread.is_alive()]


class WorkerThread:
    """A thread that runs what it is given, one call after another, and ends with its owner.

    It is a daemon thread: it never keeps a process alive.
    """

    def __init__(self, name: str) -> None:
        self._tasks: queue.Queue[_Task | None] = queue.Queue(1)
        threading.Thread(target=_work, args=(self._tasks,), name=name, daemon=True).start()
        weakref.finalize(self, self._tasks.put, None).atexit = False

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run `call` in this thread; blocks while another call waits for its turn.

        Returns:
            A future with the result of `call`, or with the error that it raised, whatever it is.
        """
        future: Future[T] = Future()
        self._tasks.put((future, call))
        return future


_Task = tuple["Future[Any]", Callable[[], Any]]


def _work(tasks: queue.Queue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        future, call = task
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
            future.set_exception(error)
        del task, future, call  # keep nothing of it alive while waiting for the next
