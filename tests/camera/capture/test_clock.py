"""Frames have the times at which they were taken, also where packets come in another order and seconds apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture.clock import FileClock, LiveClock
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.settings.cameras import CameraSettings

START = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)
FRAMES = 22
I_P_B_B_B = (0, 4, 1, 2, 3, 8, 5, 6, 7)  # frame numbers in the order in which they are decoded


def brightness(number: int) -> int:
    return 25 + 9 * number


def write_with_b_frames(path: Path, codec: str, rate: Fraction) -> None:
    """Frames of which each is brighter than the one before, with three B-frames between two others."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"b_strategy": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.max_b_frames = 3
        for number in range(FRAMES):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane, level in zip(frame.planes, (brightness(number), 128, 128), strict=True):
                plane.update(bytes([level]) * plane.buffer_size)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("rate", [Fraction(2), Fraction(1, 2), Fraction(25)], ids=["2", "0.5", "25"])
@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("libx264", ".mkv"), ("mpeg4", ".avi")])
def test_every_frame_of_a_slow_recording_has_its_time(tmp_path: Path, codec: str, suffix: str, rate: Fraction) -> None:
    """B-frames of 2 pictures a second step back by seconds, which was taken for a file that begins again."""
    path = tmp_path / f"slow{suffix}"
    write_with_b_frames(path, codec, rate)
    settings = CameraSettings(source=Source(str(path)))
    packets: list[Packet] = []
    with Stream(settings.source, settings, lambda: START) as stream:
        frames = list(stream.frames(keep=packets.append))
    assert any(b.media_s < a.media_s for a, b in pairwise(packets)), "there must be B-frames"
    shown = [float(np.mean(frame.luma)) for frame in frames]
    assert shown == pytest.approx([brightness(number) for number in range(FRAMES)], abs=4.4)
    assert [frame.media_s for frame in frames] == pytest.approx([n / float(rate) for n in range(FRAMES)], abs=0.002)


@pytest.mark.parametrize("known", [True, False], ids=["dts", "no dts"])
def test_only_a_step_back_of_the_order_of_decoding_begins_anew(known: bool) -> None:
    """Joined clips of a slow camera begin at zero in the middle, and have B-frames before and after."""
    clock = FileClock(START)
    seconds = []
    for part in range(2):
        del part
        for place, number in enumerate(I_P_B_B_B * 3):
            shown_s = 0.5 * (number + 9 * (place // 9))
            seconds.append(clock.seconds(shown_s, 0.5, 0.5 * place - 0.5 if known else None))
    first, second = seconds[:27], seconds[27:]
    assert sorted(first) == pytest.approx([0.5 * n for n in range(27)])
    assert sorted(second) == pytest.approx([13.5 + 0.5 * n for n in range(27)])


def test_b_frames_of_a_slow_camera_are_dated_back() -> None:
    """They arrive after the frame that they precede, which is not now."""
    clock = LiveClock()
    found = []
    for place, number in enumerate(I_P_B_B_B):
        arrival = START + timedelta(seconds=0.5 * place + 2.0)  # 4 frames after it is taken at the earliest
        found.append((clock.at(0.5 * number, arrival, 0.5 * place - 0.5) - START).total_seconds() - 0.5 * number)
    assert max(found[1:]) - min(found[1:]) < 0.05
