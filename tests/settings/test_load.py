"""The configuration: what is read, and how each mistake is named."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from birdwatchd.address import Secret, Source
from birdwatchd.alerts.rules import WHY_NOT
from birdwatchd.commands.arguments import named_cameras, parse_since
from birdwatchd.errors import ConfigError, StoreError
from birdwatchd.settings.alerts import OCCASIONS, AlertSettings
from birdwatchd.settings.base import check_slug
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import load_config, parse_config
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.store.media import Media

EXAMPLE = Path(__file__).parents[2] / "config" / "birdwatchd.yaml"


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
    for model in (CameraSettings, MqttSettings, AlertSettings, ChannelSettings):
        for key in set(model.model_fields) - hidden:
            assert f"{key}:" in text or f"`{key}:`" in text or f"or {key}" in text, key


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("station: {nme: x}", "site.yaml:1: station.nme is not a known key; allowed here: latitude, longitude, name"),
        ('station: {"na\\nme": x}', "site.yaml:1: station.na\\nme is not a known key; allowed here: latitude"),
        ("cameras:\n  nut:\n    source: a.mp4\n    min_bird: -3", "site.yaml:4: cameras.nut.min_bird is -3; use auto"),
        ("cameras:\n  nut:\n    source: a.mp4\n    min_bird: big", "site.yaml:4: cameras.nut.min_bird is 'big'; use "),
        ("cameras:\n  nut: {source: 'exec:rm -rf /'}", "site.yaml:2: cameras.nut.source uses the forbidden"),
        ("cameras:\n  nut: {source: 'concat:a|b'}", "site.yaml:2: cameras.nut.source uses the forbidden"),
        ("cameras:\n  nut: {source: /dev/sda}", "site.yaml:2: cameras.nut.source names a device that is not a camera"),
        ("cameras:\n  nut: {min_bird: 20}", "site.yaml:2: cameras.nut is missing a required key"),
        ("cameras:\n  Nut: {source: a.mp4}", "site.yaml:1: cameras name 'Nut' goes into topics"),
        ("\n\nmodel: {device: gpu}", "site.yaml:3: model.device is 'gpu'; use a value that matches"),
        ("model: {precision: int4}", "site.yaml:1: model.precision is 'int4'; use one of 'auto', 'float32'"),
        ("cameras:\n  nut: {source: ' rtsp://h/1'}", "site.yaml:2: cameras.nut.source has something before its scheme"),
        ('cameras:\n  nut: {source: "/dev/video0\\n"}', "site.yaml:2: cameras.nut.source names a device that is no"),
        ('cameras:\n  "nut\\n": {source: a.mp4}', "site.yaml:1: cameras name 'nut\\n' goes into topics"),
        ('station: {name: "a\\n"}', "site.yaml:1: station.name name 'a\\n' goes into topics"),
        ("station: {name: !binary x}", "site.yaml:1: station.name has the tag !binary, which is not"),
        ("mqtt: {url: 'tcp://x'}", "site.yaml:1: mqtt.url is not a broker address"),
        ("mqtt: {url: 'mqtt://h:abc'}", "site.yaml:1: mqtt.url has a port that is not a number from 1 to 65535"),
        ("mqtt: {url: 'mqtt://h:65536'}", "site.yaml:1: mqtt.url has a port that is not a number from 1 to 65535"),
        ("mqtt: {url: 'mqtt://h:0'}", "site.yaml:1: mqtt.url has a port that is not a number from 1 to 65535"),
        ("mqtt: {url: 'mqtt://h', password: x}", "site.yaml:1: mqtt has a password but no user, so it would not be"),
        ("mqtt: {url: 'mqtt://h', password_file: x}", "site.yaml:1: mqtt has a password but no user, so it would not"),
        ('mqtt: {base: "a/b\\n"}', "site.yaml:1: mqtt.base is not a topic"),
        ("home: a\nhome: b", "site.yaml:2: home is given twice"),
        ("cameras: [1", "site.yaml:1: is not valid YAML"),
        ("- 1", "site.yaml:1: is not a mapping"),
        ("station: {timezone: Mars/Base}", "site.yaml:1: station.timezone is not a time zone"),
        ("alerts:\n- name: r\n  when: [first_evr]", "site.yaml:3: alerts.0.when.0 is not an occasion; use every"),
        ("alerts:\n- name: r\n  when: []", "site.yaml:3: alerts.0.when is empty, so the rule would never notify"),
        ("alerts:\n- name: r\n  states: [rejected]", "site.yaml:3: alerts.0.states.0 is 'rejected'; use one of"),
        ("alerts:\n- name: r\n  cooldown: 30", "site.yaml:3: alerts.0.cooldown is not a length of time; write for"),
        ("alerts:\n- name: r\n  cooldown: 99999d", "site.yaml:3: alerts.0.cooldown is too long; use 3660d or less"),
        ("alerts:\n- name: r\n  quiet: [9:00..x]", "site.yaml:3: alerts.0.quiet.0 is not a span of a day; write"),
        ("alerts:\n- name: r\n  to: [phone]", "site.yaml:3: alerts.0.to has the unknown name phone; configured"),
        ("alerts:\n- name: r\n  cameras: [nut]", "site.yaml:3: alerts.0.cameras has the unknown name nut"),
        ("alerts:\n- name: r\n  zones: [perch]", "site.yaml:3: alerts.0.zones has the unknown name perch"),
        ("alerts:\n- name: r\n  hours: [sunrise..9:00]", "site.yaml:3: alerts.0.hours goes by the sun, but the"),
        ("alerts:\n- {name: r}\n- {name: r}", "site.yaml:3: alerts.1.name 'r' is given to two rules"),
        ("alerts:\n- when: [rare]", "site.yaml:2: alerts.0 is missing a required key"),
        ("alerts:\n- {name: Rare birds}", "site.yaml:2: alerts.0.name 'Rare birds' stands in every message"),
        ("channels:\n  mqtt: {webhook: 'http://h'}", "site.yaml:2: channels.mqtt is not a name for a channel"),
        ("channels:\n  p: {image: true}", "site.yaml:2: channels.p has no address; give one of apprise, apprise_file"),
        ("channels:\n  p: {apprise: x, webhook: 'http://h'}", "site.yaml:2: channels.p has apprise and webhook;"),
        ("channels:\n  p: {apprise: x, headers_file: h}", "site.yaml:2: channels.p has headers_file, which is for"),
        ("channels:\n  p: {apprise: x, max_age: 0s}", "site.yaml:2: channels.p would never send anything"),
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
        "export CAM_PASSWORD=… before starting, or write the value to the file credentials/CAM_PASSWORD",
    )


@pytest.mark.parametrize("text", ['"\\uD83D\\uDC26"', "'${BYTES}'"], ids=["escaped as in JSON", "no UTF-8"])
def test_half_a_character_is_a_mistake(text: str) -> None:
    """It cannot be sent to anybody, and would end the daemon when it is tried."""
    with pytest.raises(ConfigError) as caught:
        parse_config(f"cameras:\n  nut: {{source: a.mp4, name: {text}}}", "site.yaml", {"BYTES": "hunter2\udcff"})
    assert str(caught.value) == "site.yaml:2: cameras.nut.name holds half a character; write it whole, in UTF-8"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=6))
def test_no_password_is_ever_printed(password: str) -> None:
    """Logs and bug reports are public; what stands in them is known to everybody."""
    from urllib.parse import quote

    password = f"pw{password}"
    source = Source(f"rtsp://user:{quote(password, safe='')}@host.example/main")
    settings = CameraSettings(source=source, gate_source=source)
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
    both = Source("rtsp://us%40er:p%2Fa%3As%25s@h/1"), Source("rtsp://us%40er:p%2Fa%3As%25s@h/2")
    settings = CameraSettings(source=both[0], gate_source=both[1])
    again = CameraSettings.model_validate(json.loads(json.dumps(settings.reveal())))
    assert again == settings
    assert again.gate_source is not None
    assert again.gate_source.password.reveal() == "p/a:s%s"
    assert again.source.password.reveal() == "p/a:s%s"


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://admin:s3cr3t/pass@10.0.0.2/main",
        "rtsp://admin:s3cr3t#pass@10.0.0.2/main",
        "rtsp://admin:s3cr3t?pass@10.0.0.2/main",
        "rtsp://admin:4711/s3cr3t@10.0.0.2/main",
        "rtsp://admin:4711#s3cr3t@10.0.0.2/main",
        "rtsp://admin:4711?s3cr3t@10.0.0.2/main",
        "rtsp://admin:a@s3cr3t/b@10.0.0.2/main",
        "rtsp://admin:s3cr3t[@10.0.0.2/main",
        "rtsp://admin:s3cr3t\u2100@10.0.0.2/main",  # urllib quotes a host that Unicode normalization would change
        "rtsp://admin:s3cr3t@10.0.0.2:x/main",
    ],
)
def test_a_password_that_cuts_the_address_is_refused_without_being_shown(address: str) -> None:
    """Passwords with a slash are common; part of one as a host name would be asked of every DNS server, and logged."""
    (found,) = problems(f"cameras:\n  nut: {{source: '{address}'}}")
    assert re.fullmatch(
        r"site\.yaml:2: cameras\.nut\.source has a (host or port that cannot be read; write / # \? \[ and @ in a user "
        r"or password|user or password with / # \? or @ in it; write them) as %2F %23 %3F( %5B)? %40",
        found,
    )
    with pytest.raises(ConfigError) as caught:
        named_cameras([address], 24)
    assert found.partition("has a")[2] == str(caught.value).partition("source number 1 has a")[2]
    assert "s3cr3t" not in "".join(problems(f"mqtt: {{url: '{address.replace('rtsp', 'mqtt')}'}}"))


@pytest.mark.parametrize("address", ["http://cam/a@b.mjpg", "rtsp://admin:p@ss@h/1", "http://u:p@cam:80/v?to=a%40b"])
def test_an_at_sign_that_cuts_nothing_is_no_mistake(address: str) -> None:
    """Refusing what works would be a bug of its own."""
    source = Source(address)
    assert Source(source.reveal()) == source


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://cam/video?user=admin&password=hunter2&fps=5", "http://cam/video?user=***&password=***&fps=5"),
        ("rtsp://ip/user=admin&password=hunter2&channel=1", "rtsp://ip/user=***&password=***&channel=1"),
        ("rtsp://ip/user=admin_password=hunter2_channel=1.sdp", "rtsp://ip/user=***"),
        ("rtsp://ip/password=hunter2/hunter2?x=hunter2", "rtsp://ip/password=***"),
        ("http://cam?size=2&PWD=hunter2", "http://cam?size=2&PWD=***"),
        ("http://cam/v?loginuse=admin&loginpas=hunter2", "http://cam/v?loginuse=***&loginpas=***"),
        ("https://cam/v?apiKey=hunter2&access_token=hunter2", "https://cam/v?apiKey=***&access_token=***"),
        ("http://u:hunter2@cam/v?auth[secret]=hunter2", "http://cam/v?auth[secret]=***"),
        ("http://cam/cgi-bin/mjpg?resolution=640x480", "http://cam/cgi-bin/mjpg?resolution=640x480"),
    ],
)
def test_credentials_in_query_and_path_are_sent_but_never_shown(address: str, shown: str) -> None:
    """Half of the cheap cameras take their password so, and the address stands in every log line about them."""
    settings = CameraSettings(source=Source(address))
    assert str(settings.source) == shown
    for text in (repr(settings.source), f"{settings.source}", str(settings), repr(settings)):
        assert shown in text
        assert "hunter2" not in text
    assert settings.source.reveal() == address
    (key,) = named_cameras([address], 24)
    assert key in {"cam", "ip"}


@pytest.mark.parametrize(
    "text",
    ["mqtt: 'mqtt://u:hunter2@h'", "cameras: {nut: 'rtsp://u:hunter2@h/1'}", "cameras: 'rtsp://u:hunter2@h/1'"],
)
def test_an_address_one_level_too_high_is_not_shown(text: str) -> None:
    """Writing the address where its key belongs is the commonest mistake of all."""
    assert problems(text)[0].endswith("is not valid; use keys and values below it")


def test_what_is_no_file_is_named_only_if_it_cannot_be_an_address() -> None:
    """An address without its scheme looks like a file, password and all."""
    with pytest.raises(ConfigError, match=r"no camera or file named none\.mp4"):
        named_cameras(["none.mp4"])
    for text in ("10.0.0.2/user=admin&password=hunter2", "10.0.0.2:554/hunter2", "//admin@hunter2"):
        with pytest.raises(ConfigError) as caught:
            named_cameras([text])
        assert "hunter2" not in str(caught.value)


def test_a_wrong_record_does_not_quote_what_it_was_given() -> None:
    """A traceback from a camera process ends in the log as well."""
    with pytest.raises(ValueError, match="use auto, or a whole number from 8") as caught:
        CameraSettings.model_validate({"source": "rtsp://u:hunter2@h/1", "min_bird": 1})
    with pytest.raises(ValueError, match="no user") as other:
        MqttSettings.model_validate({"password": "hunter2"})
    assert "hunter2" not in str(caught.value) + str(other.value)


def test_a_name_for_folders_and_topics_is_checked_to_its_end(tmp_path: Path) -> None:
    """`$` in a pattern lets a line break through at the end, and a folder with one is found by no script."""
    assert check_slug("nut-feeder_2") == "nut-feeder_2"
    for name in ("nut\n", "", "Nut", "../nut", "a" * 65):
        with pytest.raises(ValueError, match="goes into topics and folders"):
            check_slug(name)
    visit = SimpleNamespace(visit_id="v1\n", camera="nut", start=datetime(2026, 5, 1, tzinfo=UTC))
    with pytest.raises(StoreError):
        Media(tmp_path).path_of(visit, 0)  # type: ignore[arg-type]


def test_a_time_before_all_times_is_no_time() -> None:
    """One digit too many is a slip of the finger, not a crash."""
    with pytest.raises(ConfigError, match="--since: cannot understand the time 9999999d"):
        parse_since("9999999d", datetime(2026, 5, 1, tzinfo=UTC), UTC)


def test_yesterday_begins_at_midnight_of_the_station_also_when_the_clocks_change() -> None:
    """In Berlin the 29th of March has 23 hours."""
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 3, 30, 8, tzinfo=UTC)
    assert parse_since("yesterday", now, berlin) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert parse_since("today", now, berlin) == datetime(2026, 3, 29, 22, tzinfo=UTC)


def test_today_begins_with_the_first_of_two_midnights() -> None:
    """On the Azores clocks are put back at one to midnight: the first of the two hours was left out in the second."""
    now = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    azores = ZoneInfo("Atlantic/Azores")
    assert now.astimezone(azores).strftime("%H:%M %Z") == "00:30 -01"
    assert parse_since("today", now, azores).astimezone(UTC) == datetime(2026, 10, 25, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "channels",
    [
        "{p: 'tgram://hunter2'}",
        "{p: {webhook: 'hunter2'}}",
        "{p: {webhook: 'ftp://hunter2'}}",
        "{p: {webhook: 'https://hunter2:x/'}}",
        "{p: {webhook: ['https://hunter2']}}",
        "{p: {apprise: {tgram: hunter2}}}",
        "{p: {apprise: hunter2, webhook: 'https://hunter2'}}",
        "'tgram://hunter2'",
        "['tgram://hunter2']",
        "{p: {apprise: 'tgram://hunter2'}, mqtt: {apprise: 'tgram://hunter2'}}",
    ],
)
def test_a_wrong_channel_does_not_show_its_address(channels: str) -> None:
    """Everything in it may be the password."""
    found = problems(f"channels: {channels}")
    assert "hunter2" not in "".join(found)
    with pytest.raises(ValueError, match=r"channel") as caught:
        Config.model_validate(yaml.safe_load(f"channels: {channels}"))
    assert "hunter2" not in str(caught.value)


DOCS = Path(__file__).parents[2] / "docs" / "reference" / "alerts.md"


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))
def test_the_examples_of_the_documentation_are_valid(example: str) -> None:
    """They are copied as they stand."""
    config = parse_config(example, "docs/reference/alerts.md", {"BOT_TOKEN": "1:a", "CHAT_ID": "2"})
    assert config.alerts or config.channels


def test_the_documentation_has_every_key() -> None:
    """A key that is not written of does not exist for its readers."""
    text = DOCS.read_text(encoding="utf-8")
    assert text.count("```yaml") >= 3
    for key in {*AlertSettings.model_fields, *ChannelSettings.model_fields, *OCCASIONS, *WHY_NOT[-2:]}:
        assert f"`{key}`" in text, key


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("discovery: false", True),
        ("discovery: ''", True),
        ("discovery: Home/Assistant-2", True),
        ("discovery: home assistant", False),
        ("discovery: ha/#", False),
        ("discovery: /ha", False),
        ("commands: [enable, confirm, retract]", True),
        ("commands: [reboot]", False),
        ("commands: all", False),
    ],
)
def test_discovery_and_commands(text: str, good: bool) -> None:
    """Nothing is allowed by a misspelt word, and a bad prefix is found before Home Assistant finds nothing."""
    if good:
        parse_config(f"mqtt:\n  {text}\n", "x.yaml", {})
    else:
        with pytest.raises(ConfigError, match=r"mqtt\.(discovery|commands)"):
            parse_config(f"mqtt:\n  {text}\n", "x.yaml", {})
