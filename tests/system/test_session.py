"""What becomes of somebody who is logged in when the page's process ends: kill -9, a crash, another database."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from birdwatchd.web.access.login import hash_of
from tests.support.page_in_browser import Station, open_station
from tests.support.peers import wait_for

PASSWORD = "correct horse battery"


def log_in(station: Station) -> None:
    station.find("input[type=password]")[0].send_keys(PASSWORD + "\ue007")
    wait_for(lambda: station.find("body[data-live]"), "the page, with the stream of news", 20)


def test_an_open_page_asks_for_the_password_when_its_session_has_ended(tmp_path: Path) -> None:
    """Sessions end with the page's process. A tablet said "connection lost" for ever, of a page that was up."""
    (tmp_path / "password").write_text(hash_of(PASSWORD))
    with open_station(tmp_path, password_file=tmp_path / "password") as station:
        station.open("/")
        log_in(station)
        pid = station.page.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: "/login?next=%2F" in station.driver.current_url, "the login", 40)
        log_in(station)
        assert station.driver.current_url == f"{station.url}/"
