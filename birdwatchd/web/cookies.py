"""Read one cookie of a request, whatever other programs of the same host have put beside it."""

from __future__ import annotations

__all__ = ["cookie"]


def cookie(header: str, name: str) -> str:
    """The value of a cookie of ours; empty where there is none. Of several the first counts: its path fits best.

    `http.cookies` reads none at all where one of them has a value that it does not expect (`{"a": 1}`), and takes a
    second for some quoted ones (CVE-2024-7592). Ours need no quotes.

    Args:
        header: `Cookie` of the request.
    """
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return next((value for key, _, value in pairs if key == name), "")
