"""Serve Home Assistant's ingress: a listener of its own, on which Home Assistant says who is let in.

It has checked the user before it hands a request on, and says under which path it has the page (`X-Ingress-Path`). Both
are believed on that listener alone, and there of no other peer.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from birdwatchd.settings.web import WebSettings, is_root_path
from birdwatchd.web.access.addresses import address_of
from birdwatchd.web.access.proxies import below

__all__ = ["FORMS", "Ingress", "is_from_own_page"]

FORMS = "ingress"  # whose token forms hold: another one than that of the login page, which any stranger is shown


class Ingress:
    """The listener for Home Assistant, if there is one."""

    def __init__(self, settings: WebSettings) -> None:
        self._port = settings.ingress_at.port
        self._peers = [ip_network(one, strict=False) for one in settings.ingress_peers]

    def is_entered(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a request came in on that listener: by the socket's own port, and not by what the request says."""
        server = scope.get("server")
        return bool(self._port) and server is not None and server[1] == self._port

    def placed(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any] | None:
        """A request of Home Assistant's below the path that it says; None where it is not Home Assistant's."""
        peer = address_of(scope["client"][0]) if scope.get("client") else None
        paths = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-ingress-path"]
        path = paths[0].rstrip("/") if len(paths) == 1 else ""
        if peer is None or not any(peer in network for network in self._peers):
            return None
        if len(paths) > 1 or (path and not is_root_path(path)):
            return None
        return below(path, scope)


def is_from_own_page(headers: dict[str, str]) -> bool:
    """Whether a form was sent from a page of this origin, which the browser knows under Home Assistant's name.

    Home Assistant forbids referrers, so that a browser says `Origin: null` of any form, and over http it
    sends no `Sec-Fetch-Site`. Then only the token in the form decides (`FORMS`).
    """
    fetched = headers.get("sec-fetch-site")
    if fetched is not None:
        return fetched == "same-origin"
    said = headers.get("origin", "")
    if said == "null":
        return True
    try:
        origin = urlsplit(said).netloc.lower()
    except ValueError:
        return False
    return bool(origin) and origin in (headers.get("host", "").lower(), headers.get("x-forwarded-host", "").lower())
