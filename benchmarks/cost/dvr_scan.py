"""The same video through DVR-Scan, the usual finder of movement in recordings: its processor time over ours."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.cost import machine
from benchmarks.cost.arithmetic import median_and_spread
from benchmarks.cost.clips import drawn
from benchmarks.cost.part import Part
from benchmarks.cost.process import Camera, cpu_of_command, swift
from benchmarks.seeing.baselines import version_of

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
        pairs: list[tuple[float, float]] = []
        while len(pairs) < runs and not (len(pairs) >= 3 and pairs[0][0] > SLOW_S):
            theirs = cpu_of_command(argv, cwd=work)
            with swift():
                ours = Camera("cost", video.path).measured().cpu_s
            pairs.append((theirs, ours))
            print(f"dvr-scan: {scene} {len(pairs)}/{runs} {theirs:.2f} s to {ours:.2f} s", file=sys.stderr)
        middle, low, high = median_and_spread([theirs / ours for theirs, ours in pairs])
        seconds = [f"{statistics.median(column):.2f}" for column in zip(*pairs, strict=True)]
        rows.append((label, *seconds, f"**{middle:.1f}** ({low:.1f} … {high:.1f})", f"≥ {TARGET:.0f}", str(len(pairs))))
        data[scene] = [{"dvr_scan": theirs, "ours": ours} for theirs, ours in pairs]
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


_COLUMNS = ("60 s of 1080p15", "DVR-Scan, s", "ours, s", "DVR-Scan / ours", "wanted", "runs")
_TEXT = """\
`dvr-scan -b MOG2 -so` with its defaults (every picture is looked at, in 1080p's own size divided by its default
factor) finds movement in a file and writes none of it out; ours follows birds and cuts out pictures of them. Processor
seconds of the whole processes, starts included, all their threads together; one after the other, again and again."""
