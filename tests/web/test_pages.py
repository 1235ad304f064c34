"""What the pages show and do, asked for as a browser without JavaScript does."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from birdwatchd.records import Rank, State, Verdict, new_visit_id
from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.store import Store
from birdwatchd.store.pages.species import DayVisit
from birdwatchd.testing import example_moment, example_visit, temporary_store
from birdwatchd.web.language.catalogue import language
from birdwatchd.web.names import Names
from birdwatchd.web.routes.list_filter import LABELS
from birdwatchd.web.routes.species import bars_of
from birdwatchd.web.routes.today import grid_of
from birdwatchd.web.routes.visits import top_rows
from birdwatchd.web.words import Words
from tests.support.page import Browser, browser

ZONE = ZoneInfo("Asia/Jerusalem")
ENGLISH = language("en")
WORDS = Words(ENGLISH)
NOW = datetime.now(UTC)
SURE, UNSURE, NAMELESS = (new_visit_id(NOW - timedelta(minutes=minutes), 1) for minutes in (1, 2, 3))


def picture(side: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (side, side), "green").save(written, "JPEG")
    return written.getvalue()


def fill(store: Store) -> None:
    """A sure sparrow, a tit that is not sure, and a bird without a name."""
    writer = store.writer()
    moments = [example_moment(0, jpeg=picture(500)), example_moment(1, quality=0.9, jpeg=picture(100))]
    writer.record(example_visit(SURE, start=NOW - timedelta(minutes=1), count_max=2), moments, NOW)
    unsure = example_visit(UNSURE, "Great tit", start=NOW - timedelta(minutes=2))
    verdict = replace(
        unsure.verdict, state=State.UNCERTAIN, score=0.5, reasons=("below the threshold",), raw_top=(("Magpie", 0.6),)
    )
    writer.record(replace(unsure, verdict=verdict), [example_moment(0, jpeg=picture(300))], NOW)
    nobody = example_visit(NAMELESS, start=NOW - timedelta(minutes=3))
    verdict = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.2, (("Magpie", 0.3),))
    writer.record(replace(nobody, verdict=verdict), [], NOW)


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        fill(store)
        yield store.home


@pytest.fixture
def owner(home: Path) -> Browser:
    return browser(home, cameras={"nut": {"source": "/", "name": "Nut feeder"}})


def cards(text: str) -> list[str]:
    return re.findall(r'class="card" id="v-(\w+)"', text)


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


def test_a_review_without_javascript_goes_back_to_its_page(home: Path, owner: Browser) -> None:
    """Confirm, another species, not a bird, and undo: what the command `review` does, by buttons."""
    where = f"/visits/{UNSURE}/review"

    def verdict() -> tuple[State, str | None]:
        with Store.open(home, zone=ZONE) as store:
            visit = store.visits.get(UNSURE)
        assert visit is not None
        return visit.verdict.state, visit.verdict.common_name

    answer = owner.post(where, {"verdict": "confirm", "back": f"/visits/{UNSURE}"})
    assert (answer.status, answer.headers["location"]) == (303, f"/visits/{UNSURE}")
    assert verdict() == (State.CONFIRMED, "Great tit")
    assert "somebody at the page" in owner.get(f"/visits/{UNSURE}").text
    owner.post(where, {"verdict": "species", "species": "passer domesticus"})
    assert verdict() == (State.CONFIRMED, "House sparrow")
    owner.post(where, {"verdict": "undo"})
    assert verdict() == (State.CONFIRMED, "Great tit")
    owner.post(where, {"verdict": "not_a_bird"})
    assert verdict()[0] is State.REJECTED
    for _ in range(2):
        owner.post(where, {"verdict": "undo"})
    assert verdict() == (State.UNCERTAIN, "Great tit")


def test_a_review_that_cannot_be_is_explained(owner: Browser) -> None:
    """A misspelt name, nothing to undo, a visit that is gone: said in words, and nothing changes."""
    where = f"/visits/{UNSURE}/review"
    misspelt = owner.post(where, {"verdict": "species", "species": "House sparow"})
    assert (misspelt.status, "Did you mean House sparrow" in misspelt.text) == (422, True)
    assert owner.post(where, {"verdict": "undo"}).status == 409
    assert owner.post(where, {"verdict": "species", "species": " "}).status == 422
    assert owner.post(where, {"verdict": "maybe"}).status == 422
    assert owner.post("/visits/last/review", {"verdict": "confirm"}).status == 404
    in_place = owner.post(where, {"verdict": "undo"}, hx_request="true")
    assert (in_place.status, 'role="alert"' in in_place.text) == (200, True)


def test_a_name_is_confirmed_as_it_was_seen(home: Path, owner: Browser) -> None:
    """The page lay open in a pocket; meanwhile somebody else, or `relabel`, gave the bird another name."""
    seen = owner.get(f"/visits/{UNSURE}").text
    name = re.search(r'name="name" value="([^"]*)"', seen)
    assert name is not None
    assert name[0] in owner.get("/review").text
    where, confirm = f"/visits/{UNSURE}/review", {"verdict": "confirm", "name": name[1]}
    owner.post(where, {"verdict": "species", "species": "passer domesticus"})
    part = owner.post(where, confirm, hx_request="true").text
    assert "Its name has changed to House sparrow" in part
    assert 'name="name" value="House sparrow"' in part
    with Store.open(home, zone=ZONE) as store:
        assert len(store.histories.of(UNSURE).reviews) == 1
    assert owner.post(where, confirm).status == 409
    assert owner.post(where, confirm | {"name": "House sparrow"}).status == 303


def test_the_queue_begins_with_what_is_least_sure(owner: Browser) -> None:
    """An hour of somebody's evening goes where it helps most; what was judged does not come again."""
    assert re.findall(r'id="r-(\w+)"', owner.get("/review").text) == [UNSURE, NAMELESS]
    assert re.findall(r'id="r-(\w+)"', owner.get("/review?show=all").text) == [UNSURE, NAMELESS, SURE]
    part = owner.post(f"/visits/{UNSURE}/review", {"verdict": "confirm"}, hx_request="true").text
    assert part.lstrip().startswith("<article")
    assert "Undo" in part
    assert re.findall(r'id="r-(\w+)"', owner.get("/review").text) == [NAMELESS]


def test_the_bird_that_is_meant_comes_first() -> None:
    """`robin`: not the Robin Accentor of Tibet. What came here, what lives here, what is called so, in this order."""

    def names(text: str, seen: tuple[str, ...] = (), classes: tuple[str, ...] = ()) -> list[str]:
        known = Names(SpeciesSettings(), lambda: classes)
        return [label.scientific_name or "" for label in known.find(text, seen)]

    nobody = names("robin")
    assert nobody[0] == "Erithacus rubecula"
    assert "Prunella rubeculoides" not in nobody
    america = names("robin", classes=("Turdus migratorius", "Passer domesticus", "Unknown"))
    assert america[:2] == ["Turdus migratorius", "Erithacus rubecula"]
    here = names("robin", ("Prunella rubeculoides",), ("Turdus migratorius",))
    assert here[:3] == ["Prunella rubeculoides", "Turdus migratorius", "Erithacus rubecula"]
    assert names("robin accentor", ("Erithacus rubecula",))[0] == "Prunella rubeculoides"
    assert "Passer domesticus" in names("sparrow")  # and not ten sparrowhawks
    assert names("passer dom")[0] == "Passer domesticus"


def test_the_page_knows_the_region_of_its_model(home: Path) -> None:
    """The classes are read from the head of the weights: the demo's model knows a great tit among all great birds."""
    found = re.findall(r'data-name="([^"]+)"', browser(home, model={"name": "demo"}).get("/names?q=sunbird").text)
    assert found[0] == "Cinnyris osea"  # Palestine sunbird
    assert len(found) == 10


def test_names_are_found_while_they_are_typed(home: Path, owner: Browser) -> None:
    """By English, scientific and local name; the species that come here first."""
    assert 'data-name="Passer domesticus"' in owner.get("/names?q=house+sp").text
    sparrows = re.findall(r'data-name="([^"]+)"', owner.get("/names?q=sparrow").text)
    assert (sparrows[0], len(sparrows)) == ("Passer domesticus", 10)  # of dozens of the world
    assert "No species has this name" in owner.get("/names?q=xyzzy").text
    table = home / "names.csv"
    table.write_text("scientific_name,name\nParus major,Kohlmeise\n")
    names = Names(SimpleNamespace(names_file=table, names_language=""))  # type: ignore[arg-type]
    for typed in ("kohl", "great tit", "PARUS  maj"):
        assert names.find(typed)[0].common_name == "Kohlmeise"


def test_hebrew_names_are_found_as_they_are_typed(home: Path, owner: Browser) -> None:
    """A list is printed with points, maqaf and geresh; a phone's keyboard has none of them, or others."""
    table = home / "names.csv"
    lines = (
        "scientific_name,name",
        "Upupa epops,דוכיפת",
        "Passer domesticus,דְּרוֹר־הַבַּיִת",
        "Coturnix coturnix,שליו נודד",
        "Saxicola rubicola,דוחל צ׳יפמן",
    )
    table.write_text("\n".join(lines), encoding="utf-8-sig")  # as spreadsheets save it
    hebrew = browser(home, cameras={"nut": {"source": "/"}}, species={"names_file": table})
    for typed, found in (
        ("דוכ", "Upupa epops"),
        ("הבית", "Passer domesticus"),
        ("דרור הבית", "Passer domesticus"),
        ("נודד", "Coturnix coturnix"),
        ("צ'יפ", "Saxicola rubicola"),
        ("hoopoe", "Upupa epops"),
    ):
        part = hebrew.get(f"/names?{urlencode({'q': typed})}").text
        assert re.findall(r'data-name="([^"]+)"', part)[0] == found
    assert "names.csv" in hebrew.get("/health").text
    assert "species.names_file" in owner.get("/health").text
    answer = hebrew.post(f"/visits/{UNSURE}/review", {"verdict": "species", "species": "דרור הבית", "back": "/review"})
    assert answer.status == 303
    assert "דְּרוֹר־הַבַּיִת" in hebrew.get(f"/visits/{UNSURE}").text


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


def test_the_grid_counts_by_the_stations_hours() -> None:
    """A bird at 22:30 UTC came at half past one in the morning in Israel."""
    visits = [
        DayVisit(datetime(2026, 5, 1, hour, 30, tzinfo=UTC), species, species)
        for hour, species in ((22, "a"), (8, "b"), (9, "b"), (9, "b"), (9, None))
    ]
    grid = grid_of(visits, SimpleNamespace(zone=ZONE), None, ENGLISH)  # type: ignore[arg-type]
    assert (grid.hours[0], grid.hours[-1]) == (1, 19)
    assert [(row.name, row.total) for row in grid.rows] == [("b", 3), ("a", 1), ("Not named yet", 1)]
    assert dict(zip(grid.hours, grid.rows[0].hours, strict=True))[12] == (2, 5)
    assert [bar.height for bar in bars_of([("x", 2), ("y", 1), ("z", 0)])] == [80, 40, 0]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (WORDS.age(None), "never"),
        (WORDS.age(2), "just now"),
        (WORDS.age(115 * 60), "2 h ago"),
        (WORDS.age(86_400 * 3), "3 days ago"),
        (WORDS.lasted(NOW, None), "here now"),
        (WORDS.lasted(NOW, NOW + timedelta(seconds=200)), "3 min 20 s"),
        (WORDS.lasted(NOW, NOW + timedelta(seconds=3900)), "1 h 5 min"),
        (WORDS.day(date(2026, 5, 4), date(2026, 5, 9)), "Monday 4 May"),
        (WORDS.day(date(2025, 5, 4), date(2026, 5, 9)), "Sunday 4 May 2025"),
        (WORDS.day(date(2026, 5, 8), date(2026, 5, 9)), "Yesterday"),
        (WORDS.percent(0.874), "87 %"),
        (WORDS.size(12_340_000), "12.3 MB"),
    ],
)
def test_words_are_those_of_people(said: str, text: str) -> None:
    """Nobody should have to divide seconds by sixty."""
    assert said.replace("\N{NO-BREAK SPACE}", " ") == text


def test_a_name_says_how_sure_it_is() -> None:
    """A question mark, a rank, or a guess: never more than is known."""

    def verdict(state: State, rank: Rank, name: str | None, **more: Any) -> Verdict:
        return Verdict(state, rank, name, None, 0.6, (("Magpie", 0.3),), **more)

    for given, title, sure in (
        (verdict(State.CONFIRMED, Rank.SPECIES, "Great tit"), "Great tit", "60 % sure"),
        (verdict(State.UNCERTAIN, Rank.SPECIES, "Great tit"), "Great tit?", "60 % sure"),
        (verdict(State.CONFIRMED, Rank.FAMILY, "tits"), "Tits (family)", "60 % sure"),
        (verdict(State.UNKNOWN, Rank.BIRD, None), "Unknown bird", "perhaps Magpie, 30 %"),
        (verdict(State.REJECTED, Rank.BIRD, None), "Not a bird", "not a bird"),
        (verdict(State.CONFIRMED, Rank.SPECIES, "A", reasons=("reviewed by ann",)), "A", "named by a person"),
    ):
        assert (WORDS.title(given), WORDS.sure(given).replace("\N{NO-BREAK SPACE}", " ")) == (title, sure)
    both = Verdict(State.CONFIRMED, Rank.SPECIES, "A", None, 0.9, (("A", 0.9),), raw_top=(("B", 0.8), ("A", 0.1)))
    assert [(row.name, row.share, row.raw) for row in top_rows(both)] == [("A", 0.9, 0.1), ("B", None, 0.8)]


def test_a_misread_filter_is_called_as_the_form_calls_it(owner: Browser) -> None:
    """Who chose "Score" knows no `least`; and each label is one that the form shows, in its own language too."""
    form = unescape(owner.get("/visits?day=2026-05-01").text)  # an hour can be chosen of a day
    assert [label for label in LABELS.values() if label not in form] == []
    hebrew = owner.get("/visits?day=yesterday", accept_language="he").text
    assert "״יום״ (" in unescape(hebrew)
