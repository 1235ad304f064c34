"""Where the page is served and who may see it; and what of the configuration its process gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from birdwatchd.errors import ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import load_config, parse_config
from birdwatchd.settings.web import WebSettings

EXAMPLE = Path(__file__).parents[2] / "config" / "birdwatchd.yaml"


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("", "127.0.0.1:8787"),
        ("web: off", ""),
        ("web: on", "127.0.0.1:8787"),
        ("web: {bind: 9000}", "127.0.0.1:9000"),
        ("web: {bind: off}", ""),
        ("web: {bind: '[::1]:9000'}", "[::1]:9000"),
        ("web: {bind: '0.0.0.0:9000', password_file: /x}", "0.0.0.0:9000"),
    ],
)
def test_where_the_page_is(text: str, bind: str) -> None:
    """Only this machine, unless somebody says otherwise."""
    assert parse_config(text, "site.yaml", {}).web.bind == bind


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("web: {bind: '0.0.0.0:80'}", "can be reached from other machines and has no password; set password_file"),
        ("web: {bind: '192.0.2.7:80'}", "can be reached from other machines and has no password"),
        ("web: {bind: '[::]:80'}", "can be reached from other machines and has no password"),
        ("web: {bind: localhost}", "is not an address with a port"),
        ("web: {hosts: ['http://a']}", "name 'http://a' is not that of a host"),
        ("web: {ingress: '0.0.0.0'}", "is not an address with a port"),
        ("web: {ingress: '0.0.0.0:8787'}", "has the port of bind; give it another one"),
        (
            "web: {ingress: '0.0.0.0:8099', ingress_peers: [homeassistant]}",
            "'homeassistant' is not an address or network",
        ),
        ("web: {bind: off, ingress: '0.0.0.0:8099'}", "a page that is off; set bind"),
        ("web: {guest: true}", "without one everybody is its owner; set password_file"),
        ("web: {port: 80}", "is not a known key; allowed here: bind, guest, hosts, ingress"),
    ],
)
def test_a_page_for_others_needs_a_password(text: str, problem: str) -> None:
    """A forgotten password shows a garden, and who is at home, to the whole network."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "site.yaml", {})
    assert problem in str(caught.value)


def test_the_address_that_is_printed_has_the_path(tmp_path: Path) -> None:
    """Who follows it must come to the page; and a page that is off has no address."""
    assert WebSettings(root_path="/birds").local_url == "http://127.0.0.1:8787/birds"
    assert WebSettings(bind="[::]:80", root_path="/a/b/", password_file=tmp_path).local_url == "http://[::1]:80/a/b"
    assert WebSettings().local_url == "http://127.0.0.1:8787"
    assert WebSettings(bind="", root_path="/birds").local_url == ""


def test_the_pages_process_gets_no_secret() -> None:
    """It talks to browsers: what it does not have, nobody gets out of it. All else is as it was."""
    secrets = {"CAM_PASSWORD": "s3cret", "MQTT": "mqtt-pw", "HOOK": "https://hook.example/t0ken"}
    text = EXAMPLE.read_text(encoding="utf-8").replace("password_file: /etc/birdwatchd/mqtt", "#")
    text = text.replace("# password: ${MQTT_PASSWORD}", "password: ${MQTT} #")
    text = text.replace("apprise_file: /etc/birdwatchd/push-address", "webhook: ${HOOK}")
    config = parse_config(text, "site.yaml", secrets)
    assert config.mqtt.password.reveal() == "mqtt-pw"
    line = json.dumps(config.without_secrets())
    assert [word for word in ("s3cret", "mqtt-pw", "t0ken", "192.0.2.10") if word in line] == []
    again = Config.model_validate(json.loads(line))
    for part in ("station", "home", "model", "species", "alerts", "retention", "metrics", "web", "log"):
        assert getattr(again, part) == getattr(config, part), part
    assert again.mqtt.url == config.mqtt.url
    assert {key: camera.zones for key, camera in again.cameras.items()} == {
        key: camera.zones for key, camera in config.cameras.items()
    }
    assert again.channels["phone"].image
    assert again.visit_alerts == config.visit_alerts


def test_an_empty_configuration_goes_as_well() -> None:
    """The demo's is made without a file."""
    config = load_config(None)
    assert Config.model_validate(json.loads(json.dumps(config.without_secrets()))) == config
