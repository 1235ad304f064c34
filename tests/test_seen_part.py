"""The mark of what the network sees, in a JPEG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from birdwatchd.seen_part import PixelRect, seen_part, with_mark
from birdwatchd.store.rescue.exif import with_exif, without_exif

SIZE = (64, 48)


def jpeg(comment: bytes | None = None) -> bytes:
    """A red picture with a blue part at 16, 8 … 40, 32."""
    picture = Image.new("RGB", SIZE, (220, 30, 30))
    picture.paste((30, 30, 220), (16, 8, 40, 32))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, subsampling=0, comment=comment)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=("JPEG",))


def is_blue(picture: Image.Image) -> bool:
    red, _, blue = np.asarray(picture.convert("RGB")).reshape(-1, 3).T
    return bool(blue.min() > 200 and red.max() < 60)


MARKED = with_mark(jpeg(), PixelRect(16, 8, 40, 32), *SIZE)


def test_the_marked_part_is_seen_and_nothing_else() -> None:
    """Seen with all that is around it, a titmouse in a hedge is a hedge."""
    part = seen_part(opened(MARKED))
    assert part.size == (24, 24)
    assert is_blue(part)
    assert opened(MARKED).size == SIZE  # a person sees all of it


def test_a_picture_of_an_older_version_is_seen_as_a_whole() -> None:
    """`relabel` after an update must not lose the pictures of years; so must not a photo with a comment of its own."""
    for picture in (jpeg(), jpeg(comment=b"my garden")):
        assert seen_part(opened(picture)).size == SIZE
    assert with_mark(jpeg(), PixelRect(0, 0, *SIZE), *SIZE) == jpeg()


def test_the_mark_stays_when_the_note_changes() -> None:
    """A review writes the note in the picture anew, and MQTT sends it without: both must still be classified alike."""
    noted = with_exif(MARKED, Image.Exif().tobytes() or b"Exif\0\0")
    for picture in (noted, without_exif(noted), with_exif(noted, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")):
        assert is_blue(seen_part(opened(picture)))
    assert without_exif(noted) == MARKED


def test_what_was_cut_or_scaled_afterwards_is_not_cut_again() -> None:
    """Somebody crops the picture in a program that keeps comments: the mark then points beside the bird."""
    part = seen_part(opened(MARKED))
    assert seen_part(part) is part
    half = opened(MARKED).resize((32, 24))
    assert half.info["comment"]
    assert seen_part(half) is half


@pytest.mark.parametrize(
    "mark",
    [
        b"birdwatchd sees 0x24+16+8 of 64x48",
        b"birdwatchd sees 24x24+60+8 of 64x48",
        b"birdwatchd sees 24x24+16+30 of 64x48",
        b"birdwatchd sees 24x24+16+8 of 640x480",
        b"birdwatchd sees 24x24+-1+8 of 64x48",
        b"birdwatchd sees 24x24+16+8 of 64x48 and more",
    ],
)
def test_a_mark_that_does_not_fit_counts_for_nothing(mark: bytes) -> None:
    """A camera process that was taken over writes it: no crash, and no part outside the picture."""
    picture = opened(jpeg(comment=mark))
    assert seen_part(picture) is picture


@given(st.binary(max_size=80) | st.from_regex(rb"\Abirdwatchd sees \d{1,6}x\d{1,6}\+\d{1,6}\+\d{1,6} of 64x48\Z"))
def test_no_comment_gives_an_empty_part(comment: bytes) -> None:
    """Whatever it says, there is something to classify."""
    picture = Image.new("RGB", SIZE)
    picture.info["comment"] = comment
    part = seen_part(picture)
    assert 0 < part.width <= SIZE[0]
    assert 0 < part.height <= SIZE[1]
