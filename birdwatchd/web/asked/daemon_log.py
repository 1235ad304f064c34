"""Read the newest lines of the daemon's log, without secrets: the daemon takes them out, since the page knows none.

What looks like a secret is taken out here once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from birdwatchd.monitor.local_socket import NobodyAnswers, ask
from birdwatchd.monitor.masking import Mask

__all__ = ["LEVELS", "DaemonLog", "LogLine", "daemon_log"]

NEWEST = 200
WAIT_S = 3.0  # the daemon answers one at a time; a self-test may be before
LEVELS: Mapping[str, str] = {"": "All", "warning": "Warnings and errors", "error": "Errors"}
_RANKS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}
_LINE = re.compile(r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*) (?P<level>[A-Z]+) +(?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line; `level` is in small letters. What is no line of ours has no time."""

    at: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class DaemonLog:
    """The newest lines of those that were wanted, newest first, or why there are none."""

    lines: tuple[LogLine, ...] = ()
    problem: str = ""


def daemon_log(home: Path, zone: ZoneInfo, least: str = "") -> DaemonLog:
    """The newest lines of the daemon of a home.

    Args:
        zone: in which times are given.
        least: the lowest level that is wanted, one of `LEVELS`.
    """
    mask, wanted = Mask(()), _RANKS.get(least, 0)
    try:
        found = list(ask(home, "masked log", timeout_s=WAIT_S))
    except NobodyAnswers as why:
        return DaemonLog(problem=str(why))
    if found and "line" not in found[0]:
        return DaemonLog(problem=str(found[0].get("problem", "the daemon gave no answer")))
    lines = [_read(mask.text(str(one.get("line", ""))), zone) for one in found]
    return DaemonLog(tuple(reversed([line for line in lines if _RANKS.get(line.level, 1) >= wanted][-NEWEST:])))


def _read(line: str, zone: ZoneInfo) -> LogLine:
    """A line as people or as programs get it (`log: {format: json}`)."""
    match = _LINE.fullmatch(line)
    if match is not None:
        return LogLine(match["at"][:19], match["level"].lower(), match["text"])
    try:
        found = json.loads(line)
        at = datetime.fromisoformat(found["at"]).astimezone(zone)
        return LogLine(f"{at:%Y-%m-%d %H:%M:%S}", str(found["level"]), str(found["message"]))
    except (ValueError, KeyError, TypeError):
        return LogLine("", "info", line)
