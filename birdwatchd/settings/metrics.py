"""Say where the daemon's own state can be read: `/healthz`, `/readyz` and Prometheus metrics over HTTP."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import BeforeValidator, field_validator

from birdwatchd.settings.base import Settings

__all__ = ["MetricsSettings"]

LOOPBACK = "127.0.0.1"
_BIND = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")


def _to_bind(value: object) -> object:
    """`false` is none; a port alone is one of this machine."""
    if value is False:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{LOOPBACK}:{value}"
    return value


class MetricsSettings(Settings):
    """Where metrics are served: `bind` is ADDRESS:PORT, or a port of this machine; empty or false for nowhere."""

    bind: Annotated[str, BeforeValidator(_to_bind)] = ""

    @field_validator("bind")
    @classmethod
    def _is_address(cls, value: str) -> str:
        match = _BIND.fullmatch(value)
        if not value:
            return value
        try:
            usable = match is not None and bool(ip_address(match["six"] or match["four"]))
        except ValueError:
            usable = False
        if match is None or not usable or not 0 < int(match["port"]) < 65536:
            raise ValueError("is not an address with a port; write 127.0.0.1:9108, or false")
        return value

    @property
    def host(self) -> str:
        """The address to listen at, without brackets."""
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen at; 0 where nothing is served."""
        return int(self.bind.rpartition(":")[2] or 0)

    @property
    def local_url(self) -> str:
        """Where this machine itself reads them, as http://ADDRESS:PORT; empty where nothing is served."""
        if not self.bind:
            return ""
        address = ip_address(self.host)
        if address.is_unspecified:  # every address of this machine
            address = ip_address("::1" if address.version == 6 else LOOPBACK)
        return f"http://[{address}]:{self.port}" if address.version == 6 else f"http://{address}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can read them."""
        return not self.bind or ip_address(self.host).is_loopback
