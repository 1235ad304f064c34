"""Encode pictures as cameras do: H.264 or H.265 without B frames or look-ahead, at constant quality or bit rate."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from benchmarks.detection.blend import Picture
from benchmarks.detection.cases import Case, Encoding

__all__ = ["encode", "encoder_options"]


def encode(path: Path, case: Case, pictures: Iterable[Picture]) -> None:
    """Write I420 pictures as an mp4 file without B frames."""
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream(case.encoding.codec, rate=Fraction(case.fps))
        stream.width, stream.height, stream.pix_fmt = case.width, case.height, "yuv420p"
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, case.fps)
        stream.options = encoder_options(case.encoding, case.fps)
        for index, planes in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, case.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def encoder_options(encoding: Encoding, fps: int) -> dict[str, str]:
    """Encoder options: fast, without look-ahead, with key frames at fixed distances, as cameras encode."""
    gop = str(round(encoding.gop_s * fps))
    kbps = encoding.kbps
    if encoding.codec == "libx264":
        rate = {"crf": str(encoding.crf)}
        if encoding.crf is None:
            rate = {"b": f"{kbps}k", "maxrate": f"{kbps}k", "bufsize": f"{kbps}k"}
        return {"preset": "superfast", "tune": "zerolatency", "g": gop, "keyint_min": gop, "sc_threshold": "0", **rate}
    rate265 = f"crf={encoding.crf}"
    if encoding.crf is None:
        rate265 = f"bitrate={kbps}:vbv-maxrate={kbps}:vbv-bufsize={kbps}"
    fixed = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:rc-lookahead=0:pools=1:frame-threads=1:log-level=none"
    return {"preset": "ultrafast", "x265-params": f"{fixed}:{rate265}"}
