"""Crop geometry and colour: the picture that is classified and kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.camera.capture.frame import Frame, luma_of
from birdwatchd.camera.crops import cut_crop, encode_crop, square_around
from birdwatchd.records import Box

AT = datetime(2026, 5, 1, tzinfo=UTC)
sizes = st.integers(16, 4096)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    w, h = draw(st.floats(0.001, 1.0)), draw(st.floats(0.001, 1.0))
    return Box(draw(st.floats(0, 1.0 - w)), draw(st.floats(0, 1.0 - h)), w, h)


@given(boxes(), sizes, sizes)
def test_a_crop_lies_inside_the_frame(box: Box, width: int, height: int) -> None:
    """A crop beyond the edge is a crash, or black bars that the classifier takes for a bird."""
    rect = square_around(box, width, height)
    assert 0 <= rect.left < rect.right <= width
    assert 0 <= rect.top < rect.bottom <= height


@given(boxes(), sizes, sizes)
def test_a_crop_is_square_unless_the_frame_is_too_small(box: Box, width: int, height: int) -> None:
    """The network sees squares; any other shape would be squeezed, and a squeezed heron is an egret."""
    rect = square_around(box, width, height)
    if max(rect.width, rect.height) < min(width, height):
        assert rect.width == rect.height


@given(boxes(), sizes, sizes)
def test_a_crop_shows_the_whole_bird_where_the_frame_allows(box: Box, width: int, height: int) -> None:
    """A well-known NVR swaps size and corner here: its 100-pixel bird gets a 770-pixel crop of something else."""
    rect = square_around(box, width, height)
    assert rect.left <= box.x * width + 1
    assert rect.top <= box.y * height + 1
    if rect.width < width:
        assert rect.right >= (box.x + box.w) * width - 1
    if rect.height < height:
        assert rect.bottom >= (box.y + box.h) * height - 1


@given(boxes(), sizes, sizes, st.floats(0, 0.5))
def test_a_crop_is_no_larger_than_bird_and_margin(box: Box, width: int, height: int, margin: float) -> None:
    """Too much surroundings costs the classifier pixels of the bird."""
    rect = square_around(box, width, height, margin)
    longest = max(box.w * width, box.h * height, 48 / (1 + 2 * margin))
    assert max(rect.width, rect.height) <= longest * (1 + 2 * margin) + 1


def frame_of(rgb: np.ndarray[Any, Any], pixel_format: str, at: datetime = AT) -> Frame:
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
    return Frame(picture, luma_of(picture), picture.width, picture.height, at, 0.0, 0.0)


def painted(width: int = 320, height: int = 200) -> np.ndarray[Any, Any]:
    """A smooth picture with strong colours: chroma that is shifted or swapped shows at once."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([255 * x / width, 255 * y / height, 255 * (1 - x / width)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuyv422", "rgb24", "bgr24", "yuvj422p"]
)
@pytest.mark.parametrize("box", [Box(0.31, 0.27, 0.2, 0.33), Box(0.8, 0.8, 0.2, 0.2), Box(0.0, 0.0, 0.11, 0.13)])
def test_colours_are_right_in_every_pixel_format(pixel_format: str, box: Box) -> None:
    """A kingfisher with red and blue swapped is another species."""
    frame = frame_of(painted(), pixel_format)
    rect = square_around(box, frame.width, frame.height)
    expected = frame.av_frame.to_ndarray(format="rgb24")[rect.top : rect.bottom, rect.left : rect.right]
    difference = np.abs(cut_crop(frame, box).astype(int) - expected.astype(int))
    assert difference.mean() < 2.0
    assert difference.max() < 16


def test_grey_cameras_give_grey_crops() -> None:
    """Infra-red at night has no colour planes to read."""
    frame = frame_of(painted(), "gray")
    crop = cut_crop(frame, Box(0.3, 0.3, 0.2, 0.2))
    assert (crop[..., 0] == crop[..., 2]).all()


def test_odd_sizes_and_padded_rows_do_not_shift_the_colours() -> None:
    """Cameras with 1366×769 pixels exist; the padding of their rows is not picture."""
    frame = frame_of(painted(333, 201), "yuv420p")
    crop = cut_crop(frame, Box(0.9, 0.9, 0.1, 0.1))
    assert abs(int(crop[-1, -1, 1]) - 254) < 12


def test_a_crop_survives_encoding() -> None:
    """What is classified is what is on the disk."""
    from PIL import Image

    rgb = painted(64, 64)
    crop = encode_crop(rgb)
    import io

    again = np.asarray(Image.open(io.BytesIO(crop.jpeg)))
    assert (crop.width, crop.height) == (64, 64)
    assert np.abs(again.astype(int) - rgb).mean() < 2
