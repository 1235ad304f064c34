"""Post the JSON of an alert to a URL (webhook), and translate HTTP, socket and TLS errors.

URL and headers are secrets as a whole, since a path may be the password. No error here holds any part of them, nor of
the response beyond its status.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import unquote, urlsplit, urlunsplit

from birdwatchd import __version__
from birdwatchd.address import Secret
from birdwatchd.errors import ChannelError, ChannelRefused, ChannelUnreachable

__all__ = ["Webhook", "status_error"]

TIMEOUT_S = 5.0  # for connecting and for each wait after that; leaves room within the daemon's 10 s for stopping
RETRY_LATER = {408, 425, 429}  # request timeout, too early, too many requests


# Without a redirect handler: a redirected POST would become a GET without its body, and its headers go to another host.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.HTTPDefaultErrorHandler,
)


class Webhook:
    """Posts JSON to one URL."""

    def __init__(self, address: Secret, headers: Mapping[str, Secret]) -> None:
        """
        Args:
            address: http or https; user and password in it are sent as basic authentication.
            headers: additional ones, by name.
        """
        parts = urlsplit(address.reveal())
        self._headers = {"Content-Type": "application/json", "User-Agent": f"birdwatchd/{__version__}"}
        if parts.username or parts.password:
            pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._headers |= {name: value.reveal() for name, value in headers.items()}
        self._url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
        self._opener = urllib.request.OpenerDirector()
        for handler in _HANDLERS:
            self._opener.add_handler(handler())

    def send(self, payload: bytes) -> None:
        """Post one JSON.

        Raises:
            ChannelUnreachable, ChannelRefused: it was not delivered.
        """
        request = urllib.request.Request(self._url, data=payload, headers=self._headers, method="POST")  # noqa: S310  # the settings allow http and https only
        with _webhook_errors(), self._opener.open(request, timeout=TIMEOUT_S):
            pass


def status_error(status: int) -> ChannelError:
    """The error for an HTTP status other than 2xx."""
    name = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
    text = f"the server answered {status} {name}".rstrip()
    if status >= 500 or status in RETRY_LATER:
        return ChannelUnreachable(text)
    if 300 <= status < 400:
        return ChannelRefused(text, "it redirects; configure the final address")
    return ChannelRefused(text, "check the channel's address and credentials")


@contextmanager
def _webhook_errors() -> Iterator[None]:
    """Translate errors of urllib, http.client, sockets and TLS; their own messages may hold the address."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise status_error(error.code) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, str):  # such as "no host given"
            raise _invalid_address() from None
        raise _from_system(error.reason) from None
    except UnicodeError:  # a label of the name is empty or too long
        raise ChannelRefused("invalid host name", "check the address") from None
    except (http.client.InvalidURL, ValueError):
        raise _invalid_address() from None
    except (OSError, http.client.HTTPException) as error:
        raise _from_system(error) from None


def _invalid_address() -> ChannelRefused:
    return ChannelRefused(
        "invalid address or proxy setting",
        "check the address, and the environment variables http_proxy and https_proxy",
    )


def _from_system(error: BaseException) -> ChannelError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ChannelRefused(
            "the server's certificate is not trusted", "check the address and the system's certificate authorities"
        )
    if isinstance(error, ssl.SSLError):
        return ChannelUnreachable("TLS failed", "check whether the server expects https")
    if isinstance(error, TimeoutError):
        return ChannelUnreachable("the server does not answer")
    if isinstance(error, socket.gaierror):
        return ChannelUnreachable("unknown host name", "check the address and DNS")
    if isinstance(error, http.client.HTTPException):
        return ChannelUnreachable("the server closed the connection, or does not speak HTTP")
    why = error.strerror if isinstance(error, OSError) and error.strerror else "no connection"
    return ChannelUnreachable(f"the server cannot be reached ({why.lower()})")
