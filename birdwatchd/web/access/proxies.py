"""Believe a reverse proxy about who asks, if it is one that the configuration names; nobody else.

Such a proxy may have the page under a path (`/birds`). It hands an address on as it is, or without that path; here both
become the same: `root_path` is the path, and `path` the whole address, as ASGI has it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from ipaddress import ip_network
from typing import Any

from birdwatchd.settings.web import WebSettings, is_root_path
from birdwatchd.web.access.addresses import address_of

__all__ = ["Proxies", "below", "path_of"]


class Proxies:
    """The proxies in front of this page."""

    def __init__(self, settings: WebSettings) -> None:
        self._networks = [ip_network(one, strict=False) for one in settings.trusted_proxies]
        self._root_path = settings.root_path  # empty where it is the root, or a proxy says it

    def believed(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """A request as it came to the first of our proxies: who asked it, whether over https, and under which path.

        Of `X-Forwarded-For` only what our own proxies wrote counts: from its end, up to the first address that is not
        one of them. Whatever stands before that was sent by whoever asked.
        """
        if not self._networks or not scope.get("client") or not self._is_ours(scope["client"][0]):
            return below(self._root_path, scope)
        peer, port = scope["client"]
        for hop in reversed(_values(scope, b"x-forwarded-for")):
            if address_of(hop) is None:
                break
            peer, port = hop, 0
            if not self._is_ours(hop):
                break
        said = [one.lower() for one in _values(scope, b"x-forwarded-proto")]
        scheme = said[-1] if said and said[-1] in ("http", "https") else scope["scheme"]
        prefixes = _values(scope, b"x-forwarded-prefix")
        said_path = prefixes[0].rstrip("/") if len(prefixes) == 1 else ""  # of two, one may be from who asks
        root_path = self._root_path or (said_path if is_root_path(said_path) else "")
        return below(root_path, {**scope, "client": (peer, port), "scheme": scheme})

    def _is_ours(self, peer: str) -> bool:
        address = address_of(peer)
        return address is not None and any(address in network for network in self._networks)


def below(root_path: str, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A request with its path below the root path, whether or not a proxy has taken that away."""
    path: str = scope["path"]
    if root_path and (path == root_path or path.startswith(f"{root_path}/")):
        path = path.removeprefix(root_path) or "/"
    return {**scope, "root_path": root_path, "path": root_path + path}


def path_of(scope: MutableMapping[str, Any]) -> str:
    """The address of the page that is asked for, without the root path."""
    path: str = scope["path"]
    return path.removeprefix(scope["root_path"])


def _values(scope: MutableMapping[str, Any], name: bytes) -> list[str]:
    """The values of a header that is a list, in order, however many times it is there."""
    lines = (value.decode("latin-1") for key, value in scope["headers"] if key == name)
    return [part.strip() for line in lines for part in line.split(",")]
