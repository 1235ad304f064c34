"""How soon a bird was reported is read from the messages; which one counts decides what the figure means."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

from birdwatchd.demo.messages import Messages, latency_lines, quantile
from tests.support.demo_world import START, World


def test_the_quantile_is_a_value_that_occurred() -> None:
    """Nineteen quick messages and one slow: 95 % were quick."""
    assert quantile([1.0] * 19 + [9.0], 0.95) == 1.0
    assert quantile([1.0] * 18 + [9.0, 9.0], 0.95) == 9.0


def test_only_a_final_message_counts_as_final() -> None:
    """A provisional message repeated late must not pass for the end of the visit."""
    messages = Messages()
    for second, phase in enumerate(("provisional", "provisional", "final", "corrected")):
        payload = json.dumps({"visit_id": "v0", "phase": phase}).encode()
        messages.receive("t", payload, START + timedelta(seconds=second))
    assert messages.count == 4
    assert (messages.first["v0"] - START).seconds == 0
    assert (messages.final["v0"] - START).seconds == 2
    assert messages.last["v0"]["phase"] == "corrected"


def test_what_is_on_its_way_is_waited_for_and_what_never_comes_is_not(world: World) -> None:
    """The broker delivers after birdwatchd has ended; a message that was lost must not hold up the summary for ever."""
    messages = world.messages
    messages.last["v0"]["phase"] = "provisional"
    assert not messages.wait_for(world.stored, 0.05)
    final = json.dumps({"visit_id": "v0"} | messages.last["v0"] | {"phase": "final"}).encode()
    threading.Timer(0.2, messages.receive, args=("t", final, START)).start()
    assert messages.wait_for(world.stored, 10.0)


def test_latencies_of_an_overloaded_machine_say_so_on_every_line() -> None:
    """Figures are copied into reports line by line."""
    assert latency_lines([1.0], [2.0], "measured on an overloaded machine") == [
        "first message after the first frame: median 1.00 s, 95 % within 1.00 s "
        "(goal: 2 s and 4 s; measured on an overloaded machine)",
        "final message after the last frame: median 2.00 s, 95 % within 2.00 s "
        "(goal: 3 s; measured on an overloaded machine)",
    ]
    assert latency_lines([], []) == []
