"""Believe a reverse proxy about who asks, if it is one that the configuration names; nobody else."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from ipaddress import ip_address, ip_network
from typing import Any

__all__ = ["Proxies"]


class Proxies:
    """The proxies in front of this page."""

    def __init__(self, trusted: Iterable[str]) -> None:
        """
        Args:
            trusted: addresses and networks.
        """
        self._networks = [ip_network(one, strict=False) for one in trusted]

    def believed(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """A request as it came to the first of our proxies: who asked it, and whether over https.

        Of `X-Forwarded-For` only what our own proxies wrote counts: from its end, up to the first address that is not
        one of them. Whatever stands before that was sent by whoever asked.
        """
        if not self._networks or not scope.get("client") or not self._is_ours(scope["client"][0]):
            return scope
        peer, port = scope["client"]
        for hop in reversed(_values(scope, b"x-forwarded-for")):
            if _address(hop) is None:
                break
            peer, port = hop, 0
            if not self._is_ours(hop):
                break
        said = [one.lower() for one in _values(scope, b"x-forwarded-proto")]
        scheme = said[-1] if said and said[-1] in ("http", "https") else scope["scheme"]
        return {**scope, "client": (peer, port), "scheme": scheme}

    def _is_ours(self, peer: str) -> bool:
        address = _address(peer)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> Any:
    """An address, or None; IPv4 that came over a socket of IPv6 is IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _values(scope: MutableMapping[str, Any], name: bytes) -> list[str]:
    """The values of a header that is a list, in order, however many times it is there."""
    lines = (value.decode("latin-1") for key, value in scope["headers"] if key == name)
    return [part.strip() for line in lines for part in line.split(",")]
