"""The units are what systemd takes without a word, keep the service in, and let it do its work."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from birdwatchd.install.files import BACKUP, MARK, SERVICE, TIMER, example, system_files
from birdwatchd.install.layout import BACKUPS, CONFIG, HOME, Layout
from birdwatchd.monitor.vitals import BEAT_PATIENCE_S
from birdwatchd.stages.watchdog import STUCK_S
from tests.support.peers import missing

LAYOUT = Layout("birdwatchd", CONFIG, HOME, BACKUPS, Path("/bin/true"))
OTHER = replace(LAYOUT, user="birds", home=Path("/mnt/birds"), models=Path("/srv/models"), backups=Path("/srv/backup"))
MOST_EXPOSED = 1.5


@pytest.fixture
def analyze() -> str:
    """systemd's own judge."""
    found = shutil.which("systemd-analyze")
    if found is None:
        missing("systemd-analyze", "apt-get install systemd")
    return str(found)


def texts(layout: Layout) -> dict[str, str]:
    return {file.path.name: file.text for file in system_files(layout) if "systemd" in file.path.parts}


@pytest.mark.slow
@pytest.mark.parametrize("layout", [LAYOUT, OTHER], ids=["usual", "other places"])
def test_systemd_takes_the_units_and_finds_them_tight(analyze: str, tmp_path: Path, layout: Layout) -> None:
    """The first unit of a newcomer's must not warn; and a decoder that is taken over should find nothing to do."""
    for name in (SERVICE, BACKUP, TIMER):
        (tmp_path / name).write_text(texts(layout)[name])
    units = [str(tmp_path / name) for name in (SERVICE, BACKUP, TIMER)]
    verified = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    said = [line for line in verified.stderr.splitlines() if line.startswith((str(tmp_path), "birdwatchd"))]
    assert said == []
    for name, most in ((SERVICE, MOST_EXPOSED), (BACKUP, MOST_EXPOSED)):
        rated = subprocess.run(
            [analyze, "security", "--offline=true", "--no-pager", str(tmp_path / name)],
            capture_output=True,
            text=True,
            check=False,
        )
        exposure = re.search(rf"level for {re.escape(name)}: ([\d.]+)", rated.stdout)
        assert exposure, rated.stdout + rated.stderr
        assert float(exposure[1]) <= most


def test_nothing_is_left_to_fill_in_and_every_file_says_who_wrote_it() -> None:
    """`@HOME@` in a unit is a folder of that name; a file without the mark would never be removed again."""
    for layout in (LAYOUT, OTHER):
        for file in system_files(layout):
            assert file.text.startswith(MARK)
            assert re.findall(r"@[A-Z_]+@", file.text) == []
            assert "\n\n\n" not in file.text


def test_only_the_home_is_writable_wherever_it_lies() -> None:
    """A service that may not write its home records nothing; one that may write more can be made to."""
    usual, other = texts(LAYOUT)[SERVICE], texts(OTHER)[SERVICE]
    assert "\nStateDirectory=birdwatchd\n" in usual
    assert "ReadWritePaths" not in usual
    assert "StateDirectory" not in other
    assert "\nReadWritePaths=/mnt/birds\nReadWritePaths=/srv/models\n" in other
    assert "\nRequiresMountsFor=/mnt/birds\n" in other
    assert "\nUser=birds\nGroup=birds\n" in other


def test_what_the_daemon_and_its_cameras_need_is_not_forbidden() -> None:
    """Each of these was tried: without it PyTorch, CUDA, a USB camera or the sandbox of the cameras does not work."""
    unit = texts(LAYOUT)[SERVICE]
    settings = re.findall(r"(?m)^(\w+)=(.*)$", unit)
    names = [name for name, _ in settings]
    assert not {"MemoryDenyWriteExecute", "PrivateDevices", "ProcSubset", "PrivateNetwork"} & set(names)
    assert ("DeviceAllow", "char-video4linux rw") in settings
    assert ("SupplementaryGroups", "video render") in settings
    allowed = next(value for name, value in settings if name == "SystemCallFilter" and "seccomp" in value).split()
    assert {"prlimit64", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= set(allowed)
    assert ("LoadCredential", "birdwatchd:/etc/birdwatchd/credentials") in settings
    assert "MemoryMax" in names
    assert ("OOMPolicy", "continue") in settings
    assert re.search(r"(?m)^After=.*\btime-sync\.target\b", unit)


def test_a_stage_is_named_before_the_watchdog_bites() -> None:
    """The log must say which stage stands still while there is still somebody to write it."""
    (seconds,) = re.findall(r"(?m)^WatchdogSec=(\d+)$", texts(LAYOUT)[SERVICE])
    assert STUCK_S < float(seconds) == BEAT_PATIENCE_S


def test_a_newer_systemd_waits_ever_longer_and_an_older_one_is_not_confused() -> None:
    """An unknown key is a warning at every start."""
    assert "RestartSteps" not in texts(LAYOUT)[SERVICE]
    assert "\nRestartSteps=8\nRestartMaxDelaySec=5min\n" in texts(replace(LAYOUT, systemd=254))[SERVICE]


def test_the_example_is_the_one_of_the_documentation() -> None:
    """The wheel carries it, since a newcomer has no source tree."""
    assert example() == (Path(__file__).parents[2] / "config" / "birdwatchd.yaml").read_text(encoding="utf-8")
