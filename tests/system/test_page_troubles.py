"""The page in a real browser when things go wrong: haste."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from birdwatchd.records import State
from tests.support.page_in_browser import Station, open_station
from tests.support.peers import wait_for

ENTER = "\ue007"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with open_station(tmp_path_factory.mktemp("page")) as made:
        yield made


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
