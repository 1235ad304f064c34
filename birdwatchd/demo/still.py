"""Draw one picture of the demo's feeder with a bird on it, for the self-test: the same bird every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from birdwatchd.demo.cameras.scene import Scene, SceneSpec
from birdwatchd.demo.cameras.visits import ScheduledVisit
from birdwatchd.records import Box

__all__ = ["draw_still"]

SEED, SPECIES = 1, "Great tit"
MIDDLE = 15  # frame in the middle of the visit


def draw_still() -> tuple[NDArray[np.uint8], Box, str]:
    """A picture (uint8, shape (height, width, 3), RGB), the place of the bird in it, and its species."""
    scene = Scene(SceneSpec(SEED, 640, 360, 10.0), (ScheduledVisit(SPECIES, 0.0, 3.0, seed=SEED),))
    return scene.frame(MIDDLE), Box(*scene.truth_boxes(MIDDLE)[0][1]), SPECIES
