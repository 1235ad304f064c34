"""Decide who may see the page: a password (argon2), sessions with opaque ids, and a lock-out for those who guess.

Without a password everybody who reaches the page is its owner; settings see to it that this is only this machine.
Sessions live in memory: after a restart of the page one logs in again.
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
from ipaddress import ip_address, ip_network

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from birdwatchd.errors import ConfigError
from birdwatchd.settings.web import WebSettings

__all__ = ["Login", "hash_of", "network_of"]

log = logging.getLogger(__name__)

SESSION_S = 30 * 86_400.0  # since it was last used
MOST_SESSIONS = 64
FREE_TRIES = 5  # wrong passwords of one peer before it has to wait
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 900.0
MOST_PEERS = 1000  # that are remembered for wrong passwords
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
    """The one account of the page. Safe to use from several threads."""

    def __init__(self, password_hash: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            password_hash: argon2's text; empty where no password is asked for.
        """
        self._hash, self._monotonic = password_hash, monotonic
        self._hasher = PasswordHasher()
        self._key = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
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
        now_s = self._monotonic()
        with self._lock:
            recent = [at_s for at_s in self._account if now_s - at_s < ACCOUNT_S]
            self._account = recent
            waits = [FIRST_WAIT_S - (now_s - recent[-1])] if len(recent) >= ACCOUNT_TRIES else []
        return max([self.own_wait_s(peer), *waits])

    def own_wait_s(self, peer: str) -> float:
        """The same for a token, which nobody guesses: only for what this peer itself got wrong."""
        with self._lock:
            wrong, last_s = self._wrong.get(network_of(peer), (0, 0.0))
        if wrong < FREE_TRIES:
            return 0.0
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(wrong - FREE_TRIES, 16), LONGEST_WAIT_S)
        return max(0.0, wait_s - (self._monotonic() - last_s))

    def enter(self, password: str, peer: str) -> str | None:
        """A new session for who knows the password; None for who does not, or has to wait."""
        with self._verifying:
            if not self._hash or self.wait_s(peer) > 0:
                return None
            try:
                self._hasher.verify(self._hash, password)
            except VerificationError:
                self._note_wrong(peer, "password")
                with self._lock:
                    self._account.append(self._monotonic())
                return None
        session = secrets.token_urlsafe(32)
        with self._lock:
            self._wrong.pop(network_of(peer), None)
            self._sessions[_digest(session)] = self._monotonic()
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        return session

    def leave(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(session), None)

    def refuse_token(self, peer: str) -> None:
        """Note that a peer sent a token that is none. It makes nobody else wait."""
        self._note_wrong(peer, "token")

    def _note_wrong(self, peer: str, what: str) -> None:
        """Count it, and say it in the log: a line for each, of which the waits allow a few in a minute."""
        log.warning("the page: wrong %s from %s", what, peer)
        now_s, network = self._monotonic(), network_of(peer)
        with self._lock:
            self._wrong[network] = self._wrong.pop(network, (0, 0.0))[0] + 1, now_s
            while len(self._wrong) > MOST_PEERS:
                self._wrong.popitem(last=False)


def _digest(session: str) -> str:
    """Under what a session is remembered: not its id, which opens the page."""
    return hashlib.sha256(session.encode()).hexdigest()


def network_of(peer: str) -> str:
    """A peer as far as it can be told apart: in IPv6 anybody has a /64 of addresses, but IPv4 within it is IPv4."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ip_network(f"{address}/64", strict=False)) if address.version == 6 else str(address)
