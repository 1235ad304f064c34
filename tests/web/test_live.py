"""The news for open pages: one stream a tab."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from birdwatchd.errors import StoreBusy
from birdwatchd.flow import Stop
from birdwatchd.web import live as module
from birdwatchd.web.live import MOST_GUESTS, MOST_LISTENERS, Live


class Written:
    """A database to which somebody wrote before some of the looks; None is a look that fails."""

    def __init__(self, *changed: bool | None) -> None:
        self._changed = list(changed)

    def look(self) -> bool:
        changed = self._changed.pop(0) if self._changed else False
        if changed is None:
            raise StoreBusy("busy")
        return changed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.0)


def read(live: Live, last_id: str | None, lines: int, *, ends: bool = False) -> list[str]:
    """The first parts of a tab's stream."""

    async def listen() -> list[str]:
        stream = live.events(last_id, ends=ends)
        if ends:
            return [part async for part in stream]
        found = [await anext(stream) for _ in range(lines)]
        await stream.aclose()  # type: ignore[attr-defined]
        return found

    return asyncio.run(listen())


def test_a_tab_hears_of_each_change_once() -> None:
    """Ids grow; between changes there is a sign of life; a database that is busy for a moment ends nothing."""
    live = Live(Written(True, False, True, None, True), Stop())  # type: ignore[arg-type]
    first, *others = read(live, None, 5)
    epoch = first.split("id: ")[1].split("-")[0]
    assert first == f"retry: 2000\nid: {epoch}-1\n\n"
    event = f"id: {epoch}-%d\nevent: birds\ndata: {epoch}-%d\n\n"
    assert others == [": still here\n\n", event % (2, 2), ": still here\n\n", event % (3, 3)]


def test_who_comes_back_is_told_what_it_missed() -> None:
    """After a gap, or a restart of the page's process, the ids are not the same, and the tab loads itself anew."""
    live = Live(Written(), Stop())  # type: ignore[arg-type]
    assert "event: birds" in read(live, "1700000000-7", 2)[1]


def test_there_is_an_end_to_listeners() -> None:
    """Each open tab costs a little memory and time; a thousand of them are a mistake, or an attack."""
    live = Live(Written(), Stop())  # type: ignore[arg-type]
    with ExitStack() as places:
        assert [places.enter_context(live.place()) for _ in range(MOST_LISTENERS)] == [True] * MOST_LISTENERS
        with live.place() as free:
            assert not free
        assert live.listeners == MOST_LISTENERS
    assert live.listeners == 0


def test_guests_leave_places_for_the_owner() -> None:
    """Everybody may be a guest: who opens as many streams as may be keeps other guests out, and not the owner."""
    live = Live(Written(), Stop())  # type: ignore[arg-type]
    with ExitStack() as places:
        got = [places.enter_context(live.place(is_guest=True)) for _ in range(MOST_LISTENERS)]
        assert got.count(True) == MOST_GUESTS
        assert places.enter_context(live.place())
    with live.place(is_guest=True) as free:
        assert free


def test_where_a_proxy_keeps_a_stream_back_each_news_ends_it() -> None:
    """Home Assistant hands on what it compressed when there is a lot of it, or at the end: a bird came hours later."""
    live = Live(Written(False, True, False), Stop())  # type: ignore[arg-type]
    first = read(live, None, 9, ends=True)
    assert len(first) == 2
    known = first[0].split("id: ")[1].strip()
    assert first[1] == module.NEXT
    found = read(live, known, 9, ends=True)
    assert "event: birds" in found[1]
    assert found[2:] == [module.NEXT]
    newest = found[1].split("data: ")[1].strip()
    assert read(live, newest, 9, ends=True)[1:] == [": still here\n\n", module.NEXT]
