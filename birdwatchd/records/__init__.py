"""The nouns that flow through birdwatchd: small frozen records, never a dict between stages.

Boxes are fractions of the frame (x, y, w, h) with a top-left origin, everywhere; pixels live inside one function.
Times are aware UTC datetimes.
"""

from __future__ import annotations

from birdwatchd.records.box import Box
from birdwatchd.records.camera_status import TEST_CAMERA, Blindness, CameraState, CameraStatus
from birdwatchd.records.evidence import LIFELESS, MIN_QUALITY, Crop, Evidence, LiveView, Moment, Region, weight_of
from birdwatchd.records.visit import (
    FloatArray,
    HalfArray,
    Label,
    Message,
    Phase,
    Prediction,
    Rank,
    State,
    Verdict,
    Visit,
    rfc3339,
)
from birdwatchd.records.visit_id import clip_part, clip_path, new_visit_id, visit_start

__all__ = [
    "LIFELESS",
    "MIN_QUALITY",
    "TEST_CAMERA",
    "Blindness",
    "Box",
    "CameraState",
    "CameraStatus",
    "Crop",
    "Evidence",
    "FloatArray",
    "HalfArray",
    "Label",
    "LiveView",
    "Message",
    "Moment",
    "Phase",
    "Prediction",
    "Rank",
    "Region",
    "State",
    "Verdict",
    "Visit",
    "clip_part",
    "clip_path",
    "new_visit_id",
    "rfc3339",
    "visit_start",
    "weight_of",
]
