"""Run whole programs and say what processor time they took: the camera's process, bare decoding, any command line."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from birdwatchd.address import Source
from birdwatchd.camera.process import supervisor as camera_process
from birdwatchd.flow import Mailbox, Stop
from birdwatchd.metrics import Metrics
from birdwatchd.records import CameraStatus, Evidence
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Camera", "Usage", "bare_argv", "cpu_of_children_s", "cpu_of_command", "environment", "virtual_time"]

_ROOT = Path(__file__).parents[2]
_REAL_SPAWN = camera_process.spawn


def environment() -> dict[str, str]:
    """What every measured process of ours is started with: this working tree, and no threads in libraries."""
    paths = [str(_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in dict.fromkeys(paths) if path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def cpu_of_children_s() -> float:
    """User and system seconds of all processes that this one has waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of_command(argv: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> float:
    """Run a command to its end and return its processor seconds. No other child may end meanwhile.

    Raises:
        subprocess.CalledProcessError: it failed; nothing is measured of a program that did not do its work.
    """
    before = cpu_of_children_s()
    subprocess.run(argv, check=True, cwd=cwd, env=env, capture_output=True)
    return cpu_of_children_s() - before


def bare_argv(path: Path, *, paced: bool = False) -> list[str]:
    """The command line of bare decoding, started as camera processes are (`-P -m`)."""
    return [sys.executable, "-P", "-m", "benchmarks.camera_cost.bare", str(path), *(["--pace"] if paced else [])]


@contextmanager
def virtual_time() -> Iterator[None]:
    """Within it cameras read as fast as they can (`benchmarks.camera_cost.virtual_time`), not as their camera sends."""
    camera_process.spawn = partial(_REAL_SPAWN, module="benchmarks.camera_cost.virtual_time")
    try:
        yield
    finally:
        camera_process.spawn = _REAL_SPAWN


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run of a camera's process took and gave.

    Attributes:
        cpu_s: of the camera's process.
        frames: that came.
        shed: of these, not looked at because they came too late.
        visits, moments: begun, and pictures of them handed over.
    """

    cpu_s: float
    frames: int
    shed: int
    visits: int
    moments: int


@dataclass(slots=True)
class Camera:
    """One camera's process with the daemon's own side of it; what comes over the pipe is taken and dropped.

    `reports` grows by one `CameraStatus` a second while it runs. `small` is the camera's second stream.
    """

    name: str
    path: Path
    home: Path | None = None
    small: Path | None = None
    reports: list[CameraStatus] = field(default_factory=list)
    visits: set[str] = field(default_factory=set)
    moments: int = 0
    clips: int = 0
    stop: Stop = field(default_factory=Stop)
    process: camera_process.CameraProcess | None = None

    @property
    def settings(self) -> CameraSettings:
        """As a camera has that nobody has set anything for, but that a graphics device must not decode."""
        small = Source(str(self.small)) if self.small is not None else None
        return CameraSettings(
            source=Source(str(self.path)), gate_source=small, decode="cpu", clips=self.home is not None
        )

    def run(self) -> None:
        """Play the file to its end (or until `stop`)."""
        os.environ["PYTHONPATH"] = environment()["PYTHONPATH"]  # `spawn` hands the environment on
        metrics = Metrics()
        mailbox = Mailbox(metrics)
        self.process = camera_process.CameraProcess(
            self.name, self.settings, mailbox, metrics, self.reports.append, home=self.home
        )
        taker = threading.Thread(target=self._take, args=(mailbox,), daemon=True)
        taker.start()
        self.process.run(self.stop)
        taker.join()
        if metrics.total("camera_restarts_total"):
            raise RuntimeError(f"camera {self.name}: its process died; nothing is measured of a restarted one")

    def _take(self, mailbox: Mailbox) -> None:
        while (batch := mailbox.take(64, 0.05)) is not None:
            for item in batch:
                self._count(item)

    def _count(self, item: Evidence) -> None:
        self.visits.add(item.visit_id)
        self.moments += len(item.moments)
        self.clips += item.clip is not None

    def measured(self) -> Usage:
        """Run alone and say what it took."""
        before = cpu_of_children_s()
        self.run()
        cpu = cpu_of_children_s() - before
        last = self.reports[-1]
        return Usage(cpu, last.frames, last.late, len(self.visits), self.moments)
