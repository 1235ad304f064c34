"""Show a person what a camera shows now and what its motion gate sees in it: a small masked picture, and boxes.

It is made only of a frame that somebody asked for, and never kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.crops import encode_live
from birdwatchd.camera.mask import MOSTLY, PrivacyMask
from birdwatchd.camera.motion.detector import MotionResult
from birdwatchd.camera.tracking.track import Track
from birdwatchd.camera.view import SAME_VIEW, StreamView
from birdwatchd.records import Box, LiveView, Region
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["MOST_SHOWN", "LiveViewMaker"]

MOST_SHOWN = 60  # boxes of a kind: the largest come first, and nobody reads more
Boxed = TypeVar("Boxed", Region, Track)


class LiveViewMaker:
    """Makes the live views of one camera. Belongs to the thread that reads its frames."""

    def __init__(self, camera: str, settings: CameraSettings) -> None:
        self._camera, self._settings = camera, settings
        self._masks = [PrivacyMask(settings.mask)]
        self._view = SAME_VIEW

    def of(self, frame: Frame, motion: MotionResult, tracks: Sequence[Track], view: StreamView) -> LiveView:
        """What a frame shows.

        Args:
            frame: of the stream in which motion is looked for.
            motion: what the gate said of it, or of the last one that it looked at.
            view: the part of the main stream's picture that it shows. The mask is in fractions of the picture of both
                streams; where these differ, what is masked in either is black.
        """
        if view != self._view:
            self._view = view
            in_small = [[_in_small(point, view) for point in polygon] for polygon in self._settings.mask]
            self._masks = [PrivacyMask(self._settings.mask), PrivacyMask(in_small)]
        jpeg, width, height = encode_live(frame, self._masks)
        state = "learning" if motion.learning else "changed" if motion.global_change or motion.jumped else "watching"
        return LiveView(
            camera=self._camera,
            jpeg=jpeg,
            width=width,
            height=height,
            state=state,
            regions=tuple(_within(region.box) for region in self._shown(motion.regions)),
            ignored=tuple((_within(region.box), region.why) for region in self._shown(motion.ignored)),
            tracks=tuple((_within(track.box), track.confirmed) for track in self._shown(tracks)),
            part=(view.left, view.top, view.width, view.height),
        )

    def _shown(self, found: Sequence[Boxed]) -> list[Boxed]:
        """The first of what was found, without what is mostly masked: nothing is said of such a place, as nothing is
        shown of it."""
        seen = (one for one in found if all(mask.share(one.box) <= MOSTLY for mask in self._masks))
        return list(islice(seen, MOST_SHOWN))


def _in_small(point: tuple[float, float], view: StreamView) -> tuple[float, float]:
    """A point of the main picture in fractions of the small one, which it may lie beyond."""
    return (point[0] - view.left) / view.width, (point[1] - view.top) / view.height


def _within(box: Box) -> Box:
    """The part of a box that is in the picture: one that is followed may have moved beyond its edge."""
    left, top = min(max(box.x, 0.0), 1.0), min(max(box.y, 0.0), 1.0)
    right, bottom = min(max(box.x + box.w, left), 1.0), min(max(box.y + box.h, top), 1.0)
    return Box(left, top, right - left, bottom - top)
