"""Walk every warning and error that the daemon can log: what lasts gets a line when it is over.

Who reads "the disk is full" from far away must be able to read on whether it still is. A new warning has to be added to
`ENDS` with the line that ends it and a walk through both, or to `EVENTS` with the reason why nothing lasts.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from birdwatchd.records import Blindness, CameraState
from tests.support import fault_walks as walk
from tests.support.fault_walks import NOW, World, lost_stream, status, upkeep

PACKAGE = Path(__file__).parent.parent / "birdwatchd"
NOT_THE_DAEMON = ("commands", "demo", "testing.py")

# Module and template of the warning: module and template of the line that ends it.
ENDS = {
    ("mqtt/publisher", "the broker refused a subscription; the MQTT user needs read access to %s"): (
        "mqtt/publisher",
        "the broker accepts the subscriptions again (%s)",
    ),
    ("mqtt/publisher", "the broker refused %s (%s); the MQTT user needs write access to it"): (
        "mqtt/publisher",
        "the broker accepts %s again",
    ),
    ("mqtt/packet_limit", "%s: left out, %d bytes exceed the broker's limit of %d"): (
        "mqtt/packet_limit",
        "%s: is published again",
    ),
    ("mqtt/publisher", "MQTT messages wait: %s"): ("mqtt/publisher", "MQTT messages are sent again"),
    ("mqtt/reconnect", "%s: another client %s our id %s; is a second birdwatchd running with the same station.name?"): (
        "mqtt/reconnect",
        "%s: connected, no other client uses our id %s now",
    ),
    ("mqtt/reconnect", "%s"): ("mqtt/reconnect", "%s"),
    ("stages/storage", "retention waits: %s"): ("stages/storage", "retention goes on again"),
    ("stages/storage", "%s: %s; check that its disk is mounted"): ("stages/storage", "%s: is there again"),
    ("stages/storage", "%s: %.2f GB free; %s"): ("stages/storage", "%s: %.2f GB free; %s"),
    ("stages/storage", "%s: the room that was held for a full disk is used for visits now"): (
        "stages/storage",
        "%s: room is held for a full disk again",
    ),
    ("stages/storage", "retention: %s"): ("stages/storage", "retention: the limits are kept again"),
    ("stages/record", "visits wait to be written: %s"): ("stages/record", "visits are written again"),
    ("stages/upkeep", "camera effort is not written: %s"): ("stages/upkeep", "camera effort is written again"),
    ("stages/upkeep", "camera %s: %s"): ("stages/upkeep", "camera %s: %s"),
    ("stages/upkeep", "camera %s: birds can hardly be seen: %s"): (
        "stages/upkeep",
        "camera %s: birds can be seen again",
    ),
    ("stages/upkeep", "camera %s: offline: %s"): ("stages/upkeep", "camera %s: online, %d×%d pixels"),
    ("stages/station_watch", "alerts about the station wait: %s"): (
        "stages/station_watch",
        "alerts about the station are sent again",
    ),
    ("stages/station_watch", "station: %s"): ("stages/station_watch", "station: %s"),
    ("stages/learn", "reviews are not learned from: %s"): ("stages/learn", "reviews are learned from again"),
    ("stages/review_notes", "pictures do not say yet what was reviewed: %s"): (
        "stages/review_notes",
        "pictures say again what was reviewed",
    ),
    ("channels/channel", "channel %s: %s"): ("channels/channel", "channel %s: %s"),
    ("channels/channel", "channel %s: messages wait: %s"): ("channels/channel", "channel %s: messages are sent again"),
    ("channels/channel", "channel %s: messages older than %s (max_age) are dropped"): (
        "channels/channel",
        "channel %s: messages arrive in time again",
    ),
    ("stages/opening", "cannot start yet: %s"): ("stages/opening", "%s can be used again"),
    ("monitor/server", "metrics are not served: %s: %s; change metrics.bind, or free the port"): (
        "monitor/server",
        "metrics are served at %s",
    ),
    ("store/writer", "%s: no room for pictures; visits are kept without them until there is"): (
        "store/writer",
        "visits are kept with pictures again",
    ),
    ("camera/process/supervisor", "camera %s: its process ended (%s); starting it again in %.1f s"): (
        "stages/upkeep",
        "camera %s: online, %d×%d pixels",
    ),
    ("stages/watchdog", "%s has stood still for %.0f s, at %s; systemd restarts birdwatchd unless it goes on"): (
        "stages/watchdog",
        "%s goes on again after %.0f s",
    ),
    ("stages/timekeeping", "the clock is not followed yet: %s"): (
        "stages/timekeeping",
        "the clock is followed again",
    ),
    ("stages/page_process", "there is no page: %s"): ("stages/page_process", "the page is at %s"),
    ("stages/page_process", "the page's process ended (%s); starting it again in %.1f s"): (
        "stages/page_process",
        "the page is served again",
    ),
    ("monitor/local_socket", "%s takes no questions now: %s"): ("monitor/local_socket", "%s takes questions again"),
}
# Warnings after which nothing lasts that could end, and why.
ONE_THING = "it is about one message, visit or file, and the next one is another"
BEFORE_THE_END = "the process or the camera's process ends"
AT_START = "it is said once at the start, of what was found"
UNTIL_RESTART = "it holds until the next start"
SAID_BY_THE_CLOCK = "stages/timekeeping says when the clock was put right, and by how much"
SAID_BY_THE_CAMERA = "each state that is reported says how the camera is now"
EVENTS = {
    ("mqtt/publisher", "the broker closes the connection on messages larger than %d bytes; larger ones are left out"): (
        UNTIL_RESTART
    ),
    ("mqtt/publisher", "the broker rejected message %s (%s); dropped"): ONE_THING,
    ("mqtt/publisher", "cannot publish on %r: topic invalid or message too large; dropped"): ONE_THING,
    ("mqtt/retained", "%d topics in the database are damaged; they are forgotten"): AT_START,
    (
        "web/jobs",
        "the reviews of %s stopped: %s",
    ): "a person began them, sees it on the page, and lets them go on there",
    ("web/access/guard", "the page: no token is accepted: %s"): "said for each request that is refused",
    ("web/access/login", "the page: wrong password from %s"): "said for each that is refused",
    ("web/access/login", "the page: wrong token from %s"): "said once for each that is refused",
    ("web/child", "the page's process is not fully confined: not in force: %s"): AT_START,
    ("web/asked/task", "%s: %s"): "a person asked for it, sees on the page why there is no answer, and can ask again",
    ("store/database", "%s is not root's, who makes files there that its owner cannot change: %s"): AT_START,
    ("monitor/local_socket", "%s cannot be made (%s); nobody can ask for: %s"): UNTIL_RESTART,
    ("mqtt/commands", "%s"): ONE_THING,
    ("flow", "%s failed; birdwatchd stops: %s"): BEFORE_THE_END,
    ("flow", "%s failed unexpectedly; birdwatchd stops"): BEFORE_THE_END,
    ("flow", "%s did not stop in time; it stands at\n%s"): BEFORE_THE_END,
    ("channels/channel", "dropped %d messages for channels that are no longer configured"): AT_START,
    ("species/verdict/build", "species.%s names %s, which the model does not know: check the spelling"): AT_START,
    ("species/network/cuda", "%s has memory for %d crops at once, not more"): UNTIL_RESTART,
    ("store/retention/reserve", "%s: the disk is full; starting with the room that was held for this"): AT_START,
    ("store/database", "the write-ahead log is left as it is: %s"): BEFORE_THE_END,
    ("store/writer", "camera %s sent a visit of camera %s (%s); it is left as it was"): ONE_THING,
    ("store/writer", "visit %s is stored, but its picture does not say how it ended: %s"): ONE_THING,
    ("store/writer", "the clip of visit %s is not where it should be, and is left out"): ONE_THING,
    ("store/store", "moved %d pictures and clips that no row names to %s; `birdwatchd doctor` says what they are"): (
        AT_START
    ),
    ("store/store", "%d pictures and clips that no row names stay where they are: %s"): AT_START,
    ("alerts/engine", "unknown species %s in alert rule %s; check the spelling"): AT_START,
    ("camera/process/supervisor", "camera %s: %s"): BEFORE_THE_END,
    ("camera/process/scan_process", "%s"): AT_START,
    ("camera/process/hearing", "camera %s: its state changes all the time; a change is reported once in %.0f s"): (
        SAID_BY_THE_CAMERA
    ),
    (
        "stages/opening",
        "the system's clock is behind: it says a time before what is stored already; visits are stamped from "
        "%s on until it is put right (if it is right, see `birdwatchd clock --trust`)",
    ): SAID_BY_THE_CLOCK,
    (
        "stages/opening",
        "%d visits lie in the future and count for nothing: the clock was ahead; see `birdwatchd clock`",
    ): (AT_START),
    ("stages/timekeeping", "the system's clock was put %s by %s; %s"): ONE_THING,
    ("camera/process/supervisor", "camera %s: its process did not stop within %.0f s and is killed"): BEFORE_THE_END,
    (
        "camera/motion/background",
        "the background of the camera is not finite; it is learned anew (this is a bug: report it)",
    ): (ONE_THING),
}


def logged(*levels: str) -> set[tuple[str, str]]:
    """Module and template of every call of the daemon's code that logs at one of these levels."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(NOT_THE_DAEMON):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) == "log" and node.func.attr in levels:
                text = node.args[1 if node.func.attr == "log" else 0]
                assert isinstance(text, ast.Constant), f"{name}:{node.lineno}: give log a constant text and arguments"
                found.add((name.removesuffix(".py"), str(text.value)))
    return found


def test_every_warning_is_an_event_or_has_a_line_that_ends_it() -> None:
    """A fault whose end is not said is looked for by somebody who drove up the mountain for it."""
    warnings = logged("warning", "error", "critical", "log")
    assert warnings - set(ENDS) - set(EVENTS) == set(), "say in ENDS what ends it, or in EVENTS why nothing lasts"
    assert (set(ENDS) | set(EVENTS)) - warnings == set(), "these are not logged any more"
    assert set(ENDS.values()) - logged("info", "log") == set()
    assert set(ENDS) - set(WALKS) == set(), "every fault that lasts is walked through below"
    assert set(WALKS) - set(ENDS) == set()


WALKS: dict[tuple[str, str], Callable[[World], None]] = dict(
    zip(
        ENDS,
        (
            walk.refused_subscription,
            walk.refused_topic,
            walk.too_large,
            walk.busy_outbox,
            walk.another_client,
            walk.no_broker,
            walk.busy_retention,
            walk.lost_home,
            walk.full_disk,
            walk.spent_reserve,
            walk.impossible_limit,
            walk.busy_record,
            walk.busy_effort,
            walk.no_clips,
            walk.blind,
            walk.offline,
            walk.busy_alerts,
            walk.station_fault,
            walk.busy_learning,
            walk.busy_review_notes,
            walk.unreachable_channel,
            walk.busy_channel,
            walk.old_messages,
            walk.busy_start,
            walk.taken_port,
            walk.no_pictures,
            walk.dead_process,
            walk.standing_stage,
            walk.busy_clock,
            walk.taken_page,
            walk.ended_page,
            walk.out_of_files,
        ),
        strict=True,
    )
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    made = World(tmp_path, monkeypatch, caplog)
    yield made
    made.store.close()


@pytest.mark.parametrize("fault", ENDS, ids=lambda fault: f"{fault[0]}: {fault[1]}")
def test_a_fault_that_lasts_is_said_once_and_so_is_its_end(
    fault: tuple[str, str], world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it begins, one when it is over, in this order."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    WALKS[fault](world)
    end = ENDS[fault]
    lines = [(f"birdwatchd.{end_or.replace('/', '.')}", text) for end_or, text in (fault, end)]
    begun = [r for r in caplog.records if (r.name, r.msg) == lines[0] and r.levelno >= logging.WARNING]
    ended = [r for r in caplog.records if (r.name, r.msg) == lines[1] and r.levelno == logging.INFO]
    assert (len(begun), len(ended)) in ((1, 1), (1, 2)), caplog.text  # a server or broker may say it at the start too
    assert caplog.records.index(begun[0]) < caplog.records.index(ended[-1])


def test_a_lost_stream_and_a_blindness_of_a_process_that_died_end_too(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The second stream has its own two lines; and a process that died blind leaves nothing open."""
    caplog.set_level(logging.INFO)
    lost_stream(world)
    assert caplog.messages[-2:] == ["camera nut: gate_source is lost", "camera nut: both streams are back"]
    caplog.clear()
    later = [replace(status(), at=NOW + timedelta(seconds=seconds)) for seconds in (0, 60, 130, 200)]
    upkeep()(status(blind=Blindness.FLAT), status(CameraState.STARTING), *later)
    assert [text for text in caplog.messages if "birds" in text][1:] == ["camera nut: birds can be seen again"]


def test_a_fault_that_comes_again_is_said_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The end of one fault must not hide the next one of the same kind."""
    caplog.set_level(logging.INFO)
    report = upkeep()
    for _ in range(2):
        report(
            status(notice="no clips: full"), status(notice="no clips: full"), status(notice="clips are recorded again")
        )
    assert [r.levelname for r in caplog.records if "clips" in r.message] == ["WARNING", "INFO"] * 2
