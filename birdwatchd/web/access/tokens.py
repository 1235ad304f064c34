"""Keep the tokens of programs that read `/api/v1`: of each its name, when it was made, and a hash.

A token is 256 bits of chance, so a plain hash tells nothing of it, unlike that of a password. The file lies in the
home, where the page may read: `birdwatchd web --token NAME` adds a line, and the page knows it at once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from birdwatchd.errors import ConfigError
from birdwatchd.records import rfc3339
from birdwatchd.settings.base import SLUG
from birdwatchd.text_file import NotText, read_text
from birdwatchd.whole_file import write_whole

__all__ = ["FILE_NAME", "KeptToken", "Tokens"]

FILE_NAME = "page-tokens"
BEGINS = "birdwatchd_"  # so that who finds one somewhere, a program that looks for such, knows what it is
MOST = 100
LONGEST = 100  # letters of what is sent


@dataclass(frozen=True, slots=True)
class KeptToken:
    """What is kept of a token. `made_at` is as RFC 3339 has it."""

    name: str
    digest: str
    made_at: str


class Tokens:
    """The tokens of one home."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE_NAME

    def all(self) -> list[KeptToken]:
        """All of them, the oldest first.

        Raises:
            ConfigError: the file cannot be read, or holds something else.
        """
        if not self._path.exists():
            return []
        hint = "make it readable for who runs the page, or delete it and make the tokens anew"
        try:
            lines = read_text(self._path, most_bytes=100_000).splitlines()
            return [KeptToken(*line.split(" ")) for line in lines]
        except NotText as problem:
            raise ConfigError(f"{self._path} {problem}", hint) from None
        except TypeError:
            raise ConfigError(f"{self._path} holds a line that is no token's", hint) from None

    def make(self, name: str, now: datetime) -> str:
        """A new token, which is known nowhere else: it is to be shown, and forgotten.

        Raises:
            ConfigError: the name cannot be one, is used, or there are as many as may be.
        """
        kept = self.all()
        if not SLUG.fullmatch(name):
            raise ConfigError(f"a token cannot be called '{name}'", "use a-z, 0-9, _ and -")
        if any(one.name == name for one in kept):
            raise ConfigError(f"there is a token {name}", f"take it back first: birdwatchd web --revoke {name}")
        if len(kept) >= MOST:
            raise ConfigError(f"there are {MOST} tokens", "take back one that is not needed")
        token = BEGINS + secrets.token_urlsafe(32)
        self._write([*kept, KeptToken(name, _digest(token), rfc3339(now))])
        return token

    def revoke(self, name: str) -> None:
        """Take a token back, from its next request on.

        Raises:
            ConfigError: there is none of that name.
        """
        kept = self.all()
        if all(one.name != name for one in kept):
            known = ", ".join(one.name for one in kept)
            raise ConfigError(f"there is no token {name}", f"there are {known}" if known else "there is none at all")
        self._write([one for one in kept if one.name != name])

    def name_of(self, token: str) -> str | None:
        """Whose token this is; None where it is nobody's. Takes as long for one as for the other.

        Raises:
            ConfigError: as `all`.
        """
        digest, found = _digest(token), None
        for one in self.all():
            if hmac.compare_digest(one.digest.encode(), digest.encode()):
                found = one.name
        return found if len(token) <= LONGEST else None

    def _write(self, kept: list[KeptToken]) -> None:
        """Put another file in its place: the page reads the old one or the new one. Its owner is the home's."""
        home = self._path.parent.stat()
        owner = (home.st_uid, home.st_gid) if os.geteuid() == 0 else None
        text = "".join(f"{one.name} {one.digest} {one.made_at}\n" for one in kept)
        write_whole(self._path, text.encode(), 0o600, owner=owner)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
