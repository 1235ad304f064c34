"""Give a case a second, small stream, as cameras send one: the same pictures at 640 × 360 and 600 kbit/s."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.detection.blend import Picture

__all__ = ["SMALL", "small_stream_of"]

SMALL = (640, 360)
KBPS, GOP_S = 600, 3.0


def small_stream_of(clip: Path, fps: int) -> Path:
    """Where the small stream of a clip is; made from the clip if it is not there."""
    path = clip.with_name(f"{clip.stem}-small.mp4")
    if path.exists():
        return path
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    gop = str(round(GOP_S * fps))
    rate = {"b": f"{KBPS}k", "maxrate": f"{KBPS}k", "bufsize": f"{KBPS}k"}
    with av.open(str(clip)) as source, av.open(str(unfinished), "w", format="mp4") as target:
        stream: Any = target.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = *SMALL, "yuv420p"
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, fps)
        stream.options = {"preset": "superfast", "tune": "zerolatency", "g": gop, "keyint_min": gop} | rate
        for index, picture in enumerate(source.decode(video=0)):
            frame = av.VideoFrame.from_ndarray(_shrunk(picture.to_ndarray(format="yuv420p")), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    unfinished.replace(path)
    return path


def _shrunk(planes: Picture) -> Picture:
    """I420 planes, uint8 (3 / 2 height, width), at the small size; by area, as image processors do."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    flat = planes.reshape(-1)
    sizes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
    to = [SMALL, (SMALL[0] // 2, SMALL[1] // 2), (SMALL[0] // 2, SMALL[1] // 2)]
    parts, at = [], 0
    for (rows, columns), size in zip(sizes, to, strict=True):
        plane = flat[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        parts.append(cv2.resize(plane, size, interpolation=cv2.INTER_AREA).reshape(-1))
    return np.concatenate(parts).reshape(SMALL[1] * 3 // 2, SMALL[0])  # type: ignore[return-value]
