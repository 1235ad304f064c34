"""The process of the page, as the program that starts it sees it; in a browser: tests/system/test_page.py."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

import pytest

from birdwatchd.errors import ConfigError
from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.settings.web import WebSettings
from birdwatchd.stages import page_process
from birdwatchd.stages.page_process import PageProcess, listening, page_served
from tests.support.peers import free_port, wait_for


def config(home: Path, port: int) -> Config:
    return Config.model_validate({"home": home, "web": {"bind": f"127.0.0.1:{port}"}})


def test_an_address_in_use_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second station on one machine watches its birds all the same, and has its page when the port is free."""
    monkeypatch.setattr(page_process, "TAKEN_S", 0.02)
    monkeypatch.setattr(page_process, "MODULE", "this.module.is.not.there")
    caplog.set_level(logging.INFO)
    port = free_port()
    stop = Stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        page = PageProcess(config(tmp_path, port))
        thread = threading.Thread(target=page.run, args=(stop,))
        thread.start()
        wait_for(lambda: "there is no page: web.bind" in caplog.text, "the line in the log", 5)
        stop.wait(0.1)
        assert caplog.text.count("there is no page") == 1
        assert page.pid is None
    wait_for(lambda: f"the page is at http://127.0.0.1:{port}" in caplog.text, "the page's address", 5)
    wait_for(lambda: "the page's process ended (status 1); starting it again" in caplog.text, "its end", 5)
    stop.set("the test is over")
    thread.join(5)
    assert not thread.is_alive()


def test_the_process_ends_with_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it is left behind: the end of its stdin is its end. Switched off, it never begins."""
    module = tmp_path / "stand_in.py"
    module.write_text("import sys\nsys.exit(0 if sys.stdin.readline() and not sys.stdin.read() else 3)\n")
    monkeypatch.setattr(page_process, "MODULE", "stand_in")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    caplog.set_level(logging.INFO)
    port = free_port()
    with page_served(config(tmp_path, port)) as page:
        assert page is not None
        wait_for(lambda: page.pid, "the process", 5)
    assert page.pid is None
    assert f"the page is at http://127.0.0.1:{port}" in caplog.text, "who starts `run` for the first time looks here"
    with page_served(Config.model_validate({"web": False})) as none:
        assert none is None


def test_passwords_in_the_environment_stay_outside() -> None:
    """`${CAM_PASSWORD}` is a way to keep passwords out of the configuration; the page must not be a way to them."""
    secret = {"CAM_PASSWORD": "s3cret", "CREDENTIALS_DIRECTORY": "/run/x"}
    given = secret | {"PATH": "/bin", "PYTHONPATH": "/y", "LC_ALL": "C"}
    kept = page_process._environment(given)
    assert {"PATH", "PYTHONPATH", "LC_ALL"} <= set(kept)
    assert not secret.keys() & kept.keys()


def test_an_address_of_another_machine_is_refused() -> None:
    """The error says which key holds it."""
    with pytest.raises(ConfigError, match=r"web\.bind 192\.0\.2\.1:8787 cannot be used .*; give the page another port"):
        listening(WebSettings(bind="192.0.2.1:8787", password_file=Path("x")))
