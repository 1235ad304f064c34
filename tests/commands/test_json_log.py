"""The log as JSON: an object for each line, whatever a camera or broker says."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from birdwatchd.commands.terminal import setup_log


@pytest.fixture
def handlers() -> Iterator[None]:
    """The log as it was, afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.usefixtures("handlers")
def test_every_line_is_an_object_also_with_line_breaks_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    """A collector that meets one line that is no JSON drops it, or stops."""
    setup_log(as_json=True)
    log = logging.getLogger("birdwatchd.mqtt")
    log.warning("broker said %s", "no\n\x1b[31mnever")
    try:
        raise RuntimeError("broken")
    except RuntimeError as error:
        log.critical("stage failed", exc_info=error)
    lines = capsys.readouterr().err.splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["message"] == "broker said no\n\x1b[31mnever"
    assert "\x1b" not in lines[0]
    assert (first["level"], first["logger"], first["at"][-6:]) == ("warning", "birdwatchd.mqtt", "+00:00")
    assert "exception" not in first
    assert second["exception"].endswith("RuntimeError: broken")
