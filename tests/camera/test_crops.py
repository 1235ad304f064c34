"""Crop geometry and colour: the picture that is classified and kept."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from birdwatchd.camera.capture.frame import Frame, luma_of
from birdwatchd.camera.crops import Cut, cut_crop, encode_crop, square_around
from birdwatchd.records import Box
from birdwatchd.seen_part import PixelRect, seen_part

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


def seen(cut: Cut) -> np.ndarray[Any, Any]:
    """What the network sees of a crop before it is encoded."""
    return cut.rgb[cut.seen.top : cut.seen.bottom, cut.seen.left : cut.seen.right]


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
    difference = np.abs(seen(cut_crop(frame, box)).astype(int) - expected.astype(int))
    assert difference.mean() < 2.0
    assert difference.max() < 16


def test_grey_cameras_give_grey_crops() -> None:
    """Infra-red at night has no colour planes to read."""
    frame = frame_of(painted(), "gray")
    crop = cut_crop(frame, Box(0.3, 0.3, 0.2, 0.2)).rgb
    assert (crop[..., 0] == crop[..., 2]).all()


def test_odd_sizes_and_padded_rows_do_not_shift_the_colours() -> None:
    """Cameras with 1366×769 pixels exist; the padding of their rows is not picture."""
    frame = frame_of(painted(333, 201), "yuv420p")
    crop = cut_crop(frame, Box(0.9, 0.9, 0.1, 0.1)).rgb
    assert abs(int(crop[-1, -1, 1]) - 254) < 12


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))


def test_a_crop_survives_encoding() -> None:
    """What is classified is what is on the disk."""
    rgb = painted(64, 64)
    crop = encode_crop(Cut(rgb, PixelRect(0, 0, 64, 64)))
    again = np.asarray(seen_part(opened(crop.jpeg)))
    assert (crop.width, crop.height) == (64, 64)
    assert np.abs(again.astype(int) - rgb).mean() < 2


@pytest.mark.parametrize("box", [Box(0.4, 0.4, 0.1, 0.15), Box(0.0, 0.8, 0.2, 0.2), Box(0.9, 0.0, 0.03, 0.03)])
def test_a_tail_beside_the_box_is_in_the_picture(box: Box) -> None:
    """ "The photo of my alert shows half a bird": what moved was its head, and the picture ended at its wing."""
    width, height = 1280, 720
    cut = cut_crop(frame_of(painted(width, height), "yuv420p"), box)
    around = square_around(box, width, height)
    assert (cut.seen.width, cut.seen.height) == (around.width, around.height)
    lost = 8  # whole blocks of the JPEG only
    assert cut.rgb.shape[1] > 1.4 * cut.seen.width - lost
    assert cut.rgb.shape[0] > 1.4 * cut.seen.height - lost


@given(boxes(), st.integers(16, 1600), st.integers(16, 1600))
@settings(max_examples=60, deadline=None)
def test_what_the_network_sees_lies_in_the_picture_where_the_bird_is(box: Box, width: int, height: int) -> None:
    """A square beside the bird would be classified, and the name would be the feeder's."""
    luma = np.zeros((height, width), np.uint8)
    frame = Frame(av.VideoFrame.from_ndarray(luma, format="gray"), luma, width, height, AT, 0.0, 0.0)
    rect = square_around(box, width, height)
    luma[rect.top : rect.bottom, rect.left : rect.right] = 255
    cut = cut_crop(frame, box)
    assert cut.seen.left % 8 == cut.seen.top % 8 == 0  # a block of the JPEG begins there
    assert max(cut.seen.width, cut.seen.height) == min(640, max(rect.width, rect.height))
    assert seen(cut).min() == 255
    if cut.rgb.shape[:2] != (cut.seen.height, cut.seen.width):
        beside = cut.rgb.copy()
        beside[cut.seen.top : cut.seen.bottom, cut.seen.left : cut.seen.right] = 0
        assert not beside[:: max(1, beside.shape[0] - 1), :: max(1, beside.shape[1] - 1)].any()


def test_what_is_around_does_not_change_what_the_network_sees() -> None:
    """A passer-by beside the bird must not change its name: not by a grey level, but for the last, cut block."""
    calm = painted(640, 480)
    busy = np.random.default_rng(1).integers(0, 256, calm.shape, np.uint8)
    box = Box(0.4, 0.4, 0.15, 0.2)
    rect = square_around(box, 640, 480)
    busy[rect.top : rect.bottom, rect.left : rect.right] = calm[rect.top : rect.bottom, rect.left : rect.right]
    one, other = (
        np.asarray(seen_part(opened(encode_crop(cut_crop(frame_of(f, "rgb24"), box)).jpeg))) for f in (calm, busy)
    )
    blocks = rect.width // 8 * 8
    assert (one[:blocks, :blocks] == other[:blocks, :blocks]).all()


def test_colours_at_the_rim_of_what_is_seen_do_not_come_from_around_it() -> None:
    """Colours have half the resolution of light and are drawn out from their neighbours, which lie beyond that rim."""
    box = Box(0.4, 0.4, 0.125, 0.1)
    rect = square_around(box, 640, 480)
    cuts = []
    for around in (0, 255):
        colours = np.full((2, 240, 320), around, np.uint8)
        colours[:, rect.top // 2 : -(-rect.bottom // 2), rect.left // 2 : -(-rect.right // 2)] = 100
        yuv = np.concatenate([np.full((480, 640), 90, np.uint8), colours.reshape(240, 640)])
        picture = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
        cuts.append(cut_crop(Frame(picture, luma_of(picture), 640, 480, AT, 0.0, 0.0), box))
    assert (cuts[0].rgb[0, 0] != cuts[1].rgb[0, 0]).any()
    assert (seen(cuts[0]) == seen(cuts[1])).all()


def test_a_large_bird_is_seen_as_if_it_were_cut_out_alone() -> None:
    """Scaled down with its surroundings it would lie between pixels, and be seen otherwise by some grey levels."""
    noise = np.random.default_rng(2).integers(0, 256, (1080, 1920, 3), np.uint8)
    box = Box(0.31, 0.25, 0.3, 0.45)
    rect = square_around(box, 1920, 1080)
    alone = cv2.resize(noise[rect.top : rect.bottom, rect.left : rect.right], (640, 640), interpolation=cv2.INTER_AREA)
    cut = cut_crop(frame_of(noise, "rgb24"), box)
    assert (seen(cut) == alone).all()
    assert cut.rgb.shape[1] > 760
