"""Where cameras keep their small stream: known by the path of the main one, and nothing else of the address changes."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from birdwatchd.commands.setup.stream_paths import main_streams, small_streams

CAMERA = "rtsp://admin:${CAM_PASSWORD}@192.0.2.10:8554"


@pytest.mark.parametrize(
    ("main", "small"),
    [
        ("/Streaming/Channels/101", "/Streaming/Channels/102"),
        ("/Streaming/Channels/1601", "/Streaming/Channels/1602"),
        ("/cam/realmonitor?channel=2&subtype=0", "/cam/realmonitor?channel=2&subtype=1"),
        ("/h264Preview_01_main", "/h264Preview_01_sub"),
        ("/h265Preview_03_main", "/h264Preview_03_sub"),
        ("/Preview_01_main", "/h264Preview_01_sub"),
        ("/stream1", "/stream2"),
        ("/axis-media/media.amp", "/axis-media/media.amp?resolution=640x360"),
        ("/s0", "/s1"),
        ("/videoMain", "/videoSub"),
        ("/live/ch0", "/live/ch1"),
        ("/live/ch00_0", None),
        ("/ch0_0.h264", "/ch0_1.h264"),
        ("/11", "/12"),
        ("/onvif1", "/onvif2"),
        ("/onvif/profile1/media.smp", "/onvif/profile2/media.smp"),
        ("/user=admin_password=x_channel=1_stream=0.sdp", "/user=admin_password=x_channel=1_stream=1.sdp"),
        ("/h264/ch1/main/av_stream", "/h264/ch1/sub/av_stream"),
        ("/0123456789abcdef", None),
    ],
)
def test_the_small_stream_of_a_main_stream(main: str, small: str | None) -> None:
    """Most cameras have one, its owner does not know, and without it birdwatchd decodes the large one day and night."""
    found = [address for _, address in small_streams(CAMERA + main, 1920, 1080)]
    assert found[:1] == ([] if small is None else [CAMERA + small])


def test_a_small_picture_has_the_shape_of_the_large_one() -> None:
    """Places are given in fractions of the frame; what is cut off at the sides would move them all."""
    assert [address for _, address in small_streams(f"{CAMERA}/axis-media/media.amp", 1600, 1200)] == [
        f"{CAMERA}/axis-media/media.amp?resolution=640x480"
    ]


def test_only_the_path_is_guessed() -> None:
    """Passwords go to the camera that they were given for, and HTTP addresses may be commands to a camera."""
    tried = list(main_streams(CAMERA))
    assert len(tried) > 10
    for _, address in tried:
        assert urlsplit(address)[:2] == urlsplit(CAMERA)[:2]
        assert all(urlsplit(one)[:2] == urlsplit(CAMERA)[:2] for _, one in small_streams(address, 1920, 1080))
    assert list(small_streams("http://192.0.2.10/main.mjpg", 1920, 1080)) == []
    assert list(small_streams("/srv/main.mp4", 1920, 1080)) == []
