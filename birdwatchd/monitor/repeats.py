"""Write a log line that repeats a few times a minute, and after that only how often it came.

Two lines are the same if they come from the same place in the code and say the same but for figures with a unit ("in
3.2 s", "0.4 GB"). So a camera that fails never hides another one, nor another reason of its own. The first of a kind is
always written, also after a minute of silence; what was left out is counted, and the count is written after ten
minutes, when the line comes again after a silence, and at the end. A file of a gigabyte about one loose cable is of no
use, and wears out an SD card.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["RepeatLimit"]

MOST_A_MINUTE = 5
MINUTE_S = 60.0
COUNT_S = 600.0  # between two counts of a line that goes on repeating
MOST_KINDS = 1000  # of lines that are remembered
MOST_RECENT, MOST_LENGTH = 500, 2000  # lines that are kept for a report, and characters of each
_FIGURE = re.compile(r"\d[\d.,]*(?=\s?(?:s|ms|min|h|d|bytes|kB|MB|GB|%)(?![A-Za-z]))")

Schedule = Callable[[float, Callable[[], None]], None]


@dataclass(slots=True)
class _Kind:
    """One kind of line: when it was written in the last minute, and what was left out since."""

    written_s: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_A_MINUTE))
    left_out: int = 0
    since_s: float = 0.0  # when the first that was left out came
    last_s: float = 0.0
    last: logging.LogRecord | None = None


class RepeatLimit(logging.Handler):
    """Passes records on to another handler, repeats of the same only as far as the limit allows.

    Attributes:
        recent: the newest lines as they were written, for a report.
    """

    def __init__(
        self,
        target: logging.Handler,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        schedule: Schedule | None = None,
    ) -> None:
        """
        Args:
            target: writes what is passed on.
            monotonic: the clock, seconds.
            schedule: calls a function once, some seconds from now; a thread by default.
        """
        super().__init__()
        self._target, self._monotonic, self._schedule = target, monotonic, schedule or _call_later
        self._kinds: dict[tuple[str, int, int, str], _Kind] = {}
        self._scheduled = False
        self.recent: deque[str] = deque(maxlen=MOST_RECENT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it. Called with the handler's lock held."""
        now_s = self._monotonic()
        key = (record.pathname, record.lineno, record.levelno, _FIGURE.sub("#", _text(record)))
        kind = self._kinds.pop(key, None) or _Kind()
        self._kinds[key] = kind  # the newest are last
        if kind.left_out and now_s - kind.last_s > MINUTE_S:
            self._write_count(kind, now_s)
        if kind.left_out or (len(kind.written_s) == MOST_A_MINUTE and now_s - kind.written_s[0] < MINUTE_S):
            kind.since_s = kind.since_s if kind.left_out else now_s
            kind.left_out, kind.last, kind.last_s = kind.left_out + 1, record, now_s
            self._schedule_count()
            return
        kind.written_s.append(now_s)
        self._write(record)
        while len(self._kinds) > MOST_KINDS:
            forgotten = self._kinds.pop(next(iter(self._kinds)))
            self._write_count(forgotten, now_s)

    def write_counts(self, *, all_of_them: bool = False) -> None:
        """Write how often each line was left out whose ten minutes are over."""
        with self.lock or threading.Lock():
            self._scheduled = False
            now_s = self._monotonic()
            waiting = [kind for kind in self._kinds.values() if kind.left_out]
            for kind in sorted(waiting, key=lambda kind: kind.last_s):
                if all_of_them or now_s - kind.since_s >= COUNT_S:
                    going_on = now_s - kind.last_s <= MINUTE_S
                    self._write_count(kind, now_s)
                    kind.written_s = deque([now_s] * MOST_A_MINUTE if going_on else [], maxlen=MOST_A_MINUTE)
            if any(kind.left_out for kind in waiting):
                self._schedule_count()

    def flush(self) -> None:
        """Flush what was written."""
        self._target.flush()

    def close(self) -> None:
        """Write every count that is left. `logging` calls it at the end of the process."""
        self.write_counts(all_of_them=True)
        self._target.close()
        super().close()

    def _schedule_count(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._schedule(COUNT_S, self.write_counts)

    def _write_count(self, kind: _Kind, now_s: float) -> None:
        if kind.last is None or not kind.left_out:
            return
        span_s = max(1.0, now_s - kind.since_s)
        span = f"{span_s / 60:.0f} min" if span_s >= 2 * MINUTE_S else f"{span_s:.0f} s"
        count = logging.makeLogRecord(kind.last.__dict__)
        count.msg, count.args = f"{kind.last.getMessage()} … {kind.left_out} more in {span}", None
        count.created += now_s - kind.last_s
        count.exc_info = count.exc_text = None
        count.repeats = kind.left_out
        kind.left_out, kind.last = 0, None
        self._write(count)

    def _write(self, record: logging.LogRecord) -> None:
        self._target.handle(record)
        self.recent.append(self._target.format(record)[:MOST_LENGTH])


def _text(record: logging.LogRecord) -> str:
    """What a line says, with the error that it is about."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return record.getMessage() if error is None else f"{record.getMessage()} {type(error).__name__}: {error}"


def _call_later(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
