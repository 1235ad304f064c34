"""Count what each device got wrong, passwords or tokens: how long it has to wait, and what the owner is shown of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network

from birdwatchd.web.access.addresses import address_of

__all__ = ["Tries", "WrongTries", "network_of"]

FREE_TRIES = 5  # wrong ones of one peer before it has to wait
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 900.0
MOST_PEERS = 1000  # that are remembered
SHOWN_S = 86_400.0  # for which the owner is shown them


@dataclass(frozen=True, slots=True)
class WrongTries:
    """What one device got wrong since the page started.

    Attributes:
        peer: its address; in IPv6 its network.
        number: how many in all.
        age_s: since the last one.
        wait_s: how long it has to wait before it may try again; 0 where it may.
    """

    peer: str
    number: int
    age_s: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class _Peer:
    """`number` is what the owner is shown; `guesses` decide on the wait and end with a right password."""

    number: int = 0
    last_s: float = 0.0
    guesses: int = 0
    guessed_s: float = 0.0
    given: tuple[str, ...] = ()


class Tries:
    """The wrong tries of one kind. Safe to use from several threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._peers: OrderedDict[str, _Peer] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, peer: str) -> float:
        """How long a peer has to wait before it may try again, seconds."""
        with self._lock:
            found = self._peers.get(network_of(peer))
            return self._wait_s(found) if found is not None else 0.0

    def note(self, peer: str, given: str = "") -> bool:
        """Count a wrong try; False where it is no guess, because this peer gave the same before.

        Args:
            given: by which the same one is known again; empty where each is a guess.
        """
        now_s, network = self._monotonic(), network_of(peer)
        with self._lock:
            found = self._peers.pop(network, _Peer())
            is_guess = not given or given not in found.given
            found = replace(found, number=found.number + 1, last_s=now_s)
            if is_guess:
                kept = (*found.given, given)[-FREE_TRIES:] if given else ()
                found = replace(found, guesses=found.guesses + 1, guessed_s=now_s, given=kept)
            self._peers[network] = found
            while len(self._peers) > MOST_PEERS:
                self._peers.popitem(last=False)
        return is_guess

    def forgive(self, peer: str) -> None:
        """Let a peer try again: it knows what is right. What it got wrong is still shown."""
        network = network_of(peer)
        with self._lock:
            if network in self._peers:
                self._peers[network] = replace(self._peers[network], guesses=0)

    def seen(self) -> tuple[WrongTries, ...]:
        """What each peer got wrong, of those that tried in the last day; the newest first."""
        now_s = self._monotonic()
        with self._lock:
            recent = [(peer, one) for peer, one in self._peers.items() if now_s - one.last_s < SHOWN_S]
            return tuple(
                WrongTries(peer, one.number, now_s - one.last_s, self._wait_s(one)) for peer, one in reversed(recent)
            )

    def _wait_s(self, peer: _Peer) -> float:
        if peer.guesses < FREE_TRIES:
            return 0.0
        wait_s = min(FIRST_WAIT_S * 2.0 ** min(peer.guesses - FREE_TRIES, 16), LONGEST_WAIT_S)
        return max(0.0, wait_s - (self._monotonic() - peer.guessed_s))


def network_of(peer: str) -> str:
    """A peer as far as it can be told apart: in IPv6 anybody has a /64 of addresses, but IPv4 within it is IPv4."""
    address = address_of(peer)
    if address is None:
        return peer
    return str(ip_network(f"{address}/64", strict=False)) if address.version == 6 else str(address)
