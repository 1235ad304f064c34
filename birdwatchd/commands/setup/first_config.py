"""Compose the first configuration: a dozen lines, with passwords in files beside it.

A password is never written into the configuration. What stands there is `${NAME}`, and the password is in the file
`credentials/NAME` beside it (`birdwatchd.settings.variables`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from birdwatchd.commands.arguments import is_model_file
from birdwatchd.errors import ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import parse_config
from birdwatchd.settings.variables import CREDENTIALS, Variables
from birdwatchd.whole_file import write_new

__all__ = ["CAMERA_PASSWORD", "MQTT_PASSWORD", "VARIABLE", "FirstConfig", "Secrets", "without_password"]

CAMERA_PASSWORD, MQTT_PASSWORD = "CAM_PASSWORD", "MQTT_PASSWORD"  # names
VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")  # stands for a password already
_PLAIN = re.compile(r"[A-Za-z0-9/$][^\s#'\"\\,\[\]]*")  # what YAML takes without quotes, if no colon ends it
_QUERY_PASSWORD = re.compile(r"([?&](?:password|passwd|pwd|pass)=)([^&#]+)", re.IGNORECASE)
_HEAD = "# The first configuration, as `birdwatchd init` writes it. All keys: docs/reference/configuration.md"


class Secrets:
    """Passwords by the name under which the configuration knows them."""

    def __init__(self, beside: Path, environ: Mapping[str, str]) -> None:
        """
        Args:
            beside: the configuration that is to be written.
            environ: environment variables, which count more than files.
        """
        self._variables = Variables(environ, beside)
        self._folder = beside.parent / CREDENTIALS
        self.new: dict[str, str] = {}

    @property
    def known(self) -> dict[str, str]:
        """Every value that `${NAME}` may stand for."""
        return {name: self._variables[name] for name in self._variables} | self.new

    def add(self, name: str, value: str) -> str:
        """Keep a password; returns its name: the one that is wanted, or with a number where that one is another's."""
        wanted, number = name, 2
        while self.known.get(name, value) != value:
            name, number = f"{wanted}_{number}", number + 1
        if name not in self.known:
            self.new[name] = value
        return name

    def write(self) -> list[Path]:
        """Write what is new to files that only their owner can read; returns them.

        Raises:
            ConfigError: they cannot be written.
        """
        written = []
        try:
            if self.new:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, value in self.new.items():
                path = self._folder / name
                write_new(path, f"{value}\n".encode(), 0o600)
                written.append(path)
        except OSError as error:
            for path in written:
                path.unlink()
            raise ConfigError(f"{self._folder}: {error.strerror}", "choose another folder with --out") from None
        return written


def without_password(address: str, name: str, secrets: Secrets) -> str:
    """An address with `${NAME}` where its password was; the password goes to `secrets`."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if at and ":" in user:
        user, _, password = user.partition(":")
        if password and not VARIABLE.search(password):
            parts = parts._replace(netloc=f"{user}:${{{secrets.add(name, unquote(password))}}}@{host}")
            address = urlunsplit(parts)
    scheme = parts.scheme

    def replaced(match: re.Match[str]) -> str:
        given = match[2]
        if VARIABLE.search(given):
            return match[0]
        return f"{match[1]}${{{secrets.add(name, unquote(given) if scheme.startswith('http') else given)}}}"

    return _QUERY_PASSWORD.sub(replaced, address)


@dataclass(frozen=True, slots=True)
class FirstConfig:
    """What the first configuration says; passwords are `${NAME}` in it.

    Attributes:
        source, gate_source: addresses of the camera's main and small stream.
        position: latitude and longitude, or None.
        broker: address of the broker; empty for none.
        model: name of a published classifier, or the path of a file of weights; empty for the default.
    """

    station: str = "home"
    position: tuple[float, float] | None = None
    zone: str = "UTC"
    camera: str = "feeder"
    source: str = ""
    gate_source: str = ""
    broker: str = ""
    broker_user: str = ""
    broker_password: str = ""
    model: str = ""

    def text(self) -> str:
        """The configuration as YAML."""
        lines = [_HEAD, "station:", f"  name: {_scalar(self.station)}"]
        if self.position is not None:
            latitude, longitude = (round(degrees, 5) for degrees in self.position)  # to a metre
            lines += [f"  latitude: {latitude}", f"  longitude: {longitude}"]
        lines += [f"  timezone: {_scalar(self.zone)}", "cameras:", f"  {self.camera}:"]
        lines.append(f"    source: {_scalar(self.source)}")
        if self.gate_source:
            lines.append(f"    gate_source: {_scalar(self.gate_source)}")
        if self.model:
            key = "file" if is_model_file(self.model) else "name"
            lines.append(f"model: {{{key}: {_scalar(self.model)}}}")
        if self.broker:
            lines += ["mqtt:", f"  url: {_scalar(self.broker)}"]
            for key, value in (("username", self.broker_user), ("password", self.broker_password)):
                lines += [f"  {key}: {_scalar(value)}"] if value else []
        return "\n".join([*lines, ""])

    def parsed(self, file: Path, secrets: Secrets) -> Config:
        """The configuration as it will be read.

        Raises:
            ConfigError: something of it is not allowed.
        """
        return parse_config(self.text(), str(file), secrets.known)

    def with_source(self, source: str, gate_source: str = "") -> FirstConfig:
        """The same with another camera."""
        return replace(self, source=source, gate_source=gate_source)


def _scalar(text: str) -> str:
    """A value as YAML reads it back as text; JSON's strings are YAML's."""
    is_text = _PLAIN.fullmatch(text) and not text.endswith(":") and not re.fullmatch(r"[\d._:+-]+", text)
    words = ("true", "false", "yes", "no", "on", "off", "null")
    if is_text and text.casefold() not in words:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
