"""Bound the memory of a process that decodes what strangers send, so that it ends before the machine is short of it.

Two limits, because each alone has a hole. The kernel refuses what a process asks for beyond `RLIMIT_DATA`, at once and
also in the middle of opening a stream; it counts what was asked for, not what was used, and not what is mapped from
files or devices. What was resident is looked at from outside, a few times a second: libav takes a refusal for an end of
the picture and begins the next one.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["anonymous_mb", "bound_data", "leave_no_core", "memory_limit_mb", "most_resident_mb", "too_large"]

BASE_MB = 424  # of a camera with the default ring; how it was found: docs/design/camera-process.md
DEFAULT_RING_MB = 32
DEVICE_MB = 2048  # more where a graphics device may decode: its driver maps the memory of the device
SPARE_MB = 40  # that is asked for and not used: stacks of threads, heap that is free; measured: 20 to 35
MIB = 2**20


def memory_limit_mb(settings: Mapping[str, Any], *, device: bool) -> int:
    """How much a process may have resident, MiB.

    Args:
        settings: `memory_mb` and `ring_mb`, as in `CameraSettings`.
        device: whether a graphics device may decode.
    """
    wanted = settings.get("memory_mb", "auto")
    if wanted != "auto":
        return int(wanted)
    ring_mb = int(settings.get("ring_mb", DEFAULT_RING_MB))
    return BASE_MB + max(0, ring_mb - DEFAULT_RING_MB) + (DEVICE_MB if device else 0)


def too_large(limit_mb: int) -> str:
    """What is said of a process that reached its limit."""
    return (
        f"it needs more memory than it may take ({limit_mb} MB);"
        " an attack, or a very large picture: then raise memory_mb of this camera"
    )


def bound_data(limit_mb: int) -> None:
    """Bound the data of this process so that it cannot be resident with more than that.

    Raises:
        OSError, ValueError: the system does not let it.
    """
    most = (limit_mb + SPARE_MB) * MIB
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def leave_no_core() -> None:
    """Let a crash leave no copy of the memory behind, which holds passwords."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def most_resident_mb(pid: int) -> float:
    """The most that a process ever had resident, MiB; 0 when it is gone. The peak, so that no look comes too late."""
    return _status_mb(pid, "VmHWM")


def anonymous_mb(pid: int) -> float:
    """What a process has resident now, MiB, without what is mapped from files; 0 when it is gone."""
    return _status_mb(pid, "RssAnon")


def _status_mb(pid: int, key: str) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"{key}:\s*(\d+) kB", status)
    return int(found[1]) / 1024 if found is not None else 0.0
