"""Watch that every stage and channel gives signs of life, and name the one that stands still.

A stage beats each time its loop goes round. While all do, systemd's watchdog is fed. One that stands still is named in
the log with the line that it stands at, and in the status of the service; the watchdog is fed again only if it goes on,
else systemd restarts the daemon. `look` runs in the main thread; the upkeep stage, which is watched too, feeds the
watchdog only while the main thread looks.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from birdwatchd.records import CameraState

__all__ = ["CHANNEL_S", "LONG_S", "STUCK_S", "Beating", "Watchdog", "standing_at", "status_line"]

log = logging.getLogger(__name__)
STUCK_S = 90.0  # a stage that has given no sign of life for this long is stuck; less than WatchdogSec of the unit
LONG_S = 600.0  # of one that reads or deletes for years on a slow card
CHANNEL_S = 300.0  # of a channel: some services that Apprise speaks to answer late, and in several steps
ASLEEP_S = 10.0  # when the main thread has not looked for so long, everybody was asleep: the machine, or the process
FRAMES = 4  # of a stack, the innermost; they say where it stands


class Beating(Protocol):
    """Who goes round in a loop and notes when."""

    beat_s: float


@dataclass(frozen=True, slots=True)
class _Watched:
    beat_s: Callable[[], float]
    patience_s: float


class Watchdog:
    """Knows who has to beat, and who does not. `look` belongs to one thread; `healthy` may be asked by any."""

    def __init__(self, now_s: float) -> None:
        """
        Args:
            now_s: monotonic seconds, as everywhere here.
        """
        self._watched: dict[str, _Watched] = {}
        self._stuck: dict[str, float] = {}  # since when, of those that are named in the log
        self._looked_s = now_s

    def watch(self, name: str, beat_s: Callable[[], float], patience_s: float = STUCK_S) -> None:
        """Add somebody.

        Args:
            name: of its thread.
            beat_s: when it beat last.
            patience_s: how long it may take between two beats.
        """
        self._watched[name] = _Watched(beat_s, patience_s)

    @property
    def stuck(self) -> tuple[str, ...]:
        """Names of those who stand still."""
        return tuple(self._stuck)

    def look(self, now_s: float) -> None:
        """Log who has come to a stand since the last look, and who goes on."""
        asleep, self._looked_s = now_s - self._looked_s > ASLEEP_S, now_s
        if asleep:
            return
        for name, one in self._watched.items():
            silent_s = now_s - one.beat_s()
            if silent_s > one.patience_s and name not in self._stuck:
                self._stuck[name] = now_s - silent_s
                where = standing_at(name)
                log.error(
                    "%s has stood still for %.0f s, at %s; systemd restarts birdwatchd unless it goes on",
                    name,
                    silent_s,
                    where,
                )
            elif silent_s <= one.patience_s and name in self._stuck:
                log.info("%s goes on again after %.0f s", name, now_s - self._stuck.pop(name))

    def healthy(self, now_s: float) -> bool:
        """Whether all beat, and the main thread looks."""
        return not self._stuck and now_s - self._looked_s < STUCK_S


def standing_at(name: str) -> str:
    """Where the thread of this name stands: file, line and function, the innermost last."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread.name == name and thread.ident in frames:
            stack = traceback.extract_stack(frames[thread.ident])[-FRAMES:]
            return ", ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in stack)
    return "its end: the thread is gone"


def status_line(cameras: Mapping[str, CameraState], *, broker: bool | None, stuck: Sequence[str]) -> str:
    """The line that `systemctl status` shows of a running station.

    Args:
        cameras: the state of each enabled camera.
        broker: whether there is a connection to it; None where none is configured.
    """
    wanted = {key: state for key, state in cameras.items() if state is not CameraState.DISABLED}
    online = [key for key, state in wanted.items() if state is CameraState.ONLINE]
    parts = [f"watching {len(online)} of {len(wanted)} cameras"]
    if missing := [key for key in wanted if key not in online]:
        parts.append(f"not online: {', '.join(missing)}")
    if broker is False:
        parts.append("no connection to the broker")
    if stuck:
        parts.insert(0, f"STANDS STILL: {', '.join(stuck)}")
    return "; ".join(parts)
