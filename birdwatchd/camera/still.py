"""Make evidence of one picture in which a bird is known to be, as a camera process would send it.

The crop is cut and encoded by the code that cuts those of real birds.
"""

from __future__ import annotations

from datetime import datetime

import av
import numpy as np
from numpy.typing import NDArray

from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.crops import cut_crop, encode_crop
from birdwatchd.records import Box, Evidence, Moment, new_visit_id

__all__ = ["evidence_of_still"]


def evidence_of_still(rgb: NDArray[np.uint8], box: Box, camera: str, at: datetime) -> Evidence:
    """A visit that is over, with one moment.

    Args:
        rgb: the picture, uint8, shape (height, width, 3); both even.
        box: where the bird is.
        at: when it was seen.
    """
    av_frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    frame = DecodedFrame(av_frame, at, 0.0, 0.0).download()
    moment = Moment(0, at, box, 0.9, encode_crop(cut_crop(frame, box)))
    return Evidence(new_visit_id(at), camera, 1, at, at, at, (moment,), 1)
