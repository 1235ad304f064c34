"""What people say of their station is understood as they write it, or refused with what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdwatchd.commands.setup.given import broker_of, camera_of, position_of, slug_of, system_zone, zone_of
from birdwatchd.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.1.20", "rtsp://192.168.1.20"),
        ("192.168.1.20:8554", "rtsp://192.168.1.20:8554"),
        ("camera.local", "rtsp://camera.local"),
        ("admin:secret@192.168.1.20", "rtsp://admin:secret@192.168.1.20"),
        (" rtsp://u:p@h/1 ", "rtsp://u:p@h/1"),
        ("/dev/video0", "/dev/video0"),
        ("rtsp://admin:pa#1/2?@192.168.1.20:554/stream1", "rtsp://admin:pa%231%2F2%3F@192.168.1.20:554/stream1"),
    ],
)
def test_a_camera(text: str, address: str) -> None:
    """What one reads from the router's list is a host."""
    assert camera_of(text) == address


@pytest.mark.parametrize(
    "text", ["", "my garden camera", "exec:reboot", "ftp://h/1", "/no/such.mp4", "rtsp://u:hunter2/x@h@b/1"]
)
def test_no_camera(text: str) -> None:
    """Without the password that may be in it."""
    with pytest.raises(ConfigError) as caught:
        camera_of(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("52.52, 13.40", (52.52, 13.40)),
        ("-33.86;151.2", (-33.86, 151.2)),
        ("52 13", (52.0, 13.0)),
        ("", None),
        ("None", None),
    ],
)
def test_a_position(text: str, position: tuple[float, float] | None) -> None:
    """As maps give it when one clicks on a place."""
    assert position_of(text) == position


@pytest.mark.parametrize("text", ["Berlin", "95, 13", "52.52", "13, 200"])
def test_no_position(text: str) -> None:
    """A wrong one would shift sunrise without a word."""
    with pytest.raises(ConfigError, match="write latitude, longitude"):
        position_of(text)


def test_a_zone() -> None:
    """Nobody knows the slashes and capitals by heart."""
    assert zone_of("europe/berlin") == zone_of("Berlin") == "Europe/Berlin"
    assert zone_of("new york") == "America/New_York"
    assert zone_of("UTC") == "UTC"
    with pytest.raises(ConfigError, match="is it America/Indiana/Indianapolis or"):
        zone_of("Indiana")
    with pytest.raises(ConfigError, match="write for example Europe/Berlin"):
        zone_of("Mars")


def test_the_zone_of_the_machine(tmp_path: Path) -> None:
    """It is nearly always the right one; where it cannot be told, UTC is at least no lie about another place."""
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Asia/Kathmandu")
    assert system_zone({}, link) == "Asia/Kathmandu"
    assert system_zone({"TZ": ":Europe/Berlin"}, link) == "Europe/Berlin"
    assert system_zone({"TZ": "CET-1CEST"}, tmp_path / "none") == "UTC"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.168.1.5", ("mqtt://192.168.1.5", "", "")),
        ("homeassistant.local:1884", ("mqtt://homeassistant.local:1884", "", "")),
        ("mqtts://bird:a%40b@h", ("mqtts://h", "bird", "a@b")),
        ("mqtt://bird:a#b/c@h:1884", ("mqtt://h:1884", "bird", "a#b/c")),
        ("none", ("", "", "")),
        ("", ("", "", "")),
    ],
)
def test_a_broker(text: str, said: tuple[str, str, str]) -> None:
    """Other programs take user and password in the address; here they are keys of their own."""
    assert broker_of(text) == said


@pytest.mark.parametrize("text", ["http://u:hunter2@h", "mqtt://", "mqtt://u:hunter2@h:99999", "mqtt://h/topic"])
def test_no_broker(text: str) -> None:
    """Without the password that may be in it."""
    with pytest.raises(ConfigError) as caught:
        broker_of(text)
    assert "hunter2" not in str(caught.value)


def test_a_name() -> None:
    """It goes into topics."""
    assert slug_of(" My Garden! ") == "my_garden"
    with pytest.raises(ConfigError, match="cannot be a name"):
        slug_of("庭")
    assert slug_of("x" * 64) == "x" * 64
    with pytest.raises(ConfigError, match="has 65 letters; give a short one of at most 64"):
        slug_of("x" * 65)  # cut silently, it was another name in every topic
