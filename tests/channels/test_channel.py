"""From the outbox to webhooks and to Apprise, to a real server: none lost, none held up by another."""

from __future__ import annotations

import base64
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.address import Secret
from birdwatchd.channels.channel import Channel, build_channels, build_sender
from birdwatchd.channels.webhook import Webhook
from birdwatchd.errors import ChannelRefused, ChannelUnreachable, ConfigError, StoreBusy
from birdwatchd.metrics import Metrics
from birdwatchd.mqtt.payloads import alert_payload
from birdwatchd.records import Message, Phase
from birdwatchd.settings.channels import ChannelSettings
from birdwatchd.settings.config import Config
from birdwatchd.store import Store, StoredVisit
from tests.support.peer import Peer, serving
from tests.support.stored import enqueue

Wait = Callable[..., None]
NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)


@pytest.fixture
def other() -> Iterator[Peer]:
    with serving() as made:
        yield made


def wait_for(store: Store, channel: str, *numbers: int, at: datetime = NOW) -> None:
    """Put messages for a channel into the outbox."""
    enqueue(store, [Message("alert", b'{"n":%d}' % number, channel=channel) for number in numbers], at)


def channel_to(
    peer: Peer, store: Store, name: str = "hook", metrics: Metrics | None = None, **settings: Any
) -> Channel:
    made = ChannelSettings(webhook=Secret(peer.url), **settings)
    send = Webhook(Secret(peer.url), {}).send
    return Channel(name, made, send, store.outbox, metrics or Metrics(), clock=lambda: NOW, chance=lambda: 0.0)


def test_each_channel_and_the_broker_take_only_their_own(world: Any, peer: Peer) -> None:
    """An alert on the broker's queue that is meant for a phone would reach everybody who subscribes."""
    store: Store = world.store
    wait_for(store, "hook", 1, 2)
    wait_for(store, "phone", 9)
    enqueue(store, [Message("b/s/nut/visit", b"{}")], NOW)
    channel = channel_to(peer, store)
    assert [channel.run_once(now) for now in (0.0, 0.1, 0.2)] == [0.0, 0.0, 1.0]
    assert peer.got == [{"n": 1}, {"n": 2}]
    assert [store.outbox.depth(name) for name in ("hook", "phone", None)] == [0, 1, 1]
    assert [row.message.topic for row in store.outbox.pending(0, 9)] == ["b/s/nut/visit"]


def test_a_server_that_is_down_gets_everything_when_it_is_up(
    world: Any, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    """The router was restarted: two lines in the log, and every alert, once and in order."""
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    channel = channel_to(peer, world.store, metrics=metrics)
    wait_for(world.store, "hook", 1, 2)
    peer.stop()
    waits = [channel.run_once(now) for now in (0.0, 10.0, 30.0)]
    assert waits == [5.0, 10.0, 20.0], "each wait is twice the one before"
    assert channel.run_once(40.0) == 10.0, "it does not try before its time"
    peer.start()
    peer.status = 503
    assert channel.run_once(50.0) == 40.0
    peer.status = 200
    peer.got.clear()
    assert [channel.run_once(now) for now in (90.0, 90.1)] == [0.0, 0.0]
    assert peer.got == [{"n": 1}, {"n": 2}]
    assert metrics.get("channel_failures_total", channel="hook") == 4
    said = [record.message for record in caplog.records]
    assert said == [
        "channel hook: the server cannot be reached (connection refused); messages wait in the outbox",
        "channel hook: accepts messages again",
    ]


def test_a_channel_that_hangs_holds_up_nobody(world: Any, peer: Peer, other: Peer, wait_until: Wait) -> None:
    """Each has a thread of its own: a messenger that does not answer must not silence the siren."""
    peer.hold.set()
    wait_for(world.store, "slow", 1)
    wait_for(world.store, "quick", *range(5))
    stop = threading.Event()
    channels = [channel_to(peer, world.store, "slow"), channel_to(other, world.store, "quick")]
    threads = [threading.Thread(target=channel.run, args=(stop,), daemon=True) for channel in channels]
    for thread in threads:
        thread.start()
    wait_until(lambda: peer.got)
    wait_until(lambda: len(other.got) == 5, 4.0)
    assert world.store.outbox.depth("slow") == 1
    stop.set()
    peer.release.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_channel_that_hangs_is_left_when_the_stop_comes(
    world: Any, peer: Peer, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    """One try is waited for, and no second one is begun: the stop has ten seconds for everything."""
    monkeypatch.setattr("birdwatchd.channels.webhook.TIMEOUT_S", 0.5)
    peer.hold.set()
    wait_for(world.store, "hook", 1, 2)
    stop = threading.Event()
    thread = threading.Thread(target=channel_to(peer, world.store).run, args=(stop,), daemon=True)
    thread.start()
    wait_until(lambda: peer.got)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert peer.got == [{"n": 1}]
    assert world.store.outbox.depth("hook") == 2


def test_what_is_refused_is_said_once_and_dropped_after_three_tries(
    world: Any, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    """A webhook that was deleted must neither fill the log nor the disk."""
    peer.status, metrics = 404, Metrics()
    channel = channel_to(peer, world.store, metrics=metrics)
    wait_for(world.store, "hook", 1, 2, 3)
    now, left = 0.0, []
    for _ in range(4):
        now += channel.run_once(now)
        left.append(world.store.outbox.depth("hook"))
    assert left == [3, 3, 2, 1], "the second is not tried three times again"
    assert now > 4 * 60, "a wrong address is seldom right a second later"
    assert metrics.get("channel_dropped_total", channel="hook", reason="refused") == 2
    (line,) = caplog.messages
    assert line.startswith("channel hook: the server answered 404 Not Found; check the channel's address")
    peer.status = 200
    assert channel.run_once(now) == 0.0
    assert peer.got[-1] == {"n": 3}


def test_old_messages_are_dropped_and_counted(world: Any, peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody wants a push of last week, least of all forty of them."""
    metrics = Metrics()
    channel = channel_to(peer, world.store, metrics=metrics, max_age="2h")
    wait_for(world.store, "hook", 1, 2, 3, at=NOW - timedelta(hours=3))
    wait_for(world.store, "hook", 4, at=NOW - timedelta(hours=1))
    while channel.run_once(0.0) == 0.0:
        continue
    assert peer.got == [{"n": 4}]
    assert metrics.get("channel_dropped_total", channel="hook", reason="old") == 3
    assert caplog.messages == ["channel hook: messages older than 2:00:00 (max_age) are dropped"]


def test_a_kill_between_sending_and_deleting_sends_again(world: Any, peer: Peer) -> None:
    """At least once: the same alert twice is a nuisance, none at all is the bird that nobody saw."""
    wait_for(world.store, "hook", 1, at=datetime.now(UTC))
    script = Path(__file__).parents[1] / "support" / "killed_channel.py"
    killed = subprocess.run([sys.executable, str(script), str(world.store.home), peer.url], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert peer.got == [{"n": 1}]
    assert world.store.outbox.depth("hook") == 1
    assert channel_to(peer, world.store).run_once(0.0) == 0.0
    assert peer.got == [{"n": 1}, {"n": 1}]
    assert world.store.outbox.depth("hook") == 0


def test_a_locked_database_sends_nothing_twice(world: Any, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a row cannot be deleted, it is remembered that it was sent."""
    wait_for(world.store, "hook", 1, 2)
    channel, real = channel_to(peer, world.store), world.store.outbox.delivered

    def busy(*_: Any) -> None:
        raise StoreBusy("held")

    monkeypatch.setattr(world.store.outbox, "delivered", busy)
    assert [channel.run_once(now) for now in (0.0, 1.0, 2.0)] == [1.0, 1.0, 1.0]
    monkeypatch.setattr(world.store.outbox, "delivered", real)
    assert [channel.run_once(now) for now in (3.0, 4.0)] == [0.0, 1.0]
    assert peer.got == [{"n": 1}, {"n": 2}]


def test_a_clean_stop_sends_what_is_left(world: Any, peer: Peer) -> None:
    """The alert of a visit that the stop itself closes should not wait for the next start."""
    wait_for(world.store, "hook", *range(4))
    stop = threading.Event()
    stop.set()
    channel_to(peer, world.store).run(stop)
    assert len(peer.got) == 4


def test_a_webhook_gets_its_headers_and_its_password(world: Any, peer: Peer, tmp_path: Path) -> None:
    """Most services know their users by a header."""
    (tmp_path / "headers").write_text("X-Token: hunter2\n\nX-From:  the garden \n")
    address = peer.url.replace("http://", "http://user:p%40ss@")
    settings = {"webhook": address, "headers_file": tmp_path / "headers"}
    config = Config.model_validate({"channels": {"hook": settings}})
    build_sender("hook", config.channels["hook"], config)(b"{}")
    headers = peer.headers[0]
    assert (headers["X-Token"], headers["X-From"]) == ("hunter2", "the garden")
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"user:p@ss"
    assert headers["Content-Type"] == "application/json"


def test_a_redirect_is_a_refusal(peer: Peer) -> None:
    """Followed, a POST becomes a GET without its body, and the token in its headers goes to a stranger.

    It is not even read: what stands there may be no address, and an error of a kind that nobody expects.
    """
    for status, text in ((301, "Moved Permanently"), (302, "Found"), (303, "See Other"), (307, ""), (308, "")):
        for peer.location in ("", "http://[::1"):
            peer.status = status
            with pytest.raises(ChannelRefused, match=rf"{status} {text}.*final address"):
                Webhook(Secret(peer.url), {}).send(b"{}")
    assert len(peer.got) == 10


@pytest.mark.parametrize("host", ["garden..example", "a" * 64 + ".example"])
def test_a_name_that_is_none_is_a_refusal(host: str) -> None:
    """Python refuses such a name with an error of its own kind; unheard of, it would end the whole daemon."""
    with pytest.raises(ChannelRefused, match="invalid host name") as caught:
        Webhook(Secret(f"https://{host}/hook"), {}).send(b"{}")
    assert host not in str(caught.value)


def alert(world: Any, image: bytes | None = None) -> bytes:
    stored = StoredVisit(world.visit("v1", count_max=2), Phase.FINAL, ("ever",))
    return alert_payload(stored, "rarities", ["first_ever", "unseen_30d"], image)


def test_apprise_sends_words_and_the_picture(world: Any, peer: Peer) -> None:
    """What stands on the phone's screen: which bird, where, why, when; and the bird itself."""
    settings = {"apprise": f"json://127.0.0.1:{peer.port}/", "image": True}
    camera = {"source": "a.mp4", "name": "Nut feeder"}
    station = {"timezone": "Asia/Jerusalem"}
    config = Config.model_validate({"channels": {"p": settings}, "cameras": {"nut": camera}, "station": station})
    build_sender("p", config.channels["p"], config)(alert(world, b"jpeg"))
    (got,) = peer.got
    assert got["title"] == "House sparrow, Nut feeder"
    assert got["message"] == "first ever, not seen for 30 days, 09:30, 91% sure, 2 birds"
    (attached,) = got["attachments"]
    assert base64.b64decode(attached["base64"]) == b"jpeg"
    assert (attached["filename"], attached["mimetype"]) == ("bird.jpg", "image/jpeg")


def test_a_service_that_hangs_does_not_hold_the_end(peer: Peer) -> None:
    """Python waits for threads of a pool when it ends, and systemd kills who takes too long."""
    peer.hold.set()
    script = f"""
import threading
from birdwatchd.address import Secret
from birdwatchd.channels.apprise import AppriseSender
push = AppriseSender(Secret("json://127.0.0.1:{peer.port}/"))
threading.Thread(target=push.send, args=("title", "body", None), daemon=True).start()
input()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not peer.got and time.monotonic() < until:
        threading.Event().wait(0.02)
    asked = time.monotonic()
    process.communicate("\n", timeout=30)
    assert peer.got
    assert time.monotonic() - asked < 2.5


def test_apprise_says_why_it_failed(world: Any, peer: Peer) -> None:
    """A wrong token is reported to a person; an unreachable service is tried again."""
    config = Config.model_validate({"channels": {"p": {"apprise": f"json://127.0.0.1:{peer.port}/"}}})
    send = build_sender("p", config.channels["p"], config)
    for status, error in ((403, ChannelRefused), (503, ChannelUnreachable), (429, ChannelUnreachable)):
        peer.status = status
        with pytest.raises(error, match=str(status)):
            send(alert(world))
    peer.stop()
    with pytest.raises(ChannelUnreachable, match="could not be reached"):
        send(alert(world))
    wrong = Config.model_validate({"channels": {"p": {"apprise": "nonsense://x"}}})
    with pytest.raises(ChannelRefused, match="does not recognise the address"):
        build_sender("p", wrong.channels["p"], wrong)(alert(world))


@pytest.fixture
def everything_logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a log file would hold that takes all there is. (pytest's own capture looks also where no log goes.)"""
    lines: list[str] = []
    handler, root = logging.Handler(), logging.getLogger()
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(record.getMessage()))
    level = root.level
    root.setLevel(1)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def test_no_address_is_ever_said(world: Any, peer: Peer, everything_logged: list[str], capfd: Any) -> None:
    """The token of a messenger is its password, and logs are public: not even with everything logged."""
    port, metrics = peer.port, Metrics()
    secrets = (
        {"webhook": f"http://hunter2:hunter2@127.0.0.1:{port}/hunter2?token=hunter2"},
        {"apprise": f"json://hunter2:hunter2@127.0.0.1:{port}/hunter2/?+X-Token=hunter2"},
    )
    failures = []
    for number, settings in enumerate((*secrets, {"apprise": "tgram://hunter2"}, {"apprise": "hunter2"})):
        config = Config.model_validate({"channels": {f"c{number}": settings}})
        (channel,) = build_channels(config, world.store.outbox, metrics)
        now = 0.0
        for status in (200, 404, 500, 302):
            enqueue(world.store, [Message("alert", alert(world), channel=channel.name)], datetime.now(UTC))
            peer.status = status
            now += channel.run_once(now) or 1.0
        failures.append(repr(config) + str(config.channels))
    peer.stop()
    said = "".join([*everything_logged, *capfd.readouterr(), *failures, repr(metrics.snapshot())])
    assert "hunter2" not in said
    assert f":{port}" not in said
    assert len(peer.got) >= 2
    assert sum(line.startswith("channel c") for line in everything_logged) >= 4


def test_what_waits_for_a_channel_that_is_gone_goes(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A channel that was taken out of the configuration would keep its messages for ever."""
    wait_for(world.store, "gone", 1, 2)
    enqueue(world.store, [Message("b/s/nut/visit", b"{}")], NOW)
    config = Config.model_validate({"channels": {"hook": {"webhook": "http://h"}}})
    wait_for(world.store, "hook", 3)
    build_channels(config, world.store.outbox, Metrics())
    assert [world.store.outbox.depth(name) for name in ("gone", "hook", None)] == [0, 1, 1]
    assert "dropped 2 messages for channels" in caplog.text


def test_an_address_may_lie_in_a_file(tmp_path: Path) -> None:
    """systemd credentials are files; what is wrong with one is said without saying what is in it."""
    file = tmp_path / "address"
    for text, key in (("json://h/hunter2\n", "apprise_file"), (" https://h/hunter2 ", "webhook_file")):
        file.write_text(text)
        settings = ChannelSettings.model_validate({key: file})
        assert settings.read_address("p").reveal() == text.strip()
    for text in ("", "two words", "ftp://h/hunter2", "https://hunter2:x/"):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"channels\.p\.webhook_file .*address holds no address") as caught:
            settings.read_address("p")
        assert "hunter2" not in str(caught.value)
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        settings.read_address("p")
    (tmp_path / "headers").write_text("no colon hunter2")
    bad = ChannelSettings.model_validate({"webhook": "http://h", "headers_file": tmp_path / "headers"})
    with pytest.raises(ConfigError, match="line 1 is not a header"):
        bad.read_headers("p")


def test_the_payload_of_a_webhook_is_that_of_the_broker(world: Any, peer: Peer) -> None:
    """One contract for all who read it."""
    Webhook(Secret(peer.url), {}).send(alert(world))
    assert peer.got == [json.loads(alert(world))]
