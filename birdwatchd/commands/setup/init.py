"""`birdwatchd init`: ask for camera, place and broker, try them, and write a first configuration.

Everything can be given as an option, and then nothing is asked and no terminal is needed. What was found is tried
before it is written: a configuration that does not work helps nobody. No file is ever replaced.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from getpass import getpass
from pathlib import Path
from shlex import quote as quote_for_shell
from typing import TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from birdwatchd.address import Source
from birdwatchd.commands.arguments import is_model_file
from birdwatchd.commands.check import list_probes
from birdwatchd.commands.setup.first_config import (
    CAMERA_PASSWORD,
    MQTT_PASSWORD,
    VARIABLE,
    FirstConfig,
    Secrets,
    without_password,
)
from birdwatchd.commands.setup.given import (
    broker_of,
    camera_of,
    names_a_stream,
    position_of,
    slug_of,
    system_zone,
    zone_of,
)
from birdwatchd.commands.setup.stream_paths import main_streams, small_streams
from birdwatchd.commands.terminal import out, shown
from birdwatchd.errors import BirdwatchError, ConfigError, shortened
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings
from birdwatchd.settings.model import ModelSettings
from birdwatchd.species.class_names import DEMO
from birdwatchd.species.published import DATA_SETS, is_suited, published_entries
from birdwatchd.whole_file import write_new

__all__ = ["InitOptions", "run_init"]

CONNECT_S = 5.0  # for which a camera may let wait before it counts as away
SHAPE = 0.03  # by which the shapes of two pictures of the same view may differ
_LOGIN = re.compile(r"\b401\b|unauthori[sz]ed|user and password", re.IGNORECASE)
Meant = TypeVar("Meant")
Probe = Callable[[Source], CameraStatus]


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What was given on the command line; None is asked for. See `birdwatchd init --help`."""

    file: Path
    camera: str | None = None
    gate: str | None = None
    camera_name: str | None = None
    place: str | None = None
    position: str | None = None
    zone: str | None = None
    broker: str | None = None
    model: str | None = None
    probe: bool = True


def run_init(
    options: InitOptions,
    *,
    terminal: bool | None = None,
    read: Callable[[str], str] = input,
    read_secret: Callable[[str], str] = getpass,
    probe: Probe | None = None,
) -> int:
    """Ask for what is missing, try it, and write the configuration; 1 if it does not work, and then nothing is written.

    Args:
        terminal: whether somebody can be asked; by default, whether stdin is a terminal.
        read, read_secret: show a question and give the answer.
        probe: opens a stream; by default in a process of its own, as `check --probe` does.

    Raises:
        ConfigError: the file is there already, something cannot be read, or is missing and nobody can be asked.
    """
    if os.path.lexists(options.file):
        raise ConfigError(f"{options.file} is there already", "edit it, or write another one with --out FILE")
    asked = sys.stdin.isatty() if terminal is None else terminal
    missing = [f"--{name}" for name in ("camera", "place", "broker") if getattr(options, name) is None]
    if missing and not asked:
        raise ConfigError(
            f"{', '.join(missing)} is missing, and there is no terminal to ask on",
            "give all of --camera URL, --place NAME and --broker URL (or none)",
        )
    questions = _Questions(options, asked, read, read_secret, Secrets(options.file, os.environ), probe or _opened)
    try:
        questions.run()
    except (EOFError, KeyboardInterrupt):
        out.print("\nnothing was written")
        return 1
    return 0


@dataclass(slots=True)
class _Questions:
    """The conversation: what was given, how to ask for the rest, and the passwords that came up."""

    options: InitOptions
    asked: bool
    read: Callable[[str], str]
    read_secret: Callable[[str], str]
    secrets: Secrets
    probe: Probe

    def run(self) -> None:
        """Ask, try and write.

        Raises:
            BirdwatchError: something that was given does not work; nothing was written.
        """
        draft = FirstConfig(model=_model_of(self.options.model or ""))
        draft = self._camera(draft)
        draft = self._place(draft)
        self._write(self._broker(draft))

    def _ask(self, given: str | None, question: str, default: str = "") -> str:
        """What was given; else the answer to a question; else the default."""
        if given is not None:
            return given
        if not self.asked:
            return default
        return self.read(f"{question}{f' [{default}]' if default else ''}: ").strip() or default

    def _repeat(self, given: str | None, question: str, meaning: Callable[[str], Meant], default: str = "") -> Meant:
        """Ask until the answer can be understood."""
        while True:
            try:
                return meaning(self._ask(given, question, default))
            except ConfigError as error:
                if given is not None or not self.asked:
                    raise
                out.print(f"[yellow]{shown(error)}[/]", soft_wrap=True)

    def _camera(self, draft: FirstConfig) -> FirstConfig:
        """The camera: its name, and streams that open.

        Raises:
            ConfigError, BirdwatchError: it was given and does not work.
        """
        given = self.options.camera
        while True:
            address = self._repeat(given, "Camera: its address, a URL, /dev/video0 or a file", camera_of)
            address = self._with_login(address, given)
            address = without_password(address, CAMERA_PASSWORD, self.secrets)
            gate = camera_of(self.options.gate) if self.options.gate else ""
            gate = without_password(gate, CAMERA_PASSWORD, self.secrets)
            try:
                found = self._streams(draft.with_source(address, gate))
                break
            except BirdwatchError as error:
                if given is not None or not self.asked:
                    raise
                out.print(f"[yellow]{shown(error)}[/]", soft_wrap=True)
                self.secrets.new.clear()
        name = self._repeat(self.options.camera_name, "What to call the camera", slug_of, "feeder")
        return replace(found, camera=name)

    def _with_login(self, address: str, given: str | None) -> str:
        """The address with user and password, which are asked for where it has none."""
        parts = urlsplit(address)
        if given is not None or not self.asked or parts.scheme not in ("rtsp", "rtsps") or "@" in parts.netloc:
            return address
        user = self.read("User at the camera (Enter: none): ").strip()
        if not user:
            return address
        password = self.read_secret("Password (is not shown): ")
        login = ":".join(quote(one, safe="") for one in (user, password) if one)
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))

    def _streams(self, draft: FirstConfig) -> FirstConfig:
        """The same with streams that open: a main one, and a small one if there is one of the same view."""
        source = self._source(draft)
        if not self.options.probe:
            if not names_a_stream(draft.source):
                raise ConfigError(f"{source} names no stream", "give its path too, or leave out --no-probe")
            return draft
        if source.kind in ("rtsp", "http"):
            _knock(source)
        if names_a_stream(draft.source):
            main = self._try(draft, "main stream")
        else:
            draft, main = self._find_main(draft)
        if draft.gate_source:
            self._try(draft.with_source(draft.gate_source), "small stream")
            return draft
        return self._find_small(draft, main)

    def _source(self, draft: FirstConfig) -> Source:
        """The camera's source with its password, as `run` will have it."""
        return draft.parsed(self.options.file, self.secrets).cameras[draft.camera].source

    def _try(self, draft: FirstConfig, what: str) -> CameraStatus:
        status = self.probe(self._source(draft))
        if status.state is not CameraState.ONLINE:
            raise BirdwatchError(f"{what}: {status.detail or 'gave no picture'}")
        found = f"{what}: {self._source(draft)}, {status.width}×{status.height} pixels"
        out.print(f"[green]works[/]  {shown(found)}", soft_wrap=True)
        return status

    def _find_main(self, draft: FirstConfig) -> tuple[FirstConfig, CameraStatus]:
        """The first of the usual paths that opens.

        Raises:
            BirdwatchError: none does, or user and password are wrong: more attempts could lock the camera.
        """
        out.print("looking for its streams where cameras usually have them …")
        for maker, address in main_streams(draft.source):
            found = draft.with_source(address, draft.gate_source)
            try:
                return found, self._try(found, f"main stream, as {maker}")
            except BirdwatchError as error:
                if _LOGIN.search(str(error)):
                    raise
        raise BirdwatchError(
            f"{self._source(draft)}: no picture at any of the usual paths",
            "look into its manual or web page for the address of its RTSP stream, and give that",
        )

    def _find_small(self, draft: FirstConfig, main: CameraStatus) -> FirstConfig:
        """The same with the small stream, if one opens at its usual path, is smaller, and shows the same view."""
        width, height = main.width or 0, main.height or 0
        for maker, address in small_streams(draft.source, width, height):
            small = draft.with_source(address)
            status = self.probe(self._source(small))
            if status.state is not CameraState.ONLINE or not status.width or not status.height:
                continue
            size = f"{status.width}×{status.height} pixels"
            if status.width >= width:
                continue
            if abs(status.width / status.height / (width / height) - 1) > SHAPE:
                out.print(f"not used: {shown(self._source(small))}, {size}, is of another shape", soft_wrap=True)
                continue
            found = f"small stream, as {maker}: {self._source(small)}, {size}"
            out.print(f"[green]works[/]  {shown(found)}", soft_wrap=True)
            return draft.with_source(draft.source, address)
        if self._source(draft).kind == "rtsp":
            out.print("no small stream found; with one (`gate_source`) birdwatchd uses far less CPU", soft_wrap=True)
        return draft

    def _place(self, draft: FirstConfig) -> FirstConfig:
        options = self.options
        return replace(
            draft,
            station=self._repeat(options.place, "Name of this place", slug_of, "home"),
            position=self._repeat(
                options.position, "Its latitude, longitude, for sunrise and sunset (Enter: none)", position_of
            ),
            zone=self._repeat(options.zone, "Time zone", zone_of, system_zone(os.environ)),
        )

    def _broker(self, draft: FirstConfig) -> FirstConfig:
        """The same with a broker that takes what is published, or none.

        Raises:
            BirdwatchError: it was given and does not work.
        """
        given = self.options.broker
        while True:
            url, user, password = self._repeat(given, "MQTT broker, such as 192.168.1.5 (Enter: none)", broker_of)
            if url and not user and given is None and self.asked:
                user = self.read("User at the broker (Enter: none): ").strip()
                password = self.read_secret("Password (is not shown): ") if user else ""
            before = dict(self.secrets.new)
            if password and not VARIABLE.search(password):
                password = f"${{{self.secrets.add(MQTT_PASSWORD, password)}}}"
            found = replace(draft, broker=url, broker_user=user, broker_password=password)
            try:
                self._try_broker(found)
                return found
            except BirdwatchError as error:
                if given is not None or not self.asked:
                    raise
                out.print(f"[yellow]{shown(error)}[/]", soft_wrap=True)
                self.secrets.new = before

    def _try_broker(self, draft: FirstConfig) -> None:
        probes = dict(list_probes(draft.parsed(self.options.file, self.secrets)))
        if "broker" in probes and self.options.probe:
            out.print(f"[green]works[/]  {shown(probes['broker']())}", soft_wrap=True)

    def _write(self, draft: FirstConfig) -> None:
        """Write passwords first: the configuration must never be there without them.

        Raises:
            ConfigError: a file cannot be written.
        """
        file = self.options.file
        draft.parsed(file, self.secrets)
        written = self.secrets.write()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_new(file, draft.text().encode())
        except OSError as error:
            for secret in written:
                secret.unlink()
            raise ConfigError(f"{file}: {error.strerror}", "choose another place with --out FILE") from None
        out.print(f"\n[bold]{shown(file)}[/]", soft_wrap=True)
        for line in draft.text().splitlines():
            out.print(f"  {shown(line)}", soft_wrap=True)
        for secret in written:
            out.print(f"password in {shown(secret)}, which only you can read", soft_wrap=True)
        _print_next(draft, file)


def _model_of(text: str) -> str:
    """A name, or a file's whole path: the configuration may be read from elsewhere.

    Raises:
        ConfigError: there is no such file, or no published model of this name that can be used.
        ModelUnusable: birder's registry cannot be read.
    """
    if not text or text == DEMO:
        return text
    if not is_model_file(text):
        entries = published_entries()
        if text not in entries:
            close = difflib.get_close_matches(text, [*entries, DEMO], n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else "`birdwatchd models` lists them"
            raise ConfigError(f"no model named {shortened(text, 80)} is published", hint)
        if not is_suited(entries[text]["net"]["network"]):
            raise ConfigError(f"the model {text} cannot be used here", "`birdwatchd models` lists those that can")
        return text
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"{path} is not a file", "check the path, or name a published model: birdwatchd models")
    return str(path)


def _print_next(draft: FirstConfig, file: Path) -> None:
    where = "" if file == Path("birdwatchd.yaml") else f" -c {quote_for_shell(str(file))}"
    used = draft.model or ModelSettings().name
    own = is_model_file(used)  # whoever has weights of their own knows of which birds
    here = [one for one in DATA_SETS if draft.zone.startswith(one.zones) and one.zones]
    if not own and not any(used.endswith(one.name) or one.name in used for one in here):
        region = f"; for your region: birdwatchd models {here[0].name}" if here else "; others: birdwatchd models"
        out.print(f"the model {shown(used)} knows the birds of its own region only{shown(region)}", soft_wrap=True)
    out.print(f"next: birdwatchd check --probe{shown(where)}, then birdwatchd run{shown(where)}", soft_wrap=True)


def _knock(source: Source) -> None:
    """Raises BirdwatchError where nobody listens at all: fourteen attempts would find out no more."""
    host, port, _ = source.endpoint
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        raise BirdwatchError(
            f"nobody answers at {host}, port {port} ({reason})", "is it on, in this network, and is RTSP switched on?"
        ) from None


def _opened(source: Source) -> CameraStatus:
    from birdwatchd.camera.process.supervisor import probe_camera

    return probe_camera("camera", CameraSettings(source=source))
