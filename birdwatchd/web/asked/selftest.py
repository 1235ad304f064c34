"""Let the daemon test itself when somebody asks for it: a drawn bird goes through it, and each step is shown.

What needs no bird is looked at here: the cameras and the disk.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from birdwatchd.commands.diagnose.selftest import STEPS
from birdwatchd.commands.status import StationReport
from birdwatchd.disk import DiskRoom, Storage
from birdwatchd.settings.config import Config
from birdwatchd.web.asked.task import ChildTask
from birdwatchd.web.language.catalogue import N_

__all__ = ["PARTS", "SelfTests", "TestLine", "TestResult", "station_lines"]

MODULE = "birdwatchd.cli.selftest_child"
LATE_S = 90.0  # more than what is known of a camera may be old
LIMIT_S = 240.0  # each of the daemon's steps has a limit of its own
DISK = N_("Disk")
WORDS = {
    "daemon": N_("Daemon"),
    "crop": N_("Drawn bird"),
    "camera": N_("Accepted"),
    "classify": N_("Model"),
    "verdict": N_("Name"),
    "record": N_("Database and disk"),
    "publish": N_("Broker"),
}
PARTS = (*WORDS.values(), DISK)  # what lines are called that are not called as a camera


@dataclass(frozen=True, slots=True)
class TestLine:
    """One thing that was tested. `passed` is None for what was not reached."""

    __test__ = False  # pytest would take it for a test

    name: str
    passed: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class TestResult:
    """How the last test went, or how far it is: `age_s` is None while it runs."""

    __test__ = False

    lines: tuple[TestLine, ...] = ()
    age_s: float | None = None
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and everything was reached."""
        return not self.problem and all(line.passed for line in self.lines)


class SelfTests:
    """The self-tests of one home. Safe to use from several threads."""

    def __init__(self, config: Config) -> None:
        self._home = config.home
        self.task = ChildTask("self-test", [sys.executable, "-P", "-m", MODULE], limit_s=LIMIT_S)

    def ask(self) -> None:
        """Begin one, unless one runs."""
        self.task.start("station", {"home": str(self._home)})

    def result(self) -> TestResult | None:
        """The last one's; None where none was asked for."""
        last = self.task.state()
        if last is None:
            return None
        if last.is_running:
            return TestResult()
        age_s = time.monotonic() - last.ended_s
        return TestResult(tuple(_lines(last.answer)), age_s, last.problem)


def _lines(answer: Mapping[str, Any]) -> Iterable[TestLine]:
    """The steps that were done, and those that were not reached."""
    done = [step for step in answer.get("steps", []) if isinstance(step, dict)]
    for step in done:
        name = str(step.get("step"))
        yield TestLine(WORDS.get(name, name), bool(step.get("ok")), str(step.get("text", "")))
    reached = {step.get("step") for step in done}
    if answer:
        yield from (TestLine(WORDS[name], None, "not reached") for name in STEPS if name not in reached)


def station_lines(report: StationReport, names: Mapping[str, str]) -> list[TestLine]:
    """What a look at the cameras and the disk says.

    Args:
        names: of the cameras, by key.
    """
    lines = []
    for one in report.cameras:
        late = one.last_frame_s is not None and one.last_frame_s > LATE_S
        seen = f"{one.state}, a frame {one.last_frame_s:.0f} s ago" if late else one.state
        sees = one.state in ("online", "disabled") and not one.blind
        lines.append(TestLine(names[one.camera], sees, f"{seen}, cannot see birds" if one.blind else seen))
    room = DiskRoom(int(report.disk_free_bytes or 0), int(report.disk_size_bytes or 0))
    text = f"{room.free / 1e9:.1f} of {room.total / 1e9:.1f} GB are free"
    kept = {Storage.NO_CLIPS: ", too little for clips", Storage.NO_PICTURES: ", too little for pictures"}
    lines.append(TestLine(DISK, room.storage is Storage.GOOD, text + kept.get(room.storage, "")))
    return lines
