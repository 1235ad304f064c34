"""Pages about birds, as people use them: on a phone, from another continent, in many tabs."""

from __future__ import annotations

import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from birdwatchd.flow import Stop
from birdwatchd.records import Rank, State, Verdict, new_visit_id
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import listeners
from birdwatchd.store import Store
from birdwatchd.testing import example_moment, example_visit, temporary_store
from birdwatchd.web.app import build_app
from birdwatchd.web.home import Home
from birdwatchd.web.server import serve
from tests.support.page import Browser, browser
from tests.support.peers import free_port

NOW = datetime(2026, 5, 11, 22, 30, tzinfo=UTC)  # Tuesday half past eight in the morning in Sydney
SOON = timedelta(minutes=5)
SYDNEY = {"timezone": "Australia/Sydney", "latitude": -33.87, "longitude": 151.21}


@pytest.fixture
def store() -> Iterator[Store]:
    with temporary_store() as made:
        yield made


@pytest.fixture
def owner(store: Store, monkeypatch: pytest.MonkeyPatch) -> Browser:
    monkeypatch.setattr(Home, "now", staticmethod(lambda: NOW))
    return browser(store.home, station=SYDNEY, cameras={"nut": {"source": "/"}})


def visit(
    store: Store, name: str, scientific: str | None, *, ago: timedelta = timedelta(minutes=5), **more: Any
) -> str:
    start = NOW - ago
    verdict = Verdict(State.CONFIRMED, Rank.SPECIES, name, scientific, 0.9, ((name, 0.9),))
    made = replace(example_visit(new_visit_id(start), start=start, **more), verdict=verdict)
    store.writer().record(made, [example_moment()], NOW)
    return made.visit_id


def links(text: str) -> list[str]:
    return [unescape(link) for link in re.findall(r'<a [^>]*?href="(/[^"]*)"', text)]


@pytest.mark.parametrize("scientific", ["Antrostomus carolinensis", None])
def test_an_apostrophe_in_a_name(store: Store, owner: Browser, scientific: str | None) -> None:
    """Chuck-will's-widow is identified correctly, but when you go to its recordings there are none.

    Must: Its page and its visits are there, also without a scientific name, and each way to type it finds it.
    Report: https://github.com/Nachtzuster/BirdNET-Pi/issues/41
    Report: https://github.com/inaturalist/inaturalist/issues/2478
    """
    visit_id = visit(store, "Chuck-will's-widow", scientific)
    for link in (link for link in links(owner.get("/species").text) if link.startswith("/species/")):
        page = owner.get(link)
        assert (page.status, unescape(page.text).count("Chuck-will's-widow") > 1) == (200, True)
        following = [one for one in links(page.text) if one.startswith("/visits?species=")]
        assert following
        assert f"v-{visit_id}" in owner.get(following[0]).text
    for typed in ("Chuck-will's-widow", "Chuck-will’s-widow", "chuck wills widow"):
        answer = owner.post(f"/visits/{visit_id}/review", {"verdict": "species", "species": typed})
        assert answer.status == 303


def test_the_day_is_the_stations_wherever_the_browser_is(store: Store, owner: Browser) -> None:
    """In California the page of a station in Sydney has sunrise at night and no tomorrow; its day ends at noon.

    Must: Days, hours and the sun are the station's, and any day can be chosen.
    Report: https://github.com/tphakala/birdnet-go/issues/3005
    Report: https://github.com/Nachtzuster/BirdNET-Pi/issues/611
    """
    visit(store, "Great tit", "Parus major", ago=timedelta(hours=1))  # 07:30 on Tuesday
    visit(store, "House sparrow", "Passer domesticus", ago=timedelta(hours=9))  # 23:30 on Monday
    text = owner.get("/").text
    assert "Tuesday 12 May" in text
    assert "sunrise 06:3" in text
    assert "sunset 17:0" in text
    assert "<b>1</b> visit so far, <b>1</b> species" in text
    assert '<time datetime="2026-05-11T21:30:00+00:00">07:30</time>' in text
    tomorrow_in_california = owner.get("/visits?day=2026-05-12").text
    assert ("Great tit" in tomorrow_in_california, 'class="card"' in tomorrow_in_california) == (True, True)
    assert not re.search(r'type="date"[^>]*max=', tomorrow_in_california)


def test_a_clip_plays_on_an_iphone(store: Store, owner: Browser) -> None:
    """In Safari there is a slash through the play button: it asks for two bytes first, and wants just these.

    Must: It gets these two.
    Now: `206`, `content-range: bytes 0-1/1000`
    Report: https://github.com/mmcc-xx/WhosAtMyFeeder/issues/55
    """
    visit_id = new_visit_id(NOW)
    name = f"media/nut/2026/05/11/{visit_id}.mp4"
    (store.home / name).parent.mkdir(parents=True)
    (store.home / name).write_bytes(bytes(1000))
    store.writer().record(example_visit(visit_id, start=NOW, clip=name), [], NOW)
    answer = owner.get(f"/visits/{visit_id}/clip", range="bytes=0-1")
    assert (answer.status, len(answer.body)) == (206, 2)
    assert answer.headers["content-range"] == "bytes 0-1/1000"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "video/mp4"


def test_every_link_leads_somewhere(store: Store, owner: Browser) -> None:
    """Clicking on a result gives 404; and "species detected today" leads to all species.

    Must: Every link of every page leads somewhere, also of names with `/`, `?`, `#` and `%`; today's lead to today.
    Report: https://github.com/tphakala/birdnet-go/issues/1065
    Report: https://github.com/mcguirepr89/BirdNET-Pi/issues/179
    """
    for number, (name, scientific) in enumerate([("Great tit", "Parus major"), ("A/B & C?", None), ("50% #1", None)]):
        visit(store, name, scientific, ago=timedelta(hours=1 + 30 * number), count_max=2)
    waiting, seen = ["/"], set[str]()
    while waiting:
        link = waiting.pop().partition("#")[0]
        if link in seen or "/pictures/" in link or len(seen) > 200:
            continue
        seen.add(link)
        answer = owner.get(link)
        assert answer.status == 200, link
        waiting += links(answer.text)
    assert 15 < len(seen) < 200
    today = [link for link in links(owner.get("/").text) if link.startswith("/visits?species=")]
    tits = "/visits?species=Parus%20major&day=2026-05-12"
    assert today == [tits, f"{tits}&hour=7"]


def test_an_open_tab_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """While a client listens to events, Ctrl-C hangs with "Waiting for connections to close".

    Must: The page ends within three seconds, whoever listens.
    Report: https://github.com/Kludex/uvicorn/issues/1499
    Report: https://github.com/sysid/sse-starlette/issues/124
    """
    config = Config.model_validate({"home": tmp_path, "web": {"bind": free_port()}})
    stop = Stop()
    thread = threading.Thread(target=serve, args=(config, listeners(config.web), stop))
    thread.start()
    with socket.create_connection(("127.0.0.1", config.web.port), timeout=5) as tab:
        tab.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        heard = b""
        while b"retry:" not in heard:
            heard += tab.recv(65536)
        began_s = time.monotonic()
        stop.set("Ctrl-C")
        thread.join(10)
        assert not thread.is_alive()
        assert time.monotonic() - began_s < 3


def wait_for_job() -> None:
    for thread in threading.enumerate():
        if thread.name == "reviews":
            thread.join(10)


def test_a_hailstorm_of_wrong_names(store: Store, owner: Browser) -> None:
    """After hail there were more than a hundred bitterns, to be deleted one by one, or all of a species for ever.

    Must: All of a species and a day are judged at once; other days and other species stay, and it can be undone.
    Report: https://github.com/tphakala/birdnet-go/issues/2838
    Report: https://github.com/tphakala/birdnet-go/issues/3405
    Report: https://github.com/orcasound/orcahello/issues/23
    """
    owner.app = build_app(owner.config, owner.login, Stop())
    hail = [visit(store, "Bittern", "Botaurus stellaris", ago=timedelta(minutes=5 + one)) for one in range(5)]
    real = visit(store, "Bittern", "Botaurus stellaris", ago=timedelta(days=3))
    tit = visit(store, "Great tit", "Parus major")
    asked = owner.get("/review/many?species=Botaurus+stellaris&day=2026-05-12").text
    assert "Review 5 visits at once" in asked
    which = re.search(r'name="which" value="([^"]+)"', asked)
    assert which is not None
    answer = owner.post("/review/jobs", {"which": unescape(which[1]), "verdict": "not_a_bird"})
    wait_for_job()
    states = lambda: [one.verdict.state for one in store.visits.find()]  # noqa: E731
    assert states().count(State.REJECTED) == len(hail)
    assert {one.visit_id for one in store.visits.find() if one.verdict.state is State.CONFIRMED} == {real, tit}
    owner.post(answer.headers["location"], {"do": "undo"})
    wait_for_job()
    assert set(states()) == {State.CONFIRMED}


def test_a_bird_without_a_name_is_not_confirmed_with_others(store: Store, owner: Browser) -> None:
    """A bird of unknown species that was said to be right went into the gallery under a wrong label.

    Must: It stays for review, also where one answer counts for many.
    Report: https://github.com/arminfabritzek/WatchMyBirds/issues/17
    """
    owner.app = build_app(owner.config, owner.login, Stop())
    tit = visit(store, "Great tit", "Parus major")
    nobody = example_visit(new_visit_id(NOW - SOON, 7), start=NOW - SOON)
    unknown = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.2, (("Bittern", 0.2),))
    store.writer().record(replace(nobody, verdict=unknown), [example_moment()], NOW)
    form = {f"pick-{tit}": "1", f"pick-{nobody.visit_id}": "1", "verdict": "confirm"}
    answer = owner.post("/review/jobs", form)
    wait_for_job()
    assert [visit_id for visit_id, _, _ in store.visits.reviews()] == [tit]
    assert "no name to confirm" in owner.get(answer.headers["location"]).text
    assert f'data-visit="{nobody.visit_id}"' in owner.get("/review").text


def test_a_locked_database_ends_no_job_for_ever(store: Store, owner: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread ended with "database is locked", and what it had to do was never done.

    Must: The page says why it stopped and how far it got, and it goes on when it is told to.
    Report: https://github.com/blakeblackshear/frigate/issues/7182
    Report: https://github.com/blakeblackshear/frigate/issues/594
    """
    owner.app = build_app(owner.config, owner.login, Stop())
    tit = visit(store, "Great tit", "Parus major")
    monkeypatch.setattr("birdwatchd.store.database.BUSY_TIMEOUT_MS", 50)
    other = sqlite3.connect(store.path, isolation_level=None)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        where = owner.post("/review/jobs", {f"pick-{tit}": "1", "verdict": "confirm"}).headers["location"]
        wait_for_job()
        other.execute("ROLLBACK")
    text = owner.get(where).text
    assert re.search(r'class="problem" role="alert">[^<]+', text)
    assert "<b>0</b> of 1" in text
    assert 'value="go_on"' in text
    owner.post(where, {"do": "go_on"})
    wait_for_job()
    assert "<h1>Done</h1>" in owner.get(where).text
