"""`birdwatchd report`: everything that helps, and no secret, in whatever form and place it stood."""

from __future__ import annotations

import base64
import io
import json
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.commands.diagnose.report import PARTS
from birdwatchd.monitor.masking import Mask, secrets_of
from birdwatchd.settings.load import parse_config
from tests.support.homes import fill

SECRETS = {
    "camera": "p@ss/w0rd+äöü",
    "gate": "Gate:Secret#17",
    "query": "Qu3ryT0ken99",
    "environment": "en v-Sec/ret%22",
    "environment named": "ghp_0123456789abcdef",
    "mqtt": "Mq\"tt\\Pass'word",
    "mqtt file": "file-of-mqtt-5!",
    "apprise": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "apprise file": "ntfytopic-Zx81kk",
    "webhook": "hook-path-7Q8w9E0r",
    "webhook user": "hooKpass/42",
    "header": "Bearer eyJhbGciOiJIUzI1NiJ9.payl0ad",
    "latitude": "31.871234",
    "longitude": "35.012345",
}


def forms(secret: str) -> set[str]:
    """How a secret may stand in a file or archive."""
    data = secret.encode()
    found = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
    found |= {json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    for before in range(3):  # in the middle of something longer, without the characters that the neighbours change
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"x" * before + data + b"yyy").decode()
            found.add(text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6])
    return {form for form in found if len(form) > 4}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, and a configuration, files, an environment and a log full of secrets."""
    home = tmp_path / "home"
    fill(home, visits=3, crops=1)
    monkeypatch.setenv("CAM_PASSWORD", SECRETS["environment"])
    monkeypatch.setenv("MQTT_PASSWORD", SECRETS["mqtt"])
    monkeypatch.setenv("GITHUB_TOKEN", SECRETS["environment named"])
    (tmp_path / "mqtt").write_text(SECRETS["mqtt file"] + "\n")
    (tmp_path / "push").write_text(f"ntfys://ntfy.example/{SECRETS['apprise file']}\n")
    (tmp_path / "headers").write_text(f"Authorization: {SECRETS['header']}\n")
    camera, gate, hook = (quote(SECRETS[name], safe="") for name in ("camera", "gate", "webhook user"))
    (tmp_path / "b.yaml").write_text(
        f"""
station: {{name: reserve1, latitude: {SECRETS["latitude"]}, longitude: {SECRETS["longitude"]}}}
home: {home}
cameras:
  nut:
    source: "rtsp://admin:{camera}@192.0.2.10/main?channel=1&token={SECRETS["query"]}"
    gate_source: "rtsp://admin:{gate}@192.0.2.10/sub"
  pond: {{source: "rtsp://me:${{CAM_PASSWORD}}@192.0.2.11/a"}}
mqtt: {{url: "mqtts://broker.example", username: bw, password_file: {tmp_path}/mqtt}}
alerts: [{{name: rare, when: [rare], to: [bot, push, hook]}}]
channels:
  bot: {{apprise: "tgram://{SECRETS["apprise"]}/12315544"}}
  push: {{apprise_file: {tmp_path}/push}}
  hook: {{webhook: "https://u:{hook}@hook.example/{SECRETS["webhook"]}", headers_file: {tmp_path}/headers}}
""",
        encoding="utf-8",
    )
    lines = ["2026-05-01 06:30:00 WARNING camera nut: offline: no route to host"]
    for name, secret in SECRETS.items():
        pair = base64.b64encode(f"user:{secret}".encode()).decode()
        lines += [f"{name} {form}" for form in sorted(forms(secret))]
        lines += [
            f"GET / Authorization: Basic {pair}",
            f"rtsp://u:{quote(secret, safe='')}@192.0.2.1/a failed",
            f"{pair}!",
        ]
    lines += ["https://x:neverSeenBefore1@192.0.2.5/", "password=neverSeenBefore2&x=1", "/home/jane/b: no such file"]
    (tmp_path / "log").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def members(file: Path) -> dict[str, str]:
    if file.name.endswith(".zip"):
        with zipfile.ZipFile(file) as archive:
            return {name.split("/")[1]: archive.read(name).decode() for name in archive.namelist()}
    with tarfile.open(file) as tar:
        found = {}
        for entry in tar:
            assert (entry.uid, entry.uname, entry.mtime) == (0, "", 0)
            found[entry.name.split("/")[1]] = tar.extractfile(entry).read().decode()  # type: ignore[union-attr]
        return found


@pytest.mark.parametrize("name", ["r.zip", "r.tar.gz"])
def test_the_report_helps_and_holds_no_secret_in_any_form(
    place: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is attached to a public issue by somebody who did not look through it."""
    assert run_cli(["report", name, "-c", "b.yaml", "--log", "log"]) == 0
    said = capsys.readouterr()
    assert "without metrics.txt: metrics.bind is not set" in said.err
    found = members(place / name)
    assert set(found) == {"README.txt", *PARTS} - {"metrics.txt"}
    everything = "\n".join(found.values()) + said.out + said.err
    leaks = {what: [form for form in forms(secret) if form in everything] for what, secret in SECRETS.items()}
    assert {what: leaked for what, leaked in leaks.items() if leaked} == {}
    assert [word for word in ("neverSeenBefore", "jane", 'bw"', "12315544") if word in everything] == []
    raw = (place / name).read_bytes()
    assert [what for what, secret in SECRETS.items() if secret.encode() in raw] == []
    assert stat.S_IMODE((place / name).stat().st_mode) == 0o600
    config = json.loads(found["configuration.txt"])
    assert config["cameras"]["nut"]["source"] == "rtsp://192.0.2.10/main?channel=1&token=***"
    assert config["cameras"]["pond"]["source"] == "rtsp://192.0.2.11/a"
    assert config["station"]["latitude"] == "***"
    assert (config["mqtt"]["username"], config["channels"]["bot"]["apprise"]) == ("***", "***")
    assert config["mqtt"]["password_file"] == "…/mqtt"
    database = json.loads(found["database.json"])
    assert (database["problems"], database["rows"]["visit"], database["rows"]["moment"]) == ([], 3, 3)
    assert json.loads(found["files.json"])["files_and_bytes"]["media/*.jpg"][0] == 3
    assert json.loads(found["versions.json"])["numpy"]
    assert [camera["camera"] for camera in json.loads(found["status.json"])["cameras"]] == ["nut", "pond"]
    assert "camera nut: offline: no route to host" in found["log.txt"]


def test_a_configuration_that_cannot_be_used_is_reported_without_its_values(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is what the report is about, and no setting of it is known to be a secret or none."""
    text = (place / "b.yaml").read_text() + f"\nwebb:\n  passwort: {SECRETS['webhook']}x\n  colour: violet\n"
    (place / "b.yaml").write_text(text)
    assert run_cli(["report", "r.zip", "-c", "b.yaml", "--home", "home", "--log", "log"]) == 0
    found = members(place / "r.zip")
    assert "webb is not a known key" in found["configuration.txt"]
    assert "webb:\n  passwort:\n  colour:\n" in found["configuration.txt"]
    everything = "\n".join(found.values())
    for name in ("environment", "environment named", "camera", "gate", "webhook user"):
        assert [form for form in forms(SECRETS[name]) if form in everything] == [], name
    assert "violet" not in everything
    assert "database.json" in found
    assert "without status.json: the configuration cannot be used" in capsys.readouterr().err


def test_a_home_that_is_damaged_or_gone_is_reported_all_the_same(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is written because something is broken."""
    data = bytearray((place / "home" / "birdwatchd.sqlite3").read_bytes())
    (place / "home" / "birdwatchd.sqlite3").write_bytes(data[: len(data) // 2])
    assert run_cli(["report", "r.zip", "-c", "b.yaml", "--log", "log"]) == 0
    assert json.loads(members(place / "r.zip")["database.json"])["problems"]
    assert run_cli(["report", "r.zip", "-c", "b.yaml", "--home", "nowhere"]) == 0
    assert set(members(place / "r.zip")) >= {"README.txt", "configuration.txt", "versions.json", "database.json"}
    assert "without log.txt: no daemon listens there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "says"),
    [("r.rar", "let its name end with .zip or .tar.gz"), ("no/where/r.zip", "choose a folder that exists")],
)
def test_an_archive_that_cannot_be_written_is_one_line(
    place: Path, file: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback from a command that is for people in trouble."""
    assert run_cli(["report", file, "-c", "b.yaml", "--log", "log"]) == 2
    assert says in capsys.readouterr().err


def test_a_part_that_would_leak_stops_the_report(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last look does not trust the masking."""
    monkeypatch.setattr(Mask, "text", lambda self, text: text)
    assert run_cli(["report", "r.zip", "-c", "b.yaml", "--log", "log"]) == 2
    assert not (place / "r.zip").exists()


def test_what_is_no_secret_stays(place: Path) -> None:
    """A report of asterisks helps nobody."""
    text = (place / "b.yaml").read_text()
    config = parse_config(text, "b.yaml", {"CAM_PASSWORD": SECRETS["environment"]})
    mask = Mask(secrets_of(config, text, {"CAM_PASSWORD": SECRETS["environment"], "PWD": "/srv", "PATH": "/bin"}))
    for line in (
        "camera nut: offline: no route to host (rtsp://192.0.2.10/main)",
        "broker broker.example:8883: connected, MQTT 5",
        "model demo@1: 8 classes, cpu, /srv/birds 31.87 GB, 35.0 s",
        "visit 01JTJC2Q8ZK4V7XW5N3M9R6BDA is stored, sha256 9f86d081884c7d659a2feaa0c55ad015",
    ):
        assert mask.text(line) == line


def test_a_secret_that_is_a_pattern_or_very_short_breaks_nothing() -> None:
    """Passwords have brackets and stars in them; and one of two letters would empty every text."""
    mask = Mask({"a.*(b", "xy", "", "]["})
    assert mask.text("say a.*(b to axxb, xy") == "say *** to axxb, xy"
    assert Mask(set()).text("nothing") == "nothing"
    assert not Mask(set()).leaks("nothing")
    buffer: Any = io.StringIO()
    assert mask.text(buffer.getvalue()) == ""
