"""What could not work as a service is refused in one line, before anything is written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from birdwatchd.errors import ConfigError
from birdwatchd.install.layout import BACKUPS, CONFIG, HOME, Layout, home_of, installed_program

USUAL = Layout("birdwatchd", CONFIG, HOME, BACKUPS, Path("/opt/birdwatchd/bin/birdwatchd"))


def test_the_usual_places_are_good() -> None:
    """Also with everything on a disk of its own."""
    USUAL.check()
    replace(USUAL, user="_birds-2", home=Path("/mnt/disk/birds"), backups=Path("/mnt/other/birds")).check()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"user": "root"}, "must not run as root"),
        ({"user": "bird watcher"}, "is not a name of a user"),
        ({"user": "birds\nExecStart=/bin/sh"}, "is not a name of a user"),
        ({"home": Path("/home/me/birds")}, "the service cannot see /home; move it to a folder below /var/lib"),
        ({"home": Path("/srv/my birds")}, "cannot stand in a unit"),
        ({"home": Path("relative")}, "cannot stand in a unit"),
        ({"home": Path("/srv/%h")}, "cannot stand in a unit"),
        ({"home": Path("/srv/../etc")}, "cannot stand in a unit"),
        ({"home": Path("/srv")}, "give each a folder of its own"),
        ({"backups": HOME / "backups"}, "give each a folder of its own"),
        ({"program": Path("/home/me/.local/bin/birdwatchd")}, "move it to /opt/birdwatchd"),
        ({"program": Path("/root/venv/bin/birdwatchd")}, "the service cannot see /root"),
        ({"models": Path("/tmp/models")}, "model.cache_dir /tmp/models: the service cannot see /tmp"),
    ],
)
def test_what_cannot_work_is_refused(change: dict[str, object], says: str) -> None:
    """ProtectHome hides /home: the service would end with `No such file` for a file that everybody sees."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        replace(USUAL, **change).check()  # type: ignore[arg-type]


def test_an_environment_of_pyenv_is_refused(tmp_path: Path) -> None:
    """Its Python lies in somebody's home, which the service cannot see; /opt looks right all the same."""
    (tmp_path / "python3").symlink_to("/root/.pyenv/versions/3.11.7/bin/python3")
    with pytest.raises(ConfigError, match="make the environment with the Python of the system"):
        replace(USUAL, program=tmp_path / "birdwatchd").check_python()


def test_the_home_comes_from_the_configuration_without_its_secrets(tmp_path: Path) -> None:
    """Whoever has a configuration on another disk already must not get a service that may not write there."""
    file = tmp_path / "birdwatchd.yaml"
    file.write_text("home: /mnt/birds\nmodel: {cache_dir: /srv/models}\ncameras: {a: {source: 'rtsp://u:${P}@h/1'}}\n")
    assert home_of(file) == (Path("/mnt/birds"), Path("/srv/models"))
    file.write_text("model: {cache_dir: /var/lib/birdwatchd/models}\n")
    assert home_of(file) == (HOME, None)
    layout = replace(USUAL, home=Path("/mnt/birds"), models=Path("/srv/models"))
    assert (layout.state, layout.writable) == ("", (Path("/mnt/birds"), Path("/srv/models")))
    assert (USUAL.state, USUAL.writable) == ("birdwatchd", ())


def test_the_command_of_the_running_installation_is_found(tmp_path: Path) -> None:
    """The unit must name the environment that has birdwatchd, however it was started."""
    program = tmp_path / "bin" / "birdwatchd"
    program.parent.mkdir()
    program.write_text("#!/usr/bin/python3\n")
    program.chmod(0o755)
    assert installed_program(["-m"], str(tmp_path)) == program
    with pytest.raises(ConfigError, match="--program"):
        installed_program([str(tmp_path / "birdwatchd")], str(tmp_path / "elsewhere"))
