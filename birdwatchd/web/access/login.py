"""Decide who may see the page: a password (argon2), sessions with opaque ids, and a lock-out for those who guess.

Without a password everybody who reaches the page is its owner; settings see to it that this is only this machine.
Sessions live in memory: after a restart of the page's process one logs in again. It may write no file that opens the
page later: who took it over would stay in.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from birdwatchd.errors import ConfigError
from birdwatchd.settings.web import WebSettings
from birdwatchd.web.access.tries import FIRST_WAIT_S, Tries

__all__ = ["Login", "hash_of"]

log = logging.getLogger(__name__)

SESSION_S = 30 * 86_400.0  # since it was last used
MOST_SESSIONS = 64
ACCOUNT_TRIES = 60  # wrong passwords of all peers together within `ACCOUNT_S`, before everybody waits
ACCOUNT_S = 600.0
SHORTEST = 8  # letters of a password
_HINT = "put what `birdwatchd web --hash-password` prints into it"


def hash_of(password: str) -> str:
    """The text to keep of a password.

    Raises:
        ConfigError: it is too short.
    """
    if len(password) < SHORTEST:
        raise ConfigError("the password is too short", f"use {SHORTEST} letters or more")
    return PasswordHasher().hash(password)


class Login:
    """The one account of the page. Safe to use from several threads.

    Attributes:
        passwords, tokens: the wrong ones of each peer. They are counted apart: a program that goes on with a token that
            was taken back must not keep the owner, at the same address, from the login.
    """

    def __init__(self, password_hash: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            password_hash: argon2's text; empty where no password is asked for.
        """
        self._hash, self._monotonic = password_hash, monotonic
        self._hasher = PasswordHasher()
        self._key = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self.passwords, self.tokens = Tries(monotonic), Tries(monotonic)
        self._account: list[float] = []
        self._lock = threading.Lock()
        self._verifying = threading.Lock()  # each needs 64 MB

    @classmethod
    def of(cls, settings: WebSettings) -> Login:
        """The login of a station's page.

        Raises:
            ConfigError: the password file cannot be read, or holds no hash.
        """
        text = settings.read_password_hash()
        if not text:
            return cls("")
        try:
            PasswordHasher().check_needs_rehash(text)
        except (InvalidHashError, ValueError):
            raise ConfigError(f"web.password_file {settings.password_file} holds no argon2 hash", _HINT) from None
        return cls(text)

    @property
    def is_open(self) -> bool:
        """Whether no password is asked for."""
        return not self._hash

    def token(self, session: str) -> str:
        """What a form must hold to be from a page of ours: of this session, or of nobody's (empty)."""
        return hmac.new(self._key, session.encode(), hashlib.sha256).hexdigest()

    def is_token(self, session: str, given: str) -> bool:
        """Whether a form's token is the session's."""
        return hmac.compare_digest(self.token(session).encode(), given.encode())

    def knows(self, session: str) -> bool:
        """Whether somebody is logged in with this session id."""
        now_s, name = self._monotonic(), _digest(session)
        with self._lock:
            used_s = self._sessions.get(name)
            if used_s is None or now_s - used_s > SESSION_S:
                self._sessions.pop(name, None)
                return False
            self._sessions[name] = now_s
            self._sessions.move_to_end(name)
        return True

    def wait_s(self, peer: str) -> float:
        """How long this peer has to wait before it may try a password, seconds."""
        return max(self.passwords.wait_s(peer), self.everybodys_wait_s())

    def everybodys_wait_s(self) -> float:
        """How long nobody may try a password, because so many peers got it wrong together, seconds."""
        now_s = self._monotonic()
        with self._lock:
            self._account = [at_s for at_s in self._account if now_s - at_s < ACCOUNT_S]
            return max(0.0, FIRST_WAIT_S - (now_s - self._account[-1])) if len(self._account) >= ACCOUNT_TRIES else 0.0

    def enter(self, password: str, peer: str) -> str | None:
        """A new session for who knows the password; None for who does not, or has to wait."""
        with self._verifying:
            if not self._hash or self.wait_s(peer) > 0:
                return None
            try:
                self._hasher.verify(self._hash, password)
            except VerificationError:
                self.passwords.note(peer)
                log.warning("the page: wrong password from %s", peer)  # the waits allow a few lines in a minute
                with self._lock:
                    self._account.append(self._monotonic())
                return None
        session = secrets.token_urlsafe(32)
        self.passwords.forgive(peer)
        with self._lock:
            self._sessions[_digest(session)] = self._monotonic()
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        return session

    def leave(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(session), None)

    def refuse_token(self, peer: str, token: str) -> None:
        """Note that a peer sent a token that is none. The same one again is no further guess, and makes nobody wait."""
        if self.tokens.note(peer, _digest(token)):
            log.warning("the page: wrong token from %s", peer)


def _digest(secret: str) -> str:
    """Under what a session, or a wrong token, is remembered: not what opens the page, or once did."""
    return hashlib.sha256(secret.encode()).hexdigest()
