"""The configuration: what is read, and how each mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.config import CameraSettings, MqttSettings, Secret, Source, load_config, parse_config
from birdwatchd.errors import ConfigError

EXAMPLE = Path(__file__).parent.parent / "config" / "birdwatchd.yaml"


def problems(text: str, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "site.yaml", environ)
    assert caught.value.exit_status == 2
    return caught.value.problems


def test_the_commented_example_is_valid() -> None:
    """People start from this file; if it does not load, nothing does."""
    config = load_config(EXAMPLE, {"CAM_PASSWORD": "s3cret"})
    camera = config.cameras["nut_feeder"]
    assert camera.source.location == "rtsp://192.0.2.10/main"
    assert camera.source.password.reveal() == "s3cret"
    assert config.mqtt.port == 8883
    assert config.mqtt.tls


def test_the_example_shows_every_key() -> None:
    """A key that is not in the example does not exist for its readers."""
    text = EXAMPLE.read_text(encoding="utf-8")
    hidden = {"latitude", "longitude", "cert_file", "key_file", "password"}
    for model in (CameraSettings, MqttSettings):
        for key in set(model.model_fields) - hidden:
            assert f"{key}:" in text, key


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("station: {nme: x}", "site.yaml:1: station.nme is not a known key; allowed here: latitude, longitude, name"),
        ("cameras:\n  nut:\n    source: a.mp4\n    min_bird: -3", "site.yaml:4: cameras.nut.min_bird is -3; use 8 or"),
        ("cameras:\n  nut:\n    source: a.mp4\n    min_bird: big", "site.yaml:4: cameras.nut.min_bird is 'big'; use "),
        ("cameras:\n  nut: {source: 'exec:rm -rf /'}", "site.yaml:2: cameras.nut.source uses the forbidden"),
        ("cameras:\n  nut: {source: 'concat:a|b'}", "site.yaml:2: cameras.nut.source uses the forbidden"),
        ("cameras:\n  nut: {source: /dev/sda}", "site.yaml:2: cameras.nut.source names a device that is no camera"),
        ("cameras:\n  nut: {min_bird: 20}", "site.yaml:2: cameras.nut is missing a required key"),
        ("cameras:\n  Nut: {source: a.mp4}", "site.yaml:1: cameras name 'Nut' goes into topics"),
        ("\n\nmodel: {device: gpu}", "site.yaml:3: model.device is 'gpu'; use a value that matches"),
        ("model: {precision: int4}", "site.yaml:1: model.precision is 'int4'; use one of 'auto', 'float32'"),
        ("mqtt: {url: 'tcp://x'}", "site.yaml:1: mqtt.url is no broker address"),
        ("home: a\nhome: b", "site.yaml:2: home is given twice"),
        ("cameras: [1", "site.yaml:1: is not valid YAML"),
        ("- 1", "site.yaml:1: is not a mapping"),
        ("station: {timezone: Mars/Base}", "site.yaml:1: station.timezone is no time zone"),
    ],
)
def test_each_mistake_names_file_line_key_and_remedy(text: str, line: str) -> None:
    """Whoever edits YAML at a reserve station has one terminal and no documentation."""
    assert problems(text)[0].startswith(line)


def test_every_mistake_is_named_at_once() -> None:
    """Fixing one error only to meet the next is what makes people give up."""
    found = problems("station: {nme: x}\nmodel: {device: gpu}\nmqtt: {base: 'a b'}\n")
    assert len(found) == 3


def test_a_missing_variable_is_named_not_replaced_by_nothing() -> None:
    """An empty password would be tried against the camera until it locks the account."""
    text = "cameras:\n  nut:\n    source: rtsp://u:${CAM_PASSWORD}@h/1\n"
    assert problems(text) == (
        "site.yaml:3: cameras.nut.source needs the environment variable CAM_PASSWORD, which is not set; "
        "export CAM_PASSWORD=… before starting",
    )


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    """systemd credentials are forgotten easily; the message must say which file."""
    settings = MqttSettings(url="mqtt://h", password_file=tmp_path / "none")
    with pytest.raises(ConfigError, match="none cannot be read"):
        settings.read_password()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=6))
def test_no_password_is_ever_printed(password: str) -> None:
    """Logs and bug reports are public; what stands in them is known to everybody."""
    from urllib.parse import quote

    password = f"pw{password}"
    source = Source(f"rtsp://user:{quote(password, safe='')}@host.example/main")
    settings = CameraSettings(source=source)
    assert source.password.reveal() == password
    for shown in (str(source), repr(source), str(settings), repr(settings), str(settings.model_dump())):
        assert password not in shown
    assert str(Secret(password)) == repr(Secret(password)) == "***"


def test_a_wrong_address_with_a_password_is_not_shown() -> None:
    """The error about an address must not leak what is in it."""
    found = problems("cameras:\n  nut: {source: 'ftp://user:hunter22@host/x'}\nmqtt: {url: 'http://u:hunter22@h'}")
    assert len(found) == 2
    assert "hunter22" not in "".join(found)


@pytest.mark.parametrize(
    ("text", "kind", "location"),
    [
        ("rtsp://a:b@h:554/x?y=1", "rtsp", "rtsp://h:554/x?y=1"),
        ("https://h/stream.mjpg", "http", "https://h/stream.mjpg"),
        ("/dev/video2", "device", "/dev/video2"),
        ("clips/a b.mp4", "file", "clips/a b.mp4"),
        ("file:///srv/a%20b.mkv", "file", "/srv/a b.mkv"),
        ("rtsp://[2001:db8::1]:8554/x", "rtsp", "rtsp://[2001:db8::1]:8554/x"),
    ],
)
def test_sources_are_told_apart(text: str, kind: str, location: str) -> None:
    """How a source is opened, and which protocols libav may use for it, follows from its kind."""
    source = Source(text)
    assert (source.kind, source.location) == (kind, location)


def test_credentials_survive_the_way_to_the_camera_process() -> None:
    """Passwords with odd characters are common; a re-quoting bug looks like a wrong password."""
    settings = CameraSettings(source=Source("rtsp://us%40er:p%2Fa%3As%25s@h/1"))
    again = CameraSettings.model_validate(settings.reveal())
    assert again == settings
    assert again.source.password.reveal() == "p/a:s%s"
