"""Say where a camera's processor time goes on one file: decoding, gate, tracker, pictures, looking back.

For people who want to make it less: `python -m benchmarks.camera_cost.where FILE`. Everything runs in this process, as
a scan does it; each step is counted without the steps that it calls.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from birdwatchd.address import Source
from birdwatchd.camera.best_shot import MomentPicker
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.crop_source import CropSource
from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.process.observed_stream import ObservedStream
from birdwatchd.camera.tracking.tracker import Tracker
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Spent", "main"]

_STEPS: tuple[tuple[type, str, str], ...] = (
    (Stream, "_decode", "decoding"),
    (Stream, "_packet", "copying and dating packets"),
    (Stream, "download", "brightness in place"),
    (MotionDetector, "update", "gate: frames"),
    (MotionDetector, "detect", "gate: detection in other frames"),
    (MotionDetector, "absorb", "gate: absorbing"),
    (Tracker, "update", "tracker"),
    (MomentPicker, "offer", "choosing and encoding crops"),
    (MomentPicker, "due", "handing crops over"),
    (CropSource, "look_back", "looking back: decoding the past"),
    (Observer, "process", "observer, all else"),
)


class Spent:
    """Processor seconds of this thread by step; a step's own, without those of steps inside it."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._inside: list[float] = []
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def watch(self, owner: type, method: str, name: str) -> None:
        """Count every call of a method under a name, for as long as the program runs."""
        original = getattr(owner, method)

        def counted(*args: Any, **options: Any) -> Any:
            began = self._clock()
            self._inside.append(0.0)
            try:
                return original(*args, **options)
            finally:
                took = self._clock() - began
                self.seconds[name] += took - self._inside.pop()
                self.calls[name] += 1
                if self._inside:
                    self._inside[-1] += took

        setattr(owner, method, counted)


def main() -> None:
    """Watch one file as fast as it can be read, and print the table."""
    spent = Spent()
    for step in _STEPS:
        spent.watch(*step)
    cv2.setNumThreads(1)
    began = time.thread_time()
    _watch(Path(sys.argv[1]))
    whole = time.thread_time() - began
    told = sorted(spent.seconds.items(), key=lambda entry: -entry[1])
    for name, seconds in [*told, ("all else", whole - sum(spent.seconds.values()))]:
        calls = spent.calls.get(name, 0)
        each = f"{calls:6d} × {seconds / calls * 1e3:6.2f} ms" if calls else ""
        print(f"{name:34s} {seconds:7.3f} s {seconds / whole:6.1%} {each}")


def _watch(path: Path) -> None:
    settings = CameraSettings(source=Source(str(path)), decode="cpu")
    stream = ObservedStream("where", settings, path.name)
    for _ in stream.frames():
        pass
    stream.finish()


if __name__ == "__main__":
    main()
