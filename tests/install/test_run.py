"""`birdwatchd install` and `uninstall` below another root: what they make, say, leave alone, and refuse."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from birdwatchd.cli import run_cli
from birdwatchd.settings.load import load_config
from tests.support.peers import missing

pytestmark = pytest.mark.slow  # they run systemd's own tools
Run = Callable[..., tuple[int, str, str]]
PROGRAM = ("--program", "/opt/birdwatchd/bin/birdwatchd")
ETC = ("etc/sysusers.d/birdwatchd.conf", "etc/tmpfiles.d/birdwatchd.conf")
UNITS = tuple(f"etc/systemd/system/birdwatchd{end}" for end in (".service", "-backup.service", "-backup.timer"))


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on an empty system."""
    if shutil.which("systemd-tmpfiles") is None:
        missing("systemd-tmpfiles", "apt-get install systemd")
    (tmp_path / "root").mkdir()

    def run(*words: str) -> tuple[int, str, str]:
        status = run_cli([*words, "--root", str(tmp_path / "root")])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def everything(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, owner and content of everything below a root."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.lstat().st_uid, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="files get other owners: run the tests as root for these")


def test_a_dry_run_changes_nothing_and_needs_no_root(run: Run, root: Path) -> None:
    """Nobody should have to trust a command with sudo before they know what it does."""
    status, out, err = run("install", "--dry-run", *PROGRAM)
    assert (status, err) == (0, "")
    assert [line for line in out.splitlines() if not line.startswith("would ")] == ["Nothing was changed."]
    assert "would write /etc/systemd/system/birdwatchd.service" in out
    assert list(root.iterdir()) == []


@as_root
def test_an_install_makes_user_folders_and_units_and_says_what_is_left(run: Run, root: Path) -> None:
    """Whatever is missing here, the newcomer finds out at the first start."""
    status, out, err = run("install", *PROGRAM)
    assert (status, err) == (0, "")
    (user,) = [line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("birdwatchd:")]
    uid, gid = map(int, user.split(":")[2:4])
    assert user.split(":")[5:] == ["/var/lib/birdwatchd", "/usr/sbin/nologin"]
    groups = {line.split(":")[0] for line in (root / "etc/group").read_text().splitlines() if "birdwatchd" in line}
    assert groups == {"birdwatchd", "video", "render"}
    for folder, owner in (
        ("var/lib/birdwatchd", uid),
        ("var/backups/birdwatchd", uid),
        ("etc/birdwatchd", 0),
        ("etc/birdwatchd/credentials", 0),
    ):
        found = (root / folder).stat()
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o750, owner, gid), folder
    config = root / "etc/birdwatchd/birdwatchd.yaml"
    assert (config.stat().st_mode & 0o7777, config.stat().st_uid, config.stat().st_gid) == (0o640, 0, gid)
    assert (root / "usr/local/bin/birdwatchd").readlink() == Path(PROGRAM[1])
    assert all((root / name).is_file() for name in (*ETC, *UNITS))
    assert "/dev/stdin /etc/birdwatchd/credentials/CAM_PASSWORD" in out
    assert "systemctl enable --now birdwatchd.service birdwatchd-backup.timer" in out


@as_root
def test_the_password_of_the_example_works_when_its_file_is_written(run: Run, root: Path) -> None:
    """It did not: nothing said where CAM_PASSWORD belongs, and `check` failed."""
    run("install", *PROGRAM)
    (root / "etc/birdwatchd/credentials/CAM_PASSWORD").write_text("hunter22\n")
    assert "CAM_PASSWORD" not in run("install", *PROGRAM)[1]
    config = load_config(root / "etc/birdwatchd/birdwatchd.yaml", {})
    assert config.cameras["nut_feeder"].source.password.reveal() == "hunter22"


@as_root
def test_secrets_for_root_alone_stay_so(run: Run, root: Path) -> None:
    """systemd reads them as root; who wants nobody else to must not be overruled at the next boot."""
    run("install", *PROGRAM)
    (root / "etc/birdwatchd/credentials").chmod(0o700)
    run("install", *PROGRAM)
    assert (root / "etc/birdwatchd/credentials").stat().st_mode & 0o7777 == 0o700


@as_root
def test_a_second_install_changes_nothing(run: Run, root: Path) -> None:
    """It is run again after every upgrade, over a station that has years of visits."""
    run("install", *PROGRAM)
    (root / "etc/birdwatchd/birdwatchd.yaml").write_text("cameras: {a: {source: /dev/video0}}\n")
    (root / "var/lib/birdwatchd/birdwatchd.sqlite3").write_text("years of visits")
    before = everything(root)
    status, out, _ = run("install", *PROGRAM)
    assert status == 0
    assert everything(root) == before
    assert [line for line in out.splitlines() if line.startswith(("write", "link"))] == []


@as_root
def test_units_that_somebody_else_wrote_are_kept_beside(run: Run, root: Path) -> None:
    """Before there was this command, people copied units and changed them."""
    own = root / UNITS[0]
    own.parent.mkdir(parents=True)
    own.write_text("[Service]\nExecStart=/mine\n")
    run("install", *PROGRAM)
    assert own.with_name("birdwatchd.service.old").read_text() == "[Service]\nExecStart=/mine\n"
    run("install", "--home", "/mnt/birds", *PROGRAM)
    assert "ReadWritePaths=/mnt/birds" in own.read_text()
    assert own.with_name("birdwatchd.service.old").read_text() == "[Service]\nExecStart=/mine\n"


@as_root
def test_an_uninstall_removes_what_it_wrote_and_nothing_else(run: Run, root: Path) -> None:
    """Trying another version must never cost a visit."""
    run("install", *PROGRAM)
    (root / "var/lib/birdwatchd/birdwatchd.sqlite3").write_text("years of visits")
    (root / "etc/birdwatchd/credentials/CAM_PASSWORD").write_text("hunter22\n")
    (root / UNITS[1]).write_text("[Service]\nExecStart=/mine\n")
    before = everything(root)
    assert run("uninstall", "--dry-run")[0] == 0
    assert everything(root) == before
    status, out, _ = run("uninstall")
    assert status == 0
    gone = {*ETC, UNITS[0], UNITS[2]}
    assert everything(root) == {name: content for name, content in before.items() if name not in gone}
    assert not (root / "usr/local/bin/birdwatchd").is_symlink()
    assert "These stay: user birdwatchd, /etc/birdwatchd, /var/lib/birdwatchd, /var/backups/birdwatchd." in out
    status, out, err = run("uninstall")
    assert (status, err) == (0, "")
    assert "These stay" not in out


@as_root
def test_a_wrong_configuration_stops_it_before_anything_is_written(run: Run, root: Path) -> None:
    """It names the home; a unit for another one would be worse than none."""
    (root / "etc/birdwatchd").mkdir(parents=True)
    (root / "etc/birdwatchd/birdwatchd.yaml").write_text("hme: /srv/birds\n")
    status, out, err = run("install", *PROGRAM)
    assert (status, out) == (2, "")
    assert "birdwatchd.yaml:1: hme is not a known key" in err
    assert not (root / "etc/systemd").exists()
