"""Start the processes of the simulated cameras, give them the cue for their birds, and read what they report."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from birdwatchd.errors import BirdwatchError

__all__ = ["LeftOut", "SimulatedCamera", "simulated_cameras", "start_feeder"]

READY_S = 240.0  # a camera's process draws its scene before it listens; on a busy machine that takes a while
END_S = 5.0  # how long it may take to end


@dataclass(frozen=True, slots=True)
class LeftOut:
    """So many frames between two times were never drawn: the machine was too slow for the simulated camera itself."""

    frames: int
    since: datetime
    until: datetime


@dataclass(slots=True)
class SimulatedCamera:
    """One simulated camera as the demo sees it.

    Attributes:
        fps: frames per second that it means to draw.
        visits: the birds of its schedule: species, start_s and end_s, counted from `started`.
        started: when its schedule began; None until it has.
        left_out: frames that it could not draw in time.
    """

    key: str
    url: str
    fps: float
    visits: list[dict[str, Any]]
    process: subprocess.Popen[str] | None = None
    started: datetime | None = None
    left_out: list[LeftOut] = field(default_factory=list)

    def begin_schedule(self) -> None:
        """Let the birds come: `started` follows within a frame; never, if the process has died."""
        assert self.process is not None
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def take_line(self, line: dict[str, Any]) -> None:
        """Take one line that its process printed (see `birdwatchd.demo.cameras.feeder`)."""
        if line.get("epoch") is not None:
            self.started = datetime.fromtimestamp(line["epoch"], UTC)
        if "left_out" in line:
            since, until = (datetime.fromtimestamp(line[name], UTC) for name in ("since", "until"))
            self.left_out.append(LeftOut(line["left_out"], since, until))


@contextmanager
def simulated_cameras(seed: int, count: int, seconds: float) -> Iterator[list[SimulatedCamera]]:
    """Start `count` cameras that share a schedule of `seconds`, and end them; their birds wait for `begin_schedule`.

    Raises:
        BirdwatchError: one of them did not start.
    """
    processes = [start_feeder(seed, number, count, seconds) for number in range(count)]
    readers = []
    try:
        cameras = []
        for number, process in enumerate(processes):
            ready = _first_line(process)
            cameras.append(SimulatedCamera(f"feeder{number + 1}", ready["url"], ready["fps"], ready["visits"], process))
        for camera in cameras:
            readers.append(threading.Thread(target=_follow, args=(camera,), name=f"{camera.key} output", daemon=True))
            readers[-1].start()
        yield cameras
    finally:
        _end(processes)
        for reader in readers:
            reader.join(END_S)


def start_feeder(seed: int, number: int, count: int, seconds: float) -> subprocess.Popen[str]:
    """Start the process of camera `number` (from 0) of `count`."""
    arguments = {"--seed": seed, "--camera": number, "--cameras": count, "--seconds": seconds}
    flat = [str(word) for pair in arguments.items() for word in pair]
    return subprocess.Popen(
        # -P: run no hashlib.py of this folder
        [sys.executable, "-P", "-m", "birdwatchd.demo.cameras.feeder", "--on-cue", *flat],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for birdwatchd, which then ends the cameras
    )


def _first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    timer = threading.Timer(READY_S, process.kill)
    timer.start()
    try:
        line = _stdout(process).readline()
    finally:
        timer.cancel()
    if not line:
        raise BirdwatchError("a simulated camera did not start", "its own message is above")
    data: dict[str, Any] = json.loads(line)
    return data


def _follow(camera: SimulatedCamera) -> None:
    assert camera.process is not None
    for line in _stdout(camera.process):
        camera.take_line(json.loads(line))


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _end(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
    for process in processes:
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
