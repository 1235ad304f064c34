"""What may be written about the broker, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdwatchd.errors import ConfigError
from birdwatchd.settings.load import parse_config
from birdwatchd.settings.mqtt import MqttSettings


def test_certificates_without_tls_are_a_mistake() -> None:
    """Who names an authority believes that the password goes there encrypted; with mqtt:// nothing is."""
    for key in ("ca_file: ca.pem", "cert_file: me.pem, key_file: me.key"):
        with pytest.raises(ConfigError, match=r"so all would be sent in the clear; write mqtts://$"):
            parse_config(f"mqtt: {{url: 'mqtt://h:8883', {key}}}", "x", {})
        assert parse_config(f"mqtt: {{url: 'mqtts://h', {key}}}", "x", {}).mqtt.tls


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    """systemd credentials are forgotten easily; the message must say which file."""
    settings = MqttSettings(url="mqtt://h", username="u", password_file=tmp_path / "none")
    with pytest.raises(ConfigError, match="none cannot be read"):
        settings.read_password()


def test_a_password_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """A key file in its place is an error of the configuration, not of the program."""
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    settings = MqttSettings(url="mqtt://h", username="u", password_file=tmp_path / "key")
    with pytest.raises(ConfigError, match="key is not UTF-8 text"):
        settings.read_password()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("heartbeat: 17:30", "17:30"),  # YAML 1.1 reads a number of base 60
        ("heartbeat: 07:00", "07:00"),
        ("heartbeat: 0:00", None),
        ("heartbeat: '00:00'", "00:00"),
        ("heartbeat: off", ""),
        ("heartbeat: ''", ""),
        ("heartbeat: 24:00", None),
        ("heartbeat: noon", None),
        ("heartbeat: true", None),
        ("heartbeat: 7", None),  # once seven minutes past midnight
        ("heartbeat: 7:05", "07:05"),
    ],
)
def test_the_time_of_the_heartbeat(text: str, expected: str | None) -> None:
    """People write times without quotes; a wrong one is an error, never another time of day."""
    if expected is None:
        with pytest.raises(ConfigError, match=r"mqtt\.heartbeat"):
            parse_config(f"mqtt:\n  {text}\n", "x.yaml", {})
        return
    config = parse_config(f"mqtt:\n  {text}\n", "x.yaml", {})
    assert config.mqtt.heartbeat == expected
    assert (config.mqtt.heartbeat_at is None) == (expected == "")
