"""The page in Home Assistant's side bar: everything that it does goes through Home Assistant's own ingress view.

Where Home Assistant is not installed, these tests skip and say why; `.ci/run` installs it.
"""

from __future__ import annotations

import gzip
import http.client
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest

from birdwatchd.records import State
from tests.support import home_assistant
from tests.support.page_in_browser import Station, assert_nothing_wrong, open_station
from tests.support.peers import free_port, wait_for

TOKEN = "Zm9v-YmFy_x0"
PATH = f"/api/hassio_ingress/{TOKEN}"
BROWSER = {"accept": "text/html", "accept-encoding": "gzip"}


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A station whose page is asked through Home Assistant."""
    home_assistant.require()
    ingress = free_port()
    web = {"ingress": f"127.0.0.1:{ingress}", "ingress_peers": ["127.0.0.1"]}
    with open_station(tmp_path_factory.mktemp("page"), **web) as made, ExitStack() as held:
        script = Path(home_assistant.__file__).parent / "home_assistant_ingress.py"
        command = [str(home_assistant.PYTHON), str(script), str(ingress), TOKEN]
        core = held.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert core.stdout is not None
        made.port = int(core.stdout.readline())
        made.url = f"http://127.0.0.1:{made.port}{PATH}"
        yield made


def ask(station: Station, path: str, form: Mapping[str, str] | None = None, **headers: str) -> tuple[int, str, bytes]:
    """A request as a browser sends it; its status, where it leads or of what kind it is, and what it says."""
    connection = http.client.HTTPConnection("127.0.0.1", station.port, timeout=30)
    sent = BROWSER | {name.replace("_", "-"): value for name, value in headers.items()}
    if form is not None:
        sent["content-type"] = "application/x-www-form-urlencoded"
    try:
        connection.request("GET" if form is None else "POST", PATH + path, urlencode(form) if form else None, sent)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return answer.status, answer.headers.get("location") or answer.headers.get_content_type(), body


def test_pages_files_and_pictures_come_through(station: Station) -> None:
    """Every address in a page is below the path that Home Assistant gave it, and leads somewhere."""
    visit = station.bird("Great tit")
    for path in (
        "/",
        "/visits",
        f"/visits/{visit}",
        "/review",
        "/species",
        "/species/Parus%20major",
        "/health",
        "/looks",
    ):
        status, kind, body = ask(station, path)
        assert (status, kind) == (200, "text/html"), path
        found = set(re.findall(rb'(?:href|src|action|hx-get|hx-post)="(/[^"]*)"', body))
        assert [one for one in found if not one.startswith(PATH.encode())] == []
        for one in re.findall(rb'<(?:link|script|img)[^>]* (?:href|src)="([^"]+)"', body):
            said = ask(station, one.decode().replace("&amp;", "&").removeprefix(PATH))
            assert said[0] == 200, one
            assert said[2], one
    assert ask(station, f"/visits/{visit}/pictures/0")[1] == "image/jpeg"
    assert ask(station, "/visits?species=Parus+major", hx_request="true")[0] == 200
    assert ask(station, "/nothing")[0] == 404
    assert ask(station, "/api/v1/visits")[:2] == (200, "application/json")


@pytest.mark.parametrize("origin", ["null", ""])
def test_a_review_is_done(station: Station, origin: str) -> None:
    """Home Assistant forbids referrers, so of a form browsers say `Origin: null`, and over http no more."""
    visit = station.bird("Great tit", State.UNCERTAIN)
    _, _, page = ask(station, f"/visits/{visit}")
    found = re.search(rb'name="token" value="(\w+)"', page)
    assert found is not None
    said = {"verdict": "confirm", "back": "/review"}
    headers = {"origin": origin} if origin else {"sec_fetch_site": "same-origin"}
    status, leads, _ = ask(station, f"/visits/{visit}/review", said | {"token": found[1].decode()}, **headers)
    assert (status, leads) == (303, f"{PATH}/review")
    assert station.verdict(visit)[0] is State.CONFIRMED
    assert ask(station, f"/visits/{visit}/review", said | {"token": "0" * 64}, **headers)[0] == 403


def test_the_first_bird_appears_by_itself(station: Station) -> None:
    """Home Assistant compresses what it hands on, and keeps a stream of news until there is a lot of it."""
    station.open("/")
    wait_for(lambda: station.find("body[data-live]"), "the stream of news", 20)
    for _ in range(2):
        station.driver.execute_script("window.untouched = true")
        began_s = time.monotonic()
        visit = station.bird("House sparrow", ago_s=1.0)
        wait_for(partial(station.find, f"#v-{visit} img"), "the bird", 20)
        assert time.monotonic() - began_s < 8
        assert station.driver.execute_script("return window.untouched")
    assert not station.find("#connection")[0].is_displayed()


def test_a_bird_is_judged_with_the_keyboard(station: Station) -> None:
    """The whole way in a browser: page, script, review, and the next bird."""
    visit = station.bird("House sparrow", State.UNCERTAIN, ago_s=0.5)
    station.open("/review")
    ids = [one.get_attribute("data-visit") for one in station.find(".item")]
    here = "return document.querySelector('.item.selected')?.dataset.visit"
    while station.driver.execute_script(here) != visit:
        station.press("j")
        assert visit in ids
    station.press("n")
    wait_for(lambda: station.verdict(visit)[0] is State.REJECTED, "the review", 20)
    assert_nothing_wrong(station)
