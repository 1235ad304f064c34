"""Where pictures come from, and the passwords on the way there: addresses that are safe to print.

Credentials are kept apart from what is shown; only `reveal()` gives them, for the library that needs them.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

__all__ = ["SCHEMES", "Secret", "Source"]

SCHEMES = ("rtsp", "rtsps", "http", "https", "file")
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}  # RFC 7826, RFC 9110
# Many cameras want their password as a parameter. It is hidden up to the next `&`, and no less: some part parameters
# with `_`, as in /user=admin_password=x_channel=1.sdp, and a password may hold a slash.
_CREDENTIAL = re.compile(r"((?:user|usr|login|pas|pwd|pw|token|key|auth|secret)[^=&/?]*)=[^&]*", re.IGNORECASE)
_UNREADABLE = "has a host or port that cannot be read; write / # ? [ and @ in a user or password as %2F %23 %3F %5B %40"
_CUT_WRONGLY = "has a user or password with / # ? or @ in it; write them as %2F %23 %3F %40"


class Secret:
    """A password that cannot be printed by accident: `str` and `repr` show `***`; `reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The password itself, for the library that must send it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Source:
    """Where pictures come from: prints as an address without credentials, and gives them to who must send them.

    Args:
        text: RTSP(S) or HTTP(S) URL, `file:` URL, plain path, or `/dev/videoN`.

    Attributes:
        location: the address without `user:password@`, else whole. Never print it: its query may hold a password;
            `str()` of the source masks that.
        relay: port of this machine that leads to it, for processes that reach nothing else; None where there is none.

    Raises:
        ValueError: the scheme is not on the allow-list or the address is not whole. The text holds no part of the
            address but the scheme.
    """

    __slots__ = ("kind", "location", "password", "relay", "username")

    def __init__(self, text: str, relay: int | None = None) -> None:
        self.relay = relay
        scheme = text.split(":", 1)[0].lower() if re.match(r"^[A-Za-z][A-Za-z0-9+.-]*:", text) else ""
        self.username = ""
        self.password = Secret("")
        if not text or "\x00" in text:
            raise ValueError("is empty; give a URL, a file or /dev/video0")
        if not scheme:
            if "://" in text:  # such as a space before rtsp://: as a path it would be printed whole
                raise ValueError("has something before its scheme; write for example rtsp://host/path")
            self.kind = "device" if re.fullmatch(r"/dev/video[0-9]+", text) else "file"
            if text.startswith("/dev/") and self.kind == "file":
                raise ValueError("names a device that is not a camera; use /dev/video0, /dev/video1, …")
            self.location = text
            return
        if scheme not in SCHEMES:
            raise ValueError(
                f"uses the forbidden scheme '{scheme}'; allowed are {', '.join(SCHEMES)}, plain paths and /dev/videoN"
            )
        if scheme == "file":
            self.kind, self.location = "file", _local_path(text)
            return
        parts, host = _split_url(text)
        self.kind = "rtsp" if scheme.startswith("rtsp") else "http"
        self.username = unquote(parts.username or "")
        self.password = Secret(unquote(parts.password or ""))
        self.location = urlunsplit((scheme, host, parts.path, parts.query, ""))

    @property
    def is_live(self) -> bool:
        """True where pictures arrive at their own pace and reading again later gives other pictures."""
        return self.kind != "file"

    def reveal(self) -> str:
        """The address with its credentials, for the library that opens it. Never log it."""
        if not self.username and not self.password:
            return self.location
        parts = urlsplit(self.location)
        user, password = quote(self.username, safe=""), quote(self.password.reveal(), safe="")
        return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc}"))

    @property
    def endpoint(self) -> tuple[str, int, bool]:
        """Host, port and whether it speaks TLS, of an address in the network."""
        parts = urlsplit(self.location)
        return parts.hostname or "", parts.port or _PORTS[parts.scheme], parts.scheme in ("rtsps", "https")

    def through(self, relay: int) -> Source:
        """The same source, to be reached through a port of this machine."""
        return Source(self.reveal(), relay)

    def __repr__(self) -> str:
        return f"Source({str(self)!r})"

    def __str__(self) -> str:
        return self.location if self.kind in ("file", "device") else _CREDENTIAL.sub(r"\1=***", self.location)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str, str, str]:
        return self.kind, self.location, self.username, self.password.reveal()


def _local_path(text: str) -> str:
    """The path of a `file:` URL."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = SplitResult("file", "", "", "", "")
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ValueError("is not a local file; write file:///path/to/clip.mp4")
    return unquote(parts.path)


def _split_url(text: str) -> tuple[SplitResult, str]:
    """A network address in parts, and its host with port; errors quote nothing, for urllib's own hold passwords.

    A `/`, `#` or `?` in a password ends the host part early: `rtsp://admin:12/34@host/` has the host `admin`. It is
    known by the `@` that comes too late.
    """
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(_UNREADABLE) from None
    if "@" in parts.path + parts.query + parts.fragment and (":" in parts.netloc or "@" in parts.netloc):
        raise ValueError(_CUT_WRONGLY)
    if not name:
        raise ValueError(f"names no host; write {parts.scheme}://host/path")
    host = f"[{name}]" if ":" in name else name
    return parts, f"{host}:{port}" if port else host
