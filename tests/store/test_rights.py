"""Who may look into a home, and to whom belongs what is made there."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.store import Store, back_up, restore
from tests.support.homes import fill

ZONE = ZoneInfo("UTC")
SOMEBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a home to somebody else")


def rights(path: Path) -> int:
    """The permission bits of a folder."""
    return path.stat().st_mode & 0o777


def test_a_new_home_and_new_backups_are_private(tmp_path: Path) -> None:
    """Pictures of a garden, and of who was in it: every user of the machine could look at them."""
    home, backups, again = (tmp_path / name for name in ("home", "backups", "again"))
    before = os.umask(0)
    try:
        fill(home, visits=1)
        back_up(home, backups, datetime.now(UTC), machine="m")
        restore(backups, again)
    finally:
        os.umask(before)
    assert [rights(folder) for folder in (home, backups, again)] == [0o750] * 3


def test_a_home_that_somebody_opened_stays_open(tmp_path: Path) -> None:
    """For the web server or the file share that reads its pictures."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o775)
    fill(home, visits=1)
    assert rights(home) == 0o775


@as_root
def test_root_in_another_users_home_is_warned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`sudo birdwatchd scan` into the service's home: the service then may not write where root made the folder."""
    home = tmp_path / "home"
    fill(home, visits=1)
    with caplog.at_level(logging.WARNING):
        Store.open(home, zone=ZONE).close()
        assert not caplog.messages
        os.chown(home, SOMEBODY, SOMEBODY)
        Store.open(home, zone=ZONE).close()
    (said,) = caplog.messages
    assert said.startswith(f"{home} is not root's, who makes files there that its owner cannot change: run this as its")
