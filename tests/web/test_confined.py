"""What the page's process can reach, in a real one: its home to read, the database to write, and nothing else."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest

from birdwatchd.camera.process import landlock
from birdwatchd.settings.config import Config
from birdwatchd.stages import page_process
from birdwatchd.stages.page_process import PageProcess, page_served
from birdwatchd.store import Store
from birdwatchd.testing import START, bird_image, example_moment, example_visit, temporary_store
from tests.support.peers import free_port, wait_for

needs_landlock = pytest.mark.skipif(landlock.abi() < landlock.PORTS_ABI, reason="needs Linux 6.7 with Landlock")


@pytest.fixture
def store() -> Iterator[Store]:
    picture = io.BytesIO()
    bird_image().save(picture, "JPEG")
    with temporary_store() as made:
        for number in range(6):
            visit = example_visit(f"v{number}")
            made.writer().record(visit, [example_moment(jpeg=picture.getvalue())], START)
        yield made


def settings(home: Path, **web: Any) -> Config:
    return Config.model_validate({"home": home, "web": {"bind": free_port(), **web}})


def within(config: Config, work: str) -> Any:
    """What `work`, run by a process that is confined as that of the page, puts into `found`."""
    code = (
        "import json, os, socket, subprocess, sys\n"
        "from birdwatchd.camera.process.sandbox import confine\n"
        "from birdwatchd.settings.config import Config\n"
        "from birdwatchd.web.confined import Reach\n"
        "import birdwatchd.web.server\n"
        "def outcome(call, *arguments):\n"
        "    try:\n        call(*arguments)\n    except OSError as error:\n        return type(error).__name__\n"
        "    return 'done'\n"
        "config = Config.model_validate(json.loads(sys.argv[1]))\n"
        "reach = Reach(config)\n"
        "missing = confine(reach.confinement())\n"
        f"found = None\n{textwrap.dedent(work)}\n"
        "print(json.dumps(found))\n"
    )
    order = json.dumps(config.without_secrets())
    environment = page_process.environment(os.environ, config.home)
    environment |= {"OUTSIDE": str(config.home.parent / "outside")}
    command = [sys.executable, "-c", code, order]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_landlock
def test_foreign_files_are_out_of_reach(store: Store, tmp_path: Path) -> None:
    """Who takes over the page wants passwords in /etc, keys in ~/.ssh, and what lies beside its home."""
    (store.home.parent / "outside").write_text("secret")
    password = tmp_path / "password"
    password.write_text("$argon2id$x")
    other = tmp_path / "mqtt-password"
    other.write_text("secret")
    work = f"""
        crop = next((config.home / "media").rglob("*.jpg"))
        found = [missing,
            outcome(open, config.home / "birdwatchd.sqlite3"),
            outcome(open, crop),
            outcome(open, {str(password)!r}),
            *[outcome(open, path) for path in
                ("/etc/hostname", "/etc/passwd", "/proc/1/environ", os.environ["OUTSIDE"], {str(other)!r})],
            outcome(os.listdir, "/home"), outcome(os.listdir, "/")]
    """
    found = within(settings(store.home, password_file=password), work)
    assert found == [[], "done", "done", "done", *["PermissionError"] * 7]


@needs_landlock
def test_it_writes_the_database_and_no_picture(store: Store) -> None:
    """It can review, as the owner can; it deletes no picture, makes no token, and leaves nothing behind for later."""
    (store.home / "page-tokens").write_text("")
    work = """
        crop = next((config.home / "media").rglob("*.jpg"))
        found = [
            outcome(open, config.home / "birdwatchd.sqlite3", "r+b"),
            outcome(open, config.home / "birdwatchd.sqlite3-wal", "r+b"),
            outcome(open, config.home / "review-jobs" / "x", "w"),
            outcome(open, config.home / "page-work" / "x", "w"),
            outcome(open, crop, "r+b"), outcome(os.unlink, crop), outcome(os.rename, crop, str(crop) + "x"),
            outcome(open, config.home / "page-tokens", "w"), outcome(os.unlink, config.home / "page-tokens"),
            outcome(open, config.home / "new", "w"), outcome(os.unlink, config.home / "birdwatchd.sqlite3"),
            outcome(open, "/tmp/new-file-of-the-page", "w")]
    """
    assert within(settings(store.home), work) == [*["done"] * 4, *["PermissionError"] * 8]


@needs_landlock
def test_it_sorts_more_than_it_has_memory_for(store: Store) -> None:
    """The list of a year's species, of a million visits, said that the database cannot be opened."""
    work = """
        import sqlite3
        connection = sqlite3.connect(f"file:{config.home}/birdwatchd.sqlite3?mode=ro", uri=True)
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        longest = f"{numbers} SELECT count(*) FROM (SELECT DISTINCT randomblob(300) FROM n ORDER BY randomblob(8))"
        found = connection.execute(longest).fetchone()[0]
    """
    assert within(settings(store.home), work) == 100_000


@needs_landlock
def test_it_calls_nobody_and_starts_only_python(store: Store) -> None:
    """No way to the cameras, the broker or the world, nor through a program: what it starts is held to the same."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        work = f"""
            kinds = [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM),
                     (socket.AF_INET6, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)]
            python = [sys.executable, "-c"]
            child = "import sys; sys.path[:] = {{}}; ".format(sys.path)
            open_ = subprocess.run([*python, child + "open('/etc/hostname')"], capture_output=True, text=True)
            calls = subprocess.run([*python, child + "import socket; socket.socket()"], capture_output=True, text=True)
            works = subprocess.run([*python, child + "import json; print(1)"], capture_output=True, text=True)
            found = [outcome(socket.create_connection, ("127.0.0.1", {there.getsockname()[1]})),
                     *[outcome(socket.socket, *kind) for kind in kinds],
                     outcome(subprocess.run, ["/bin/true"]), outcome(subprocess.run, ["/bin/sh", "-c", "true"]),
                     "hostname" in open_.stderr, "Operation not permitted" in calls.stderr,
                     works.stdout, outcome(socket.socketpair), outcome(socket.socket, socket.AF_UNIX)]
        """
        found = within(settings(store.home), work)
    assert found == [*["PermissionError"] * 7, True, True, "1\n", "done", "done"]


@pytest.mark.skipif(landlock.abi() < landlock.SIGNALS_ABI, reason="needs Linux 6.12 with Landlock")
def test_it_ends_no_other_program(store: Store) -> None:
    """The daemon that started it runs under the same user."""
    assert within(settings(store.home), "found = outcome(os.kill, os.getppid(), 0)") == "PermissionError"


def ask(config: Config, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", config.web.port, timeout=10)
    headers = {"Accept": "text/html", "Origin": f"http://127.0.0.1:{config.web.port}"}
    connection.request("POST" if form else "GET", path, urlencode(form) if form else None, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode("utf-8", "replace")
    connection.close()
    return found


def confined(page: PageProcess | None) -> bool:
    assert page is not None
    status = Path(f"/proc/{page.pid}/status").read_text() if page.pid is not None else ""
    return bool(re.search(r"NoNewPrivs:\t1", status) and re.search(r"Seccomp:\t2", status))


def test_the_real_process_is_confined_and_does_all_its_work(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Reviews of one and of many, the map, similar visits and small pictures, while a daemon has the database open."""
    config = settings(store.home)
    with page_served(config) as page:
        wait_for(lambda: confined(page), "the confinement", 15)
        wait_for(lambda: ask(config, "/species")[0] == 200, "the page", 15)
        of_visit = ("/visits/v0", "/visits/v0/similar", "/visits/v0/pictures/0?size=160")
        paths = (
            "/",
            "/visits",
            *of_visit,
            "/looks",
            "/health",
            "/api/v1/visits.csv",
            "/static/page.css",
            "/static/page.js",
        )
        assert [(path, ask(config, path)[0]) for path in paths] == [(path, 200) for path in paths]
        assert list((store.home / "similar").glob("*.f16"))
        token = re.search(r'name="token" value="([0-9a-f]+)"', ask(config, "/visits/v0")[1])
        assert token is not None
        said = {"token": token[1], "verdict": "species", "species": "Great tit"}
        assert ask(config, "/visits/v0/review", said)[0] == 303
        changed = store.visits.get("v0")
        assert changed is not None
        assert changed.verdict.common_name == "Great tit"
        job = {"token": token[1], "verdict": "not_a_bird", "pick-v4": "on", "pick-v5": "on"}
        assert ask(config, "/review/jobs", job)[0] == 303
        (kept,) = (store.home / "review-jobs").glob("*.json")
        wait_for(lambda: json.loads(kept.read_text())["state"] == "done", "the job", 10)
        assert "not fully confined" not in caplog.text


@needs_landlock
def test_an_evidence_map_is_made_without_a_word(store: Store) -> None:
    """Of each map the log had two lines about semaphores, which a library tries and this process may not have."""
    crop = next((store.home / "media").rglob("*.jpg")).relative_to(store.home)
    work = f"""
        order = json.dumps({{"config": config.without_secrets(), "crop": "{crop}", "weights": "demo"}}) + "\\n"
        command = [sys.executable, "-P", "-m", "birdwatchd.web.asked.evidence_child"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            child.stdin.write(order.encode())
            child.stdin.flush()
            code = child.wait(120)
            found = [code, child.stdout.read().decode(), child.stderr.read().decode()]
    """
    config = Config.model_validate({"home": store.home, "model": {"name": "demo"}})
    assert within(config, work) == [0, "{}", ""]


def test_a_database_that_comes_later_or_is_replaced_is_served(tmp_path: Path) -> None:
    """`run` on a new home serves the page before there is a database; a restore puts another one there."""
    home = tmp_path / "home"
    config = settings(home)
    with page_served(config) as page:
        wait_for(lambda: confined(page), "the confinement", 15)
        wait_for(lambda: ask(config, "/visits")[0] == 503, "the page without a database", 15)
        for number in range(2):
            if number:
                shutil.rmtree(home)
            with Store.open(home, zone=ZoneInfo("UTC")) as store:
                store.writer().record(example_visit(f"new{number}"), [], START)
                path = f"/visits/new{number}"
                wait_for(partial(answers, config, path), "the page of the new database", 20)


def answers(config: Config, path: str) -> bool:
    try:
        return ask(config, path)[0] == 200
    except (OSError, http.client.HTTPException):
        return False  # between two processes


def test_a_page_that_eats_memory_is_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the machine is short of it, and the daemon with its cameras pays."""
    monkeypatch.setattr(page_process, "MOST_MB", 1)
    with page_served(settings(store.home)):
        wait_for(lambda: "killed: it had more than 1 MB of memory" in caplog.text, "its end", 15)
