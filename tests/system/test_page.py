"""The page in a real browser: what a birder does with it, with the eyes of Chromium.

One process of the page (started as `run` starts it) and one browser serve all of it. Nothing here knows a camera:
visits are written into the database as the daemon writes them.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator

import pytest

from birdwatchd.records import State
from birdwatchd.settings.load import parse_config
from tests.support.live import live_pictures
from tests.support.page_in_browser import DESK, PHONE, Station, assert_nothing_wrong, open_station
from tests.support.peers import wait_for


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with open_station(tmp_path_factory.mktemp("page")) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_wrong(station: Station) -> Iterator[None]:
    """Of none of the tests."""
    yield
    assert_nothing_wrong(station)


def test_the_first_bird_appears_by_itself(station: Station) -> None:
    """The page stays open on a kitchen's tablet; nobody loads it anew."""
    station.open("/")
    assert "No bird has come yet" in station.text("main")
    wait_for(lambda: station.find("body[data-live]"), "the stream of news", 10)
    station.driver.execute_script("window.untouched = true")
    began_s = time.monotonic()
    visit_id = station.bird("Great tit")
    wait_for(lambda: station.find(f"#v-{visit_id} img"), "the bird", 10)
    assert time.monotonic() - began_s < 5  # about one second; machines of tests are slow
    assert station.driver.execute_script("return window.untouched")
    drawn = "return document.querySelector('.card img').naturalWidth"
    wait_for(lambda: station.driver.execute_script(drawn) == 240, "its picture", 10)
    assert "1 visit so far, 1 species" in station.text(".head")
    second = station.bird("House sparrow", ago_s=10)
    wait_for(lambda: station.text(".card b").startswith("House sparrow"), "the next one, before it", 10)
    assert [one.get_attribute("id") for one in station.find(".card")] == [f"v-{second}", f"v-{visit_id}"]


def test_a_choice_is_an_address(station: Station) -> None:
    """Choosing a species shows it at once, and the address says it and nothing else."""
    station.bird("House sparrow", State.UNCERTAIN)
    station.open("/visits")
    before = len(station.find(".card"))
    select = station.find("select[name=species]")[0]
    station.driver.execute_script(
        "arguments[0].value = 'Parus major'; arguments[0].dispatchEvent(new Event('change', {bubbles: true}))", select
    )
    wait_for(lambda: station.driver.current_url.endswith("/visits?species=Parus+major"), "the address", 10)
    wait_for(lambda: 0 < len(station.find(".card")) < before, "fewer visits", 10)
    assert set(station.text(".card b").replace("Great tit", "x").split()) == {"x"}
    station.find(".card a")[0].click()
    wait_for(lambda: "Most likely species" in station.text("main"), "the visit's page", 10)
    assert station.find(".best img")[0].get_attribute("alt").startswith("Great tit")


def test_birds_are_judged_without_a_mouse(station: Station) -> None:
    """c, s with a name that is typed, n, u, j and k: a hundred visits in a few minutes."""
    for number in range(4):
        station.bird("Great tit", State.UNCERTAIN, ago_s=100.0 + number)
    station.open("/review")
    ids = [one.get_attribute("data-visit") for one in station.find(".item")]
    assert len(ids) >= 4
    here = "return document.querySelector('.item.selected')?.dataset.visit"
    selected = lambda: station.driver.execute_script(here)  # noqa: E731
    assert selected() == ids[0]
    station.press("j", "j", "k")
    assert selected() == ids[1]
    was = station.verdict(ids[1])
    station.press("c")
    wait_for(lambda: station.verdict(ids[1])[0] is State.CONFIRMED, "the review", 20)
    wait_for(lambda: selected() == ids[2], "the next one to be selected", 10)
    station.press("u")
    wait_for(lambda: station.verdict(ids[1]) == was, "the review to be undone", 20)
    wait_for(lambda: selected() == ids[1], "the first one to be selected again", 10)
    wait_for(lambda: station.find(f"#r-{ids[1]}:not(.done)"), "the bird to be asked for again", 10)
    station.press("j", "n")
    wait_for(lambda: station.verdict(ids[2])[0] is State.REJECTED, "no bird", 20)
    wait_for(lambda: selected() == ids[3], "the next one to be selected", 10)
    station.press("s")
    station.press("upupa")
    wait_for(lambda: "Eurasian hoopoe" in station.text("#pick-list"), "names", 10)
    station.press("\ue007")  # Enter
    wait_for(lambda: station.verdict(ids[3]) == (State.CONFIRMED, "Eurasian hoopoe"), "the other name", 20)
    station.press("?")
    wait_for(lambda: station.find("dialog#legend[open]"), "the list of keys", 10)
    assert station.find(".problem") == []


def test_an_answer_that_comes_late_leaves_the_chosen_bird_alone(station: Station) -> None:
    """Whoever goes on before the station has answered judges the bird that is framed, and no other."""
    for number in range(4):
        station.bird("Great tit", State.UNCERTAIN, ago_s=200.0 + number)
    station.open("/review")
    ids = [one.get_attribute("data-visit") for one in station.find(".item")]
    framed = lambda: station.find(".item.selected")[0].get_attribute("data-visit")  # noqa: E731
    station.driver.execute_script(
        "const send = XMLHttpRequest.prototype.send;"
        "XMLHttpRequest.prototype.send = function (...body) { setTimeout(() => send.apply(this, body), 1000); }"
    )
    station.press("c", "j", "j")
    wait_for(lambda: station.find(f"#r-{ids[0]}.done"), "the review", 20)
    assert framed() == ids[2]
    station.press("u", "j")
    wait_for(lambda: station.find(f"#r-{ids[0]}:not(.done)"), "the undo", 20)
    assert framed() == ids[1]
    station.press("n")
    wait_for(lambda: station.verdict(ids[1])[0] is State.REJECTED, "no bird", 20)
    assert station.verdict(ids[0])[0] is State.UNCERTAIN


def test_many_birds_are_judged_at_once_and_it_is_undone(station: Station) -> None:
    """Two are ticked with x, one answer counts for both, and one press takes it back."""
    for number in range(3):
        station.bird("House sparrow", State.UNCERTAIN, ago_s=5.0 + number)
    station.open("/review?guess=hidden")
    ids = [one.get_attribute("data-visit") for one in station.find(".item")]
    was = [station.verdict(one) for one in ids[:2]]
    assert "House sparrow" not in station.text("#queue")
    station.press("g")
    assert "House sparrow" in station.text(".item.selected")
    assert not station.find("#selection")[0].is_displayed()
    station.press("x", "j", "x")
    assert station.text("#picked") == "2"
    station.find("#selection button[value=not_a_bird]")[0].click()
    wait_for(lambda: "2 of 2 visits" in station.text("#job") and "Done" in station.text("h1"), "the job's end", 20)
    assert [station.verdict(one)[0] for one in ids[:2]] == [State.REJECTED] * 2
    station.find("button[value=undo]")[0].click()
    wait_for(lambda: "Undone" in station.text("h1"), "the undo", 20)
    assert [station.verdict(one) for one in ids[:2]] == was


def test_a_line_around_birds_leads_to_their_review(station: Station) -> None:
    """The map of looks is for drawing on, with a mouse or a finger."""
    from selenium.webdriver import ActionChains

    station.bird("Great tit", ago_s=300.0)
    station.open("/looks")
    drawn = len(station.find("#looks [data-v]"))
    assert drawn >= 1
    chart = station.find("#looks")[0]
    side = chart.size["width"] * 0.49
    line = ActionChains(station.driver, duration=20).move_to_element_with_offset(chart, -side, -side).click_and_hold()
    for by in ((2 * side, 0), (0, 2 * side), (-2 * side, 0)):
        line = line.move_by_offset(*by)
    line.release().perform()
    wait_for(lambda: "/review/many?map=" in station.driver.current_url, "the review", 10)
    assert f"Review {drawn} visit" in station.text("h1")


def test_a_point_is_hit_with_a_thumb(station: Station) -> None:
    """A point is as small as a grain of rice: a thumb beside it means it, and its bird is shown under the map."""
    for number in range(6):
        station.bird("Great tit", ago_s=400.0 + number)
    with station.fingers():
        station.open("/looks")
        places = station.driver.execute_script(
            "return [...document.querySelectorAll('#looks [data-v]')].map(one => {"
            "const {x, y, width, height} = one.getBoundingClientRect();"
            "return [one.dataset.v, x + width / 2, y + height / 2, width]})"
        )
        assert {round(width) >= 8 for *_, width in places} == {True}  # they were 4.5 pixels wide
        alone = max(
            places, key=lambda one: min(math.dist(one[1:3], other[1:3]) for other in places if other is not one)
        )
        station.tap(alone[1] + 9, alone[2] + 9)
        wait_for(lambda: station.find(f"#looks-card #v-{alone[0]}"), "its visit", 10)
        assert "/looks" in station.driver.current_url
        assert station.find("#looks-card .card img")
    station.find("#looks-card .choices a")[0].click()
    wait_for(lambda: station.driver.current_url.endswith(f"/visits/{alone[0]}"), "its page", 10)


def test_the_map_of_looks_is_walked_with_keys(station: Station) -> None:
    """Whoever cannot point goes from bird to bird, along the map or through time, and opens one."""
    for number in range(6):
        station.bird("House sparrow", ago_s=420.0 + number)
    station.open("/looks")
    ids = [one.get_attribute("data-v") for one in station.find("#looks [data-v]")]
    ask = "return [...document.querySelectorAll('#looks-card .card')].map(one => one.dataset.visit)"
    shown = lambda: station.driver.execute_script(ask)  # noqa: E731
    while station.driver.switch_to.active_element.get_attribute("id") != "looks":
        station.press("\ue004")  # Tab
    wait_for(lambda: shown() == ids[:1], "the newest visit", 10)
    station.press("\ue00f", "\ue00f")  # Page Down
    wait_for(lambda: shown() == [ids[2]], "the one before the one before", 10)
    station.press("\ue00e")  # Page Up
    wait_for(lambda: shown() == [ids[1]], "the one after it", 10)
    x = lambda: float(station.find("#ring")[0].get_attribute("cx"))  # noqa: E731
    station.press("\ue010", *["\ue012"] * len(ids))  # End, and Left as far as it goes
    most_left = x()
    station.press(*["\ue014"] * len(ids))  # Right
    assert x() > most_left
    wait_for(lambda: len(shown()) == 1, "its visit", 10)
    chosen = station.find(f"#looks [cx='{station.find('#ring')[0].get_attribute('cx')}']")[0].get_attribute("data-v")
    station.press("\ue007")  # Enter
    wait_for(lambda: station.driver.current_url.endswith(f"/visits/{chosen}"), "its page", 10)


def test_a_phone_shows_birds_and_not_their_filters(station: Station) -> None:
    """The filters filled the screen; they are folded away, and what is set stands above the birds."""
    station.bird("Great tit", ago_s=130.0)
    seen = "const r = document.querySelector('.card img').getBoundingClientRect(); return r.bottom <= innerHeight"
    ask = "return document.querySelector(arguments[0]).checkVisibility()"
    visible = lambda css: station.driver.execute_script(ask, css)  # noqa: E731
    with station.fingers():
        station.open("/visits?species=Parus+major&camera=nut&least=10")
        assert station.driver.execute_script(seen)
        assert len(station.find(".chips a")) == 4
        assert not visible("#filters")
        station.open("/visits")
        assert station.driver.execute_script(seen)
        station.find("#choose summary")[0].click()
        for name, value in (("species", "Parus major"), ("camera", "nut")):  # both, and then shown
            select = station.find(f"select[name={name}]")[0]
            choose = (
                "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change', {bubbles: true}))"
            )
            station.driver.execute_script(choose, select, value)
        station.find("#filters button")[0].click()
        wait_for(lambda: "species=Parus+major&camera=nut" in station.driver.current_url, "both", 10)
        assert station.driver.execute_script(seen)
    station.open("/visits")
    assert (visible("#filters"), visible("#choose summary")) == (True, False)  # where there is room


def test_a_mask_is_drawn_in_the_live_picture_and_its_lines_are_copied(station: Station) -> None:
    """Who has never seen YAML presses on the corners of the neighbours' terrace, and gets lines that are accepted."""
    from selenium.webdriver import ActionChains

    with live_pictures(station.store.home, {"nut": True}):
        station.open("/cameras/nut")
        shown = "return document.querySelector('#now img')?.getAttribute('src')"
        first = station.driver.execute_script(shown)
        wait_for(lambda: station.driver.execute_script(shown) != first, "the next picture, by itself", 10)
        assert station.find("#now rect.bird")
        picture = station.find("#drawing")[0]
        width, height = picture.size["width"], picture.size["height"]
        for x, y in ((0.1, 0.2), (0.4, 0.2), (0.9, 0.2), (0.4, 0.8)):
            by = round((x - 0.5) * width), round((y - 0.5) * height)
            ActionChains(station.driver).move_to_element_with_offset(picture, *by).click().perform()
            if x == 0.9:
                station.find("#undo-point")[0].click()
        wait_for(lambda: station.find("#yaml"), "the lines", 10)
        value = lambda: station.driver.execute_script("return document.getElementById('yaml').value")  # noqa: E731
        mask = lambda: parse_config(f"cameras:\n  nut:\n    source: /\n{value()}", "", {}).cameras["nut"].mask  # noqa: E731
        wait_for(lambda: len(mask()[0]) == 3, "all corners", 10)
        drawn = [number for point in mask()[0] for number in point]
        assert drawn == pytest.approx([0.1, 0.2, 0.4, 0.2, 0.4, 0.8], abs=0.01)
        assert len(station.find("#drawing path")) == 3
        station.find("#copy")[0].click()
        wait_for(lambda: station.text("#copied") == "Copied", "the lines to be copied", 10)
        station.find("#points")[0].send_keys("\n0.5 0.5, 0.6 0.5, 0.6 0.6")  # without a mouse
        wait_for(lambda: len(mask()) == 2, "the second place", 10)
        assert len(station.find("#drawing polygon")) == 2
        station.find("#clear-points")[0].click()
        wait_for(lambda: not station.find("#yaml"), "nothing to copy", 10)


def test_a_picture_comes_back_with_its_daemon(station: Station) -> None:
    """The page stays open on a tablet while birdwatchd is updated; meanwhile it says why there is no picture."""
    with live_pictures(station.store.home, {"nut": True}):
        station.open("/cameras/nut")
        assert station.find("#now img")
    wait_for(lambda: "The daemon does not answer" in station.text("#now-words"), "the reason", 15)
    with live_pictures(station.store.home, {"nut": True}):
        wait_for(lambda: station.find("#now img"), "the picture", 15)


@pytest.mark.parametrize(
    "path", ["/", "/visits", "/review?show=all", "/species", "/health", "/looks", "/cameras/nut", "visit"]
)
def test_a_phone_shows_it_whole(station: Station, path: str) -> None:
    """Nobody scrolls sideways in a garden; what is pressed with a thumb is as large as one."""
    visit_id = station.bird("Great tit", ago_s=200.0)
    station.resize(*PHONE)
    try:
        station.open(f"/visits/{visit_id}" if path == "visit" else path)
        assert station.driver.execute_script("return document.documentElement.scrollWidth") == PHONE[0]
        low = (
            "return [...document.querySelectorAll('button')].filter(b => b.offsetHeight && b.offsetHeight < 40).length"
        )
        assert station.driver.execute_script(low) == 0
        bare = "return [...document.images].filter(i => !i.hasAttribute('alt')).length"
        assert station.driver.execute_script(bare) == 0
    finally:
        station.resize(*DESK)


def test_health_on_a_phone_hides_nothing_beyond_its_edge(station: Station) -> None:
    """The last bird of a camera, and what the log says, stood right of the edge, where nobody looks for them."""
    station.bird("Great tit", ago_s=200.0)
    station.resize(*PHONE)
    try:
        station.open("/health")
        label = "return getComputedStyle(document.querySelector('.stacks td:nth-of-type(3)'), '::before').content"
        assert station.driver.execute_script(label) == '"Last bird: "'
        assert station.text(".stacks td:nth-of-type(3)")
        assert "Pictures/s" not in station.text(".stacks")  # known to nobody here
        wide = "return [...document.querySelectorAll('.scroll')].map(one => one.scrollWidth - one.clientWidth)"
        assert set(station.driver.execute_script(wide)) == {0}
    finally:
        station.resize(*DESK)


def test_a_finger_leaves_the_choice_of_a_species(station: Station) -> None:
    """A phone has no Esc: who pressed "Another species" by mistake had to load the page anew."""
    visit_id = station.bird("Great tit", State.UNCERTAIN, ago_s=20.0)
    was = station.verdict(visit_id)
    with station.fingers():
        station.open("/review")
        station.driver.execute_script("arguments[0].click()", station.find(".pick")[0])
        assert station.find("dialog#pick[open]")
        assert not station.find("#pick .keyhelp")[0].is_displayed()
        station.find("#pick button[value=cancel]")[0].click()
        assert not station.find("dialog#pick[open]")
        station.driver.execute_script("arguments[0].click()", station.find("[data-key=x]")[0])
        bar = station.find("#selection")[0]
        beyond = "const bar = arguments[0].getBoundingClientRect().right;"
        beyond += " return [...arguments[0].querySelectorAll('button, input:not([type=hidden])')]"
        beyond += ".filter(one => one.getBoundingClientRect().right > bar || one.offsetWidth < 90).length"
        assert station.driver.execute_script(beyond, bar) == 0  # what is said of all selected visits
    assert station.verdict(visit_id) == was


def test_an_open_page_grows_older_without_news(station: Station) -> None:
    """A daemon that hangs writes nothing: until the next bird a tablet went on saying that all was well."""
    minute = "const usual = window.setInterval; window.setInterval = (what, ms) => usual(what, ms / 60)"
    script = station.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": minute})
    try:
        station.open("/health")
        station.driver.execute_script("document.querySelector('#live h1').textContent = 'an hour ago'")
        wait_for(lambda: station.text("#live h1") == "Health", "the page to ask again", 10)
    finally:
        station.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_a_phone_shows_the_newest_hour_and_the_name_first(station: Station) -> None:
    """In the evening the table of hours looked empty; a visit's name and its review stood below all its pictures."""
    visit_id = station.bird("Great tit", ago_s=200.0)
    station.resize(250, 844)  # so narrow that a morning's hours are more than fit, too
    try:
        station.open("/")
        cell = station.find(".grid td:not(.s0, .total)")[-1]
        inside = "const r = arguments[0].getBoundingClientRect(); return r.left >= 0 && r.right <= innerWidth"
        assert station.driver.execute_script(inside, cell)
        station.open(f"/visits/{visit_id}")
        tops = "return ['.best', '#verdict', '.strip, #when'].map(one => document.querySelector(one).offsetTop)"
        best, verdict, rest = station.driver.execute_script(tops)
        assert best < verdict < rest
    finally:
        station.resize(*DESK)


def test_killing_the_page_costs_nothing(station: Station) -> None:
    """A page that crashes is there again by itself; birds are recorded meanwhile, and an open page catches up."""
    station.open("/")
    wait_for(lambda: station.find("body[data-live]"), "the stream of news", 10)
    pid = station.page.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: station.page.pid is None, "its end", 5)
    meanwhile = station.bird("House sparrow", ago_s=1.0)
    assert station.answers()  # the socket waits; nobody is refused
    assert station.page.pid not in (None, pid)
    wait_for(lambda: station.find(f"#v-{meanwhile}"), "the open page to catch up", 20)


def test_a_key_pressed_twice_is_one_answer(station: Station) -> None:
    """Two answers would take two undos, of which the first seems to do nothing."""
    visit_id = station.bird("Great tit", State.UNCERTAIN, ago_s=30.0)
    was = station.verdict(visit_id)
    station.open(f"/visits/{visit_id}")
    confirm = "for (const form of document.querySelectorAll('#verdict form'))"
    confirm += " if (form.querySelector('button[value=confirm]')) return form.querySelector('button[value=confirm]')"
    button = station.driver.execute_script(confirm)
    station.driver.execute_script("arguments[0].click(); arguments[0].click()", button)
    wait_for(lambda: station.verdict(visit_id)[0] is State.CONFIRMED, "the review", 10)
    wait_for(lambda: station.find("#verdict button[value=undo]"), "the undo", 10)
    station.find("#verdict button[value=undo]")[0].click()
    wait_for(lambda: station.verdict(visit_id) == was, "the undo", 10)
    wait_for(lambda: not station.find("#verdict button[value=undo]"), "nothing more to undo", 10)


def test_what_takes_a_while_is_waited_for_in_place(station: Station) -> None:
    """The map of what led to a name, without its model, and the self-test, without a daemon: both say what to do."""
    visit_id = station.bird("Great tit", ago_s=25.0)
    station.open(f"/visits/{visit_id}")
    station.find("#evidence button")[0].click()
    wait_for(lambda: "is not on this machine" in station.text("#evidence .problem"), "why there is no map", 90)
    assert "check --probe" in station.text("#evidence")
    station.open("/health")
    station.find("#selftest button")[0].click()
    wait_for(lambda: "did not come through" in station.text("#selftest"), "how it went", 60)
    assert "birdwatchd run" in station.text("#selftest .steps")
