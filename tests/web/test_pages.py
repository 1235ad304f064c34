"""What the pages show, asked for as a browser without JavaScript does."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image

from birdwatchd.records import new_visit_id
from birdwatchd.store import Store
from birdwatchd.testing import example_visit, temporary_store
from birdwatchd.web.routes.list_filter import LABELS
from birdwatchd.web.words import CAMERA_WORDS, STATE_WORDS
from tests.support.page import Browser, browser
from tests.support.three_birds import NAMELESS, NOW, SURE, UNSURE, ZONE, cards, fill


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        fill(store)
        yield store.home


@pytest.fixture
def owner(home: Path) -> Browser:
    return browser(home, cameras={"nut": {"source": "/", "name": "Nut feeder"}})


def test_today_shows_who_came_and_how_cameras_are(owner: Browser) -> None:
    """The page that stays open: the newest birds first, each with its picture, and the cameras."""
    text = owner.get("/").text
    assert cards(text) == [SURE, UNSURE, NAMELESS]
    assert f"/visits/{SURE}/pictures/1?size=320" in text  # the best one
    assert "Nut feeder" in text
    assert "First ever" in text
    assert 'alt="House sparrow at Nut feeder' in text
    assert "2 at once" in text


def test_a_bird_of_another_day_is_not_taken_for_one_of_today(home: Path, owner: Browser) -> None:
    """Below "today" a bare time of day says today; in the list of visits the day stands above."""
    before = NOW - timedelta(days=5)
    seen = new_visit_id(before, 1)
    with Store.open(home, zone=ZONE) as store:
        store.writer().record(example_visit(seen, start=before), [], NOW)
    day, clock = before.strftime("%A %-d %B"), before.strftime("%H:%M")

    def when(path: str, visit_id: str) -> str:
        card = owner.get(path).text.partition(f'id="v-{visit_id}"')[2]
        return re.search(r"<time[^>]*>(.*?)</time>", card)[1]  # type: ignore[index]

    assert re.fullmatch(rf"{day}( \d{{4}})?, {clock}", when("/", seen))
    assert when("/visits", seen) == clock
    assert when("/species/Passer%20domesticus", seen).startswith(day)


def test_a_camera_that_shows_nothing_leads_to_why(home: Path, owner: Browser) -> None:
    """A dark camera on the front was a word, and the reason on another page."""
    front = owner.get("/").text
    assert re.search(r'unknown · <a href="/health">Why\?</a>', front)
    assert re.search(r'class="problem".*<a href="/health">', owner.get("/cameras/nut").text)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", [SURE, UNSURE, NAMELESS]),
        ("?species=Passer+domesticus", [SURE]),
        ("?state=uncertain", [UNSURE]),
        ("?firsts=1", [SURE]),
        ("?camera=other", []),
        ("?unreviewed=1&camera=nut&state=unknown", [NAMELESS]),
        ("?day=2020-01-01", []),
        ("?day=yesterday&state=sure&after=nonsense&what=ever", [SURE, UNSURE, NAMELESS]),
    ],
)
def test_every_state_of_the_list_is_an_address(owner: Browser, query: str, shown: list[str]) -> None:
    """A list that somebody filtered can be sent to a friend, and come back to."""
    answer = owner.get(f"/visits{query}")
    assert answer.status == 200
    assert cards(answer.text) == shown
    assert '<option value="nut"' in answer.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?camra=nut", ["unknown filter camra; did you mean camera?"]),
        (
            "?state=sure",
            ["“Name is” (state): sure cannot be read; write one of confirmed, uncertain, unknown"],
        ),
        (
            "?day=yesterday&least=9O",
            ["“Day” (day): yesterday cannot", "“Score from, in percent” (least): 9O cannot be read; write"],
        ),
        ("?rare=perhaps&after=x", ["“rare” (rare): perhaps cannot be read; write 1", "after: x cannot be read"]),
        ("?%3Cb%3E=1", ["unknown filter &lt;b&gt;"]),
        ("?species=&camera=nut&state=&day=&least=&most=&firsts=0&rare=on", []),
    ],
)
def test_what_is_not_understood_of_a_list_is_said(owner: Browser, query: str, said: list[str]) -> None:
    """Whoever misspells a filter takes all visits for those that they wanted; a review of many does nothing."""
    text = owner.get(f"/visits{query}").text
    assert all(one.casefold() in text.casefold() for one in said)
    assert ("Not understood" in text) is bool(said)
    many = owner.get(f"/review/many{query}")
    assert (many.status, "not understood" in many.text.lower()) == ((422, True) if said else (200, False))


def test_a_tick_can_be_no(owner: Browser) -> None:
    """`firsts=0` asked for firsts."""
    assert cards(owner.get("/visits?firsts=0").text) == [SURE, UNSURE, NAMELESS]
    assert cards(owner.get("/visits?firsts=true").text) == [SURE]


def test_days_with_birds_are_a_press_away(home: Path, owner: Browser) -> None:
    """Nobody leafs through a week to see Sunday."""
    before = NOW - timedelta(days=5)
    with Store.open(home, zone=ZONE) as store:
        store.writer().record(example_visit(new_visit_id(before, 1), start=before), [], NOW)
    text = owner.get("/visits?camera=nut").text
    rail = re.search(r'<nav class="days".*?</nav>', text, re.DOTALL)
    assert rail is not None
    days = re.findall(r'href="/visits\?camera=nut&amp;day=([\d-]+)"', rail[0])
    assert (days[-1], len(days)) == (f"{before:%Y-%m-%d}", len({NOW.date(), (NOW - timedelta(minutes=3)).date()}) + 1)
    assert 'aria-current="true" title=' in owner.get(f"/visits?day={days[-1]}").text


def test_a_list_for_each_year_numbered_as_they_came(home: Path, owner: Browser) -> None:
    """What birders keep: the life list, and a list for each year, in the order in which species came."""
    last_year = NOW.replace(year=NOW.year - 1, month=6, day=1)
    with Store.open(home, zone=ZONE) as store:
        for number, name in enumerate(("Great tit", "House sparrow")):
            start = last_year + timedelta(hours=number)
            store.writer().record(example_visit(new_visit_id(start, 1), name, start=start), [], NOW)

    def listed(query: str) -> list[str]:
        return re.findall(r'<a href="/species/([^"]+)">', owner.get(f"/species{query}").text)

    tit, sparrow = "Parus%20major", "Passer%20domesticus"
    assert listed("") == [sparrow, tit]
    assert listed("?by=first") == [tit, sparrow]
    assert listed("?of=year") == listed(f"?of={NOW.year}") == [sparrow]
    assert listed(f"?of={NOW.year - 1}") == [sparrow, tit]
    assert listed(f"?of={NOW.year - 1}&by=first") == [tit, sparrow]
    text = owner.get(f"/species?of={NOW.year - 1}&by=first").text
    assert f'href="/species?by=first&amp;of={NOW.year}"' in text or f"of={NOW.year}&amp;by=first" in text
    assert '<span class="muted">2</span> <bdi>House sparrow</bdi>' in text
    assert listed("?of=1066") == [sparrow, tit]  # no such list: all of them


def test_a_long_list_goes_on_where_it_was(home: Path, owner: Browser) -> None:
    """Older visits are a link away, and none is missing in between."""
    with Store.open(home, zone=ZONE) as store:
        for number in range(30):
            start = NOW - timedelta(hours=1 + number)
            store.writer().record(example_visit(new_visit_id(start, 1), start=start), [], NOW)
    first = owner.get("/visits?camera=nut").text
    link = re.search(r'href="([^"]+)" rel="next">Older', first)
    assert link is not None
    second = owner.get(link[1].replace("&amp;", "&")).text
    assert (len(cards(first)), len(cards(second))) == (24, 9)
    assert set(cards(first)).isdisjoint(cards(second))
    assert "camera=nut" in link[1]


def test_a_visit_says_what_it_is_taken_for_and_why(owner: Browser) -> None:
    """Both scores, the reasons, every picture, and that nobody was told."""
    text = owner.get(f"/visits/{UNSURE}").text
    for said in ("Great tit?", "Below the threshold", "Magpie", "Picture alone", "Nothing.", "The name is right"):
        assert said in text
    assert re.findall(rf"/visits/{SURE}\b", text)  # its neighbour
    assert owner.get("/visits/01JTJC2Q8ZK4V7XW5N3M9R6BDA").status == 404
    assert owner.get("/visits/last").status == 404  # the command's words are no ids


def test_a_visit_leads_back_to_the_list_that_it_was_chosen_from(owner: Browser) -> None:
    """After some birds and a review nobody presses the browser's "back" ten times to see the rest of the list."""
    query = "camera=nut&least=0"
    card = re.search(rf'id="v-{SURE}".*?href="([^"]+)"', owner.get(f"/visits?{query}").text, re.DOTALL)
    assert card is not None
    for address in (card[1], card[1].replace(SURE, UNSURE)):
        text = owner.get(address).text
        back = re.search(r'href="([^"]+)">Back to the list', text)
        assert back is not None
        assert unescape(back[1]).partition("#")[0] == f"/visits?{query}"
        neighbour = re.search(r'href="([^"]+)" rel="(?:next|prev)"', text)
        assert neighbour is not None
        assert neighbour[1].partition("?")[2] == card[1].partition("?")[2]
    said = re.search(r'name="back" value="([^"]+)"', owner.get(card[1]).text)
    assert said is not None
    answer = owner.post(f"/visits/{SURE}/review", {"verdict": "confirm", "back": unescape(said[1])})
    assert "Back to the list" in owner.get(answer.headers["location"]).text
    assert "?list=" not in owner.get("/visits").text
    assert "Back to the list" not in owner.get(f"/visits/{SURE}").text


def test_older_and_newer_stay_in_the_list(home: Path, owner: Browser) -> None:
    """Who chose the sparrows wants to see the next sparrow, and not what came between the two."""
    with Store.open(home, zone=ZONE) as store:
        earlier = example_visit(
            new_visit_id(NOW - timedelta(days=2), 1), "House sparrow", start=NOW - timedelta(days=2)
        )
        store.writer().record(earlier, [], NOW)

    def neighbours(query: str) -> dict[str, str]:
        text = owner.get(f"/visits/{SURE}?{urlencode({'list': query})}").text
        return {way: where for where, way in re.findall(r'href="/visits/(\w+)[^"]*" rel="(next|prev)"', text)}

    assert neighbours("")["next"] == UNSURE
    assert neighbours("species=Passer+domesticus") == {"next": earlier.visit_id}
    assert neighbours("species=Upupa+epops") == {}


@pytest.mark.parametrize(
    "listed", ["//evil.example", "next=//evil.example", "%0d%0aset-cookie: a", "species=" + "x" * 900]
)
def test_back_to_the_list_leads_nowhere_else(owner: Browser, listed: str) -> None:
    """An address that somebody sends must not lead from this page to another one."""
    text = owner.get(f"/visits/{SURE}?{urlencode({'list': listed})}").text
    assert "Back to the list" not in text
    assert "evil" not in re.sub(r'(name="next"|href="/login\?next=[^"]*) value="[^"]*"', "", text)


def test_every_page_leads_to_what_its_words_mean(owner: Browser) -> None:
    """Nothing on the page said what "uncertain" or "cannot see birds" is, nor which keys there are."""
    for path in ("/", "/visits", "/review", "/health"):
        assert '<a href="/help">Help</a>' in owner.get(path).text
    said = owner.get("/help").text
    words = [*STATE_WORDS.values(), *CAMERA_WORDS.values(), "cannot see birds", "Rare here"]
    assert [word for word in words if word not in said] == []
    legend = re.search(r'<dl class="keys">.*?</dl>', owner.get("/review").text, re.DOTALL)
    assert legend is not None
    assert legend[0] in said
    commands = {one.split()[1] for one in re.findall(r"<code[^>]*>(birdwatchd [^<]+)</code>", said)} - {"--help"}
    assert {"check", "web", "rules", "backup", "retention"} == commands


def test_pictures_are_made_small_and_never_large(owner: Browser) -> None:
    """A list of birds on a phone loads kilobytes; a crop of 100 pixels is not blown up."""
    for number, size, side in ((0, 160, 160), (0, 320, 320), (1, 320, 100)):
        answer = owner.get(f"/visits/{SURE}/pictures/{number}?size={size}")
        with Image.open(io.BytesIO(answer.body)) as image:
            assert (image.format, image.size) == ("WEBP", (side, side))
    whole = owner.get(f"/visits/{SURE}/pictures/0?size=9999")
    assert (whole.headers["content-type"], whole.headers["cache-control"][:7]) == ("image/jpeg", "private")


def test_species_and_health_say_what_there_is(owner: Browser) -> None:
    """The life list, a species' page, and what `birdwatchd status` says."""
    listed = owner.get("/species").text
    assert "House sparrow" in listed
    assert "Great tit" not in listed  # not confirmed
    sparrow = owner.get("/species/Passer%20domesticus").text
    assert "Over the day" in sparrow
    first = re.search(r'href="(/visits\?species=[^"]+&amp;day=[^"]+)"', sparrow)
    assert first is not None
    assert cards(owner.get(first[1].replace("&amp;", "&")).text) == [SURE]
    assert owner.get("/species/Corvus%20corax").status == 404
    assert "does not run" in owner.get("/health").text


def test_without_a_database_the_page_says_so(tmp_path: Path) -> None:
    """It may be started first, and is there as soon as the database is."""
    somebody = browser(tmp_path / "home")
    answer = somebody.get("/")
    assert (answer.status, "there is no database" in answer.text) == (503, True)
    with Store.open(tmp_path / "home", zone=ZONE) as store:
        fill(store)
    assert cards(somebody.get("/").text) == [SURE, UNSURE, NAMELESS]


def test_a_misread_filter_is_called_as_the_form_calls_it(owner: Browser) -> None:
    """Who chose "Score" knows no `least`; and each label is one that the form shows, in its own language too."""
    form = unescape(owner.get("/visits?day=2026-05-01").text)  # an hour can be chosen of a day
    assert [label for label in LABELS.values() if label not in form] == []
    hebrew = owner.get("/visits?day=yesterday", accept_language="he").text
    assert "״יום״ (" in unescape(hebrew)
