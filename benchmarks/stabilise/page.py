"""Turn the answers into tables: error in pixels, failures, processor time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.stabilise.trials import COVERS, NOISE, Trial
from benchmarks.stabilise.ways import WAYS, Found

__all__ = ["Answer", "page"]

FAILED_PX = 2.0  # half a cell of the drawn scenes: undoing such a shift makes it worse
SHIFT_GROUPS = ((0.0, 0.0, "0"), (0.25, 1.0, "to 1"), (1.5, 3.0, "to 3"), (4.0, 5.0, "to 5"), (10.0, 15.0, "to 15"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What one way said of one trial, and what that cost.

    Attributes:
        way: number in `WAYS`.
        cpu_us: processor time, microseconds.
    """

    way: int
    trial: Trial
    found: Found
    cpu_us: float

    @property
    def shift_px(self) -> float:
        """Length of the true shift."""
        return float(np.hypot(self.trial.dx, self.trial.dy))

    @property
    def error_px(self) -> float:
        """Distance from the true shift; a way without an answer is taken to say that nothing moved."""
        x, y = self.found or (0.0, 0.0)
        return float(np.hypot(x - self.trial.dx, y - self.trial.dy))


def page(answers: Sequence[Answer]) -> str:
    """The page of the documentation, Markdown."""
    drawn = [a for a in answers if not a.trial.scene.recorded]
    recorded = [a for a in answers if a.trial.scene.recorded]
    parts = [_HEAD.format(noise=NOISE, failed=FAILED_PX), _cost(drawn)]
    for title, mine in (("Drawn scenes, 960 × 540", drawn), ("Scenes of recordings", recorded)):
        if not mine:
            continue
        scenes = len({a.trial.scene.name for a in mine})
        parts.append(f"## {title}\n\n{scenes} scenes, {len(mine) // len(WAYS)} frames.\n")
        near = [a for a in mine if a.shift_px <= 5.01]
        for coded, how in ((False, "clean"), (True, "with noise, compressed")):
            some = [a for a in near if a.trial.coded is coded]
            parts.append(f"Shifts up to 5 pixels, {how}, by how much of the frame a bird hides:\n")
            parts.append(_table(some, [(f"{c:.0%}", _covers(c)) for c in COVERS]))
        some = [a for a in mine if a.trial.coded and a.trial.cover <= 0.1]
        parts.append("A bird hides a tenth at most, with noise, compressed, by the length of the shift in pixels:\n")
        parts.append(_table(some, [(name, _between(low, high)) for low, high, name in SHIFT_GROUPS]))
    return "\n".join(parts)


def _covers(cover: float) -> Callable[[Answer], bool]:
    return lambda answer: answer.trial.cover == cover


def _between(low: float, high: float) -> Callable[[Answer], bool]:
    return lambda answer: low - 0.01 <= answer.shift_px <= high + 0.01


def _table(answers: Sequence[Answer], groups: Sequence[tuple[str, Callable[[Answer], bool]]]) -> str:
    lines = ["| way | " + " | ".join(name for name, _ in groups) + " |", "|---|" + "---:|" * len(groups)]
    for number, way in enumerate(WAYS):
        cells = []
        for _, belongs in groups:
            errors = np.array([a.error_px for a in answers if a.way == number and belongs(a)])
            low, high = np.percentile(errors, (50, 95))
            cells.append(f"{low:.2f} / {high:.2f} / {np.mean(errors > FAILED_PX):.0%}")
        lines.append(f"| {way.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cost(answers: Sequence[Answer]) -> str:
    """Median processor time, and the median of the ratios to the first way on the same frame."""
    own = np.array([a.cpu_us for a in answers if a.way == 0])
    lines = ["## Cost\n", "| way | µs per frame | times least squares |", "|---|---:|---:|"]
    for number, way in enumerate(WAYS):
        mine = np.array([a.cpu_us for a in answers if a.way == number])
        lines.append(f"| {way.name} | {np.median(mine):.0f} | {np.median(mine / own):.1f} |")
    return "\n".join(lines) + "\n"


_HEAD = """# Finding the shift of a camera

Written by `python -m benchmarks.stabilise --markdown docs/measurements/stabilise.md`; see
`benchmarks/stabilise/README.md`.

A camera on a pole sways, and the motion gate moves each frame back onto the background. The gate finds the shift by
least squares on its cells, leaving out what does not fit. Here that is compared with OpenCV's phase correlation and
with corners that are followed by optical flow (`goodFeaturesToTrack`, `calcOpticalFlowPyrLK`), on frames that were
moved by a known shift in any direction. The reference is the mean of twelve frames that are not moved. The bird is a
dark, mottled oval somewhere in the frame, and no way is told where it is. Noise has a standard deviation of {noise}
grey levels; compression is H.264.

Each cell of a table: median error / 95th percentile / share of the frames with an error above {failed:g} pixels (half
a cell). All in pixels of the source. A way without an answer is taken to say that nothing moved. Processor time is that
of one thread, all ways taking turns on each frame, without making the smaller picture (the gate has it anyway) and
without what is prepared once for a reference (window, corners). Phase correlation is given an even number of rows and
columns that need no padding: on others OpenCV's answer is half a pixel off. `find_shift` gives up beyond 5 cells.
"""
