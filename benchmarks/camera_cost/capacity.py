"""How many cameras the machine carries: whole camera processes at the pace of a camera, until frames are dropped."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.camera_cost import machine
from benchmarks.camera_cost.clips import FPS, Video, drawn, looped
from benchmarks.camera_cost.part import Part
from benchmarks.camera_cost.process import Camera, bare_argv, cpu_of_children_s, environment

__all__ = ["Run", "conclusion", "measure", "shed_after"]

SETTLED_S = 10.0  # all processes start at once, as the daemon starts them; after so much video they have
FULL_SHARE = 0.01  # more shed than this, once settled: the machine is too small
BUSY_SHARE = 0.05  # of the machine used by others: how many cameras fit on it cannot be told
BEHIND_S = 1.0  # a bare decoder that ends later than this does not keep up


@dataclass(frozen=True, slots=True)
class Run:
    """Some cameras (or bare decoders, which drop nothing) at once.

    Attributes:
        due: pictures in all files.
        came: as their processes counted, seen or shed; must come to the same. Of bare decoders, what they decoded.
        shed: not looked at, because they were late; `shed_settled` of them after `SETTLED_S`.
        due_settled: pictures due after `SETTLED_S`.
        cpu_s, wall_s: of all camera processes together, and how long they ran.
        others_s: processor seconds that the machine worked for anybody else, and `stolen_s` that its host took.
        behind_s: by how much the last one ended too late.
    """

    cameras: int
    due: int
    came: int
    shed: int
    due_settled: int
    shed_settled: int
    cpu_s: float
    wall_s: float
    others_s: float
    stolen_s: float
    behind_s: float

    @property
    def others_share(self) -> float:
        """Share of all cores that was not ours to use."""
        return (self.others_s + self.stolen_s) / (self.wall_s * machine.cores())

    @property
    def shed_share(self) -> float:
        """Share of the pictures that were shed once settled."""
        return self.shed_settled / self.due_settled if self.due_settled else 0.0


def measure(work: Path, counts: Sequence[int], seconds: float) -> Part:
    """More and more cameras until frames are dropped; then bare decoders from there on, until they do not keep up.

    Args:
        counts: how many cameras to try, in order.
        seconds: of video for each.
    """
    videos = [looped(drawn(scene, work), seconds) for scene in ("quiet", "bird")]
    runs: list[Run] = []
    for count in counts:
        runs.append(_watched(videos, count))
        print(f"eight: {runs[-1]}", file=sys.stderr)
        if runs[-1].shed_share > FULL_SHARE:
            break
    bare: list[Run] = []
    for count in [n for n in counts if n >= runs[-1].cameras - 4]:
        bare.append(_decoded(videos, count))
        print(f"eight, bare: {bare[-1]}", file=sys.stderr)
        if bare[-1].behind_s > BEHIND_S:
            break
    return _part(runs, bare, seconds)


def _watched(videos: Sequence[Video], count: int) -> Run:
    cameras = [Camera(f"camera{n:02d}", videos[n % len(videos)].path) for n in range(count)]
    seconds = videos[0].seconds
    busy, cpu, began = machine.Busy.now(), cpu_of_children_s(), time.monotonic()
    threads = [threading.Thread(target=camera.run) for camera in cameras]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu, busy = time.monotonic() - began, cpu_of_children_s() - cpu, machine.Busy.now() - busy
    due = sum(videos[n % len(videos)].frames for n in range(count))
    last = [camera.reports[-1] for camera in cameras]
    settled = [shed_after([(r.frames, r.late) for r in camera.reports], round(SETTLED_S * FPS)) for camera in cameras]
    behind = max((_length_s(camera) - seconds for camera in cameras), default=0.0)
    return Run(
        count, due, sum(r.frames for r in last), sum(r.late for r in last), sum(d for d, _ in settled),
        sum(s for _, s in settled), cpu, wall, max(0.0, busy.worked_s - cpu), busy.stolen_s, max(0.0, behind),
    )  # fmt: skip


def shed_after(reports: Sequence[tuple[int, int]], frames: int) -> tuple[int, int]:
    """Pictures that came, and of these shed, after the first report that has `frames` of them.

    Args:
        reports: pictures that came and were shed so far, in order.
    """
    start = next((report for report in reports if report[0] >= frames), reports[-1])
    return reports[-1][0] - start[0], reports[-1][1] - start[1]


def _length_s(camera: Camera) -> float:
    """Seconds from the first picture to the last report."""
    first = next(report for report in camera.reports if report.frames)
    return (camera.reports[-1].at - first.at).total_seconds()


def _decoded(videos: Sequence[Video], count: int) -> Run:
    busy, cpu, began = machine.Busy.now(), cpu_of_children_s(), time.monotonic()
    chosen = [videos[n % len(videos)] for n in range(count)]
    argvs = [bare_argv(video.path, paced=True) for video in chosen]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment()) for argv in argvs]
    said: list[dict[str, Any]] = [json.loads(process.communicate()[0]) for process in running]
    wall, cpu, busy = time.monotonic() - began, cpu_of_children_s() - cpu, machine.Busy.now() - busy
    decoded, behind = sum(s["frames"] for s in said), max(s["late_s"] for s in said)
    due = sum(video.frames for video in chosen)
    others = max(0.0, busy.worked_s - cpu)
    return Run(count, due, decoded, 0, 0, 0, cpu, wall, others, busy.stolen_s, behind)


def _part(runs: Sequence[Run], bare: Sequence[Run], seconds: float) -> Part:
    rows = [_row("watched", run) for run in runs] + [_row("decoded only", run) for run in bare]
    data = {"watched": [asdict(c) for c in runs], "bare": [asdict(c) for c in bare]}
    text = _TEXT.format(seconds=f"{seconds:g}", settled=f"{SETTLED_S:g}", cores=machine.cores())
    title, remarks = "Eight cameras and more", (conclusion(runs, bare), _SHED)
    return Part("eight", title, text, _COLUMNS, tuple(rows), remarks, machine.described(), data)


def conclusion(runs: Sequence[Run], bare: Sequence[Run]) -> str:
    """What the runs say of the machine; nothing where somebody else used it as well."""
    busy = max(c.others_share for c in (*runs, *bare))
    if busy > BUSY_SHARE:
        return (
            f"**The machine did other things meanwhile, up to {busy:.0%} of what it can do.** This run shows that what "
            "is shed is counted, but not how many cameras fit: run it again on a machine that does nothing else."
        )
    fit = max((c.cameras for c in runs if c.shed_share <= FULL_SHARE), default=0)
    full = next((c.cameras for c in runs if c.shed_share > FULL_SHARE), None)
    ends = f"{full} are too many" if full else "more were not tried"
    bare_end = next((c.cameras for c in bare if c.behind_s > BEHIND_S), None)
    bare_ends = f"{bare_end} do not keep up" if bare_end else "none of the numbers tried was too many"
    return f"**{fit} cameras fit on {machine.cores()} cores; {ends}. Of bare decoders, {bare_ends}.**"


def _row(what: str, run: Run) -> tuple[str, ...]:
    whole = run.wall_s * machine.cores()
    watched = what == "watched"
    return (
        f"{run.cameras} {what}",
        f"{run.cpu_s / whole:.0%}",
        f"{run.others_share:.0%}",
        str(run.due),
        str(run.came),
        str(run.came - run.shed) if watched else "-",
        str(run.shed) if watched else "-",
        str(run.came - run.due),
        f"{run.shed_share:.1%}" if watched else "-",
        f"{run.behind_s:.1f}",
    )


_COLUMNS = (
    "cameras", "CPU", "other load", "due", "came", "seen", "shed", "came − due", "shed, settled", "behind, s",
)  # fmt: skip
_TEXT = """\
{seconds} s of 1080p15 on {cores} cores, played by files at the pace of a camera, one process each; every other camera
has a bird all the time. All start at the same moment. `CPU` is the share of all cores that camera processes took;
`other load` is what the machine did for somebody else meanwhile. `due` is the number of frames in the files,
`came` and `shed` are what the camera processes reported (`CameraStatus.frames` and `.late`, the metrics
`frames_total` and `frames_skipped_total`), and `seen` is the difference: a frame was there in time, and the observer
chose whether to look at it. `shed, settled` leaves out the first {settled} s of video, in which all processes start.
`behind` is how much later than the video's length the last camera was through: a file waits, a camera does not."""
_SHED = """\
A frame that is more than 0.7 s late is decoded and not analysed, until the camera has caught up to 0.3 s. If that
takes longer than a second, or it is more than 1.5 s late, nothing is decoded either until a key frame comes in time; so
a camera on a machine that cannot even decode it sees some seconds, is blind for some, and stays in the present. Each
frame that is shed in either way is counted, and those that came are those that were due."""
