"""What seeing costs beyond decoding: the processor time of a camera's process over that of a bare decoder."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.camera_cost import machine
from benchmarks.camera_cost.arithmetic import median_and_spread
from benchmarks.camera_cost.clips import Video, first_picture_of
from benchmarks.camera_cost.part import Part
from benchmarks.camera_cost.process import Camera, bare_argv, cpu_of_command, environment, virtual_time
from benchmarks.camera_cost.turns import in_turns

__all__ = ["Round", "measure", "ratios"]

TARGETS = {"quiet": 1.20, "bird": 1.35}
_LABELS = {"quiet": "nothing to see", "bird": "a bird all the time", "wind": "wind in the leaves"}


@dataclass(frozen=True, slots=True)
class Round:
    """Processor seconds of the four processes of one round, run one after another."""

    ours: float
    bare: float
    ours_start: float
    bare_start: float
    visits: int
    moments: int


def ratios(rounds: Sequence[Round]) -> tuple[list[float], list[float]]:
    """Ours over bare in each round: whole processes, and without what it takes to start either."""
    whole = [r.ours / r.bare for r in rounds]
    seeing = [(r.ours - r.ours_start) / (r.bare - r.bare_start) for r in rounds]
    return whole, seeing


def measure(work: Path, runs: int) -> Part:
    """All scenes, `runs` rounds each."""
    return _part(*in_turns("cpu", _LABELS, work, runs, _round))


def _round(video: Video) -> Round:
    first = first_picture_of(video)
    with virtual_time():
        ours = Camera("cost", video.path).measured()
    bare = cpu_of_command(bare_argv(video.path), env=environment())
    with virtual_time():
        ours_start = Camera("cost", first.path).measured()
    bare_start = cpu_of_command(bare_argv(first.path), env=environment())
    if ours.frames != video.frames or ours.shed:
        raise RuntimeError(f"{video.path.name}: {ours.frames} of {video.frames} frames, {ours.shed} shed")
    return Round(ours.cpu_s, bare, ours_start.cpu_s, bare_start, ours.visits, ours.moments)


def _part(videos: dict[str, Video], rounds: dict[str, list[Round]]) -> Part:
    rows = []
    for scene, mine in rounds.items():
        whole, seeing = ratios(mine)
        target = f"≤ {TARGETS[scene]:.2f}" if scene in TARGETS else "none"
        rows.append(
            (
                _LABELS[scene],
                f"{videos[scene].mbps:.1f}",
                *(f"{statistics.median(getattr(r, name) for r in mine):.2f}" for name in _SECONDS),
                _spread(whole),
                _spread(seeing),
                target,
                f"{mine[0].visits} / {mine[0].moments}",
            )
        )
    data = {scene: [asdict(r) for r in mine] for scene, mine in rounds.items()}
    return Part("cpu", "Beyond decoding", _TEXT, _COLUMNS, tuple(rows), (), machine.described(), data)


_SECONDS = ("ours", "bare", "ours_start", "bare_start")
_COLUMNS = (
    "60 s of 1080p15", "Mb/s", "ours, s", "bare, s", "start of ours, s", "start of bare, s",
    "ratio, whole processes", "ratio without starts", "wanted", "visits / crops",
)  # fmt: skip
_TEXT = """\
The whole camera process, from reading the file to handing crops of birds over to the main process, against PyAV
decoding the same file in one thread and doing nothing with it. Both are started in the same way; their processor time
is counted from the first instruction to the last, so imports are in it. What it takes to start them is measured on a
file with one frame. A camera's process starts once in weeks: the second ratio is what a camera costs, the first what
a minute's test shows. The order is ours, bare, start of ours, start of bare, again and again; seconds are medians,
ratios are medians of the rounds' ratios with the smallest and largest in brackets."""


def _spread(values: Sequence[float]) -> str:
    middle, low, high = median_and_spread(values)
    return f"**{middle:.2f}** ({low:.2f} … {high:.2f})"
