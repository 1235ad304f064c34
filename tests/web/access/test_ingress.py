"""Home Assistant's ingress: a listener that believes Home Assistant and answers nobody else."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import listeners
from birdwatchd.testing import START, example_visit, temporary_store
from birdwatchd.web.access.login import Login
from birdwatchd.web.server import serve
from tests.support.page import Browser
from tests.support.peers import free_port

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")  # as it is kept, made quickly
SUPERVISOR, INGRESS, USUAL = "172.30.32.2", 8099, 8787
PATH = "/api/hassio_ingress/Zm9v-YmFy_x"
HA = "http://ha.example:8123"


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        store.writer().record(example_visit("v1"), [], START)
        yield store.home


def somebody(home: Path, peer: str = SUPERVISOR, port: int = INGRESS, **web: Any) -> Browser:
    settings = {"password_file": home / "p", "ingress": f"0.0.0.0:{INGRESS}", **web}
    return Browser(Config.model_validate({"home": home, "web": settings}), Login(HASH), peer, port=port)


def test_home_assistants_user_is_the_owner_below_its_path(home: Path) -> None:
    """It has asked for a password already, and shows the page in a frame, below a path that changes."""
    user = somebody(home)
    answer = user.get("/", x_ingress_path=PATH, host="ha.example:8123")
    assert answer.status == 200
    assert f'href="{PATH}/health"' in answer.text
    assert f'data-root="{PATH}"' in answer.text
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert user.get("/health", x_ingress_path=PATH).status == 200
    assert user.get("/login", x_ingress_path=PATH).headers["location"] == f"{PATH}/"
    said = {"verdict": "not_a_bird", "back": "/review"}
    answer = user.post("/visits/v1/review", said, x_ingress_path=PATH, host="ha.example:8123", origin=HA)
    assert (answer.status, answer.headers["location"]) == (303, f"{PATH}/review")


@pytest.mark.parametrize(
    ("peer", "peers"),
    [
        ("172.30.32.1", ["172.30.32.2"]),
        ("172.30.33.7", ["172.30.32.2"]),
        ("127.0.0.1", ["172.30.32.2"]),
        ("::1", ["172.30.32.2"]),
        ("192.0.2.7", ["172.30.32.2", "10.0.0.0/8"]),
        ("", ["172.30.32.2"]),
    ],
)
def test_any_other_peer_gets_nothing(home: Path, peer: str, peers: list[str]) -> None:
    """Another add-on in the same network would be the owner; also what it says of itself does not make it one."""
    other = somebody(home, peer, ingress_peers=peers, trusted_proxies=["127.0.0.1", "192.0.2.7"])
    for path in ("/", "/login", "/static/page.css", "/api/v1/visits", "/nothing"):
        answer = other.get(path, x_ingress_path=PATH, x_forwarded_for=SUPERVISOR, x_real_ip=SUPERVISOR)
        assert answer.status == 403
        assert "Only Home Assistant is answered here." in answer.text
    assert other.post("/visits/v1/review", {"verdict": "not_a_bird"}, x_ingress_path=PATH).status == 403


def test_the_supervisor_over_a_socket_of_ipv6_is_the_same(home: Path) -> None:
    """At `[::]:8099` its address begins with ::ffff:."""
    assert somebody(home, f"::ffff:{SUPERVISOR}").get("/", x_ingress_path=PATH).status == 200


@pytest.mark.parametrize("peer", [SUPERVISOR, "127.0.0.1", "192.0.2.7"])
def test_the_usual_listener_knows_nothing_of_it(home: Path, peer: str) -> None:
    """There the header is what anybody may send, and the Supervisor is a peer as others are."""
    usual = somebody(home, peer, USUAL)
    answer = usual.get("/visits", x_ingress_path=PATH, x_remote_user_id="1", x_hass_source="core.ingress")
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=%2Fvisits")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    plain = Browser(Config.model_validate({"home": home, "web": {"password_file": home / "p"}}), Login(HASH), peer)
    plain.port = INGRESS  # without `ingress` no port is one
    assert plain.get("/visits", x_ingress_path=PATH).status == 303


@pytest.mark.parametrize("said", ["//evil.example", "/a/../b", "/x\r\nset-cookie: a=b", '/x"><script>', "evil", "/b?c"])
def test_a_path_that_is_none_is_refused(home: Path, said: str) -> None:
    """Home Assistant says none of these; a fault of it must not become one of the page."""
    assert somebody(home).get("/", x_ingress_path=said).status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": HA, "host": "ha.example:8123"}, 303),
        ({"origin": HA, "host": "172.30.33.2:8099", "x_forwarded_host": "ha.example:8123"}, 303),
        ({"origin": "", "sec_fetch_site": "same-origin"}, 303),
        ({"origin": "http://evil.example", "host": "ha.example:8123"}, 403),
        ({"origin": HA, "host": "ha.example:8123", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": HA, "host": "ha.example:8123", "sec_fetch_site": "same-site"}, 403),
        ({"origin": "null", "host": "ha.example:8123"}, 303),  # what browsers say where referrers are forbidden
        ({"origin": "null", "host": "ha.example:8123", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": "", "host": ""}, 403),
        ({"origin": "http://[", "host": "ha.example:8123"}, 403),
    ],
)
def test_a_form_comes_from_a_page_of_ours(home: Path, headers: dict[str, str], status: int) -> None:
    """A page of another site in the same browser has the user's Home Assistant session, too."""
    user = somebody(home)
    assert user.post("/logout", {}, x_ingress_path=PATH, **headers).status == status
    for token in ("guessed", user.login.token("")):  # the second is that of the login page at the usual address
        assert user.post("/logout", {}, token=token, x_ingress_path=PATH, **headers).status == 403


def test_on_real_sockets_the_listener_decides(home: Path, tmp_path: Path) -> None:
    """Two ports of one process: one asks for the password, the other for who connects."""
    password = tmp_path / "password"
    password.write_text(HASH)
    usual, ingress, stop = free_port(), free_port(), Stop()
    web = {"bind": usual, "ingress": ingress, "ingress_peers": ["127.0.0.9"], "password_file": password}
    config = Config.model_validate({"home": home, "web": web})
    thread = threading.Thread(target=serve, args=(config, listeners(config.web), stop))
    thread.start()

    def ask(port: int, peer: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5, source_address=(peer, 0))
        connection.request("GET", "/health", headers={"X-Ingress-Path": PATH, "Host": f"127.0.0.1:{INGRESS}"})
        status = connection.getresponse().status
        connection.close()
        return status

    try:
        assert ask(ingress, "127.0.0.9") == 200
        assert ask(ingress, "127.0.0.1") == 403
        assert [ask(usual, peer) for peer in ("127.0.0.9", "127.0.0.1")] == [401, 401]
    finally:
        stop.set("the test is over")
        thread.join(5)
    assert not thread.is_alive()
