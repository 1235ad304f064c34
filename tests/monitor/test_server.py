"""The monitoring server with real clients: those that ask, those that are slow, silent or talk nonsense."""

from __future__ import annotations

import http.client
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from birdwatchd.metrics import Metrics
from birdwatchd.monitor import server as module
from birdwatchd.monitor.build import build_monitor
from birdwatchd.monitor.catalogue import CATALOGUE
from birdwatchd.monitor.scrape import NotServed, read_live
from birdwatchd.monitor.server import MOST_OPEN, MonitorServer
from birdwatchd.monitor.vitals import BEAT_PATIENCE_S, Vitals
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.metrics import MetricsSettings
from tests.support.peers import free_port, wait_for

AT = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)


class Served:
    """A server on a free port, with what it shows."""

    def __init__(self, folder: Path) -> None:
        self.port, self.passed_s = free_port(), 0.0
        self.metrics = Metrics()
        self.vitals = Vitals(["nut"], monotonic=lambda: self.passed_s, utc_now=lambda: AT)
        self.database = folder / "birdwatchd.sqlite3"
        self.database.write_bytes(bytes(4096))
        self.settings = MetricsSettings.model_validate({"bind": self.port})
        pids = {"nut": os.getpid()}
        self.server = build_monitor(self.settings, self.metrics, self.vitals, self.database, lambda: pids)

    def start(self) -> Served:
        self.server.start()
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0, "the server to listen", 10)
        return self

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        """Status, content type, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        answer = response.status, response.headers["Content-Type"], response.read().decode()
        connection.close()
        return answer

    def raw(self, data: bytes) -> bytes:
        """What comes back for these bytes, until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=15) as sock:
            found = b""
            try:
                sock.sendall(data)
                while part := sock.recv(65536):
                    found += part
            except (BrokenPipeError, ConnectionResetError):  # hung up while this side still sent
                pass
            return found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path).start()
    yield one
    one.server.close()


def test_health_and_readiness_follow_the_daemon(served: Served) -> None:
    """A supervisor restarts by the one and waits by the other."""
    assert served.ask("/healthz")[::2] == (200, "ok\n")
    status, kind, text = served.ask("/readyz")
    assert (status, kind) == (503, "text/plain; charset=utf-8")
    assert text == "the model is not loaded yet\ncamera nut has given no picture since the start\n"
    served.vitals.load("demo@1", "cpu")
    served.vitals.take_status(CameraStatus("nut", CameraState.ONLINE, AT, frames=1))
    assert served.ask("/readyz?verbose=1")[::2] == (200, "ok\n")
    served.vitals.beat()
    served.passed_s += BEAT_PATIENCE_S + 1
    status, _, text = served.ask("/healthz")
    assert (status, text) == (503, "a stage has given no sign of life for 121 s\n")


def test_every_number_is_there_with_its_help_and_kind(served: Served) -> None:
    """A dashboard is built before the first crop is dropped; a counter that appears with it hides it."""
    served.vitals.load("demo@1", "cuda:0, bfloat16")
    served.vitals.take_status(CameraStatus("nut", CameraState.ONLINE, AT, frames=1))
    served.metrics.add("crops_dropped_total", 3, camera="nut", reason="lane_full")
    served.metrics.add("crops_dropped_total", 2, camera="nut", reason="stopping")
    text = served.ask("/metrics")[2]
    for name, meaning in CATALOGUE.items():
        assert f"# HELP birdwatchd_{name} {meaning.help}\n# TYPE birdwatchd_{name} {meaning.kind}\n" in text
    live = read_live(served.settings.local_url)
    assert live.get("crops_dropped_total", camera="nut", reason="lane_full") == 3
    assert live.total("crops_dropped_total", camera="nut") == 5
    assert live.get("frames_total", camera="nut") == 0
    assert live.get("camera_state", camera="nut", state="online") == 1
    assert live.get("camera_state", camera="nut", state="offline") == 0
    assert live.labels("model_info") == {"model": "demo@1", "device": "cuda:0, bfloat16"}
    assert live.get("database_bytes") == 4096
    memory = psutil.Process().memory_info().rss
    for name, labels in (("process_resident_memory_bytes", {}), ("camera_memory_bytes", {"camera": "nut"})):
        assert live.get(name, **labels) == pytest.approx(memory, rel=0.2)


def test_numbers_come_as_openmetrics_to_those_who_ask_for_it(served: Served) -> None:
    """Prometheus asks for it since version 2.5."""
    status, kind, text = served.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
    assert {family.name for family in parse_openmetrics(text)} >= {"birdwatchd_frames", "birdwatchd_ready"}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", b"400"),
        (b"GET /healthz\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n", b"400"),
    ],
    ids=["path", "method", "TLS", "HTTP/0.9", "headers"],
)
def test_nonsense_gets_an_error_and_changes_nothing(served: Served, sent: bytes, status: bytes) -> None:
    """Scanners in a network knock at every port."""
    assert served.raw(sent).startswith(b"HTTP/1.1 " + status) or status == b"400"
    assert served.ask("/healthz")[0] == 200


def test_a_line_without_end_is_cut_off(served: Served) -> None:
    """Memory of the daemon is not the client's to fill."""
    assert served.raw(b"GET /" + b"a" * 20_000_000) == b""
    assert served.ask("/healthz")[0] == 200


def test_head_gets_the_length_and_no_body(served: Served) -> None:
    """Uptime checks ask by HEAD."""
    answer = served.raw(b"HEAD /healthz HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 3\r\n" in answer


@pytest.mark.slow
def test_a_thousand_silent_clients_keep_no_real_one_waiting(served: Served) -> None:
    """Threads, file descriptors and answers: none may depend on how many connect and say nothing."""
    threads, idle = threading.active_count(), []
    try:
        for _ in range(1000):
            sock = socket.create_connection(("127.0.0.1", served.port), timeout=10)
            idle.append(sock)
        began_s = time.monotonic()
        assert served.ask("/healthz")[0] == 200
        assert served.ask("/metrics")[0] == 200
        assert time.monotonic() - began_s < module.CONNECTION_S
        assert threading.active_count() == threads
        connections = psutil.Process().net_connections()
        assert len([c for c in connections if c.laddr.port == served.port and c.raddr]) <= MOST_OPEN
    finally:
        for sock in idle:
            sock.close()


@pytest.mark.slow
def test_a_client_that_drips_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte a second keeps a connection alive for ever where only silence is counted."""
    monkeypatch.setattr(module, "CONNECTION_S", 1.0)
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", served.port)) as sock:
        while time.monotonic() - began_s < 10.0:
            try:
                sock.sendall(b"G")
            except OSError:  # it hung up
                break
            time.sleep(0.1)
    assert time.monotonic() - began_s < 5.0


def test_an_address_that_is_taken_is_logged_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Birds are watched whether or not somebody else has the port."""
    monkeypatch.setattr(module, "RETRY_S", 0.1)
    caplog.set_level(logging.INFO)
    one = Served(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", one.port))
        other.listen()
        one.server.start()
        wait_for(lambda: "metrics are not served" in caplog.text, "the line")
        time.sleep(0.5)
        with pytest.raises(NotServed):
            read_live(f"http://127.0.0.1:{free_port()}")
    wait_for(lambda: "metrics are served at 127.0.0.1" in caplog.text, "the server to listen after all")
    assert one.ask("/healthz")[0] == 200
    one.server.close()
    assert caplog.text.count("metrics are not served") == 1
    assert "Address already in use" in caplog.text


def test_closing_frees_the_port_also_while_clients_are_connected() -> None:
    """A restart must find its port free, and a monitoring system that hangs must not delay the stop."""
    port = free_port()
    server = MonitorServer("127.0.0.1", port, {})
    server.start()
    wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "the server to listen", 10)
    with socket.create_connection(("127.0.0.1", port)):
        began_s = time.monotonic()
        server.close()
        assert time.monotonic() - began_s < 1.5
    assert socket.socket().connect_ex(("127.0.0.1", port)) != 0
    server.close()
