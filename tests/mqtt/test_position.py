"""The station's position is known to its sunrise and to nothing that leaves the machine."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest

from birdwatchd.address import Source
from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.build import build_mqtt
from birdwatchd.records import new_visit_id
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.store import Store
from birdwatchd.testing import START, example_moment, example_visit
from tests.support import homes

PACKAGE = Path(__file__).parents[2] / "birdwatchd"
LATITUDE, LONGITUDE = 31.8765432, 35.1234567
DIGITS = (b"31.87", b"35.12", b"8765432", b"1234567")


def config_at(home: Path) -> Config:
    """Everything is on, and an alert goes by the sun, for which the position is read."""
    return Config.model_validate(
        {
            "home": home,
            "station": {"latitude": LATITUDE, "longitude": LONGITUDE, "timezone": "Asia/Jerusalem"},
            "cameras": {"nut": CameraSettings(source=Source("rtsp://192.0.2.10/main"))},
            "mqtt": {"url": "mqtt://192.0.2.1", "commands": ["enable", "confirm", "retract"]},
            "alerts": [
                {"name": "all", "when": ["every"], "to": ["hook"], "hours": ["sunrise..sunset"], "mqtt_image": True}
            ],
            "channels": {"hook": {"webhook": "http://192.0.2.2/hook"}},
        }
    )


def test_no_message_and_no_picture_holds_the_position(tmp_path: Path) -> None:
    """Where a rare bird nests is worth money to the wrong people, and a garden is somebody's home."""
    config = config_at(tmp_path)
    with Store.open(tmp_path, zone=config.station.zone) as store:
        decide = build_alert_engine(config)
        service = build_mqtt(
            store, config.mqtt, config.station.name, config.cameras, Metrics(), decide=decide, clock=lambda: START
        )
        visit = example_visit(new_visit_id(START, 1))
        row = example_moment(jpeg=homes.picture(1))
        service.writer.record(visit, [row], START + timedelta(seconds=9))
        rows = [*store.outbox.pending(0, 100, None), *store.outbox.pending(0, 100, "hook")]
        retained = service.publisher._retained
        assert retained is not None
        sent = [row.message for row in rows] + retained.discovery.messages
        crops = [path.read_bytes() for path in (tmp_path / "media").rglob("*.jpg")]
    topics = {message.topic for message in sent}
    assert any("alert" in topic for topic in topics)
    assert len(topics) >= 6
    for data in (*(message.payload for message in sent), *(topic.encode() for topic in topics), *crops):
        assert not any(digits in data for digits in DIGITS)
        assert b"latitude" not in data
        assert b"GPS" not in data
    assert len(crops) == 1


@pytest.mark.parametrize("word", ["latitude", "longitude"])
def test_what_sends_or_stores_does_not_ask_for_the_position(word: str) -> None:
    """What nobody reads, nobody can send by mistake."""
    parts = ("camera", "channels", "monitor", "mqtt", "species", "stages", "store")
    for path in (path for part in parts for path in (PACKAGE / part).rglob("*.py")):
        if path == PACKAGE / "monitor" / "masking.py":  # takes it out of the log
            continue
        named = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert word not in named, path
