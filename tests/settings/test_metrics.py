"""Where metrics are served: the address, and what is no address."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from birdwatchd.settings.metrics import MetricsSettings


@pytest.mark.parametrize(
    ("bind", "host", "port", "url", "local"),
    [
        ("127.0.0.1:9108", "127.0.0.1", 9108, "http://127.0.0.1:9108", True),
        (9108, "127.0.0.1", 9108, "http://127.0.0.1:9108", True),
        ("0.0.0.0:80", "0.0.0.0", 80, "http://127.0.0.1:80", False),
        ("[::]:9108", "::", 9108, "http://[::1]:9108", False),
        ("[::1]:9108", "::1", 9108, "http://[::1]:9108", True),
        ("192.0.2.7:1", "192.0.2.7", 1, "http://192.0.2.7:1", False),
        (False, "", 0, "", True),
    ],
)
def test_an_address_with_a_port(bind: object, host: str, port: int, url: str, local: bool) -> None:
    """Loopback unless somebody says otherwise, and then `status` still finds it."""
    settings = MetricsSettings.model_validate({"bind": bind})
    assert (settings.host, settings.port, settings.local_url, settings.is_local) == (host, port, url, local)


@pytest.mark.parametrize(
    "bind", ["", None, True, "9108x", "example.org:80", "127.0.0.1", "127.0.0.1:0", "::1:80", 70000]
)
def test_what_is_no_address_says_what_to_write(bind: object) -> None:
    """A typo must not open a port somewhere else, or none."""
    if bind == "":
        assert not MetricsSettings(bind="").bind
        return
    with pytest.raises(ValidationError, match=r"write 127\.0\.0\.1:9108|valid string"):
        MetricsSettings.model_validate({"bind": bind})
