"""One connection: who answers there, whom we trust, and what is said when it does not work."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from birdwatchd.errors import BrokerRefused, BrokerUnreachable
from birdwatchd.mqtt.connection import Connection, Credentials, ProtocolVersion
from birdwatchd.mqtt.probe import probe
from birdwatchd.records import Message
from birdwatchd.settings.mqtt import MqttSettings
from tests.support.certificates import certificates
from tests.support.mqtt import TOPICS
from tests.support.stored import enqueue

Wait = Callable[..., None]


def test_tls_trusts_only_the_named_authority(world: Any, wait_until: Wait) -> None:
    """Birds are no secret, passwords are: the broker must prove who it is, and a failure must say what to check."""
    certificates(world.folder)
    files = [f"{name} {world.folder / file}" for name, file in (("certfile", "srv.pem"), ("keyfile", "srv.key"))]
    broker = world.mosquitto("allow_anonymous true", *files)
    url = f"mqtts://127.0.0.1:{broker.port}"
    with pytest.raises(BrokerRefused, match=r"not trusted .*mqtt\.ca_file"):
        probe(MqttSettings(url=url), TOPICS, 5)
    with pytest.raises((BrokerRefused, BrokerUnreachable)):
        probe(MqttSettings(url=broker.url), TOPICS, 3)
    running = world.publisher(url, ca_file=world.folder / "ca.pem").start()
    world.bird()
    enqueue(world.store, [Message("birdwatch/big", b"x" * 300_000)], datetime.now(UTC))
    running.publisher.wake()
    wait_until(lambda: world.store.outbox.depth() == 0)


def test_a_broker_that_hangs_up_in_the_handshake_is_away(world: Any) -> None:
    """One that restarts behind a proxy does so for a second; a refusal would be minutes of silence."""
    listening = socket.create_server(("127.0.0.1", 0))
    world.endings.append(listening.close)

    def proxy() -> None:
        client, _ = listening.accept()
        client.recv(4096)
        client.close()

    threading.Thread(target=proxy, daemon=True).start()
    with pytest.raises(BrokerUnreachable, match="closed the connection during the TLS handshake"):
        probe(MqttSettings(url=f"mqtts://127.0.0.1:{listening.getsockname()[1]}"), TOPICS, 5)


def test_a_broker_that_wants_to_know_us_gets_our_certificate(world: Any, wait_until: Wait) -> None:
    """Stations on a shared line show a certificate of their own instead of a password."""
    certificates(world.folder)
    files = {"cafile": "ca.pem", "certfile": "srv.pem", "keyfile": "srv.key"}
    lines = [f"{name} {world.folder / file}" for name, file in files.items()]
    wanted = ("allow_anonymous false", "require_certificate true", "use_identity_as_username true")
    broker = world.mosquitto(*wanted, *lines)
    url, trusted = f"mqtts://127.0.0.1:{broker.port}", world.folder / "ca.pem"
    with pytest.raises((BrokerRefused, BrokerUnreachable)):
        probe(MqttSettings(url=url, ca_file=trusted), TOPICS, 3)
    mine = {"cert_file": world.folder / "me.pem", "key_file": world.folder / "me.key"}
    running = world.publisher(url, ca_file=trusted, **mine).start()
    world.bird()
    running.publisher.wake()
    wait_until(lambda: world.store.outbox.depth() == 0)


def test_nobody_at_home_is_unreachable(world: Any) -> None:
    """`check --probe` names the address and what to look at."""
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1 cannot be reached \(Connection refused\)"):
        probe(MqttSettings(url="mqtt://127.0.0.1:1"), TOPICS, 2)


@pytest.mark.parametrize("host", ["192.168.1..5", "a" * 64 + ".local"])
def test_a_name_that_is_none_is_said_like_one_that_is_not_known(world: Any, host: str) -> None:
    """A slip of the finger in `mqtt.url`: Python refuses such a name with an error of its own kind."""
    settings = MqttSettings(url=f"mqtt://{host}")
    with pytest.raises(BrokerUnreachable, match=r"unknown host name; check mqtt\.url"):
        probe(settings, TOPICS, 2)


def test_a_topic_that_is_no_text_is_ignored(world: Any, wait_until: Wait) -> None:
    """Some brokers pass on whatever bytes somebody calls a topic; they must not end the daemon."""
    listening = socket.create_server(("127.0.0.1", 0))
    world.endings.append(listening.close)

    def broker() -> None:
        client, _ = listening.accept()
        client.recv(4096)
        client.sendall(b"\x20\x03\x00\x00\x00" + b"\x30\x06\x00\x02\xff\xfe\x00x" + b"\x30\x05\x00\x01t\x00x")
        client.recv(4096)
        client.close()

    threading.Thread(target=broker, daemon=True).start()
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{listening.getsockname()[1]}")
    connection = Connection.make(settings, "x", ProtocolVersion.V5, Credentials.read(settings))
    connection.open()

    def received() -> bool:
        connection.loop(0.1)
        return bool(connection.received)

    wait_until(received)
    assert [one.topic for one in connection.received] == ["t"]


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(world: Any) -> None:
    """OpenSSL would ask at the terminal, where a daemon has nobody, and wait for the answer for ever."""
    certificates(world.folder)
    locked = ["ec", "-in", "me.key", "-out", "locked.key", "-aes128", "-passout", "pass:secret"]
    subprocess.run(["openssl", *locked], cwd=world.folder, check=True, capture_output=True)
    files = {"cert_file": world.folder / "me.pem", "key_file": world.folder / "locked.key"}
    script = f"""
from birdwatchd.mqtt.connection import Credentials
from birdwatchd.settings.mqtt import MqttSettings
from birdwatchd.errors import ConfigError
try:
    Credentials.read(MqttSettings(url="mqtts://h", **{ {key: str(path) for key, path in files.items()}!r}))
except ConfigError as error:
    print(error)
"""
    command = ["setsid", "-w", sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=30)
    assert "mqtt.key_file has a passphrase; store the key without one" in result.stdout
    assert "pass phrase" not in result.stdout + result.stderr
