"""Who asks, where a reverse proxy stands in front of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from pydantic import ValidationError

from birdwatchd.settings.web import WebSettings
from birdwatchd.testing import temporary_store
from birdwatchd.web.access.login import Login
from birdwatchd.web.access.proxies import Proxies
from tests.support.page import browser

PASSWORD = "correct horse battery"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # as it is kept, but made quickly


def proxies(*trusted: str) -> Proxies:
    return Proxies(WebSettings(trusted_proxies=trusted, password_file=Path("x")))


def asked(peer: str, *headers: tuple[str, str]) -> dict[str, Any]:
    return {
        "client": (peer, 1),
        "scheme": "http",
        "path": "/visits",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


@pytest.mark.parametrize(
    ("peer", "forwarded", "who"),
    [
        ("127.0.0.1", ("192.0.2.7",), "192.0.2.7"),
        ("::ffff:127.0.0.1", ("192.0.2.7",), "192.0.2.7"),
        ("127.0.0.1", ("198.51.100.1, 192.0.2.7",), "192.0.2.7"),  # the first was sent by who asks
        ("127.0.0.1", ("198.51.100.1", "192.0.2.7"), "192.0.2.7"),
        ("127.0.0.1", ("192.0.2.7, 10.0.0.5",), "192.0.2.7"),  # two proxies of ours
        ("127.0.0.1", ("10.0.0.5",), "10.0.0.5"),
        ("127.0.0.1", ("192.0.2.7, rubbish",), "127.0.0.1"),
        ("127.0.0.1", (), "127.0.0.1"),
        ("203.0.113.9", ("192.0.2.7",), "203.0.113.9"),  # nobody's proxy
    ],
)
def test_only_what_our_proxies_wrote_counts(peer: str, forwarded: tuple[str, ...], who: str) -> None:
    """Otherwise who guesses passwords would be another device with each guess, or lock somebody else out."""
    found = proxies("127.0.0.1", "10.0.0.0/8").believed(asked(peer, *(("x-forwarded-for", one) for one in forwarded)))
    assert found["client"][0] == who


def test_https_is_believed_of_a_proxy_only() -> None:
    """A login over https must not be sent over http afterwards; the page itself sees only the proxy's http."""
    said = ("x-forwarded-proto", "https")
    assert proxies("127.0.0.1").believed(asked("127.0.0.1", said))["scheme"] == "https"
    assert proxies("127.0.0.1").believed(asked("192.0.2.1", said))["scheme"] == "http"
    assert proxies("127.0.0.1").believed(asked("127.0.0.1", ("x-forwarded-proto", "gopher")))["scheme"] == "http"
    assert proxies().believed(asked("127.0.0.1", said))["scheme"] == "http"


def test_the_login_behind_a_proxy_is_for_https(tmp_path: Path) -> None:
    """The cookie says `Secure`, as it cannot where the page is asked without a proxy."""
    with temporary_store() as store:
        settings = {"password_file": tmp_path / "p", "trusted_proxies": ["127.0.0.1"]}
        somebody = browser(store.home, login=Login(HASH), web=settings)
        answer = somebody.post("/login", {"password": PASSWORD}, x_forwarded_proto="https")
        assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trusted_proxies": ["127.0.0.1"]}, "has no password"),
        ({"trusted_proxies": ["proxy.example"], "password_file": "/p"}, "not an address or network"),
    ],
)
def test_a_proxy_without_a_password_is_refused(settings: dict[str, Any], said: str) -> None:
    """Through a proxy the page is open to whoever reaches the proxy, though it listens on this machine only."""
    with pytest.raises(ValidationError, match=said):
        WebSettings.model_validate(settings)
