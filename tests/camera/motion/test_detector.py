"""What the gate says of a region besides where it is."""

from __future__ import annotations

import numpy as np
import pytest

from birdwatchd.camera.motion.detector import MotionDetector
from birdwatchd.camera.motion.settings import MotionSettings
from birdwatchd.camera.tracking.settings import TrackerSettings
from tests.support.drawn_place import COLUMNS, MIN_BIRD, ROWS, foliage

PLACE = np.rint(foliage(3)).astype(np.uint8)


@pytest.mark.parametrize(("changed", "stirs"), [(1, False), (3, True)])
def test_one_cell_that_changes_is_no_stirring(changed: int, stirs: bool) -> None:
    """A digit of the clock is a handful of cells; the encoder touches up one of them at every key frame."""
    gate = MotionDetector(MotionSettings(min_bird=MIN_BIRD), COLUMNS, ROWS)
    for look in range(20):
        gate.update(PLACE, look * 0.1)
    digit = PLACE.copy()
    digit[40:44, 60:63] = 250
    gate.update(digit, 2.0)
    digit[41 : 41 + changed, 61] = 200
    result = gate.update(digit, 2.1)
    regions = result.regions + result.ignored
    assert len(regions) == 1
    assert (regions[0].activity >= TrackerSettings().motion_share) is stirs
