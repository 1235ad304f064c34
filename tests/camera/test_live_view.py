"""A live picture shows nothing that is masked, in whichever stream's fractions the mask was drawn."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.live_view import MOST_SHOWN, LiveViewMaker
from birdwatchd.camera.motion.detector import MotionResult
from birdwatchd.camera.tracking.track import Track
from birdwatchd.camera.view import SAME_VIEW, StreamView
from birdwatchd.records import Box, LiveView, Region
from birdwatchd.settings.cameras import CameraSettings


def frame(width: int, height: int) -> Frame:
    """All white."""
    rgb = np.full((height, width, 3), 255, np.uint8)
    white = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    return DecodedFrame(white, datetime(2026, 5, 1, tzinfo=UTC), 0.0, 0.0).download()


def shown(view: LiveView) -> Any:
    """Its pixels, grey."""
    return np.asarray(Image.open(io.BytesIO(view.jpeg)).convert("L"))


def maker(**settings: Any) -> LiveViewMaker:
    return LiveViewMaker("cam", CameraSettings.model_validate({"source": "/"} | settings))


@pytest.mark.parametrize(
    ("size", "made"),
    [((3840, 2160), (640, 360)), ((320, 240), (320, 240)), ((1080, 1920), (360, 640)), ((2, 4000), (2, 640))],
)
def test_it_is_as_small_as_a_person_needs(size: tuple[int, int], made: tuple[int, int]) -> None:
    """4K once a second to each phone would be megabytes."""
    view = maker().of(frame(*size), MotionResult(()), (), SAME_VIEW)
    assert (view.width, view.height) == made
    assert Image.open(io.BytesIO(view.jpeg)).size == made


def test_what_is_masked_in_either_stream_is_black() -> None:
    """The small stream may show another part; whose fractions somebody meant is not known."""
    half = [[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]]
    one = maker(mask=half)
    assert shown(one.of(frame(640, 480), MotionResult(()), (), SAME_VIEW))[240, [300, 340]].tolist() == [255, 0]
    part = StreamView(0.3, 0.0, 0.5, 1.0)  # the middle of the main picture lies at 0.4 of the small one
    row = shown(one.of(frame(640, 480), MotionResult(()), (), part))[240]
    assert (row[240] > 240, row[270] < 15, row[600] < 15) == (True, True, True)


def test_of_a_masked_place_nothing_is_said() -> None:
    """A box that moves through a black place tells of whoever walks there."""
    hidden, seen = Box(0.6, 0.2, 0.1, 0.1), Box(0.1, 0.2, 0.1, 0.1)
    regions = tuple(Region(box, 0.5, 2.0, why="sway") for box in (hidden, seen))
    tracks = tuple(Track(number, region, 0.0) for number, region in enumerate(regions))
    one = maker(mask=[[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]])
    view = one.of(frame(64, 48), MotionResult(regions, ignored=regions), tracks, SAME_VIEW)
    assert len(view.regions) == len(view.ignored) == len(view.tracks) == 1
    assert view.regions[0].x == view.ignored[0][0].x == view.tracks[0][0].x == pytest.approx(0.1)


def test_a_box_beyond_the_edge_is_cut_there_and_few_are_shown() -> None:
    """What does not lie in the picture would be refused by the main process."""
    many = tuple(Region(Box(-0.1, 0.9, 0.3, 0.3), 0.5, 2.0) for _ in range(MOST_SHOWN + 5))
    view = maker().of(frame(64, 48), MotionResult(many), (), SAME_VIEW)
    assert len(view.regions) == MOST_SHOWN
    assert view.regions[0].rounded() == [0.0, 0.9, 0.2, 0.1]
