"""What the documentation shows works: topics, entities and event types exist, commands run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml

from birdwatchd.mqtt.daily_summary import DailySummary
from birdwatchd.mqtt.home_assistant import EVENT_TYPES, Discovery
from birdwatchd.mqtt.payloads import visit_json
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Phase
from birdwatchd.settings.load import parse_config
from birdwatchd.store import StoredVisit
from tests.support.mqtt_service import Daemon

DOCS = Path(__file__).parent.parent.parent / "docs"
COMMANDS = ("enable", "confirm", "retract", "species")
DISCOVERY = Discovery("homeassistant", Topics("birdwatch", "reserve1"), {"nut_feeder": "Nut feeder"}, commands=COMMANDS)
ENTITY = re.compile(r"(?<![\w.])(?:sensor|binary_sensor|image|event|switch|button|text)\.[a-z0-9_]+\b")
Wait = Callable[..., None]


class _Loader(yaml.SafeLoader):
    """YAML as Home Assistant reads it: with `!input`."""


_Loader.add_constructor("!input", lambda loader, node: f"!input {node.value}")


def blocks(file: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / file).read_text(encoding="utf-8"), re.DOTALL)


def parsed(file: str) -> list[dict[str, Any]]:
    return [yaml.load(block, _Loader) for block in blocks(file, "yaml")]


def entities() -> set[str]:
    """All entity ids that discovery proposes."""
    configs = [json.loads(message.payload) for message in DISCOVERY.messages]
    return {cmp["default_entity_id"] for config in configs for cmp in config["cmps"].values()}


def strings(value: Any) -> Iterator[str]:
    """All text in a document, keys left out."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_every_entity_that_is_named_exists_and_every_one_is_named() -> None:
    """An automation on an entity that does not exist never runs, and nothing says so."""
    text = (DOCS / "tutorials/home-assistant.md").read_text(encoding="utf-8")
    assert set(ENTITY.findall(text)) == entities()
    assert {
        name for block in blocks("tutorials/home-assistant.md", "yaml") for name in ENTITY.findall(block)
    } <= entities()


def test_configurations_are_valid() -> None:
    """The first thing that people copy."""
    for file in ("tutorials/home-assistant.md", "reference/mqtt.md"):
        found = [block for block in blocks(file, "yaml") if block.startswith("mqtt:")]
        assert found
        for block in found:
            url = "" if "url:" in block else "  url: mqtt://x\n"
            assert parse_config(block + url, file, {}).mqtt.url


def test_automations_have_the_parts_that_home_assistant_wants() -> None:
    """Triggers and actions in the words of today, inputs that exist, and no input that nobody uses."""
    automations = [one for one in parsed("tutorials/home-assistant.md") if "triggers" in one]
    assert len(automations) == 2
    for automation in automations:
        assert all("trigger" in one for one in automation["triggers"])
        assert all("action" in one or "choose" in one for one in automation["actions"])
        used = {text.removeprefix("!input ") for text in strings(automation) if text.startswith("!input ")}
        assert used == set(automation.get("blueprint", {}).get("input", {}))


def test_the_blueprint_knows_the_events_that_are_sent(world: Any) -> None:
    """Event types, phases and attributes are those of the contract."""
    (blueprint,) = [one for one in parsed("tutorials/home-assistant.md") if "blueprint" in one]
    kinds = blueprint["blueprint"]["input"]["kinds"]
    assert tuple(kinds["selector"]["select"]["options"]) == EVENT_TYPES
    assert set(kinds["default"]) < set(EVENT_TYPES)
    text = " ".join(strings(blueprint))
    sent = {"event_type", "was", *visit_json(StoredVisit(world.visit("v0"), Phase.FINAL, ()))}
    used = set(re.findall(r"(?:payload_json|visit)\.(\w+)", text))
    assert {"event_type", "visit_id", "phase", "end", "was"} <= used <= sent
    said = set(re.search(r"phase in \[(.*?)\]", text)[1].replace("'", "").split(", "))  # type: ignore[index]
    assert said == {phase.value for phase in Phase} - {Phase.PROVISIONAL.value}


def test_the_topic_of_the_blueprint_is_one_of_visits() -> None:
    """Its buttons send their commands beside it; `tests/system/test_home_assistant.py` presses them."""
    (blueprint,) = [one for one in parsed("tutorials/home-assistant.md") if "blueprint" in one]
    assert blueprint["blueprint"]["input"]["topic"]["default"] == DISCOVERY.topics.visit("nut_feeder")
    titles = re.findall(r"'title': '(.*?)'", " ".join(strings(blueprint)))
    assert [yaml.safe_load(title) for title in titles] == titles == ["Right", "No bird"], "`Yes` is true in YAML"


def test_the_messages_that_are_shown_are_the_messages_that_are_sent(world: Any) -> None:
    """People write their templates by the example."""
    visit, heartbeat = (json.loads(block) for block in blocks("reference/mqtt.md", "json"))
    stored = StoredVisit(world.visit("v0", end=world.start), Phase.FINAL, ())
    assert list(visit) == ["event_type", *visit_json(stored), "was"]
    sent = json.loads(DailySummary(world.store, "t", time(7), 2).payload(world.start, world.start.date()))
    assert set(heartbeat) == set(sent)


def test_every_topic_of_the_table_is_used(world: Any, wait_until: Wait) -> None:
    """The table of topics, against what a real broker gets."""
    table = re.findall(
        r"^\| `(birdwatch/reserve1/[^`]+)` \| (yes|no) \|", (DOCS / "reference/mqtt.md").read_text(), re.MULTILINE
    )
    broker = world.mosquitto()
    listener = world.subscriber(broker.port)
    daemon = Daemon(world, broker.url, cameras=("nut",), heartbeat="00:00", commands=COMMANDS)
    daemon.mqtt.publisher.camera_status("nut", "online")
    daemon.mqtt.publisher.storage(b'{"state":"ok"}')
    world.record(world.visit("v1"))
    daemon.mqtt.publisher.wake()
    wait_until(lambda: listener.payloads("birdwatch/reserve1/nut/visit"))
    wait_until(daemon.all_sent)
    newcomer = world.subscriber(broker.port, client_id="newcomer")
    wanted = {topic.replace("<camera>", "nut") for topic, retained in table if retained == "yes"}
    wanted -= {"birdwatch/reserve1/nut/image"}  # the visit had no picture
    wait_until(lambda: wanted <= {topic for topic, _, _ in newcomer.got})
    kept = {topic for topic, _, _ in newcomer.got}
    assert kept <= {topic.replace("<camera>", "nut") for topic, _ in table}
    events = [topic for topic, retained in table if retained == "no"]
    topics = DISCOVERY.topics
    assert events == [topics.alert, topics.station_alert, topics.selftest, topics.probe, topics.visit("<camera>")]


LINES = [line for block in blocks("reference/mqtt.md", "sh") for line in block.splitlines()]
OPTIONS = {"mosquitto_sub": {"-h", "-t", "-q", "-v", "-F", "-C", "-N"}, "mosquitto_pub": {"-h", "-t", "-q", "-m"}}


@pytest.mark.parametrize("line", LINES)
def test_the_lines_to_type_name_topics_that_exist(line: str) -> None:
    """Also where the programs are not installed: options that they have, and a filter that meets a topic of ours."""
    program, *arguments = shlex.split(line)
    assert {one for one in arguments if one.startswith("-")} <= OPTIONS[program]
    topics, wanted = DISCOVERY.topics, arguments[arguments.index("-t") + 1]
    if program == "mosquitto_pub":
        leaf = wanted.rsplit("/", 1)[-1]
        assert wanted == topics.command("nut_feeder", leaf)
        assert leaf in ("enabled", "confirm", "retract", "species")
    else:
        ours = [topics.visit("nut_feeder"), topics.image("nut_feeder"), topics.status]
        assert any(paho.topic_matches_sub(wanted, topic) for topic in ours)


@pytest.mark.parametrize("line", LINES)
def test_the_lines_to_type_run(world: Any, wait_until: Wait, line: str) -> None:
    """mosquitto_sub hears something and mosquitto_pub is understood, with the options as they are written."""
    program, *arguments = shlex.split(line)
    if shutil.which(program) is None:
        pytest.skip("install mosquitto-clients")  # the test above has looked at the line
    broker = world.mosquitto()
    daemon = Daemon(world, broker.url, cameras=("nut_feeder",), commands=COMMANDS)
    wait_until(daemon.all_sent)
    arguments[arguments.index("broker.example")] = "127.0.0.1"
    arguments += ["-p", str(broker.port), *(["-W", "5", "-C", "1"] if program == "mosquitto_sub" else [])]
    running = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE)
    if program == "mosquitto_pub":
        assert running.wait(10) == 0
        metrics = daemon.metrics
        wait_until(lambda: metrics.total("mqtt_commands_total") + metrics.get("mqtt_commands_ignored_total"))
        assert metrics.get("mqtt_commands_total", command="enable") == ("enabled" in line)
        return
    client = world.subscriber(broker.port, client_id="sender").client
    topic = DISCOVERY.topics.image("nut_feeder") if "image" in line else DISCOVERY.topics.visit("nut_feeder")
    while running.poll() is None:
        client.publish(topic, b"bird", qos=1)
        daemon.stop.wait(0.1)
    output, _ = running.communicate(timeout=10)
    assert running.returncode == 0
    assert output
