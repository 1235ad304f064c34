"""What a person sees: names from outside are shown as they are, and no terminal obeys them."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from birdwatchd.address import Source
from birdwatchd.cli import run_cli
from birdwatchd.commands import check, terminal
from birdwatchd.commands.terminal import VisitLines, best_guess, plain, say_problem, setup_log, visit_lines
from birdwatchd.demo import run as demo
from birdwatchd.demo import summary
from birdwatchd.demo.comparison import Comparison
from birdwatchd.demo.load import Load
from birdwatchd.demo.messages import Messages
from birdwatchd.errors import BirdwatchError
from birdwatchd.records import Rank, State, Verdict, Visit
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.config import Config
from birdwatchd.settings.model import ModelSettings

START = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)
EVIL = "[/b][red]x\x1b[2J:bird:"
SHOWN = r"[/b][red]x\x1b[2J:bird:"


def visit(camera: str, name: str) -> Visit:
    verdict = Verdict(State.CONFIRMED, Rank.SPECIES, name, None, 0.9, ((name, 0.9),))
    return Visit("v1", camera, 1, START, START + timedelta(seconds=3), verdict, 1, 1, None, "demo@1")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Both consoles, printing to one text without colours."""
    text = io.StringIO()
    for module in (terminal, check, demo, summary):
        for name in ("out", "err"):
            if hasattr(module, name):
                old: Console = getattr(module, name)
                console = Console(file=text, width=200, highlight=False, emoji=old._emoji, color_system=None)
                monkeypatch.setattr(module, name, console)
    yield text
    assert "\x1b" not in text.getvalue()


def test_a_visit_shows_names_as_they_are(screen: io.StringIO) -> None:
    """A label of somebody's own weights, or a key of an old database, must not paint over the screen."""
    VisitLines(UTC).show(visit(EVIL, EVIL))
    for line in visit_lines([visit(EVIL, EVIL)], UTC):
        terminal.out.print(line, soft_wrap=True)
    assert screen.getvalue().count(SHOWN) == 4


def test_an_error_shows_names_as_they_are(screen: io.StringIO) -> None:
    """A file name from a camera-trap card can hold anything but a slash."""
    say_problem(f"{EVIL}\nthe second")
    assert screen.getvalue() == f"birdwatchd: {SHOWN}\nbirdwatchd: the second\n"


def test_check_shows_names_as_they_are(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` is asked when something is wrong already; it must not fall over the thing itself."""
    config = Config(
        home=Path(f"/tmp/{EVIL}"), model=ModelSettings(name=EVIL), cameras={"nut": CameraSettings(source=Source("a"))}
    )

    def fails(*_: object) -> str:
        raise BirdwatchError(EVIL)

    monkeypatch.setattr(check, "_probe_store", lambda config: f"{config.home} is writable")
    monkeypatch.setattr(check, "_probe_model", fails)
    monkeypatch.setattr(check, "_probe_camera", fails)
    check.check_config(config, Path(EVIL))
    assert check.probe_all(config) == 1
    assert screen.getvalue().count(SHOWN) == 6, screen.getvalue()


def test_the_demo_shows_its_home_as_it_is(screen: io.StringIO) -> None:
    """`--home` is typed by people, and shells complete brackets."""
    config = Config(home=Path(f"/tmp/{EVIL}"))
    demo._announce(config, [])
    summary.show_summary(Comparison(()), Messages(), Load({}), config)
    assert screen.getvalue().count(SHOWN) == 3


def test_a_log_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What a camera or broker says of itself must not forge a second line in the journal."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        setup_log()
        logging.getLogger("birdwatchd").warning("camera %s is away", "nut\n2026 ERROR forged\x1b[2J")
    finally:
        root.handlers[:], root.level = before, level
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"WARNING camera nut\\n2026 ERROR forged\\x1b\[2J is away$", line)


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (("scan", "card"), "birdwatchd.commands.scan.run_scan"),
        (("relabel",), "birdwatchd.commands.relabel.run_relabel"),
        (("doctor",), "birdwatchd.commands.keep.doctor.run_doctor"),
        (("run",), "birdwatchd.daemon.Daemon"),
        (("watch", "clip.mp4"), "birdwatchd.daemon.Daemon"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_log_and_the_lists_go_by_one_clock(
    command: tuple[str, ...],
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A visit of 12:15 in the list and a lost camera of 06:30 in the log belong together, and nobody can see it.

    Must: Lines, logs and lists have the zone of the station.
    """
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").touch()
    Path("birdwatchd.yaml").write_text("station: {timezone: Asia/Kathmandu}\nhome: home\nweb: off\n")

    class Program:
        """Logs a line, whatever it is asked for."""

        def __init__(self, *_: object, **__: object) -> None:
            record = logging.makeLogRecord(
                {"msg": "camera lost", "created": START.timestamp(), "levelname": "INFO", "levelno": logging.INFO}
            )
            logging.getLogger().handle(record)

        def run(self) -> int:
            return 0

    monkeypatch.setattr(program, Program)
    monkeypatch.setattr("birdwatchd.service.stop_on_signals", lambda stop: None)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        run_cli(list(command))
    finally:
        root.handlers[:], root.level = before, level
    assert capsys.readouterr().err == "2026-05-01 12:15:00+05:45 INFO    camera lost\n"
    (listed,) = list(visit_lines([visit("nut", "Great tit")], ZoneInfo("Asia/Kathmandu")))[1:]
    assert listed.startswith("2026-05-01 12:15:00")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Blaumeise Ω דרור", "Blaumeise Ω דרור"),
        ("a\x9b2J", r"a\x9b2J"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("no UTF-8 \udcff", r"no UTF-8 \udcff"),
        ("a\r\tb", r"a\r\tb"),
    ],
)
def test_only_what_cannot_be_printed_is_replaced(text: str, shown: str) -> None:
    """Names of birds and folders are written in every script; those stay."""
    assert plain(text) == shown


def test_ids_and_times_are_never_cut(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a narrow terminal cuts cannot be copied into the next command.

    Must: At 80 columns other columns are cut, times and ids never.
    """
    narrow = Console(file=screen, width=80, highlight=False, color_system=None)
    monkeypatch.setattr(terminal, "out", narrow)
    visit_id = "01JTJC2Q8ZK4V7XW5N3M9R6BDA"
    for line in visit_lines([replace(visit("nut_feeder_at_the_pond", "Great tit"), visit_id=visit_id)], UTC):
        terminal.out.print(line, soft_wrap=True)
    heading, line = screen.getvalue().splitlines()
    assert heading.split() == ["when", "for", "camera", "bird", "sure", "pictures", "visit"]
    assert line.startswith("2026-05-01 06:30:00")
    assert line.endswith(visit_id)


def test_columns_fit_what_comes_later(screen: io.StringIO) -> None:
    """Ten thousand visits are listed without being held in memory, so that not all widths are known before."""
    many = [visit("nut", "Great tit")] * terminal.CHUNK + [visit("nut", "Great crested grebe")]
    lines = list(visit_lines(iter(many), UTC))
    assert len(lines) == len(many) + 1
    assert "Great crested grebe" in lines[-1]


def test_a_bird_without_a_name_shows_the_best_guess() -> None:
    """An unknown bird, "59 %": that is how sure the network is of its class `Unknown`, and says nothing.

    Must: The best guess and its share are shown.
    """
    top = (("Unknown", 0.59), ("Great tit", 0.2))
    unknown = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.59, top)
    assert best_guess(unknown) == ("unknown bird (Great tit?)", 0.2)
    assert best_guess(replace(unknown, state=State.REJECTED)) == ("not a bird", 0.59)
    assert best_guess(replace(unknown, top=(("Unknown", 0.59),))) == ("unknown bird", 0.59)


@pytest.mark.parametrize("command", [["watch", "{}"], ["doctor", "--home", "{}"], ["tune", "{}"]])
@pytest.mark.parametrize("refused", [False, True])
def test_a_path_that_cannot_be_looked_at_is_one_line(
    command: list[str], refused: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pasted is the wrong thing, or the clip is in a colleague's folder; the answer was a page of traceback."""
    path = "/srv/hers/clip.mp4" if refused else "/" + "a" * 5000
    real = os.stat

    def stat(at: str, **how: bool) -> os.stat_result:
        if str(at).startswith("/srv/hers"):
            raise PermissionError(errno.EACCES, "Permission denied", str(at))
        return real(at, **how)

    monkeypatch.setattr(os, "stat", stat)
    assert run_cli([word.format(path) for word in command]) == 2
    said = capsys.readouterr().err
    assert "Permission denied; choose another path" in said if refused else "File name too long; check" in said
    assert len(said) < 1200


@pytest.mark.parametrize(("to", "why"), [("full", "No space left on device"), ("closed", "nobody reads them")])
def test_an_output_that_takes_nothing_ends_nothing(to: str, why: str) -> None:
    """`birdwatchd run | head` went on for ten visits and then ended the recording of birds."""
    script = (
        "import logging; from birdwatchd.commands.terminal import VisitLines; from birdwatchd.testing import *\n"
        "logging.basicConfig(format='%(message)s'); lines = VisitLines()\n"
        "for number in range(3): lines.show(example_visit(f'v{number}', 'Great tit'))\n"
        "import os; os.close(1)"
    )
    with open("/dev/full", "wb") if to == "full" else closed_pipe() as out:
        done = subprocess.run([sys.executable, "-c", script], stdout=out, stderr=subprocess.PIPE, check=False)
    assert done.stderr.decode().splitlines()[:1] == [f"visits are stored and not printed ({why})"]
    assert b"Traceback" not in done.stderr.partition(b"Exception ignored")[0]


@contextmanager
def closed_pipe() -> Iterator[IO[bytes]]:
    """What `head` leaves when it has read enough."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as file:
        yield file
