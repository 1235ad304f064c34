"""What `birdwatchd check` says of place and season: loudly, when a name from anywhere is as good as one from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from birdwatchd.commands import check
from birdwatchd.commands.check import check_config, probe_all, run_check
from birdwatchd.errors import BirdwatchError, ConfigError
from birdwatchd.settings.config import Config
from tests.support.ebird import ebird_file


def said(capsys: pytest.CaptureFixture[str], **species: Any) -> str:
    """The output for these settings, as one line."""
    return said_of(capsys, species=species)


def said_of(capsys: pytest.CaptureFixture[str], **config: Any) -> str:
    """The output for a whole configuration, as one line."""
    check_config(Config.model_validate(config), None)
    return " ".join(capsys.readouterr().out.split())


def test_nothing_active_is_said_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise the toucan of the valley is found out next year."""
    assert "No bar chart or species list is set" in said(capsys)
    assert "No bar chart or species list is set" in said(capsys, threshold=0.8)


def test_what_is_active_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """How much of it there is, so that an empty download is noticed."""
    chart = ebird_file(tmp_path / "chart.txt", {"House Sparrow": [0.5] * 48, "Great Tit": [0.1] * 48})
    text = said(capsys, allow=["Paridae", "Passer"], months={"Hoopoe": [4]}, bar_chart=chart)
    assert "No bar chart" not in text
    assert "2 on `allow`, months of 1, bar chart of 2 species from 4,800 checklists" in text


def test_a_file_that_cannot_be_used_fails_the_check(tmp_path: Path) -> None:
    """`good` must mean that the daemon will start."""
    with pytest.raises(ConfigError, match="cannot be read"):
        check_config(Config.model_validate({"species": {"bar_chart": tmp_path / "none.txt"}}), None)
    with pytest.raises(ConfigError, match="cannot be read"):
        check_config(Config.model_validate({"species": {"names_file": tmp_path / "none.csv"}}), None)
    with pytest.raises(ConfigError, match="cannot use a certificate file"):
        check_config(Config.model_validate({"mqtt": {"url": "mqtts://h", "ca_file": tmp_path / "none.pem"}}), None)


def test_every_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Otherwise each of three mistakes costs a call of its own."""
    config = {
        "species": {"bar_chart": tmp_path / "no_chart"},
        "mqtt": {"url": "mqtt://h", "username": "u", "password_file": tmp_path / "no_password"},
        "web": {"password_file": tmp_path / "no_page"},
        "channels": {"push": {"apprise_file": tmp_path / "no_push"}, "hook": {"webhook_file": tmp_path / "no_hook"}},
    }
    with pytest.raises(ConfigError) as caught:
        check_config(Config.model_validate(config), None)
    said = caught.value.problems
    names = ("no_chart", "no_password", "no_page", "no_push", "no_hook")
    assert [name in problem for name, problem in zip(names, said, strict=True)] == [True] * 5


def test_a_probe_tries_everything_and_sums_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the station 40 km away the second thing that is broken showed only after the first was mended.

    Must: `check --probe` tries everything, opens every camera, and sums up.
    """
    opened: list[str] = []

    def opens(config: Config, key: str, stream: str) -> str:
        opened.append(f"{key}.{stream}")
        if key == "first":
            raise BirdwatchError("is away")
        return "640×360 pixels"

    monkeypatch.setattr(check, "_probe_camera", opens)
    monkeypatch.setattr(check, "_probe_model", lambda config: "a model")
    cameras = {
        "first": {"source": "rtsp://h/1", "gate_source": "rtsp://h/2"},
        "second": {"source": "rtsp://h/1", "gate_source": "rtsp://h/2"},
        "off": {"source": "rtsp://h/3", "enabled": False},
    }
    species = {"bar_chart": tmp_path / "no_chart"}
    config = Config.model_validate({"home": tmp_path / "home", "cameras": cameras, "species": species})
    assert run_check(config, None, probe=True) == 1
    assert opened == ["first.source", "first.gate_source", "second.source", "second.gate_source"]
    said = capsys.readouterr().out
    assert "not tried  camera off: enabled is false" in said
    assert f"fails  configuration: {tmp_path / 'no_chart'}" in said.replace("species.bar_chart ", "")
    assert said.endswith("3 of 7 fail: configuration, camera first, gate_source of first\n")
    with pytest.raises(ConfigError):
        run_check(config, None, probe=False)


def test_a_probe_without_a_failure_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line is what one reads."""
    monkeypatch.setattr(check, "_probe_model", lambda config: "a model")
    assert run_check(Config.model_validate({"home": tmp_path}), None, probe=True) == 0
    assert capsys.readouterr().out.endswith("all 2 work\n")


def test_what_is_private_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever drew a mask wants to see that it is in force; a camera without one has no line."""
    half = [[0, 0], [0.5, 0], [0.5, 1]]
    cameras = {
        "path": {"source": "rtsp://h/1", "mask": [half, half], "store": "nothing"},
        "nut": {"source": "rtsp://h/2", "store": "frames"},
        "two": {"source": "rtsp://h/3"},
    }
    text = said_of(capsys, cameras=cameras)
    assert "pictures path: 2 places masked, so no clips, no picture is kept or sent" in text
    assert "pictures nut: whole frames are kept too" in text
    assert "two: " not in text


def test_where_the_page_will_be_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody guesses a port; and who switched the page off reads that it is."""
    assert "page http://127.0.0.1:8787, while `birdwatchd run` runs" in said_of(capsys)
    assert "page none; `web: off`" in said_of(capsys, web=False)


def test_a_rule_that_tells_nobody_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """It looks as good as any other until the hoopoe has been and gone."""
    text = said_of(capsys, alerts=[{"name": "rarities", "when": ["rare"]}])
    assert "Alerts of rule rarities go nowhere: name a channel below `to`, or set mqtt.url." in text
    text = said_of(capsys, alerts=[{"name": "rarities", "when": ["rare"]}], mqtt={"url": "mqtt://h"})
    assert "rarities: rare; sent to MQTT" in text
    assert "nobody" not in text


def test_a_misspelt_name_in_a_rule_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A rule for Grate tits fits nothing, ever."""
    text = said_of(capsys, alerts=[{"name": "tits", "species": ["Grate tit", "Paridae"]}])
    assert "Unknown species Grate tit in rule tits" in text
    assert text.count("Unknown species") == 1


def test_channels_are_listed_without_their_addresses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Output of `check` is pasted into forums; a file that is missing must be found before the first rarity."""
    channels: dict[str, Any] = {"phone": {"apprise": "tgram://hunter2"}, "hook": {"webhook": "https://h/hunter2"}}
    text = said_of(capsys, channels=channels, alerts=[{"name": "all", "to": ["phone"]}])
    assert "channel phone (Apprise), for all" in text
    assert "channel hook (webhook), for no rule; name it below `to` of a rule" in text
    assert "hunter2" not in text
    with pytest.raises(ConfigError, match=r"channels\.p\.apprise_file .*none cannot be read"):
        said_of(capsys, channels={"p": {"apprise_file": tmp_path / "none"}})


def test_a_probe_knows_channels_and_sends_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever checks at night does not want to wake the house; an address that is none is found all the same."""
    monkeypatch.setattr("birdwatchd.commands.check._probe_model", lambda config: "a model")
    channels = {
        "push": {"apprise": "json://127.0.0.1:1/hunter2"},
        "wrong": {"apprise": "tgrm://hunter2"},
        "hook": {"webhook": "http://127.0.0.1:1/hunter2"},
    }
    assert probe_all(Config.model_validate({"home": tmp_path, "channels": channels})) == 1
    said, logged = capsys.readouterr()
    lines = [line for line in said.splitlines() if "channel " in line][:3]
    assert lines == [
        "works  channel push: JSON by Apprise; nothing was sent, `birdwatchd rules send push` sends a test",
        "fails  channel wrong: Apprise does not recognise the address; see https://github.com/caronc/apprise"
        " for its services",
        "works  channel hook: a webhook; nothing was sent, `birdwatchd rules send hook` sends a test",
    ]
    assert "hunter2" not in said + logged


def test_metrics_that_a_network_can_read_are_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`0.0.0.0` is typed quickly, and nothing else says that there is no password."""
    for bind, warned in (("127.0.0.1:9108", False), ("0.0.0.0:9108", True)):
        check_config(Config.model_validate({"home": tmp_path, "metrics": {"bind": bind}}), None)
        shown = capsys.readouterr().out
        assert "metrics    http://127.0.0.1:9108/metrics" in shown
        assert ("can read the metrics: they need no password" in shown) is warned


def test_who_checks_makes_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made by root, who checks before the service starts, it would be root's, and the service could not write there."""
    home = tmp_path / "not" / "yet"
    probe = dict(check.list_probes(Config(home=home)))["database"]
    assert probe() == f"{home} can be made"
    assert not home.parent.exists()
    (tmp_path / "not").write_text("a file")
    with pytest.raises(BirdwatchError, match=r"cannot be made: .*/not is a file; set `home`"):
        probe()
    (tmp_path / "not").unlink()
    monkeypatch.setattr("os.access", lambda path, mode, **_: Path(path) != tmp_path)
    with pytest.raises(BirdwatchError, match=f"cannot be made: no right to write in {tmp_path}; set `home`"):
        probe()
