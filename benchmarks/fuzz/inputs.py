"""Make hostile inputs out of a few good ones: bits and bytes that change, parts that move, words that repeat.

Every input follows from (seed, parser, number) alone, so that one that broke something can be made again.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Corpus", "chance_of"]

LARGEST = 60_000  # bytes of an input
REPEATS = (2, 3, 10, 100, 1000, 10_000)
NUMBERS = (b"0", b"-1", b"1e999", b"nan", b"-inf", b"1_0", b"0x7f", b"9" * 40, b"\xd9\xa3", b"1e-400", b"true", b"null")
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def chance_of(seed: int, parser: str, number: int) -> random.Random:
    """The chance by which one input is made."""
    return random.Random(f"{seed} {parser} {number}")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Good inputs of one format, and the words of which it is made.

    Attributes:
        head, tail: bytes at both ends in which a large input is changed; all of it where they are 0.
    """

    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    head: int = 0
    tail: int = 0

    def make(self, chance: random.Random) -> bytes:
        """One input: mostly a good one with one to eight changes, else words in any order, or noise."""
        kind = chance.random()
        if kind < 0.05:
            return chance.randbytes(chance.choice((0, 1, 7, 64, 500, 4000)))
        if kind < 0.25 and self.words:
            words = (*self.words, *NUMBERS)
            return b"".join(chance.choice(words) for _ in range(chance.randrange(1, 60)))[:LARGEST]
        data = bytearray(chance.choice(self.seeds))
        for _ in range(chance.choice((1, 1, 2, 3, 8))):
            chance.choice(self._changes())(data, chance)
        return bytes(data[: max(LARGEST, len(self.seeds[0]) * 2)])

    def _changes(self) -> tuple[Callable[[bytearray, random.Random], None], ...]:
        return (self._flip, self._flip, self._byte, self._number, self._cut, self._delete, self._repeat, self._word)

    def _at(self, data: bytearray, chance: random.Random) -> int:
        """A place in an input; of a large one near its ends."""
        if not self.head or len(data) <= self.head + self.tail:
            return chance.randrange(len(data) + 1)
        at = chance.randrange(self.head + self.tail)
        return at if at < self.head else len(data) - (at - self.head)

    def _flip(self, data: bytearray, chance: random.Random) -> None:
        at = self._at(data, chance)
        if at < len(data):
            data[at] ^= 1 << chance.randrange(8)

    def _byte(self, data: bytearray, chance: random.Random) -> None:
        at = self._at(data, chance)
        data[at : at + 1] = chance.randbytes(1)

    def _number(self, data: bytearray, chance: random.Random) -> None:
        """A binary number at the edge of its range, of four or eight bytes, in either order."""
        at, value = self._at(data, chance), chance.choice(_EDGES)
        packed = struct.pack(chance.choice((">I", "<I", ">Q", "<Q")), value)
        data[at : at + len(packed)] = packed

    def _cut(self, data: bytearray, chance: random.Random) -> None:
        del data[self._at(data, chance) :]

    def _delete(self, data: bytearray, chance: random.Random) -> None:
        at = self._at(data, chance)
        del data[at : at + chance.choice((1, 2, 10, 100))]

    def _repeat(self, data: bytearray, chance: random.Random) -> None:
        """A part of it again and again: what takes the square of the length takes seconds now."""
        at = self._at(data, chance)
        part = bytes(data[at : at + chance.choice((1, 1, 2, 5, 30))])
        data[at:at] = (part * chance.choice(REPEATS))[:LARGEST]

    def _word(self, data: bytearray, chance: random.Random) -> None:
        at, words = self._at(data, chance), (*self.words, *NUMBERS)
        data[at:at] = (chance.choice(words) * chance.choice((1, 1, 1, *REPEATS)))[:LARGEST]
