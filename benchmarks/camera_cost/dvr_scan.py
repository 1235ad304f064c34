"""The same video through DVR-Scan, the usual finder of movement in recordings: its processor time over ours."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.camera_cost import machine
from benchmarks.camera_cost.arithmetic import median_and_spread
from benchmarks.camera_cost.clips import drawn
from benchmarks.camera_cost.part import Part
from benchmarks.camera_cost.process import Camera, bare_argv, cpu_of_command, environment, virtual_time
from benchmarks.detection.baselines import version_of

__all__ = ["measure"]

TARGET = 6.0
SLOW_S = 30.0  # a scan that takes longer than this is measured three times
_LABELS = {"quiet": "nothing to see", "bird": "a bird all the time"}


def measure(work: Path, runs: int, program: Path) -> Part:
    """Scan and watch in turn."""
    rows, data = [], {}
    for scene, label in _LABELS.items():
        video = drawn(scene, work)
        argv = [str(program), "-i", str(video.path), "-b", "MOG2", "-so"]
        turns: list[tuple[float, float, float]] = []
        while len(turns) < runs and not (len(turns) >= 3 and turns[0][0] > SLOW_S):
            theirs = cpu_of_command(argv, cwd=work)
            with virtual_time():
                ours = Camera("cost", video.path).measured().cpu_s
            turns.append((theirs, ours, cpu_of_command(bare_argv(video.path), env=environment())))
            print(f"dvr-scan: {scene} {len(turns)}/{runs} {turns[-1]} s", file=sys.stderr)
        seconds = [f"{statistics.median(column):.2f}" for column in zip(*turns, strict=True)]
        middle, low, high = median_and_spread([theirs / ours for theirs, ours, _ in turns])
        most = statistics.median(theirs / bare for theirs, _, bare in turns)
        ratio = f"**{middle:.1f}** ({low:.1f} … {high:.1f})"
        rows.append((label, *seconds, ratio, f"{most:.1f}", f"≥ {TARGET:.0f}", str(len(turns))))
        data[scene] = [{"dvr_scan": theirs, "ours": ours, "bare": bare} for theirs, ours, bare in turns]
    versions = (*machine.described(), f"DVR-Scan {version_of(program)}", _libraries_of(program))
    return Part("dvr-scan", "Beside DVR-Scan", _TEXT, _COLUMNS, tuple(rows), (), versions, data)


def _libraries_of(program: Path) -> str:
    """The OpenCV that the program runs on."""
    python = program.with_name("python")
    argv = [str(python), "-c", "import cv2; print(cv2.__version__)"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "on an unknown OpenCV"
    return f"on OpenCV {done.stdout.strip()}"


_COLUMNS = (
    "60 s of 1080p15",
    "DVR-Scan, s",
    "ours, s",
    "bare, s",
    "DVR-Scan / ours",
    "DVR-Scan / bare",
    "wanted",
    "turns",
)
_TEXT = """\
`dvr-scan -b MOG2 -so` with its defaults (every frame is analysed, in full size) finds movement in a file and writes
none of it out; ours analyses five frames a second in quiet, follows birds and cuts out crops of them. Processor
seconds of the whole processes, starts included, all their threads together; one after the other, again and again. Bare
decoding is there for what no program that decodes every frame in one thread can surpass on this video."""
