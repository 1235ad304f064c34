"""Read the address of who asks: IPv4 that came over a socket of IPv6 is IPv4."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

__all__ = ["address_of"]


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address; None for what is none, such as the path of a local socket."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
