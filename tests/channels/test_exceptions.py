"""Every exception of the libraries behind channels becomes an error of ours; those of our own mistakes are left alone.

The tables name each exception class of a library. A class that a later version adds is in no table, and the test says
so: somebody must decide what it means for a channel.
"""

from __future__ import annotations

import builtins
import http.client
import socket
import ssl
import urllib.error
from datetime import UTC, datetime
from email.message import Message as Headers
from typing import Any

import apprise
import pytest

from birdwatchd.address import Secret
from birdwatchd.channels.apprise import AppriseSender, build_service
from birdwatchd.channels.channel import Channel
from birdwatchd.channels.webhook import Webhook, _webhook_errors
from birdwatchd.errors import ChannelError, ChannelRefused, ChannelUnreachable
from birdwatchd.metrics import Metrics
from birdwatchd.records import Message
from birdwatchd.settings.channels import ChannelSettings
from tests.support.exceptions import defined_in, defined_in_package, make
from tests.support.stored import enqueue

REFUSED, UNREACHABLE = ChannelRefused, ChannelUnreachable
OURS = (TypeError("ours"), AttributeError("ours"), KeyError("ours"), RuntimeError("ours"), AssertionError("ours"))

# What a POST may raise, and whether a person must do something (refused) or time will (unreachable).
WEBHOOK: dict[str, type[ChannelError]] = {
    "http.client.BadStatusLine": UNREACHABLE,
    "http.client.CannotSendHeader": UNREACHABLE,
    "http.client.CannotSendRequest": UNREACHABLE,
    "http.client.HTTPException": UNREACHABLE,
    "http.client.ImproperConnectionState": UNREACHABLE,
    "http.client.IncompleteRead": UNREACHABLE,
    "http.client.InvalidURL": REFUSED,
    "http.client.LineTooLong": UNREACHABLE,
    "http.client.NotConnected": UNREACHABLE,
    "http.client.RemoteDisconnected": UNREACHABLE,
    "http.client.ResponseNotReady": UNREACHABLE,
    "http.client.UnimplementedFileMode": UNREACHABLE,
    "http.client.UnknownProtocol": UNREACHABLE,
    "http.client.UnknownTransferEncoding": UNREACHABLE,
    "urllib.error.ContentTooShortError": REFUSED,  # of urlretrieve only; its reason is a text, as of a bad address
    "urllib.error.HTTPError": REFUSED,  # here 404; by status in the test below
    "urllib.error.URLError": UNREACHABLE,  # here of a system error; of a text in the test below
    "builtins.OSError": UNREACHABLE,
    "builtins.TimeoutError": UNREACHABLE,
    "socket.gaierror": UNREACHABLE,
    "socket.herror": UNREACHABLE,
    "ssl.SSLCertVerificationError": REFUSED,
    "ssl.SSLEOFError": UNREACHABLE,
    "ssl.SSLError": UNREACHABLE,
    "ssl.SSLSyscallError": UNREACHABLE,
    "ssl.SSLWantReadError": UNREACHABLE,
    "ssl.SSLWantWriteError": UNREACHABLE,
    "ssl.SSLZeroReturnError": UNREACHABLE,
}
# The exceptions of Apprise. In an address parser each means that the address cannot be used; when a message is sent,
# Apprise catches whatever a service raises and reports a failure, which is tried again.
APPRISE = {
    "apprise.exception.AppriseDiskIOError",
    "apprise.exception.AppriseException",
    "apprise.exception.AppriseFileNotFound",
    "apprise.exception.AppriseImproperlyConfigured",
    "apprise.exception.AppriseInvalidData",
    "apprise.exception.ApprisePluginException",
    "apprise.exception.AppriseTemplateError",
    "apprise.plugins.amqp.common.AMQPError",
    "apprise.plugins.email.common.AppriseEmailException",
    "apprise.plugins.matrix.base.MatrixDiscoveryException",
    "apprise.plugins.nextcloud.NextcloudGroupDiscoveryException",
    "apprise.plugins.xmpp.adapter.XMPPChannelBindingError",
    "apprise.utils.pem.ApprisePEMException",
    "apprise.utils.pgp.ApprisePGPException",
    "apprise.utils.socket.AppriseSocketError",
    "apprise.utils.wkd.AppriseWKDException",
}
# Raised and caught within one module of Apprise, which falls back to a time limit without a watchdog.
APPRISE_INTERNAL = {"apprise.utils.http.WatchdogUnavailableError"}


def webhook_exceptions() -> dict[str, type[BaseException]]:
    return defined_in(http.client, urllib.error, socket, ssl)


def test_every_exception_of_a_webhooks_libraries_is_known() -> None:
    """One that nobody thought of would end the daemon, and with it every camera."""
    assert set(webhook_exceptions()) == set(WEBHOOK)


@pytest.mark.parametrize("name", WEBHOOK)
def test_an_exception_of_a_webhook_becomes_a_channel_error(name: str) -> None:
    """Neither its class nor its text leaves: the text may hold the address, which is a password."""
    kind = webhook_exceptions()[name]
    made = {
        "urllib.error.HTTPError": lambda: urllib.error.HTTPError("http://hunter2", 404, "hunter2", Headers(), None),
        "urllib.error.URLError": lambda: urllib.error.URLError(OSError(5, "Input/output error")),
        "urllib.error.ContentTooShortError": lambda: urllib.error.ContentTooShortError("hunter2", b""),  # type: ignore[arg-type]
    }.get(name, lambda: make(kind))()
    with pytest.raises(ChannelError) as caught, _webhook_errors():
        raise made
    assert type(caught.value) is WEBHOOK[name]
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__, "a traceback would show it"


SYSTEM = sorted(
    {kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, OSError)}, key=str
)


@pytest.mark.parametrize("kind", SYSTEM, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("wrapped", [False, True], ids=["as it is", "as the reason of a URLError"])
def test_a_system_error_is_unreachable(kind: type[OSError], wrapped: bool) -> None:
    """Networks come back; only addresses and passwords do not mend themselves."""
    with pytest.raises(ChannelUnreachable), _webhook_errors():
        raise urllib.error.URLError(kind(113, "No route to host")) if wrapped else kind(113, "No route to host")


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (urllib.error.URLError("no host given"), REFUSED),
        (urllib.error.URLError(ssl.SSLCertVerificationError("self-signed")), REFUSED),
        (ValueError("proxy URL with no authority"), REFUSED),
        (UnicodeEncodeError("idna", "x", 0, 1, "label empty or too long"), REFUSED),
        *[(urllib.error.HTTPError("u", status, "", Headers(), None), REFUSED) for status in (301, 400, 401, 404, 410)],
        *[(urllib.error.HTTPError("u", status, "", Headers(), None), UNREACHABLE) for status in (408, 429, 500, 503)],
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_cause_decides(error: Exception, becomes: type[ChannelError]) -> None:
    """The same class may stand for a wrong address and for a server that is just being restarted."""
    with pytest.raises(becomes), _webhook_errors():
        raise error


@pytest.mark.parametrize("proxy", ["/proxy", "http:/proxy", "http://"])
def test_a_malformed_proxy_setting_is_refused(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A slip in the environment of the service must not end the daemon; the log says where to look."""
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ChannelRefused, match="http_proxy"):
        Webhook(Secret("http://127.0.0.1:1/hook"), {}).send(b"{}")


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_a_mistake_of_ours_is_no_channel_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Taken for a channel that is away, it would be tried for a day and found by nobody."""
    webhook = Webhook(Secret("http://127.0.0.1:1/hook"), {})

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(webhook._opener, "open", fail)
    with pytest.raises(type(error), match="ours"):
        webhook.send(b"{}")


def apprise_exceptions() -> dict[str, type[BaseException]]:
    return defined_in_package(apprise)


def test_every_exception_of_apprise_is_known() -> None:
    """There are a hundred and fifty services in it, each with errors of its own."""
    assert set(apprise_exceptions()) == APPRISE | APPRISE_INTERNAL


def service_that_raises(monkeypatch: pytest.MonkeyPatch, method: str, error: BaseException) -> Secret:
    """An address of a service, one method of which fails."""
    address = Secret("json://127.0.0.1:1/hunter2")
    kind = type(build_service(address))

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(kind, method, staticmethod(fail) if method == "parse_url" else fail)
    return address


PARSER = [*sorted(APPRISE), TypeError, ValueError, UnicodeError, KeyError, IndexError, AttributeError]


@pytest.mark.parametrize("kind", PARSER, ids=lambda kind: kind if isinstance(kind, str) else kind.__name__)
@pytest.mark.parametrize("method", ["parse_url", "__init__"])
def test_an_address_that_a_service_fails_on_is_refused(
    monkeypatch: pytest.MonkeyPatch, method: str, kind: str | type[Exception]
) -> None:
    """Its parser of addresses raises whatever happens to go wrong; the address is wrong, and a person must mend it."""
    made = make(apprise_exceptions()[kind] if isinstance(kind, str) else kind)
    address = service_that_raises(monkeypatch, method, made)
    with pytest.raises(ChannelRefused, match="does not recognise the address") as caught:
        build_service(address)
    assert "hunter2" not in str(caught.value)


def test_a_malformed_telegram_address_is_refused() -> None:
    """A real one: Apprise's own parser stumbles over it with a TypeError."""
    with pytest.raises(ChannelRefused, match="does not recognise the address"):
        build_service(Secret("tgram://0:user:pass@\\token?"))


@pytest.mark.parametrize("name", sorted(APPRISE | APPRISE_INTERNAL))
def test_a_service_that_raises_when_it_sends_is_tried_again(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nothing is known of the cause; a message that waits can still be sent when it is over."""
    address = service_that_raises(monkeypatch, "send", make(apprise_exceptions()[name]))
    with pytest.raises(ChannelUnreachable) as caught:
        AppriseSender(address).send("title", "body", None)
    assert "hunter2" not in str(caught.value)


def test_a_wrong_call_of_apprise_is_not_taken_for_a_wrong_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version may name its parameters otherwise: that is a TypeError too, but no address is at fault."""
    monkeypatch.setattr(apprise.Apprise, "instantiate", staticmethod(lambda url: None))
    with pytest.raises(TypeError, match="asset"):
        build_service(Secret("json://127.0.0.1"))


def test_an_image_of_a_wrong_type_is_a_mistake_of_ours() -> None:
    """Apprise's exception for it is a TypeError; translated, a picture would be retried instead of a bug mended."""
    with pytest.raises(TypeError):
        AppriseSender(Secret("json://127.0.0.1:1")).send("title", "body", 7)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_a_channel_does_not_retry_a_mistake_of_ours(world: Any, error: Exception) -> None:
    """It ends the daemon with a traceback, as any bug does; hidden, alerts would be missing for weeks."""

    def fail(payload: bytes) -> None:
        raise error

    settings = ChannelSettings(webhook=Secret("http://127.0.0.1:1"))
    enqueue(world.store, [Message("alert", b"{}", channel="hook")], datetime.now(UTC))
    with pytest.raises(type(error), match="ours"):
        Channel("hook", settings, fail, world.store.outbox, Metrics()).run_once(0.0)
