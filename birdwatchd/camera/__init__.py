"""Turn one camera or media file into evidence: source, gate, tracker, crops, and the process that runs them.

The names below are loaded on first use; see docs/reference/library.md for those that are stable.
"""

from typing import TYPE_CHECKING

from birdwatchd.lazy import lazy_names

if TYPE_CHECKING:
    from birdwatchd.camera.capture.clock import utc_now
    from birdwatchd.camera.capture.frame import DecodedFrame, Frame
    from birdwatchd.camera.capture.stream import Stream
    from birdwatchd.camera.finished_visits import watch_file
    from birdwatchd.camera.motion.detector import MotionDetector
    from birdwatchd.camera.motion.settings import MotionSettings
    from birdwatchd.camera.observer import Observer
    from birdwatchd.camera.tracking.settings import TrackerSettings
    from birdwatchd.camera.tracking.tracker import Tracker
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "DecodedFrame": "capture.frame",
            "Frame": "capture.frame",
            "MotionDetector": "motion.detector",
            "MotionSettings": "motion.settings",
            "Observer": "observer",
            "Stream": "capture.stream",
            "Tracker": "tracking.tracker",
            "TrackerSettings": "tracking.settings",
            "utc_now": "capture.clock",
            "watch_file": "finished_visits",
        },
    )

__all__ = [
    "DecodedFrame",
    "Frame",
    "MotionDetector",
    "MotionSettings",
    "Observer",
    "Stream",
    "Tracker",
    "TrackerSettings",
    "utc_now",
    "watch_file",
]
