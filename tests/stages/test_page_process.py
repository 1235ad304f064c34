"""The process of the page, as the program that starts it sees it; in a browser: tests/system/test_page.py."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
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


def test_a_password_that_is_not_there_is_said_once_and_so_is_the_next_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log promised a page, and then its process ended again and again with a fatal error of Python's."""
    monkeypatch.setattr(page_process, "TAKEN_S", 0.02)
    caplog.set_level(logging.INFO)
    stop, file = Stop(), tmp_path / "password"
    port, new = free_port(), tmp_path / "new"
    new.write_text("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g\n")
    settings = {"bind": f"127.0.0.1:{port}", "password_file": file}
    page = PageProcess(Config.model_validate({"home": tmp_path, "web": settings}))
    found: list[socket.socket] = []
    thread = threading.Thread(target=lambda: found.extend(page._listeners(stop)))
    thread.start()
    wait_for(lambda: "there is no page: web.password_file" in caplog.text, "the line in the log", 5)
    assert "the page is at" not in caplog.text
    with socket.create_server(("127.0.0.1", port)):
        new.replace(file)
        wait_for(lambda: "there is no page: web.bind" in caplog.text, "the next reason in the log", 5)
        stop.wait(0.1)
    thread.join(5)
    assert caplog.text.count("there is no page") == 2
    assert "the page is at" in caplog.text
    found[0].close()


def test_a_process_that_cannot_serve_ends_with_one_line(tmp_path: Path) -> None:
    """Whatever it is: Python's own fatal error said that it could not get a lock, and hid the reason."""
    file = tmp_path / "password"
    file.write_text("$argon2id$looks-like-one\n")
    given = Config.model_validate({"home": tmp_path, "web": {"password_file": file}}).without_secrets()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", page_process.MODULE, str(listener.fileno())],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(given).encode() + b"\n")
        process.stdin.flush()
        said = process.stderr.read().decode()
        assert process.wait(5) == 2
        process.stdin.close()
        process.stderr.close()
    assert "birdwatchd: the page: web.password_file" in said
    assert "Fatal" not in said


def test_a_named_pipe_in_place_of_the_database_holds_nobody(tmp_path: Path) -> None:
    """The process waited in it for ever: it outlived the program that started it, and kept the page's address."""
    os.mkfifo(tmp_path / "birdwatchd.sqlite3")
    given = Config.model_validate({"home": tmp_path}).without_secrets()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", page_process.MODULE, str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(given).encode() + b"\n")
        process.stdin.close()
        try:
            process.wait(30)  # much of it loads libraries
        finally:
            process.kill()


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


def test_no_address_is_told_before_there_is_something_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`the page is at …` was the first line of a `run` whose home cannot be used, and which ends with the second."""
    monkeypatch.setattr(page_process, "MODULE", "this.module.is.not.there")
    caplog.set_level(logging.INFO)
    begin = threading.Event()
    with page_served(config(tmp_path, free_port()), begin) as page:
        time.sleep(2 * page_process.POLL_S)
        assert page is not None
        assert (page.pid, caplog.text) == (None, "")
        begin.set()
        wait_for(lambda: "the page is at" in caplog.text, "the page's address", 5)
    began_s = time.monotonic()
    with page_served(config(tmp_path, free_port()), threading.Event()):
        pass
    assert time.monotonic() - began_s < 1.0, "the end is not kept waiting"


def test_passwords_in_the_environment_stay_outside() -> None:
    """`${CAM_PASSWORD}` is a way to keep passwords out of the configuration; the page must not be a way to them."""
    secret = {"CAM_PASSWORD": "s3cret", "CREDENTIALS_DIRECTORY": "/run/x"}
    given = secret | {"PATH": "/bin", "PYTHONPATH": "/y", "LC_ALL": "C"}
    kept = page_process.environment(given, Path("/home/bird"))
    assert {"PATH", "PYTHONPATH", "LC_ALL"} <= set(kept)
    assert not secret.keys() & kept.keys()


def test_what_sqlite_sorts_goes_where_the_page_may_write(tmp_path: Path) -> None:
    """It may write nowhere else: a large sort on the page would end with a disk that cannot be opened."""
    (tmp_path / page_process.WORK).mkdir()
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    code = f"""import os, sqlite3
sorts = sqlite3.connect(':memory:')
sorts.executescript('PRAGMA temp_store = FILE; PRAGMA temp.cache_size = 10')
sorts.execute('CREATE TEMP TABLE t AS {numbers} SELECT i, randomblob(99) FROM n')
print(*(os.path.realpath(one.path) for one in os.scandir('/proc/self/fd')), sep='\\n')"""
    elsewhere = os.environ | {"SQLITE_TMPDIR": str(tmp_path)}
    environ = page_process.environment(elsewhere, tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True)
    files = [Path(line) for line in done.stdout.splitlines() if "etilqs" in line]
    assert [file.parent for file in files] == [tmp_path / page_process.WORK]


def test_an_address_of_another_machine_is_refused() -> None:
    """The error says which key holds it."""
    with pytest.raises(ConfigError, match=r"web\.bind 192\.0\.2\.1:8787 cannot be used .*; give the page another port"):
        listening(WebSettings(bind="192.0.2.1:8787", password_file=Path("x")))
