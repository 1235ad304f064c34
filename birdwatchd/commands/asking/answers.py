"""Understand what a person answers about a visit: a letter, a number of the list, or a name of a species.

The letters are those of the page's review, and mean there what they mean here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["ASK_SPECIES", "PROMPT", "Answer", "Kind", "understand"]

PROMPT = "c right, s species, n not a bird, j skip, u undo, q quit, ? help, a number or the species: "
ASK_SPECIES = "which species? (Enter: none) "


class Kind(Enum):
    """What an answer asks for."""

    CONFIRM = "confirm"
    NOT_A_BIRD = "not a bird"
    ASK_SPECIES = "ask for the species"
    SKIP = "skip"
    BACK = "back"
    UNDO = "undo"
    QUIT = "quit"
    HELP = "help"
    SPECIES = "species"
    NO_SUCH_NUMBER = "no such number"


_WORDS = {
    Kind.CONFIRM: ("c", "y", "yes", "confirm", "right", "ok"),
    Kind.ASK_SPECIES: ("s", "species"),
    Kind.NOT_A_BIRD: ("n", "no", "not a bird", "none", "no bird"),
    Kind.SKIP: ("", "j", "skip", "next"),
    Kind.BACK: ("k", "back", "previous"),
    Kind.UNDO: ("u", "undo"),
    Kind.QUIT: ("q", "quit", "exit"),
    Kind.HELP: ("?", "h", "help"),
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said; `name` is a species as it was written, or from the list."""

    kind: Kind
    name: str = ""


def understand(text: str, numbered: Sequence[str]) -> Answer:
    """The meaning of a line; `numbered` are the names that were shown as 1, 2, 3 …."""
    said = " ".join(text.split())
    kind = _KINDS.get(said.casefold())
    if kind is not None:
        return Answer(kind)
    if said.isdecimal():
        known = {str(i): name for i, name in enumerate(numbered, 1)}
        return Answer(Kind.SPECIES, known[said]) if said in known else Answer(Kind.NO_SUCH_NUMBER)
    return Answer(Kind.SPECIES, said)
