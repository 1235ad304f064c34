"""Places for those who ask at once: strangers leave some for those who are logged in."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from birdwatchd.web.access import places
from birdwatchd.web.access.places import Places
from birdwatchd.web.access.roles import Role


def test_strangers_are_counted_and_owners_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner's open tabs take no place of guests, and what has been answered takes none of anybody."""
    monkeypatch.setattr(places, "MOST_STRANGERS", 2)
    monkeypatch.setattr(places, "MOST_AT_ONCE", 3)
    made = Places()

    def asks(held: ExitStack, role: Role, device: str = "") -> bool:
        return held.enter_context(made.place(device, role, at_the_door=False))

    for _ in range(2):
        with ExitStack() as held:
            assert [asks(held, Role.OWNER) for _ in range(5)] == [True] * 5
            assert [asks(held, Role.GUEST) for _ in range(3)] == [True, True, False]
            assert asks(held, Role.OWNER)
        with ExitStack() as held:
            assert [asks(held, Role.OWNER, "192.0.2.1") for _ in range(4)] == [True] * 3 + [False]
            assert asks(held, Role.OWNER, "192.0.2.2")
