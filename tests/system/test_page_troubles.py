"""The page in a real browser when things go wrong: haste, a page that was restarted, tabs that were forgotten."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from birdwatchd.records import State
from birdwatchd.web.access.login import hash_of
from tests.support.live import live_pictures
from tests.support.page_in_browser import Station, open_station
from tests.support.peers import wait_for

ENTER, HOME = "\ue007", "\ue011"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with open_station(tmp_path_factory.mktemp("page")) as made:
        yield made


def has_focus(station: Station, element_id: str) -> bool:
    return bool(station.driver.execute_script("return document.activeElement.id") == element_id)


@contextmanager
def without_network(station: Station) -> Iterator[None]:
    """The telephone is out of reach as long as the block runs."""
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    station.driver.execute_cdp_cmd("Network.enable", {})
    station.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **conditions})
    try:
        yield
    finally:
        station.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **conditions})


def test_enter_after_a_name_names_the_selected_birds(station: Station) -> None:
    """Whoever types one name for all that are selected has not said that the names they have are right."""
    visit_id = station.bird("House sparrow", State.UNCERTAIN, ago_s=4.0)
    station.open("/review")
    station.press("x")
    station.find("#selection input[name=species]")[0].send_keys("Great tit", ENTER)
    wait_for(lambda: "Done" in station.text("h1"), "the job's end", 20)
    assert station.verdict(visit_id) == (State.CONFIRMED, "Great tit")


def test_a_name_is_not_chosen_from_the_list_of_an_earlier_one(station: Station) -> None:
    """Whoever types fast presses Enter before the names for it have come."""
    visit_id = station.bird("Great tit", State.UNCERTAIN, ago_s=2.0)
    station.open("/review")
    station.press("s")
    station.press("house")
    wait_for(lambda: "House" in station.text("#pick-list"), "names", 10)
    station.driver.execute_script("document.getElementById('pick-name').value = ''")
    station.press("upupa", ENTER)
    wait_for(lambda: station.verdict(visit_id)[0] is State.CONFIRMED, "the review", 10)
    assert station.verdict(visit_id)[1] == "Eurasian hoopoe"


def test_a_key_that_is_held_is_one_answer(station: Station) -> None:
    """A finger that rests on n for two seconds must not take all birds of the list away."""
    for number in range(4):
        station.bird("Great tit", State.UNCERTAIN, ago_s=60.0 + number)
    station.open("/review")
    ids = [one.get_attribute("data-visit") for one in station.find(".item")]
    key = "{key: arguments[0], code: arguments[1], repeat: arguments[2], bubbles: true}"
    press = f"document.body.dispatchEvent(new KeyboardEvent('keydown', {key}))"
    station.driver.execute_script(press, "n", "KeyN", False)
    wait_for(lambda: len(station.find(".item.done")) == 1, "the answer", 10)
    station.driver.execute_script(press, "n", "KeyN", True)
    station.driver.execute_script(press, "c", "KeyC", False)
    wait_for(lambda: len(station.find(".item.done")) == 2, "the answer after it", 10)
    states = [station.verdict(one)[0] for one in ids[:3]]
    assert states == [State.REJECTED, State.CONFIRMED, State.UNCERTAIN]


def test_an_answer_that_is_not_taken_is_said(station: Station) -> None:
    """The page was restarted since it was opened, and knows no form of before: a press seemed to do nothing."""
    visit_id = station.bird("Great tit", State.UNCERTAIN, ago_s=3.0)
    station.open("/review")
    pid = station.page.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: station.page.pid not in (None, pid), "another process", 20)
    wait_for(station.answers, "it to answer", 20)
    station.press("c")
    wait_for(lambda: "Not saved. This page is out of date" in station.text("#connection"), "word of it", 10)
    assert station.verdict(visit_id)[0] is State.UNCERTAIN
    with without_network(station):
        station.press("n")
        wait_for(lambda: "Not saved. Not connected" in station.text("#connection"), "word of it", 10)
    station.open("/review")
    station.press("c")
    wait_for(lambda: station.verdict(visit_id)[0] is State.CONFIRMED, "the review", 10)
    assert station.text("#connection") == ""


def test_a_point_of_the_map_without_an_answer_says_why(tmp_path: Path) -> None:
    """The session has ended, or the network: a press on a point did nothing at all."""
    (tmp_path / "password").write_text(hash_of("correct horse battery"))
    with open_station(tmp_path, password_file=tmp_path / "password") as locked:
        locked.bird("Great tit")
        locked.open("/login?next=/looks")
        locked.press("correct horse battery", ENTER)
        wait_for(lambda: locked.find("#draw:not([hidden])"), "the map", 20)
        locked.driver.execute_script("document.getElementById('looks').focus()")
        with without_network(locked):
            locked.press(HOME)
            wait_for(lambda: "Not connected" in locked.text("#looks-card"), "word of it", 10)
        locked.driver.delete_all_cookies()
        locked.press(HOME)
        wait_for(lambda: "Log in first." in locked.text("#looks-card"), "word of it", 10)


def test_a_question_that_is_given_up_is_no_failure(station: Station) -> None:
    """While a name is typed, each letter takes the place of the question before it: nothing is wrong with that."""
    station.bird("Great tit", State.UNCERTAIN, ago_s=3.0)
    station.open("/review")
    watch = """window.said = []; const one = document.getElementById('connection');
        new MutationObserver(() => said.push(one.textContent)).observe(one, {childList: true})"""
    station.driver.execute_script(watch)
    slow = {"offline": False, "latency": 400, "downloadThroughput": -1, "uploadThroughput": -1}
    station.driver.execute_cdp_cmd("Network.enable", {})
    station.driver.execute_cdp_cmd("Network.emulateNetworkConditions", slow)
    station.press("s")
    for letter in "upu":
        station.press(letter)
        time.sleep(0.25)  # each is asked for, and none is answered before the next
    station.driver.execute_cdp_cmd("Network.emulateNetworkConditions", slow | {"latency": 0})
    wait_for(lambda: "Eurasian hoopoe" in station.text("#pick-list"), "names", 10)
    assert [one for one in station.driver.execute_script("return said") if one] == []


def test_seven_tabs_answer(station: Station) -> None:
    """A browser has six connections to a station. Each tab held one for its news, and the seventh never came."""
    first = station.driver.current_window_handle
    station.driver.set_page_load_timeout(20)
    try:
        for _ in range(7):
            station.driver.switch_to.new_window("tab")
            station.open("/")
            wait_for(lambda: station.find("body[data-live]"), "its stream of news", 10)
        meanwhile = station.bird("Great tit", ago_s=1.0)
        wait_for(lambda: station.find(f"#v-{meanwhile}"), "the bird", 10)
    finally:
        for handle in station.driver.window_handles:
            if handle != first:
                station.driver.switch_to.window(handle)
                station.driver.close()
        station.driver.switch_to.window(first)


def test_a_page_that_comes_back_is_up_to_date(station: Station) -> None:
    """Browsers keep the page that one leaves, and the back button shows it as it was, without its stream."""
    station.open("/")
    wait_for(lambda: station.find("body[data-live]"), "the stream of news", 10)
    turn = "window.dispatchEvent(new PageTransitionEvent(arguments[0], {persisted: true}))"
    station.driver.execute_script(turn, "pagehide")
    meanwhile = station.bird("House sparrow", ago_s=1.0)
    station.driver.execute_script(turn, "pageshow")
    wait_for(lambda: station.find(f"#v-{meanwhile}"), "what came meanwhile", 10)
    later = station.bird("House sparrow", ago_s=1.0)
    wait_for(lambda: station.find(f"#v-{later}"), "what comes", 10)


def test_a_live_picture_that_is_old_is_not_shown_as_new(station: Station) -> None:
    """Without a connection it stood still, and "Picture just now" below it."""
    with live_pictures(station.store.home, {"nut": True}):
        station.open("/cameras/nut")
        assert station.text("#connection") == ""
        with without_network(station):
            wait_for(lambda: "Not connected" in station.text("#connection"), "word of it", 10)
        wait_for(lambda: station.text("#connection") == "", "the connection", 10)


def test_whoever_works_with_keys_stays_where_they_are(station: Station) -> None:
    """Parts of a page are exchanged. The focus was lost with them: a job could not be stopped without a mouse."""
    visit_id = station.bird("Great tit", State.UNCERTAIN, ago_s=30.0)
    station.open(f"/visits/{visit_id}")
    title = station.driver.title
    for part, button in (("verdict", "#verdict button[value=confirm]"), ("alike", "#alike a")):
        station.driver.execute_script("document.querySelector(arguments[0]).focus()", button)
        station.press(ENTER)
        wait_for(partial(has_focus, station, part), f"the focus in {part}", 10)
    assert "Review all like this" in station.text("#alike") or "No other visit" in station.text("#alike")
    assert station.driver.title == title  # which is not that of the page that the part is from
    for number in range(40):
        station.bird("House sparrow", State.UNCERTAIN, ago_s=1000.0 + number)
    station.open("/review/many?state=uncertain")
    station.find("form.review button[value=confirm]")[0].click()
    wait_for(lambda: station.find("#stop"), "the job", 10)
    station.driver.execute_script("document.getElementById('stop').focus(); document.getElementById('stop').old = true")
    fresh = "return document.getElementById('stop')?.old !== true"
    wait_for(lambda: station.driver.execute_script(fresh), "the next look at the job", 10)
    time.sleep(0.1)  # until htmx has settled it
    assert has_focus(station, "stop")
    station.press(ENTER)
    wait_for(lambda: "Stopped half-way" in station.text("h1"), "the job's end", 20)


def test_filters_are_chosen_with_keys(station: Station) -> None:
    """Each step through a list loaded the page and lost the place; the first digit of a year showed the year 2."""
    station.bird("House sparrow")
    station.bird("Great tit")
    station.open("/visits")
    station.driver.execute_script("document.querySelector('select[name=species]').focus()")
    station.press("\ue015", "\ue015")  # arrow down
    wait_for(lambda: "species=" in station.driver.current_url, "the address", 10)
    wait_for(lambda: station.driver.execute_script("return document.readyState") == "complete", "the page", 10)
    kept = "return [document.activeElement.name, document.activeElement.selectedIndex]"
    wait_for(lambda: station.driver.execute_script(kept) == ["species", 2], "the second species, and the focus", 10)
    station.open("/visits")
    field = station.find("input[name=day]")[0]
    field.send_keys("0501")
    for digit in "2026":
        assert station.driver.current_url.endswith("/visits")
        field.send_keys(digit)
        time.sleep(0.2)
    wait_for(lambda: station.driver.current_url.endswith("/visits?day=2026-05-01"), "the address", 10)
    kept = "return document.activeElement.name"
    wait_for(lambda: station.driver.execute_script(kept) == "day", "the focus", 10)
