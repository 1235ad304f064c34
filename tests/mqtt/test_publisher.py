"""From the outbox to a real broker: in order, none lost, whatever happens to the broker."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from birdwatchd.demo.broker import DemoBroker
from birdwatchd.errors import BrokerRefused, StoreFull
from birdwatchd.mqtt.connection import Ack, Connection, ProtocolVersion
from birdwatchd.mqtt.payloads import alert_payload
from birdwatchd.mqtt.probe import probe
from birdwatchd.records import Message, Phase
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.store import StoredVisit
from tests.support.mqtt import TOPICS, installed
from tests.support.stored import enqueue

STATUS = "birdwatch/reserve1/status"
VISIT = "birdwatch/reserve1/nut/visit"
LAST = "birdwatch/reserve1/nut/last"
Wait = Callable[..., None]


def keys(subscriber: Any) -> list[tuple[str, int]]:
    events = [json.loads(payload) for payload in subscriber.payloads(VISIT)]
    return [(event["visit_id"], event["revision"]) for event in events]


def in_order(got: list[tuple[str, int]]) -> bool:
    """Revisions of one visit never go back, except for repeats that QoS 1 allows."""
    seen: dict[str, list[int]] = defaultdict(list)
    for visit_id, revision in dict.fromkeys(got):
        seen[visit_id].append(revision)
    return all(revisions == sorted(revisions) for revisions in seen.values())


def check_ordinary_delivery(world: Any, url: str, wait_until: Wait, protocol: str) -> None:
    subscriber = world.subscriber(int(url.rsplit(":", maxsplit=1)[-1]))
    began = time.monotonic()
    running = world.publisher(url).start()
    running.publisher.camera_status("nut", "online")
    for _ in range(40):
        world.bird()
        running.publisher.wake()
    wait_until(lambda: len(keys(subscriber)) == 80)
    assert keys(subscriber) == world.expected()
    wait_until(lambda: world.store.outbox.depth() == 0)
    assert time.monotonic() - began < 15
    running.end()
    wait_until(lambda: subscriber.payloads(STATUS) == [b"online", b"offline"])
    assert subscriber.payloads("birdwatch/reserve1/nut/status") == [b"online"]
    assert running.publisher._connection.protocol.text == protocol


def test_visits_arrive_once_and_in_order(world: Any, wait_until: Wait) -> None:
    """The ordinary day: each change of each visit once, states retained, `offline` said at the end."""
    broker = world.mosquitto()
    check_ordinary_delivery(world, broker.url, wait_until, "MQTT 5")
    late = world.subscriber(broker.port, client_id="home assistant after a restart")
    wait_until(lambda: late.payloads(LAST) and late.payloads(STATUS))
    assert all(retained for _, _, retained in late.got)
    assert json.loads(late.payloads(LAST)[0])["visit_id"] == "v39"
    assert late.payloads(STATUS) == [b"offline"]
    assert late.payloads(VISIT) == []


def test_an_old_broker_is_spoken_to_in_its_own_version(world: Any, wait_until: Wait) -> None:
    """The demonstration's broker speaks only 3.1.1; finding out must not cost a visible delay."""
    brokers = DemoBroker(), DemoBroker()
    url, other = (broker.start() for broker in brokers)
    world.endings.extend(broker.stop for broker in brokers)
    running = world.publisher(url)
    began = time.monotonic()
    running.start()
    wait_until(running.connected)
    assert time.monotonic() - began < 2.0
    running.end()
    world.endings.remove(running.end)
    check_ordinary_delivery(world, other, wait_until, "MQTT 3.1.1")


@pytest.mark.parametrize("quiet", [True, False], ids=["between birds", "in mid-stream"])
def test_a_broker_that_restarts_costs_nothing(world: Any, wait_until: Wait, quiet: bool) -> None:
    """Stopped for seconds while birds keep coming: none lost, order kept, and doubled at most what was on its way.

    A broker that hangs up may have taken a message without our ever seeing its PUBACK; only such may come twice.
    """
    broker = world.mosquitto()
    world.subscriber(broker.port, VISIT, client_id="patient", keep=True).close()
    running = world.publisher(broker.url).start()
    unacknowledged: set[tuple[str, int]] = set()
    for number in range(60):
        world.bird()
        running.publisher.wake()
        if number == 15:
            wait_until(lambda: running.metrics.get("mqtt_delivered_total") > 5)
            wait_until(lambda: not quiet or (world.store.outbox.depth() == 0 and not running.publisher._in_flight))
            broker.stop(signal.SIGTERM)
            wait_until(lambda: not running.connected())
            in_flight = set(running.publisher._in_flight.values())
            unacknowledged = {
                (row.visit_id, row.revision) for row in world.store.outbox.pending(0, 999) if row.id in in_flight
            }
            assert not (quiet and unacknowledged)
        if number == 45:
            running.stop.wait(2.0)
            assert world.store.outbox.depth() > 30
            broker.start()
    wait_until(lambda: world.store.outbox.depth() == 0, 30)
    patient = world.subscriber(broker.port, VISIT, client_id="patient", keep=True)
    wait_until(lambda: len(keys(patient)) >= 120)
    got = keys(patient)
    assert set(got) == set(world.expected())
    assert {key for key in got if got.count(key) > 1} <= unacknowledged
    assert in_order(got)


def test_a_broker_that_is_killed_loses_nothing(world: Any, wait_until: Wait) -> None:
    """SIGKILL in mid-stream: QoS 1 may repeat, but nothing may be missing for one who listens.

    What mosquitto itself would lose is kept out: it writes to disk once a second, so the listener's subscription
    must be on disk, and every message sent before the kill with the listener.
    """
    broker = world.mosquitto()
    listener = world.subscriber(broker.port, VISIT, client_id="listening", keep=True)
    on_disk = world.folder / "mosquitto.db"
    wait_until(lambda: on_disk.exists() and VISIT.encode() in on_disk.read_bytes())
    running = world.publisher(broker.url).start()
    for number in range(45):
        world.bird()
        running.publisher.wake()
        if number in (12, 28):
            wait_until(lambda: set(keys(listener)) == set(world.expected()))
            broker.stop(signal.SIGKILL)
            running.stop.wait(1.0)
            broker.start()
    wait_until(lambda: world.store.outbox.depth() == 0, 30)
    wait_until(lambda: set(keys(listener)) == set(world.expected()))
    assert in_order(keys(listener))


def test_the_last_will_says_offline(world: Any, wait_until: Wait) -> None:
    """After kill -9 of the daemon, Home Assistant must show `unavailable`, not yesterday's bird."""
    broker = world.mosquitto()
    listener = world.subscriber(broker.port)
    script = f"""
import threading
from pathlib import Path
from zoneinfo import ZoneInfo
from birdwatchd.mqtt.publisher import Publisher
from birdwatchd.mqtt.topics import Topics
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.metrics import Metrics
from birdwatchd.store import Store
store = Store.open(Path({str(world.folder / "other")!r}), zone=ZoneInfo("UTC"))
topics = Topics("birdwatch", "reserve1")
Publisher(store.outbox, MqttSettings(url={broker.url!r}), "reserve1", topics, Metrics()).run(threading.Event())
"""
    daemon = subprocess.Popen([sys.executable, "-c", script])
    wait_until(lambda: listener.payloads(STATUS) == [b"online"])
    daemon.kill()
    daemon.wait(10)
    wait_until(lambda: listener.payloads(STATUS) == [b"online", b"offline"])
    late = world.subscriber(broker.port, client_id="late")
    wait_until(lambda: late.got == [(STATUS, b"offline", True)])


def test_states_are_told_again_to_a_broker_that_forgot(world: Any, wait_until: Wait) -> None:
    """A broker without persistence comes back empty; the cameras must not stay `unknown` until they change."""
    broker = world.mosquitto()
    running = world.publisher(broker.url).start()
    running.publisher.camera_status("nut", "offline")
    running.publisher.camera_status("pond", "disabled")
    wait_until(running.connected)
    broker.stop(signal.SIGKILL)
    (world.folder / "mosquitto.db").unlink(missing_ok=True)
    broker.start()
    listener = world.subscriber(broker.port)
    wait_until(lambda: len({topic for topic, _, _ in listener.got}) == 3)
    states = {topic: payload for topic, payload, _ in listener.got}
    assert states == {
        STATUS: b"online",
        "birdwatch/reserve1/nut/status": b"offline",
        "birdwatch/reserve1/pond/status": b"disabled",
    }


def passwords(world: Any) -> tuple[str, ...]:
    file = world.folder / "passwords"
    file.touch(mode=0o600)
    subprocess.run([installed("mosquitto_passwd"), "-b", str(file), "bw", "right"], check=True, capture_output=True)
    return ("allow_anonymous false", f"password_file {file}")


def test_a_wrong_password_is_said_once_in_words(world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture) -> None:
    """Not "connected", not a log line per retry: one sentence that names the two keys to check."""
    broker = world.mosquitto(*passwords(world))
    wrong = world.folder / "wrong"
    wrong.write_text("wrong\n")
    settings = MqttSettings(url=broker.url, username="bw", password_file=wrong)
    with pytest.raises(BrokerRefused, match=r"refused the connection: wrong user name or password") as caught:
        probe(settings, TOPICS, 5)
    assert "check mqtt.username" in str(caught.value)
    assert "wrong\n" not in str(caught.value)
    world.bird()
    with caplog.at_level(logging.INFO):
        running = world.publisher(broker.url, username="bw", password_file=wrong)
        waits = []
        now = 0.0
        while now < 2000:
            waits.append(running.publisher.run_once(now))
            link = running.publisher._connection
            if waits[-1] <= 0.5:
                link.loop(0.05)
                now += 0.01
            else:
                now += waits[-1]
    refusals = [record for record in caplog.records if "refused" in record.getMessage()]
    assert [record.levelname for record in refusals] == ["ERROR"]
    assert max(waits) <= 300
    assert min(wait for wait in waits if wait > 0.5) >= 60
    assert world.store.outbox.depth() > 0


def test_files_that_change_while_the_daemon_runs_do_not_end_it(world: Any) -> None:
    """A certificate that is just being renewed, a password that is put elsewhere: only a restart reads them."""
    password = world.folder / "password"
    password.write_text("secret")
    running = world.publisher("mqtt://127.0.0.1:1", username="bw", password_file=password)
    password.unlink()
    for protocol in (ProtocolVersion.V311, ProtocolVersion.V5):
        running.publisher._replace(protocol)
        assert running.publisher._connection.client.password == "secret"


def test_the_right_password_from_a_file(world: Any, wait_until: Wait) -> None:
    """systemd hands passwords over as files with a newline at the end."""
    broker = world.mosquitto(*passwords(world))
    right = world.folder / "right"
    right.write_text("right\n")
    settings = MqttSettings(url=broker.url, username="bw", password_file=right)
    assert probe(settings, TOPICS, 5).startswith(f"broker 127.0.0.1:{broker.port} answers, MQTT 5; ")


def test_a_picture_too_large_does_not_block_the_queue(
    world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    """One huge crop must not hold back every visit after it; the picture is emptied, and one line says so."""
    broker = world.mosquitto(*("allow_anonymous true", "max_packet_size 20000"))
    listener = world.subscriber(broker.port)
    now = datetime.now(UTC)
    for _ in range(3):
        enqueue(world.store, [Message("birdwatch/reserve1/nut/image", b"x" * 30_000, retain=True)], now)
    enqueue(world.store, [Message("birdwatch/after", b"still here")], now)
    running = world.publisher(broker.url).start()
    wait_until(lambda: listener.payloads("birdwatch/after") == [b"still here"])
    wait_until(lambda: world.store.outbox.depth() == 0)
    assert running.metrics.get("mqtt_dropped_total") == 3
    assert len([r for r in caplog.records if "left out" in r.getMessage()]) == 1
    assert set(listener.payloads("birdwatch/reserve1/nut/image")) == {b""}, "an old picture beside a new name would lie"


def test_an_alert_too_large_goes_without_its_picture(
    world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    """The first hoopoe of the year must not go unreported because its picture is larger than the broker likes."""
    broker = world.mosquitto(*("allow_anonymous true", "max_packet_size 20000"))
    listener = world.subscriber(broker.port)
    stored = StoredVisit(world.visit("v0"), Phase.FINAL, ("ever",))
    for image in (b"x" * 30_000, b"small"):
        payload = alert_payload(stored, "rarities", ["first_ever"], image)
        enqueue(world.store, [Message("birdwatch/reserve1/alert", payload, key="v0:1")], datetime.now(UTC))
    world.publisher(broker.url).start()
    wait_until(lambda: len(listener.payloads("birdwatch/reserve1/alert")) == 2)
    bare, whole = (json.loads(payload) for payload in listener.payloads("birdwatch/reserve1/alert"))
    assert whole.pop("image_b64")
    assert bare == whole
    assert len([r for r in caplog.records if "left out" in r.getMessage()]) == 1


def test_a_forbidden_topic_keeps_the_rows(world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture) -> None:
    """Missing write rights at the broker are a person's mistake: say so once and keep everything for later."""
    rules = world.folder / "rules"
    rules.write_text("topic read birdwatch/#\ntopic write birdwatch/reserve1/status\n")
    broker = world.mosquitto("allow_anonymous true", f"acl_file {rules}")
    world.bird()
    rows = world.store.outbox.depth()
    world.publisher(broker.url).start()
    wait_until(lambda: any("refused a message" in record.getMessage() for record in caplog.records))
    assert world.store.outbox.depth() == rows


def test_who_is_over_quota_is_not_sent_to_the_access_rules(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What the log says to do must be what helps."""
    running = world.publisher("mqtt://127.0.0.1:1")
    for code, reason, hint in (
        (0x97, "Quota exceeded", "see the broker's log"),
        (0x87, "Not authorized", "the MQTT user (mqtt.username) needs write access to birdwatch/reserve1/#"),
    ):
        running.publisher._on_message_refused(Ack(1, code, reason), 0.0)
        assert caplog.messages[-1].endswith(f"refused a message: {reason.lower()}; {hint}")


def test_a_second_daemon_with_our_name_is_named(world: Any, wait_until: Wait, caplog: pytest.LogCaptureFixture) -> None:
    """Two daemons with one station name throw each other out for ever; neither log alone shows why."""
    broker = world.mosquitto()
    with caplog.at_level(logging.INFO):
        first, second = world.publisher(broker.url).start(), world.publisher(broker.url).start()
        wait_until(lambda: any("our id" in record.getMessage() for record in caplog.records))
        first.stop.wait(4)
    assert len([r for r in caplog.records if "our id" in r.getMessage()]) <= 2
    assert first.metrics.get("mqtt_connects_total") + second.metrics.get("mqtt_connects_total") < 12


def test_a_broker_that_is_away_is_said_once(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A dead broker must not fill the log or burn a core: back-off up to a minute, one line, a growing number."""
    world.bird()
    with caplog.at_level(logging.INFO):
        running = world.publisher("mqtt://127.0.0.1:1")
        now, waits = 0.0, []
        while now < 3600:
            waits.append(running.publisher.run_once(now))
            now += max(waits[-1], 0.001)
    assert len([record for record in caplog.records if record.name.startswith("birdwatchd")]) == 1
    assert 60 <= len(waits) < 200
    assert waits[0] <= 1.0
    assert max(waits) <= 60.0
    assert world.store.outbox.depth() > 0
    assert running.metrics.get("outbox_oldest_seconds") >= 0


def test_a_stop_does_not_wait_for_a_broker_that_is_away(world: Any) -> None:
    """Ten seconds are all the daemon has for stopping; a dead broker must not eat them."""
    running = world.publisher("mqtt://127.0.0.1:1").start()
    world.bird()
    threading.Event().wait(0.3)
    began = time.monotonic()
    running.end()
    assert time.monotonic() - began < 2
    assert world.store.outbox.depth() > 0


def test_a_stop_does_not_wait_for_a_name_server_that_is_away(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its line down a station asks for the broker's name most of the time, and each answer takes half a minute."""
    asked, answer = threading.Event(), threading.Event()

    def ask(*_: Any) -> None:
        asked.set()
        answer.wait(30)

    monkeypatch.setattr(Connection, "open", ask)
    running = world.publisher("mqtt://broker.example").start()
    assert asked.wait(10)
    began = time.monotonic()
    running.end()
    assert time.monotonic() - began < 2
    answer.set()


def test_a_burst_is_sent_before_the_goodbye(world: Any, wait_until: Wait) -> None:
    """The visits that ended because the daemon stops are published before it says `offline`."""
    broker = world.mosquitto()
    listener = world.subscriber(broker.port)
    running = world.publisher(broker.url).start()
    wait_until(running.connected)
    for _ in range(30):
        world.bird()
    running.end()
    wait_until(lambda: listener.payloads(STATUS)[-1:] == [b"offline"])
    assert keys(listener) == world.expected()
    assert listener.got[-1][:2] == (STATUS, b"offline")


def test_that_the_disk_is_full_is_published_though_the_database_fails(
    world: Any, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the one message that must not wait for a database which waits for room."""
    broker = world.mosquitto()
    subscriber = world.subscriber(broker.port)
    running = world.publisher(broker.url).start()
    wait_until(running.connected)
    world.bird()

    def full(*args: object) -> None:
        raise StoreFull("no room on the disk")

    for name in ("delivered", "pending", "depth"):
        monkeypatch.setattr(type(world.store.outbox), name, full)
    wait_until(lambda: running.metrics.get("publish_store_retries_total") > 0)
    running.publisher.storage(b'{"state":"full"}')
    wait_until(lambda: subscriber.payloads("birdwatch/reserve1/storage") == [b'{"state":"full"}'])
    monkeypatch.undo()
    wait_until(lambda: world.store.outbox.depth() == 0)
