"""Say where the page about the station is served, and who may see it."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator, model_validator

from birdwatchd.errors import ConfigError
from birdwatchd.settings.base import LOOPBACK, BindField, Listening
from birdwatchd.text_file import NotText, read_text

__all__ = ["OWN_ADDRESSES", "WebSettings", "is_root_path"]

PORT = 8787
HOME_ASSISTANT = "172.30.32.2"  # where its Supervisor asks add-ons from
_ARGON2 = re.compile(r"\$argon2(id|i|d)\$\S+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
# Letters that mean the same in a header, an address and HTML; no segment begins with a dot, none is empty.
_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
LONGEST_ROOT_PATH = 200
# With which the page's own addresses begin: below a root path of that name nobody could tell which one is meant.
OWN_ADDRESSES = frozenset(
    {"api", "cameras", "events", "health", "language", "login", "logout"}
    | {"looks", "names", "review", "species", "static", "visits"}
)


def is_root_path(text: str) -> bool:
    """Whether a text can stand before the addresses of the page: `/birds`, `/garden/birds`."""
    return len(text) <= LONGEST_ROOT_PATH and _ROOT_PATH.fullmatch(text) is not None


def _to_hosts(value: object) -> object:
    return [str(one).lower().rstrip(".") for one in value] if isinstance(value, list | tuple) else value


class WebSettings(Listening):
    """The page. `bind` is ADDRESS:PORT, or a port of this machine; `web: off` serves none.

    `password_file` holds what `birdwatchd web --hash-password` prints; without it the page is for this machine only.
    `hosts` are further names under which browsers may ask for it. `trusted_proxies` are addresses or networks of
    reverse proxies, whose `X-Forwarded-For`, `X-Forwarded-Proto` and (without `root_path`) `X-Forwarded-Prefix` are
    believed. `root_path` is the path under which a reverse proxy has the page, such as /birds.
    `language` is the page's: `en`, `he`, or `auto` for what the browser prefers; whoever looks can choose another one.
    `guest: true` lets everybody who reaches the page look at birds and pictures without the password; only the owner
    reviews, and sees the station's health.
    `ingress` is ADDRESS:PORT of a second listener for Home Assistant's ingress, whose users are taken for the owner;
    there only `ingress_peers`, addresses or networks, are answered.
    """

    bind: BindField = f"{LOOPBACK}:{PORT}"
    password_file: Path | None = None
    hosts: Annotated[tuple[str, ...], BeforeValidator(_to_hosts)] = ()
    trusted_proxies: tuple[str, ...] = ()
    root_path: str = ""
    guest: bool = False
    ingress: BindField = ""
    ingress_peers: tuple[str, ...] = (HOME_ASSISTANT,)
    language: Literal["auto", "en", "he"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        """`web: off` is none, `web: on` is the default."""
        return {"bind": ""} if value is False else {} if value is True else value

    @field_validator("hosts")
    @classmethod
    def _hosts_are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _HOST.fullmatch(name):
                raise ValueError(f"name '{name}' is not that of a host; write birds.example, without a port")
        return value

    @field_validator("ingress")
    @classmethod
    def _ingress_is_address(cls, value: str) -> str:
        return Listening(bind=value).bind

    @field_validator("trusted_proxies", "ingress_peers")
    @classmethod
    def _proxies_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ip_network(one, strict=False)
            except ValueError:
                raise ValueError(f"'{one}' is not an address or network; write 127.0.0.1 or 192.168.1.0/24") from None
        return value

    @field_validator("root_path")
    @classmethod
    def _root_path_is_one(cls, value: str) -> str:
        path = value.rstrip("/")
        if path and not is_root_path(path):
            raise ValueError(f"'{value[:LONGEST_ROOT_PATH]}' is not a path; write /birds")
        if path.split("/")[1:2] and path.split("/")[1] in OWN_ADDRESSES:
            raise ValueError(f"'{value}' begins as addresses of the page do; write for example /birds{path}")
        return path

    @model_validator(mode="after")
    def _others_need_a_password(self) -> WebSettings:
        if not self.is_local and self.password_file is None:
            raise ValueError(
                f"bind {self.bind} can be reached from other machines and has no password; set password_file to what"
                f" `birdwatchd web --hash-password` prints, or bind to {LOOPBACK}:{PORT}"
            )
        if self.trusted_proxies and self.password_file is None:
            raise ValueError(
                "trusted_proxies let others reach this page, and it has no password; set password_file to what"
                " `birdwatchd web --hash-password` prints, or take trusted_proxies out"
            )
        return self

    @property
    def local_url(self) -> str:
        """Where the page is, seen from this machine: with the path that it has behind a proxy."""
        return super().local_url + self.root_path if self.bind else ""

    @property
    def ingress_at(self) -> Listening:
        """Where Home Assistant's ingress is listened for."""
        return Listening(bind=self.ingress)

    @model_validator(mode="after")
    def _ingress_is_another_listener(self) -> WebSettings:
        if self.ingress and not self.bind:
            raise ValueError(
                "ingress is a second listener of a page that is off; set bind, which may be this machine's"
            )
        if self.ingress and self.ingress_at.port == self.port:
            raise ValueError(f"ingress {self.ingress} has the port of bind; give it another one")
        return self

    @model_validator(mode="after")
    def _guests_are_not_owners(self) -> WebSettings:
        if self.guest and self.password_file is None:
            raise ValueError(
                "guest is for a page with a password: without one everybody is its owner; set password_file to what"
                " `birdwatchd web --hash-password` prints, or take guest out"
            )
        return self

    def read_password_hash(self) -> str:
        """What is kept of the page's password; empty where it has none.

        Raises:
            ConfigError: the password file cannot be read, or holds no hash.
        """
        if self.password_file is None:
            return ""
        hint = "put what `birdwatchd web --hash-password` prints into it"
        try:
            text = read_text(self.password_file, most_bytes=10_000).strip()
        except NotText as problem:
            raise ConfigError(f"web.password_file {self.password_file} {problem}", hint) from None
        if not _ARGON2.fullmatch(text):
            raise ConfigError(f"web.password_file {self.password_file} holds no argon2 hash", hint)
        return text
