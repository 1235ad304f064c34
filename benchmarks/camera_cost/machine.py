"""Say which machine and which versions gave a figure, and how busy the machine was with other things meanwhile."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import av
import cv2

import birdwatchd

__all__ = ["Busy", "cores", "described", "resident_bytes"]


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def described() -> tuple[str, ...]:
    """Processor, system and versions."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor() or "unknown processor",
    )
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return (
        f"{model}, {cores()} cores",
        f"birdwatchd {birdwatchd.__version__}",
        f"Python {platform.python_version()}",
        f"PyAV {av.__version__} (libavcodec {libavcodec})",
        f"OpenCV {cv2.__version__}",
    )


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, bytes.

    Raises:
        OSError: there is no such process (any more).
    """
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Busy:
    """Processor seconds that the whole machine has worked, and that its host took from it, since it was started."""

    worked_s: float
    stolen_s: float

    @classmethod
    def now(cls) -> Busy:
        """As the kernel counts."""
        user, nice, system, _, _, irq, softirq, steal = (
            int(x) / os.sysconf("SC_CLK_TCK") for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        )
        return cls(user + nice + system + irq + softirq, steal)

    def __sub__(self, before: Busy) -> Busy:
        return Busy(self.worked_s - before.worked_s, self.stolen_s - before.stolen_s)
