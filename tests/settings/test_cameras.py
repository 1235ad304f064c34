"""A camera's settings: the smallest bird follows the picture unless somebody says otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from birdwatchd.address import Source
from birdwatchd.camera.motion.grid import Grid
from birdwatchd.errors import ConfigError
from birdwatchd.settings.cameras import CameraSettings, auto_min_bird
from birdwatchd.settings.load import parse_config

SIDES = st.integers(16, 8192)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ((1920, 1080), 24),
        ((1080, 1920), 24),
        ((3840, 2160), 48),
        ((2560, 1440), 32),
        ((1280, 720), 20),
        ((1280, 666), 20),
    ],
)
def test_the_smallest_bird_is_a_share_of_the_picture(size: tuple[int, int], pixels: int) -> None:
    """The same bird has twice as many pixels in 4K as in 1080p, and is as interesting."""
    assert CameraSettings(source=Source("a.mp4")).smallest_bird(*size) == pixels


def test_a_number_is_meant_as_it_is_written() -> None:
    """Who has looked at a tuning sheet knows better."""
    settings = CameraSettings.model_validate({"source": "a.mp4", "min_bird": "40"})
    assert settings.min_bird == 40
    assert settings.smallest_bird(320, 240) == settings.smallest_bird(3840, 2160) == 40


@given(SIDES, SIDES)
def test_the_default_never_costs_a_finer_grid_than_1080p(width: int, height: int) -> None:
    """A small camera on a small machine must not cost three times what a large one does."""
    grid = Grid(width, height, auto_min_bird(width, height))
    assert min(grid.shape) <= 270 or auto_min_bird(width, height) >= 24
    assert grid.cell >= 2 or min(width, height) < 80, "pixel by pixel, noise is found"


@given(SIDES, SIDES, st.integers(0, 500))
def test_a_larger_picture_has_no_smaller_birds_in_pixels_and_no_larger_ones_as_a_share(
    width: int, height: int, more: int
) -> None:
    """A sub stream of half the size must not see other birds worse than its size explains, nor lose them all."""
    least = auto_min_bird(width, height)
    assert 10 <= least <= auto_min_bird(width + more, height + more)
    assert auto_min_bird(height, width) == least, "a camera may stand on its side"
    if least not in (10, 20):
        larger = auto_min_bird(2 * width, 2 * height)
        assert least <= larger <= 2 * least + 1


def test_mask_and_clips_together_are_refused_with_their_line() -> None:
    """A clip would show what the mask is to hide; whoever turns both on must hear it before the first visit."""
    mask = "mask: [[[0, 0], [1, 0], [1, 1]]]"
    for keys, said in ((mask, "has a mask and keeps clips"), ("store: nothing", "has store: nothing and keeps clips")):
        with pytest.raises(ConfigError) as caught:
            parse_config(f"cameras:\n  nut: {{source: rtsp://h/1, clips: on, {keys}}}", "site.yaml", {})
        (problem,) = caught.value.problems
        assert problem.startswith(f"site.yaml:2: cameras.nut {said}")
    with pytest.raises(ConfigError, match="store is 'all'; use one of 'crops', 'frames' or 'nothing'"):
        parse_config("cameras: {nut: {source: rtsp://h/1, store: all}}", "site.yaml", {})
    with pytest.raises(ConfigError, match="mask"):
        parse_config("cameras: {nut: {source: rtsp://h/1, mask: [[[0, 0], [1, 0]]]}}", "site.yaml", {})


def test_recordings_of_a_camera_are_as_private_as_the_camera() -> None:
    """Its card is read at home, weeks later; the neighbours' terrace is on it all the same."""
    text = (
        "cameras: {nut: {source: rtsp://h/1, store: frames, mask: [[[0, 0], [1, 0], [1, 1]]], ignore: [], clips: off}}"
    )
    config = parse_config(text, "site.yaml", {})
    settings = config.of_recordings("nut", 40)
    assert (settings.mask, settings.store, settings.min_bird) == (config.cameras["nut"].mask, "frames", 40)
    assert config.of_recordings("scan", "auto") == CameraSettings(source=Source("/"))
    assert config.without_pictures == frozenset()
    assert parse_config(text.replace("frames", "nothing"), "site.yaml", {}).without_pictures == {"nut"}


def test_which_certificate_is_accepted_is_written_as_people_write_it() -> None:
    """YAML makes false of `off`; openssl prints a fingerprint with colons and in capitals."""
    off = CameraSettings.model_validate({"source": "https://cam/x", "tls": False})
    assert off.tls == CameraSettings(source=Source("https://cam/x")).tls == "off"
    printed = ":".join(["AB"] * 32)
    one = CameraSettings.model_validate({"source": "https://cam/x", "tls": "fingerprint", "tls_fingerprint": printed})
    assert one.tls_fingerprint == "ab" * 32
    assert CameraSettings.model_validate(one.reveal()) == one


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls": "fingerprint"}, "tls_fingerprint is missing"),
        ({"tls": "fingerprint", "tls_fingerprint": "abc"}, "is not a SHA-256 fingerprint"),
        ({"tls": "on"}, "'verify', 'fingerprint' or 'off'"),
        ({"memory_mb": 20}, "greater than or equal to 256"),
    ],
)
def test_what_cannot_be_meant_is_an_error(given: dict[str, object], said: str) -> None:
    """A station that accepts any certificate because of a typing error is worse than one that does not start."""
    with pytest.raises(ValidationError, match=said):
        CameraSettings.model_validate({"source": "https://cam/x"} | given)
