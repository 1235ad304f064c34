"""Look at one frame of a case with its truth drawn in: `python -m benchmarks.detection.view CASE --at SECONDS`."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from benchmarks.detection.cases import CASES, case_named
from benchmarks.detection.render import Renderer

__all__ = ["main"]


def main() -> None:
    """Write a PNG file and say where."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.view", description=__doc__)
    parser.add_argument("case", choices=[case.name for case in CASES], metavar="CASE")
    parser.add_argument("--at", type=float, default=10.0, help="seconds from the beginning")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of a case without birds")
    parser.add_argument("--out", type=Path, help="default: CASE-SECONDS.png in the current folder")
    given = parser.parse_args()
    case = case_named(given.case)
    renderer = Renderer(case, given.seed, case.seconds or given.minutes * 60)
    drawn = renderer.frame(round(given.at * case.fps))
    picture = np.asarray(cv2.cvtColor(drawn.planes, cv2.COLOR_YUV2BGR_I420), np.uint8)
    for s in drawn.sightings:
        left, top = round(s.box.x * case.width), round(s.box.y * case.height)
        right, bottom = left + round(s.box.w * case.width) - 1, top + round(s.box.h * case.height) - 1
        cv2.rectangle(picture, (left - 1, top - 1), (right + 1, bottom + 1), (0, 0, 255), 1)
        words = f"{s.bird} share {s.share:.2f} sharp {s.sharpness:.2f}"
        cv2.putText(picture, words, (left, top - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 255, 255), 1, cv2.LINE_AA)
    out = given.out or Path(f"{case.name}-{given.at:g}.png")
    cv2.imwrite(str(out), picture)
    stays = " ".join(f"{b.number}:{b.start_s:.1f}-{b.end_s:.1f}" for b in renderer.birds)
    print(f"{out}  birds {stays or 'none'}")


if __name__ == "__main__":
    main()
