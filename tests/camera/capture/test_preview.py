"""Frames that are spread over a recording."""

from __future__ import annotations

import gc
from pathlib import Path

import av
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.capture import preview
from birdwatchd.camera.capture.open import open_container
from birdwatchd.camera.capture.preview import FRAMES, own_orientation, spread_frames
from birdwatchd.errors import SourceUnusable
from birdwatchd.settings.cameras import CameraSettings


def write(path: Path, frames: int, *, every_key: int = 250) -> Path:
    """A recording of 64 × 48 pixels at 25 frames a second, which brightens from 0 to 200."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = every_key
        for number in range(frames):
            picture = np.full((48, 64), round(200 * number / frames), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        container.mux(stream.encode())
    return path


def brightness(path: Path) -> list[float]:
    settings = CameraSettings(source=Source(str(path)))
    return [float(luma.mean()) for luma in spread_frames(settings.source, settings)]


@pytest.mark.parametrize(("frames", "every_key"), [(200, 250), (3000, 50), (3000, 3000)])
def test_they_are_spread_over_the_recording(tmp_path: Path, frames: int, every_key: int) -> None:
    """Short ones are decoded whole, long ones by their key frames, and where these are too few from the beginning."""
    found = brightness(write(tmp_path / "clip.mp4", frames, every_key=every_key))
    assert FRAMES - 6 <= len(found) <= FRAMES + 4
    assert found == sorted(found)
    from_key_frames_or_whole = every_key < frames or frames < 900
    assert (found[-1] - found[0] > 130) == from_key_frames_or_whole


def test_no_more_is_decoded_of_a_large_picture_than_of_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a minute in 4K nothing would be heard for so long that the worker was taken for dead."""
    monkeypatch.setattr(preview, "SHORT_PIXELS", 100 * 64 * 48)
    found = brightness(write(tmp_path / "clip.mp4", 200))
    assert len(found) >= FRAMES
    assert found[-1] < 110  # of 200: the second half was not decoded


def test_the_first_look_keeps_no_frame(tmp_path: Path) -> None:
    """A frame and its side data hold each other, and with them 26 MB of 4K until the recording has been read."""
    settings = CameraSettings(source=Source(str(write(tmp_path / "clip.mp4", 20))))
    with open_container(settings.source, settings) as container:
        before = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
        own_orientation(settings.source, settings, container)
        assert sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()) <= before


def test_what_was_cut_off_gives_the_frames_that_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mkv", 200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 8 <= len(brightness(path)) < FRAMES


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(SourceUnusable):
        brightness(path)
