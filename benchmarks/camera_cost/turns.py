"""Let what is compared run in turns, so that a machine that is busy for a while is busy for all of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from benchmarks.camera_cost.clips import Video, drawn

__all__ = ["in_turns"]

Round = TypeVar("Round")


def in_turns(
    part: str, scenes: Iterable[str], work: Path, runs: int, once: Callable[[Video], Round]
) -> tuple[dict[str, Video], dict[str, list[Round]]]:
    """The video of each scene and what `once` measured of it in `runs` rounds over all scenes."""
    videos = {scene: drawn(scene, work) for scene in scenes}
    rounds: dict[str, list[Round]] = {scene: [] for scene in videos}
    for number in range(runs):
        for scene, video in videos.items():
            rounds[scene].append(once(video))
            print(f"{part}: {scene} {number + 1}/{runs} {rounds[scene][-1]}", file=sys.stderr)
    return videos, rounds
