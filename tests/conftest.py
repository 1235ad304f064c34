"""What tests of more than one folder need."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support")

from birdwatchd.monitor.repeats import RepeatLimit  # noqa: E402
from tests.support.peer import Peer, serving  # noqa: E402  # after it is said that its asserts explain themselves


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A local web server that keeps what is posted."""
    with serving() as made:
        yield made


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Take away what a command under test set up to log with: its stream is closed when the test is over."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in root.handlers[:]:
        if handler not in before and type(handler) in (logging.StreamHandler, RepeatLimit):
            root.removeHandler(handler)
    root.setLevel(level)


# Folders and modules whose tests start processes, talk to peers, load torch, draw video or compare many random cases.
SLOW = (
    *(
        "system",
        "mqtt",
        "channels",
        "commands",
        "demo",
        "benchmarks",
        "stages",
        "species/network",
        "species/learned",
        "monitor",
        "faults",
    ),
    *(
        "camera/capture",
        "camera/clips",
        "camera/process",
        "camera/tuning",
        "camera/test_observer",
        "search/test_nearest",
        "alerts/test_rules_against_reference",
        "camera/motion/test_sight",
        "store/test_backup",
        "store/test_kill",
        "store/test_rescue",
        "store/test_retention",
        "store/test_backup_kill",
        "store/test_retention",
        "test_library",
        "test_cli",
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long, so that `-m "not slow"` leaves it out."""
    root = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(root) and item.path.relative_to(root).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
