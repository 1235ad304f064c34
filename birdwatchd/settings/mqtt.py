"""Describe the broker: where it is, who we are to it, and what is published and received there."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from birdwatchd.address import Secret
from birdwatchd.errors import ConfigError
from birdwatchd.settings.base import SLUG, SecretField, Settings
from birdwatchd.text_file import NotText, read_text

__all__ = ["MqttSettings"]

MOST_BYTES = 1_000_000  # of a file with a password


def _to_clock(value: object) -> object:
    """YAML reads 17:30 as 17 · 60 + 30, and `off` as false; 7 is no seven o'clock."""
    if value is False:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and 60 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    if not isinstance(value, str):
        raise ValueError("is not a time of day; write for example 07:00, or false")
    return value


class MqttSettings(Settings):
    """The broker. Without `url` nothing is published and nothing is queued.

    `discovery` is the prefix below which Home Assistant looks for devices; empty or false for none. `commands` are
    those that may come over MQTT. `page_url` is what Home Assistant's device pages link to. `heartbeat` is the local
    time of the daily summary; empty or false for none.
    """

    url: str = ""
    username: str = ""
    password: SecretField = Secret("")
    password_file: Path | None = None
    base: str = "birdwatch"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    images: bool = True
    discovery: Annotated[str, BeforeValidator(lambda value: "" if value is False else value)] = "homeassistant"
    commands: tuple[Literal["enable", "confirm", "retract", "species"], ...] = ()
    page_url: str = ""
    heartbeat: Annotated[str, BeforeValidator(_to_clock), Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")] = "07:00"

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value:
            return value
        try:
            parts = urlsplit(value)
        except ValueError:  # its text may hold a password
            parts = SplitResult("", "", "", "", "")
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError("is not a broker address; write mqtt://host:1883 or mqtts://host:8883")
        if "@" in value:
            raise ValueError("holds credentials; use mqtt.username and mqtt.password_file instead")
        try:
            usable = parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("has a port that is not a number from 1 to 65535; write mqtt://host:1883")
        return value

    @field_validator("discovery")
    @classmethod
    def _discovery_is_topic(cls, value: str) -> str:
        if value and not re.fullmatch(r"[\w-]+(/[\w-]+)*", value, re.ASCII):
            raise ValueError("is not a topic; write the discovery prefix of Home Assistant, or false")
        return value

    @field_validator("page_url")
    @classmethod
    def _page_is_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:
            parts = SplitResult("", "", "", "", "")
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in value):
            raise ValueError("is not the address of a page; write http://host:port without a password")
        return value

    @field_validator("base")
    @classmethod
    def _base_is_topic(cls, value: str) -> str:
        if not all(SLUG.fullmatch(level) for level in value.split("/")):
            raise ValueError("is not a topic; use a-z, 0-9, _ and -, levels parted by /")
        return value

    @property
    def heartbeat_at(self) -> time | None:
        """The local time of the daily summary, or None for none."""
        return time.fromisoformat(self.heartbeat) if self.heartbeat else None

    @model_validator(mode="after")
    def _one_password(self) -> MqttSettings:
        if self.password and self.password_file:
            raise ValueError("has both password and password_file; keep one")
        if (self.password or self.password_file) and not self.username:
            raise ValueError("has a password but no user, so it would not be sent; set mqtt.username")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("needs cert_file and key_file together")
        if self.url and not self.tls and (self.ca_file or self.cert_file):
            raise ValueError(
                "has certificates, and a url without TLS, so all would be sent in the clear; write mqtts://"
            )
        return self

    @property
    def host(self) -> str:
        """Broker's host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Broker's port: 1883, or 8883 with TLS, unless the URL names one."""
        return urlsplit(self.url).port or (8883 if self.tls else 1883)

    @property
    def tls(self) -> bool:
        """Whether the URL asks for TLS (`mqtts`)."""
        return urlsplit(self.url).scheme == "mqtts"

    def read_password(self) -> Secret:
        """The password from wherever it is kept.

        Raises:
            ConfigError: the password file cannot be read or is no text.
        """
        if self.password_file is None:
            return self.password
        try:
            return Secret(read_text(self.password_file, most_bytes=MOST_BYTES).strip("\r\n"))
        except NotText as problem:
            hint = "create it, readable for the user that runs birdwatchd, with the password in it and nothing else"
            raise ConfigError(f"mqtt.password_file {self.password_file} {problem}", hint) from None
