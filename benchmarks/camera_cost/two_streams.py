"""What a camera with two streams costs while its main stream waits undecoded, and while birds come and go."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.camera_cost import machine
from benchmarks.camera_cost.arithmetic import median_and_spread
from benchmarks.camera_cost.clips import FPS, Video, first_picture_of
from benchmarks.camera_cost.part import Part
from benchmarks.camera_cost.process import Camera, bare_argv, cpu_of_command, environment
from benchmarks.camera_cost.turns import in_turns
from benchmarks.detection.small_stream import small_stream_of

__all__ = ["Round", "measure", "shares"]

TARGETS = {"quiet": 0.15}
_LABELS = {"quiet": "nothing to see", "visits": "a bird for ten seconds every forty"}


@dataclass(frozen=True, slots=True)
class Round:
    """Processor seconds of the processes of one round, run one after another.

    Attributes:
        bare, bare_small: decoding as fast as possible.
        bare_due, bare_small_due: decoding each picture when it is due, as a camera sends it.
    """

    ours: float
    ours_start: float
    bare: float
    bare_start: float
    bare_small: float
    bare_due: float
    bare_small_due: float
    visits: int
    moments: int


def shares(rounds: Sequence[Round]) -> list[float]:
    """Of decoding the main stream, what the camera takes in each round, starts left out."""
    return [(r.ours - r.ours_start) / (r.bare - r.bare_start) for r in rounds]


def measure(work: Path, runs: int) -> Part:
    """All scenes, `runs` rounds each, at the pace of a camera."""
    _, rounds = in_turns("two-streams", _LABELS, work, runs, _round)
    return _part(rounds)


def _round(video: Video) -> Round:
    small = small_stream_of(video.path, FPS)
    first = first_picture_of(video)
    first_small = first_picture_of(Video(small, video.seconds, video.frames))
    ours = Camera("cost", video.path, small=small).measured()
    bare = cpu_of_command(bare_argv(video.path), env=environment())
    ours_start = Camera("cost", first.path, small=first_small.path).measured()
    bare_start = cpu_of_command(bare_argv(first.path), env=environment())
    bare_small = cpu_of_command(bare_argv(small), env=environment())
    bare_due, bare_small_due = (
        cpu_of_command(bare_argv(path, paced=True), env=environment()) for path in (video.path, small)
    )
    if ours.frames != video.frames or ours.shed:
        raise RuntimeError(f"{video.path.name}: {ours.frames} of {video.frames} frames, {ours.shed} shed")
    seconds = ours.cpu_s, ours_start.cpu_s, bare, bare_start, bare_small, bare_due, bare_small_due
    return Round(*seconds, ours.visits, ours.moments)


def _part(rounds: dict[str, list[Round]]) -> Part:
    rows = []
    for scene, mine in rounds.items():
        middle, low, high = median_and_spread(shares(mine))
        rows.append(
            (
                _LABELS[scene],
                *(f"{statistics.median(getattr(r, name) for r in mine):.2f}" for name in _SECONDS),
                f"**{middle:.2f}** ({low:.2f} … {high:.2f})",
                f"≤ {TARGETS[scene]:.2f}" if scene in TARGETS else "none",
                f"{mine[0].visits} / {mine[0].moments}",
            )
        )
    data = {scene: [asdict(r) for r in mine] for scene, mine in rounds.items()}
    return Part("two-streams", "Two streams", _TEXT, _COLUMNS, tuple(rows), (), machine.described(), data)


_SECONDS = ("ours", "ours_start", "bare", "bare_start", "bare_small", "bare_due", "bare_small_due")
_COLUMNS = (
    "1080p15 and 640 × 360", "ours, s", "start of ours, s", "bare main, s", "start of bare, s", "bare small, s",
    "bare main when due, s", "bare small when due, s",
    "ours ÷ bare main, without starts", "wanted", "visits / crops",
)  # fmt: skip
_TEXT = """\
The camera's main stream is the same video as above and its `gate_source` the same frames at 640 × 360, 600 kbit/s,
both read from files at the pace of a camera by the process that the daemon starts. While nothing moves only the small
one is decoded. It is compared with decoding the main stream as fast as possible and doing nothing with it; bare
decoding of the small one is shown beside it (with its start), for that must be paid. A camera sends a frame every
66 ms, and meanwhile caches go cold: so bare decoding is shown once more with each frame decoded when it is due."""
