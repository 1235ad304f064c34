"""What a camera's process holds after an hour: its resident memory from second to second, and the ring's bytes."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.camera_cost import machine
from benchmarks.camera_cost.arithmetic import Slope, blocks, slope
from benchmarks.camera_cost.clips import FPS, drawn, looped
from benchmarks.camera_cost.part import Part
from benchmarks.camera_cost.process import Camera, virtual_time

__all__ = ["Hour", "growth", "measure"]

MIB = 2**20
WARM_UP_SHARE = 1 / 6  # of the hour: the ring is full after a little more than a minute, the allocator settles later
BLOCKS = 30
SAMPLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Hour:
    """One run.

    Attributes:
        samples: second of the video and resident MiB, one a second of the clock on the wall.
        ring_bytes: the most that was reported, and `ring_bound` what was allowed.
    """

    samples: tuple[tuple[float, float], ...]
    seconds: float
    wall_s: float
    ring_bytes: int
    ring_bound: int
    visits: int
    moments: int
    clips: int


def growth(samples: Sequence[tuple[float, float]], seconds: float) -> Slope:
    """MiB per hour of video after the warm-up: Theil–Sen over medians of blocks.

    Args:
        samples: second of the video and MiB, in order.
        seconds: length of the video.
    """
    warm = [(at / 3600, mib) for at, mib in samples if at >= seconds * WARM_UP_SHARE]
    return slope(blocks(warm, BLOCKS))


def measure(work: Path, seconds: float) -> Part:
    """Watch `seconds` of video with a visit every forty seconds, clips on, as fast as it can be read."""
    video = looped(drawn("hour", work), seconds)
    try:
        hour = _watched(video.path, seconds)
    finally:
        video.path.unlink()
    return _part(hour)


def _watched(path: Path, seconds: float) -> Hour:
    home = Path(tempfile.mkdtemp(prefix="home-", dir=path.parent))
    camera = Camera("cost", path, home=home)
    samples: list[tuple[float, float]] = []
    began = time.monotonic()
    with virtual_time():
        thread = threading.Thread(target=camera.run)
        thread.start()
        while thread.is_alive():
            thread.join(SAMPLE_S)
            pid = camera.process.pid if camera.process else None
            online = [report for report in camera.reports[-1:] if report.width]
            if pid is not None and online:
                try:
                    samples.append((online[0].frames / FPS, machine.resident_bytes(pid) / MIB))
                except (OSError, IndexError):
                    break  # it has just ended
        thread.join()
    wall = time.monotonic() - began
    shutil.rmtree(home)
    rings = [int(dict(report.extra).get("ring_bytes", 0)) for report in camera.reports]
    bound = camera.settings.ring_mb * MIB
    last = camera.reports[-1]
    if last.frames != round(seconds * FPS):
        raise RuntimeError(f"{last.frames} of {seconds * FPS:.0f} frames were read")
    return Hour(tuple(samples), seconds, wall, max(rings), bound, len(camera.visits), camera.moments, camera.clips)


def _part(hour: Hour) -> Part:
    found = growth(hour.samples, hour.seconds)
    warm = [mib for at, mib in hour.samples if at >= hour.seconds * WARM_UP_SHARE]
    middles = [mib for _, mib in blocks(list(enumerate(warm)), BLOCKS)]
    pace = hour.seconds / hour.wall_s
    rows = (
        ("pace, times real time", f"{pace:.1f}", "≥ 8"),
        ("visits / crops / clips", f"{hour.visits} / {hour.moments} / {hour.clips}", ""),
        ("resident after warm-up, first block, MiB", f"{middles[0]:.1f}", ""),
        ("resident, last block, MiB", f"{middles[-1]:.1f}", ""),
        ("resident, most, MiB", f"{max(mib for _, mib in hour.samples):.1f}", ""),
        ("growth, MiB per hour of video", f"**{found.value:+.2f}**", "0 inside the interval"),
        ("its interval (95 %)", f"{found.low:+.2f} … {found.high:+.2f}", ""),
        ("more in the last block than in the middle one, MiB", f"{middles[-1] - middles[len(middles) // 2]:+.2f}", ""),
        ("ring, most, MiB", f"{hour.ring_bytes / MIB:.2f}", f"≤ {hour.ring_bound / MIB:.0f}"),
    )
    text = _TEXT.format(warm=f"{hour.seconds * WARM_UP_SHARE / 60:g}", blocks=BLOCKS, samples=len(warm))
    data = {"samples": [list(s) for s in hour.samples], "wall_s": hour.wall_s, "ring_bytes": hour.ring_bytes}
    print(f"memory: {found} MiB/h at {pace:.1f} times real time", file=sys.stderr)
    title = "Memory over an hour"
    columns = ("one camera, an hour of 720p15", "", "wanted")
    return Part("memory", title, text, columns, rows, (), machine.described(), data)


_TEXT = """\
One camera's process plays an hour of video (the packets of 80 s again and again, with a cut where they begin anew)
with a bird for ten seconds in every forty, and keeps a clip of each visit; time passes as fast as frames can be read,
which is why it is 1280 × 720: one core decodes 1080p hardly eight times as fast as it is sent.
Resident memory is sampled every second by the clock on the wall. The slope is Theil–Sen's, with Sen's interval, over
the medians of {blocks} blocks of the {samples} samples after the first {warm} minutes of video: samples of neighbouring
seconds are not independent."""
