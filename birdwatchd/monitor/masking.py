"""Take secrets out of text before it leaves the machine: known ones in every form, and whatever looks like one.

Known are those of the configuration, of the files that it names and of the environment. They are looked for as they
are, as URLs and JSON write them, and within base64, alone or in the middle of something longer ("user:password").
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from birdwatchd.address import Source
from birdwatchd.errors import ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.text_file import NotText, read_text

__all__ = ["Mask", "secrets_of"]

HIDDEN = "***"
SHORTEST = 3  # characters; a password of one letter cannot be told from a text
SHORTEST_BASE64 = 6  # characters of base64 that only this secret gives
MOST_BYTES = 1_000_000
_BASE64 = "A-Za-z0-9+/_="
_NAMED = r"pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|auth|credential|apprise|webhook"
_ENVIRONMENT = re.compile(r"PASS|PWD|SECRET|TOKEN|KEY|AUTH|CRED", re.IGNORECASE)
_NOT_SECRET = {"PWD", "OLDPWD"}  # the folder
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_IN_CONFIG = re.compile(rf"(?:{_NAMED})\w*[\"']?\s*:\s*[\"']?([^\s\"',{{}}\[\]#]{{4,}})", re.IGNORECASE)
_USER_INFO = re.compile(r"://([^\s/@:]*):([^\s@]+)@")
_VALUE = r"(?!\*\*\*|(?:null|true|false|None)\b|[\[{])[^\s&\"',;}]+"
_LOOKS_SECRET = (
    (re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/@\"']+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (re.compile(rf"\b(\w*(?:{_NAMED}))(\"?\s*[=:]\s*\"?){_VALUE}", re.IGNORECASE), rf"\1\2{HIDDEN}"),
    (re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/_.=-]{6,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(lat(?:itude)?|lon(?:gitude)?)(\"?\s*[=:]\s*)-?\d+(?:\.\d+)?", re.IGNORECASE), rf"\1\2{HIDDEN}"),
    (re.compile(r"/(home|Users)/[^/\s\"']+"), rf"/\1/{HIDDEN}"),
)


class Mask:
    """Hides some secrets in texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= SHORTEST}
        plain = set(chain.from_iterable(map(_written, known)))
        encoded = {form for secret in known for form in _in_base64(secret)}
        self._plain = _any_of(plain)
        run = f"[{_BASE64}-]*"
        self._encoded = re.compile(f"{run}(?:{_any_of(encoded).pattern}){run}") if encoded else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        text = self._plain.sub(HIDDEN, text)
        if self._encoded is not None:
            text = self._encoded.sub(HIDDEN, text)
        for pattern, instead in _LOOKS_SECRET:
            text = pattern.sub(instead, text)
        return text

    def leaks(self, text: str) -> bool:
        """Whether a known secret is still in it."""
        return bool(self._plain.search(text)) or (self._encoded is not None and bool(self._encoded.search(text)))


def secrets_of(config: Config | None, text: str, environ: Mapping[str, str]) -> set[str]:
    """Everything that must not leave the machine.

    Args:
        config: None where the file cannot be used.
        text: of the configuration file.
    """
    named = set(_VARIABLE.findall(text)) | {name for name in environ if _ENVIRONMENT.search(name)}
    found = {environ[name] for name in named - _NOT_SECRET if name in environ}
    found |= {match[2] for match in _USER_INFO.finditer(text)} | {match[1] for match in _IN_CONFIG.finditer(text)}
    found |= {unquote(word) for word in found}
    found -= {word for word in found if word.startswith("${") or word in ("true", "false", "null")}
    if config is not None:
        found.update(_of_config(config))
    return {one.strip() for one in found}


def _of_config(config: Config) -> Iterator[str]:
    for camera in config.cameras.values():
        for source in (camera.source, camera.gate_source):
            if source is not None:
                yield from _of_source(source)
    yield config.mqtt.password.reveal()
    for file in (config.mqtt.password_file, config.mqtt.key_file):
        if file is not None:
            yield from _lines(file)
    yield from _of_address(config.mqtt.url)
    for name, channel in config.channels.items():
        try:
            yield from _of_address(channel.read_address(name).reveal(), whole=True)
            for value in channel.read_headers(name).values():
                yield from (value.reveal(), *value.reveal().split())
        except ConfigError:  # a file that cannot be read gives away nothing
            continue
    for degrees in (config.station.latitude, config.station.longitude):
        if degrees is not None:
            yield from {f"{degrees:.{digits}f}" for digits in range(3, 8)} | {repr(degrees)}


def _of_source(source: Source) -> Iterator[str]:
    yield source.password.reveal()
    if source.is_live:
        shown = str(source)
        yield from (value for _, value in parse_qsl(urlsplit(source.location).query) if value not in shown)
        hidden = re.split(r"[/?&]", source.location)
        yield from (part.partition("=")[2] for part in hidden if part not in shown)


def _of_address(address: str, *, whole: bool = False) -> Iterator[str]:
    """What is secret of an address: its password, or all of it that is longer than a word."""
    try:
        parts = urlsplit(address)
    except ValueError:
        yield address
        return
    yield unquote(parts.password or "")
    if whole:
        yield address
        yield address.partition("://")[2]
        pieces = re.split(r"[/?&=@:#]", address.partition("://")[2])
        yield from (form for piece in pieces if len(piece) > 5 for form in (piece, unquote(piece)))


def _lines(file: os.PathLike[str]) -> Iterator[str]:
    try:
        yield from read_text(file, most_bytes=MOST_BYTES).split("\n")  # type: ignore[arg-type]
    except NotText:
        return


def _written(secret: str) -> Iterator[str]:
    """A secret as it is, and as URLs, JSON and Python write it."""
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    yield from (secret, *quoted, quote(quote(secret, safe=""), safe=""))
    yield from (re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), one) for one in quoted)
    yield from (json.dumps(secret, ensure_ascii=ascii)[1:-1] for ascii in (True, False))
    yield repr(secret)[1:-1]


def _in_base64(secret: str) -> Iterator[str]:
    """What base64 makes of a secret wherever in a text it begins: the characters that come from it alone."""
    data = secret.encode()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(bytes(before) + data + bytes(3)).decode()
            own = text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
            if len(own) >= SHORTEST_BASE64:
                yield own


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Matches any of some words, the longest first; nothing where there are none."""
    ordered = sorted(set(words), key=lambda word: (-len(word), word))
    return re.compile("|".join(map(re.escape, ordered)) or r"(?!)")
