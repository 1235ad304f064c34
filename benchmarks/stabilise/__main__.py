"""Move scenes by known shifts, ask every way, write the page: `python -m benchmarks.stabilise`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2

from benchmarks.stabilise.page import Answer, page
from benchmarks.stabilise.trials import Scene, drawn_scene, recorded_scene, trials_of
from benchmarks.stabilise.ways import WAYS, Finder
from birdwatchd.address import Source
from birdwatchd.camera.motion.grid import Grid
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["main", "measure"]


def main() -> None:
    """Everything the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stabilise", description=__doc__)
    parser.add_argument("recordings", nargs="*", type=Path, help="their first frames are moved as well")
    parser.add_argument("--scenes", type=int, default=4, help="drawn ones (4)")
    parser.add_argument("--seed", type=int, default=0, help="other scenes, birds and noise")
    parser.add_argument("--markdown", type=Path, help="write the page of the documentation here")
    given = parser.parse_args()
    scenes = [drawn_scene(given.seed + number) for number in range(given.scenes)]
    for path in given.recordings:
        try:
            scenes.append(recorded_scene(path))
        except (OSError, ValueError) as error:
            parser.error(str(error))
    text = page(list(measure(scenes, given.seed)))
    print(text)
    if given.markdown is not None:
        given.markdown.write_text(text, encoding="utf-8")


def measure(scenes: Sequence[Scene], seed: int) -> Iterator[Answer]:
    """Ask every way about every trial, in turns."""
    cv2.setNumThreads(1)
    usual = CameraSettings(source=Source("/"))
    for scene in scenes:
        for coded in (False, True):
            finders: list[Finder] = []
            for number, trial in enumerate(trials_of(scene, seed, coded=coded)):
                height, width = trial.frame.shape
                grid = Grid(width, height, usual.smallest_bird(width, height))
                finders = finders or [way.finder(trial.reference, grid) for way in WAYS]
                pictures = [way.shrink(trial.frame, grid) for way in WAYS]
                for step in range(len(WAYS)):
                    which = (number + step) % len(WAYS)
                    begun = time.process_time_ns()
                    found = finders[which](pictures[which])
                    yield Answer(which, trial, found, (time.process_time_ns() - begun) / 1000)


if __name__ == "__main__":
    main()
