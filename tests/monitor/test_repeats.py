"""Log lines that repeat: the first is always there, what was left out is counted, and different things never hide."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable

import pytest

from birdwatchd.commands.terminal import recent_log, setup_log
from birdwatchd.monitor.repeats import COUNT_S, MOST_A_MINUTE, RepeatLimit


class Written(logging.Handler):
    """What reaches the log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.repeats = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.repeats += getattr(record, "repeats", 0)


class Log:
    """A log with a clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.written = Written()
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.limit = RepeatLimit(
            self.written,
            monotonic=lambda: self.now_s,
            schedule=lambda seconds, call: self.due.append((self.now_s + seconds, call)),
        )
        self.log = logging.Logger("birdwatchd.test")
        self.log.addHandler(self.limit)

    @property
    def lines(self) -> list[str]:
        return self.written.lines

    def pass_time(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.due and self.due[0][0] <= until_s:
            self.now_s, call = self.due.pop(0)
            call()
        self.now_s = until_s

    def fails(self, camera: str = "nut", why: str = "no route to host") -> None:
        self.log.warning("camera %s: offline: %s", camera, why)


def test_a_line_that_repeats_is_written_a_few_times_and_then_counted() -> None:
    """A loose cable on a mountain must not fill the disk on which the visits are to be kept."""
    log = Log()
    for _ in range(1500):
        log.fails()
        log.pass_time(1.0)
    assert log.lines[:MOST_A_MINUTE] == ["camera nut: offline: no route to host"] * MOST_A_MINUTE
    assert log.lines[MOST_A_MINUTE:] == [
        "camera nut: offline: no route to host … 600 more in 10 min",
        "camera nut: offline: no route to host … 600 more in 10 min",
    ]
    log.limit.close()
    assert log.written.repeats == 1500 - MOST_A_MINUTE


def test_the_first_is_never_left_out_nor_one_after_a_minute_of_silence() -> None:
    """Who looks into the log because of a fault must find it there, not a count ten minutes later."""
    log = Log()
    log.fails()
    assert len(log.lines) == 1
    for _ in range(20):
        log.fails()
    log.pass_time(120.0)
    log.fails()
    assert log.lines[-2:] == [
        "camera nut: offline: no route to host … 16 more in 2 min",
        "camera nut: offline: no route to host",
    ]


def test_another_camera_another_reason_and_another_error_are_other_lines() -> None:
    """A camera that fails ten times a second must not hide the one that fails once."""
    log = Log()
    for _ in range(100):
        log.fails()
    log.fails("pond")
    log.fails("nut", "wrong password")
    log.log.error("camera %s: offline: %s", "nut", "no route to host")
    log.log.critical("stage failed", exc_info=ValueError("a"))
    log.log.critical("stage failed", exc_info=ValueError("b"))
    assert log.lines[MOST_A_MINUTE:] == [
        "camera pond: offline: no route to host",
        "camera nut: offline: wrong password",
        "camera nut: offline: no route to host",
        "stage failed",
        "stage failed",
    ]


def test_a_figure_does_not_make_it_another_line_but_a_number_that_names_something_does() -> None:
    """Otherwise `starting it again in 3.2 s` would never be the same twice, and row 17 would hide row 18."""
    log = Log()
    for number in range(100):
        log.log.warning("camera nut: its process ended; starting it again in %.1f s", number / 7)
        log.log.warning("%s: %.2f GB free; no clips", "/home", number / 100)
        log.log.error("the broker rejected message %s; dropped", number)
    texts = [line.split(" ")[0] for line in log.lines]
    assert (texts.count("camera"), texts.count("/home:"), texts.count("the")) == (MOST_A_MINUTE, MOST_A_MINUTE, 100)


def test_of_several_counts_the_line_that_came_last_is_written_last() -> None:
    """A camera that was going on and off: the end of the log says what it is now."""
    log = Log()
    for _ in range(60):
        log.fails()
        log.log.info("camera nut: online")
        log.pass_time(0.5)
    log.pass_time(COUNT_S)
    assert [line.split(" … ")[0] for line in log.lines[-2:]] == [
        "camera nut: offline: no route to host",
        "camera nut: online",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_every_line_is_written_or_counted(seed: int) -> None:
    """A count that is wrong is worse than none."""
    log, chance = Log(), random.Random(seed)
    logged = 0
    for _ in range(2000):
        log.fails(chance.choice(("nut", "pond", "oak")), chance.choice(("gone", "refused")))
        logged += 1
        log.pass_time(chance.choice((0.0, 0.1, 3.0, 61.0 if chance.random() < 0.01 else 1.0)))
    log.limit.close()
    counts = sum(" more in " in line for line in log.lines)
    assert len(log.lines) - counts + log.written.repeats == logged
    per_kind: dict[str, int] = {}
    for line in log.lines:
        per_kind[line] = per_kind.get(line, 0) + 1
    assert log.written.repeats > 100


def test_more_kinds_than_are_remembered_lose_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded also where every line names something new."""
    monkeypatch.setattr("birdwatchd.monitor.repeats.MOST_KINDS", 3)
    log = Log()
    for _ in range(9):
        log.fails("first")
    for number in range(5):
        log.fails(f"other{number}x")
    assert "camera first: offline: no route to host … 4 more in 1 s" in log.lines
    log.limit.close()
    assert sum("first" in line for line in log.lines) == MOST_A_MINUTE + 1


def test_the_json_log_keeps_the_count_and_the_newest_lines_are_kept_for_a_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Programs that add up errors must not read `… 7 more` out of a text."""
    setup_log(as_json=True)
    for _ in range(12):
        logging.getLogger("birdwatchd.test").warning("camera nut: gone")
    setup_log()  # ends the one before, as the end of the process does
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line.get("repeats") for line in lines] == [None] * MOST_A_MINUTE + [7]
    assert lines[-1]["message"] == "camera nut: gone … 7 more in 1 s"
    logging.getLogger("birdwatchd.test").warning("camera pond: gone")
    assert recent_log()[-1].endswith("camera pond: gone")
