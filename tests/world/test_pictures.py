"""Pictures of birds as users of other programs reported them: cut off, empty, or classified from the wrong pixels."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import av
import numpy as np
import pytest
from PIL import Image

from birdwatchd.camera.capture.frame import Frame, luma_of
from birdwatchd.camera.crops import Cut, cut_crop, encode_crop
from birdwatchd.records import Box
from birdwatchd.seen_part import seen_part
from birdwatchd.store.rescue.exif import with_exif

AT = datetime(2026, 5, 1, tzinfo=UTC)


def cut_at(box: Box, width: int = 640, height: int = 480) -> Cut:
    """Cut a bird out of a frame of which each pixel says by its brightness how far to the right it is."""
    row = np.linspace(16, 235, width).astype(np.uint8)
    luma = np.repeat(row[None], height, axis=0)
    picture = av.VideoFrame.from_ndarray(luma, format="gray")
    return cut_crop(Frame(picture, luma_of(picture), width, height, AT, 0.0, 0.0), box)


def test_a_bird_that_is_near_is_not_cut_to_its_box() -> None:
    """Snapshots are cut to ten percent around the object: of one that is near nothing else shows, and a tail is off."""
    cut = cut_at(Box(0.3, 0.25, 0.375, 0.5))  # 240 × 240 pixels, the longer side of what moved
    assert cut.rgb.shape[0] > 1.9 * 240
    assert cut.rgb.shape[1] > 1.9 * 240


@pytest.mark.parametrize(
    "box",
    [
        Box(0.45, -0.003, 0.3, 0.6),
        Box(-0.02, 0.3, 0.1, 0.1),
        Box(0.95, 0.95, 0.08, 0.08),
        Box(-0.2, -0.2, 1.4, 1.4),
        Box(0.999, 0.5, 0.0, 0.0),
    ],
)
def test_a_box_a_little_out_of_the_frame_gives_a_picture(box: Box) -> None:
    """A detection at the edge had a corner at -2, and the crop was 0 pixels high: the program ended in the encoder."""
    cut = cut_at(box)
    crop = encode_crop(cut)
    assert (crop.width, crop.height) == cut.rgb.shape[1::-1]
    assert 0 <= cut.seen.left < cut.seen.right <= crop.width
    assert 0 <= cut.seen.top < cut.seen.bottom <= crop.height
    assert seen_part(Image.open(io.BytesIO(crop.jpeg))).size == (cut.seen.width, cut.seen.height)


def test_a_comment_in_exif_does_not_hide_the_other_comment() -> None:
    """A program asked for the comment of a JPEG and got none, since another one stood in its Exif: ours have both."""
    crop = encode_crop(cut_at(Box(0.5, 0.5, 0.1, 0.1)))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0birdwatchd sees 9x9+0+0 of 9x9"
    picture = Image.open(io.BytesIO(with_exif(crop.jpeg, exif.tobytes())))
    assert picture.getexif().get_ifd(0x8769)[0x9286]
    assert picture.info["comment"].startswith(b"birdwatchd sees ")
    assert seen_part(picture).size == seen_part(Image.open(io.BytesIO(crop.jpeg))).size != picture.size
