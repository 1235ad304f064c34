"""The pages in each of their languages, and that nothing on them is outside the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from gettext import NullTranslations
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel import Locale

from birdwatchd.commands.review_many import JobFiles, ReviewJob
from birdwatchd.records import Rank, State, Verdict, new_visit_id
from birdwatchd.store import Review, ReviewVerdict
from birdwatchd.testing import START, example_moment, example_visit, temporary_store
from birdwatchd.web.access.login import Login, hash_of
from birdwatchd.web.language.catalogue import Language
from birdwatchd.web.words import PAGE_REVIEWER
from tests.support.page import Browser, browser

PASSWORD = "correct horse battery"
OPEN, CLOSE = "⟦", "⟧"
IDS = [new_visit_id(START, number) for number in range(5)]
JOB = ReviewJob("20260501T063000000000", ReviewVerdict.NOT_A_BIRD, "", PAGE_REVIEWER, "⟦all⟧", tuple(IDS), "done")
PAGES = (
    "/",
    "/visits",
    "/visits?day=2020-01-01",
    "/visits?dey=x&state=sure&least=all",
    "/visits?species=Parus+major&least=10",
    *(f"/visits/{visit_id}" for visit_id in IDS),
    f"/visits/{IDS[0]}/similar",
    f"/visits/{IDS[0]}/evidence",
    f"/visits/{IDS[2]}/evidence",
    "/visits/nobody",
    "/review",
    "/review?show=all",
    "/review?guess=hidden",
    "/review/many?state=uncertain",
    f"/review/many?like={IDS[0]}&least=10",
    "/review/many?camera=nobody",
    "/review/many?map=old&line=1",
    "/review/jobs",
    f"/review/jobs/{JOB.job_id}",
    "/names?q=nonsense",
    "/species",
    "/species?of=year",
    "/species/Passer%20domesticus",
    "/looks",
    "/health",
    "/health?log=error",
    "/health/selftest",
    "/help",
    "/nothing",
)
# What is the same in every language: names of birds, cameras, the station and the program, and what was said by people.
DATA = (
    r"House sparrow|Passer domesticus|Great tit|Parus major|Magpie|Nut feeder|nut|garden|birdwatchd( [\d.]+\w*)?|MQTT|"
    r"[0-9A-HJKMNP-TV-Z]{26}|[\w-]+@[\w.-]+|English|עברית"
)


class Marked(Language):
    """A language in which every text of the catalogue stands between marks."""

    def __init__(self) -> None:
        super().__init__(Locale("en"), _Marks())

    def months(self) -> tuple[str, ...]:
        return (f"{OPEN}May{CLOSE}",) * 12


class _Marks(NullTranslations):
    def gettext(self, message: str) -> str:
        return f"{OPEN}{message}{CLOSE}"

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


class Seen(HTMLParser):
    """What somebody sees, hears or is told by a page, piece by piece."""

    SHOWN = ("alt", "title", "aria-label", "placeholder", "data-lost")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._text, self._hidden = "", 0
        self.feed(html)
        self.texts.append(self._text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._text += " "
        self._hidden += tag in ("kbd", "code", "script", "style")
        self.texts += [value for name, value in attrs if name in self.SHOWN and value]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("kbd", "code", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text += data

    def unmarked(self) -> list[str]:
        """What is in none of the marks, and is no data."""
        found = []
        for text in self.texts:
            outside, depth = "", 0
            for letter in text:
                depth += (letter == OPEN) - (letter == CLOSE)
                outside += letter if depth == 0 else " "
            assert depth == 0, text
            found += re.findall(r"[^\W\d_]+", re.sub(rf"\b({DATA})\b", "", outside))
        return found


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with temporary_store() as store:
        writer, moments = store.writer(), [example_moment(0), example_moment(1)]
        writer.record(example_visit(IDS[0], start=START, count_max=2), moments, START)
        unsure = example_visit(IDS[1], "Great tit", start=START)
        reasons = ("0.50 is below 0.70 for Great tit", "one crop is not enough for a rarity")
        verdict = replace(unsure.verdict, state=State.UNCERTAIN, reasons=reasons, raw_top=(("Magpie", 0.6),), rare=True)
        writer.record(replace(unsure, verdict=verdict), moments, START)
        nobody = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.2, (("Magpie", 0.3),))
        writer.record(replace(example_visit(IDS[2], start=START), verdict=nobody), [], START)
        writer.record(replace(example_visit(IDS[4], start=START), verdict=nobody), moments, START)  # on the map
        family = replace(unsure.verdict, rank=Rank.FAMILY)
        writer.record(replace(example_visit(IDS[3], start=START), verdict=family), moments, START)
        writer.review(IDS[0], Review(ReviewVerdict.CONFIRM, PAGE_REVIEWER, None), START)
        JobFiles(store.home).write(JOB)
        yield store.home


def owner(home: Path, **web: str) -> Browser:
    place = {"name": "garden", "latitude": 32.1, "longitude": 34.8}
    camera = {"source": "/", "name": "Nut feeder"}
    return browser(home, cameras={"nut": camera}, station=place, web=web, channels={"phone": {"webhook": "http://x"}})


@pytest.mark.parametrize("path", PAGES)
def test_no_text_is_outside_the_catalogue(home: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """What somebody writes into a template in plain English would stay English for everybody."""
    marked = Marked()
    monkeypatch.setattr("birdwatchd.web.render.language", lambda _: marked)
    answer = owner(home).get(path)
    assert answer.status in (200, 404, 409)
    assert Seen(answer.text).unmarked() == []
    assert OPEN in answer.text


def test_the_login_is_in_the_catalogue_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for who mistypes a password."""
    marked = Marked()
    monkeypatch.setattr("birdwatchd.web.render.language", lambda _: marked)
    stranger = browser(home, login=Login(hash_of(PASSWORD)), station={"name": "garden"})
    assert Seen(stranger.get("/login").text).unmarked() == []
    wrong = [stranger.post("/login", {"password": "x"}).text for _ in range(7)]
    assert [Seen(text).unmarked() for text in wrong] == [[]] * 7
    assert "Too many" in wrong[-1]


def test_text_outside_the_catalogue_is_found() -> None:
    """The walk sees letters beside the marks, in attributes too."""
    assert Seen("<p>⟦Visits of <b>⟦today⟧</b>⟧ and <kbd>c</kbd> Great tit</p>").unmarked() == ["and"]
    assert Seen('<img alt="A picture"><p>⟦x⟧</p>').unmarked() == ["A", "picture"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("code", "direction"), [("en", "ltr"), ("he", "rtl")])
def test_every_page_comes_in_each_language(home: Path, path: str, code: str, direction: str) -> None:
    """The browser says which; the page says so to screen readers, and is laid out by it."""
    answer = owner(home).get(path, accept_language=code)
    assert answer.status in (200, 404, 409)
    if "<html" in answer.text:
        assert f'<html lang="{code}" dir="{direction}">' in answer.text
        assert ("ביקור" in answer.text) is (code == "he")


def test_the_language_is_chosen_in_the_foot(home: Path) -> None:
    """One press, kept by the browser, back on the same page; it counts before the station's setting."""
    somebody = owner(home, language="he")
    page = somebody.get("/visits?camera=nut", accept_language="en").text
    assert 'lang="he" dir="rtl"' in page
    assert 'name="next" value="/visits?camera=nut"' in page
    answer = somebody.post("/language", {"to": "en", "next": "/visits?camera=nut"})
    assert (answer.status, answer.headers["location"]) == (303, "/visits?camera=nut")
    kept = answer.headers["set-cookie"].partition(";")[0]
    assert 'lang="en" dir="ltr"' in somebody.get("/visits", cookie=kept).text
    foreign = somebody.post("/language", {"to": "xx", "next": "//evil.example"})
    assert (foreign.headers["location"], foreign.headers.get("set-cookie")) == ("/", None)


def test_what_was_too_old_is_said_in_the_language_of_who_sent_it(home: Path) -> None:
    """The guard answers before any page does; programs get English."""
    answer = owner(home).post("/language", {"to": "en"}, token="old", accept_language="he")
    assert (answer.status, "הדף הזה ישן מדי" in answer.text) == (403, True)
    stranger = browser(home, login=Login(hash_of(PASSWORD)))
    assert stranger.get("/api/v1/visits", accept_language="he").text == '{"error": "Log in first.", "hint": ""}'
