"""The page in a real browser for those who read from right to left, or do not see it: every page, light and dark.

What axe finds is what a program can find; the rest is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from axe_core_python.selenium import Axe

from birdwatchd.commands.review_many import JobFiles, ReviewJob
from birdwatchd.records import State
from birdwatchd.store import Review, ReviewVerdict
from birdwatchd.store.pages.cards import CardFilter
from birdwatchd.web.access.login import hash_of
from tests.support.page_in_browser import DESK, PHONE, Station, assert_nothing_wrong, open_station
from tests.support.peers import wait_for

JOB = ReviewJob("20260501T063000000000", ReviewVerdict.NOT_A_BIRD, "", "ann", "two visits", ("a", "b"), "done")
PAGES = (
    "/",
    "/visits",
    "/visits?day=TODAY",
    "/visits?day=TODAY&hour=1&camera=nut",
    "/visits/VISIT",
    "/visits/VISIT/similar",
    "/visits/VISIT/evidence",
    "/review?show=all",
    "/review?guess=hidden",
    "/review/many?state=uncertain",
    "/review/jobs",
    f"/review/jobs/{JOB.job_id}",
    "/species",
    "/species/Parus%20major",
    "/looks",
    "/health",
    "/help",
)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with open_station(tmp_path_factory.mktemp("page")) as made:
        for number in range(3):
            made.bird("Great tit", State.UNCERTAIN, ago_s=300.0 + number)
        made.bird("Great tit", ago_s=200.0)
        made.bird("House sparrow", ago_s=100.0)
        done = made.bird("House sparrow", State.UNCERTAIN, ago_s=90.0)
        made.store.writer().review(done, Review(ReviewVerdict.NOT_A_BIRD, "ann"), datetime.now(UTC))
        JobFiles(made.store.home).write(replace(JOB, visit_ids=(done, "gone")))
        yield made


@pytest.fixture(autouse=True)
def as_before(station: Station) -> Iterator[None]:
    """Each test begins with a browser as it comes; in none of them anything went wrong."""
    yield
    assert_nothing_wrong(station)
    prefer(station, "en", dark=False)
    station.resize(*DESK)


def prefer(station: Station, language: str, *, dark: bool) -> None:
    """The browser of somebody who reads this language, by day or by night."""
    driver = station.driver
    driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": language}})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def open_page(station: Station, path: str) -> None:
    newest = next(iter(station.store.cards.page(CardFilter(), 1).cards)).stored.visit.visit_id
    station.open(path.replace("VISIT", newest).replace("TODAY", f"{datetime.now(UTC):%Y-%m-%d}"))
    station.driver.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true; })")


@pytest.mark.parametrize("path", PAGES)
def test_hebrew_runs_from_right_to_left(station: Station, path: str) -> None:
    """On a phone nothing is cut or has to be scrolled for; a Latin name stands as it is written."""
    prefer(station, "he-IL", dark=False)
    station.resize(*PHONE)
    open_page(station, path)
    ask = station.driver.execute_script
    assert ask("return getComputedStyle(document.body).direction") == "rtl"
    assert ask("return document.documentElement.lang") == "he"
    assert ask("return document.documentElement.scrollWidth") == PHONE[0]
    middle = "const box = document.querySelector(arguments[0]).getBoundingClientRect(); return box.left + box.width / 2"
    assert ask(middle, ".brand") > PHONE[0] / 2  # where reading begins
    station.resize(*DESK)
    assert ask("return document.documentElement.scrollWidth") == DESK[0]


def test_keys_work_on_a_hebrew_keyboard(station: Station) -> None:
    """The key with `j` on it writes a Hebrew letter there, and still goes to the next visit."""
    prefer(station, "he", dark=False)
    station.open("/review")
    ids = [one.get_attribute("data-visit") for one in station.find(".item")]
    press = (
        "const [key, code] = arguments;"
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key, code, bubbles: true}))"
    )
    here = "return document.querySelector('.item.selected')?.dataset.visit"
    ask = station.driver.execute_script
    ask(press, "ח", "KeyJ")
    assert ask(here) == ids[1]
    ask(press, "ל", "KeyK")
    assert ask(here) == ids[0]
    ask(press, "o", "KeyS")  # Dvorak: a Latin letter is what it says, wherever its key is
    assert not station.find("dialog#pick[open]")
    ask(press, "ד", "KeyS")
    assert station.find("dialog#pick[open]")


def test_the_language_is_a_press_away(station: Station) -> None:
    """And stays, whatever the browser prefers; the same press brings English back."""
    station.open("/visits?camera=nut")
    station.find("footer button[value=he]")[0].click()
    here = "return document.documentElement.lang"
    wait_for(lambda: station.driver.execute_script(here) == "he", "Hebrew", 10)
    assert station.driver.current_url.endswith("/visits?camera=nut")
    station.open("/health")
    assert station.driver.execute_script("return document.dir") == "rtl"
    station.find("footer button[value=en]")[0].click()
    wait_for(lambda: station.driver.execute_script(here) == "en", "English", 10)
    assert "Health" in station.text("h1")
    station.driver.delete_all_cookies()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "he"])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_serious_is_in_the_way(station: Station, path: str, language: str, dark: bool) -> None:
    """Names for everything that is pressed, colours that can be read, an order that can be followed: axe's rules."""
    prefer(station, language, dark=dark)
    open_page(station, path)
    assert_nothing_serious(station)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "he"])
@pytest.mark.parametrize("path", ["/visits/nobody", "/nothing", "/review/many?hour=7", "/visits?hour=7&dey=1"])
def test_what_went_wrong_is_said_to_everybody(station: Station, path: str, language: str, dark: bool) -> None:
    """The page of a problem is read by whoever needs help most."""
    prefer(station, language, dark=dark)
    station.open(path)
    assert station.find("[role=alert]")
    assert_nothing_serious(station)
    said = [one["message"] for one in station.driver.get_log("browser")]
    assert all("status of 404" in one or "status of 422" in one for one in said), said  # as it was meant to be


def assert_nothing_serious(station: Station) -> None:
    found: dict[str, Any] = Axe().run(station.driver)
    assert found["passes"], "axe looked at nothing"
    assert [
        (one["id"], node["target"], node["failureSummary"])
        for one in found["violations"]
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical")
    ] == []


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A station with a password."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "password").write_text(hash_of("correct horse battery"))
    with open_station(folder, password_file=folder / "password", guest=True) as made:
        yield made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "he"])
def test_everybody_can_log_in(locked: Station, language: str, dark: bool) -> None:
    """On a phone too, and after a wrong password."""
    prefer(locked, language, dark=dark)
    with locked.fingers():
        locked.open("/login")
        assert_nothing_serious(locked)
        assert locked.driver.execute_script("return document.documentElement.scrollWidth") == PHONE[0]
        locked.press("not this one", "\ue007")  # the field for the password has the focus
        wait_for(lambda: locked.find("[role=alert]"), "what is wrong", 10)
        assert_nothing_serious(locked)
        locked.open("/")  # as a guest
        assert_nothing_serious(locked)
    said = [one["message"] for one in locked.driver.get_log("browser")]
    assert all("status of 403" in one or "status of 429" in one for one in said), said
    assert_nothing_wrong(locked)
