"""Describe a channel: a way to notify people that is not MQTT. Its address is a secret as a whole."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from birdwatchd.address import Secret
from birdwatchd.errors import ConfigError
from birdwatchd.settings.base import DurationField, SecretField, Settings
from birdwatchd.text_file import NotText, read_text

__all__ = ["ChannelSettings"]

MOST_BYTES = 1_000_000  # of a file with an address, or with headers
_HEADER = re.compile(r"[A-Za-z0-9-]+")
WAYS = ("apprise", "apprise_file", "webhook", "webhook_file")


class ChannelSettings(Settings):
    """One channel: an address of Apprise, or a URL to which the alert's JSON is posted; either may lie in a file.

    `headers_file` holds more headers for the webhook, `Name: value` a line. With `image` the visit's picture goes along
    where the channel can carry one. What is older than `max_age` is not sent any more.
    """

    apprise: SecretField | None = None
    apprise_file: Path | None = None
    webhook: SecretField | None = None
    webhook_file: Path | None = None
    headers_file: Path | None = None
    image: bool = False
    max_age: DurationField = timedelta(days=1)

    @field_validator("webhook")
    @classmethod
    def _webhook_is_address(cls, value: Secret | None) -> Secret | None:
        if value is not None and not _is_web_address(value.reveal()):
            raise ValueError("is not an address; write https://host/path")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> ChannelSettings:
        given = [way for way in WAYS if getattr(self, way)]
        if len(given) != 1:
            has = f"has {' and '.join(given)}" if given else "has no address"
            raise ValueError(f"{has}; give one of {', '.join(WAYS)}")
        if self.headers_file and not self.is_webhook:
            raise ValueError("has headers_file, which is for webhooks; leave it out")
        if self.max_age <= timedelta(0):
            raise ValueError("would never send anything; let max_age be longer than nothing")
        return self

    @property
    def is_webhook(self) -> bool:
        """Whether it is a URL to post to, else it is Apprise's."""
        return bool(self.webhook or self.webhook_file)

    def read_address(self, name: str) -> Secret:
        """The address from wherever it is kept.

        Args:
            name: of the channel, for the error.

        Raises:
            ConfigError: its file cannot be read, or holds no address.
        """
        given = self.webhook or self.apprise
        if given:
            return given
        file = self.webhook_file or self.apprise_file
        assert file is not None
        key = f"channels.{name}.{'webhook_file' if self.is_webhook else 'apprise_file'}"
        text = _read(file, key).strip()
        if not text or len(text.split()) != 1 or (self.is_webhook and not _is_web_address(text)):
            raise ConfigError(f"{key} {file} holds no address", "write the address into it, on one line, nothing else")
        return Secret(text)

    def read_headers(self, name: str) -> dict[str, Secret]:
        """The webhook's own headers.

        Raises:
            ConfigError: the file cannot be read, or a line is none.
        """
        if self.headers_file is None:
            return {}
        key, headers = f"channels.{name}.headers_file", {}
        for number, line in enumerate(_read(self.headers_file, key).splitlines(), 1):
            header, colon, value = line.partition(":")
            if not line.strip():
                continue
            if not (colon and _HEADER.fullmatch(header.strip()) and value.isascii() and value.strip().isprintable()):
                raise ConfigError(f"{key} {self.headers_file}: line {number} is not a header", "write Name: value")
            headers[header.strip()] = Secret(value.strip())
        return headers


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and text.isascii() and text.isprintable() and " " not in text


def _read(file: Path, key: str) -> str:
    try:
        return read_text(file, most_bytes=MOST_BYTES)
    except NotText as problem:
        hint = "create it, readable for the user that runs birdwatchd, with the address in it and nothing else"
        raise ConfigError(f"{key} {file} {problem}", hint) from None
