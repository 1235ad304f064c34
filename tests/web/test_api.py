"""`/api/v1`: what programs get, in the same words as the commands and MQTT."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from birdwatchd.commands.visits import formula_free
from birdwatchd.mqtt.payloads import visit_json
from birdwatchd.records import State
from birdwatchd.settings.config import Config
from birdwatchd.store import Review, ReviewVerdict, Store
from birdwatchd.store.pages.cards import CardFilter
from birdwatchd.testing import START, bird_image, example_moment, example_visit, temporary_store
from birdwatchd.web import live
from birdwatchd.web.home import Home
from birdwatchd.web.routes import api
from birdwatchd.web.routes.api_shapes import CamerasJson, SpeciesListJson, VisitFullJson, VisitsJson
from tests.support.page import Browser, browser, segment

API = "/api/v1"
STATES = (State.CONFIRMED, State.UNCERTAIN, State.UNKNOWN, State.REJECTED)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    jpeg = io.BytesIO()
    bird_image().save(jpeg, "JPEG")
    with temporary_store() as made:
        writer = made.writer()
        for number in range(12):
            visit = example_visit(
                f"v{number:03}",
                ("House sparrow", "Great tit")[number % 2],
                start=START + timedelta(hours=number * 3),
                camera=("nut", "seed")[number % 3 % 2],
            )
            verdict = replace(visit.verdict, state=STATES[number % 5 % 4], rare=number % 4 == 0)
            writer.record(replace(visit, verdict=verdict), [example_moment(jpeg=jpeg.getvalue())], START)
        writer.review("v000", Review(ReviewVerdict.CONFIRM, "ann"), START)
        yield made


@pytest.fixture(scope="module")
def program(store: Store) -> Browser:
    return browser(store.home, cameras={"nut": {"source": "/", "name": "Nuts"}})


def ask(program: Browser, path: str) -> Any:
    answer = program.get(API + path)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)


def ids(found: Any) -> list[str]:
    return [one["visit_id"] for one in found["visits"]]


def test_a_visit_is_the_one_of_the_commands_and_of_mqtt(program: Browser, store: Store) -> None:
    """Who learned the words of one of the three can read the others."""
    found = ask(program, "/visits/v000")
    VisitFullJson.model_validate(found)
    stored = next(iter(store.visits.stored()))
    assert found["visit_id"] == "v000"
    assert found.items() >= stored.visit.to_json().items()
    assert found.items() >= visit_json(stored).items()
    assert (found["reviewed"], found["reviews"][0]["by"]) == (True, "ann")
    assert program.get(found["links"]["page"]).status == 200
    assert program.get(found["links"]["picture"]).headers["content-type"] == "image/jpeg"
    assert program.get(found["pictures"][0]["px160"]).headers["content-type"] == "image/webp"


@pytest.mark.parametrize(
    "filters",
    [
        "",
        "species=Parus%20major",
        "camera=seed",
        "camera=nobody",
        "state=rejected",
        "day=2026-05-01",
        "firsts=1",
        "rare=1",
        "unreviewed=1",
        "rare=1&camera=nut&unreviewed=1",
    ],
)
def test_filters_find_what_the_page_finds(program: Browser, filters: str) -> None:
    """A list that somebody looks at and the table that they take away must be the same birds."""
    found = ids(ask(program, f"/visits?{filters}"))
    page = program.get(f"/visits?{filters}").text
    assert sorted(found) == [one for one in (f"v{n:03}" for n in range(12)) if f"/visits/{one}" in page]
    lines = list(csv.DictReader(io.StringIO(program.get(f"{API}/visits.csv?{filters}").text)))
    assert [line["visit_id"] for line in lines] == found


def test_next_leads_through_all_and_keeps_the_filters(program: Browser) -> None:
    """A program that follows `next` until it is null has each visit once."""
    following, found, pages = f"{API}/visits?limit=2&camera=nut", list[str](), 0
    while following:
        page = json.loads(program.get(following).body)
        VisitsJson.model_validate(page)
        found, pages, following = found + ids(page), pages + 1, page["next"]
    assert found == ids(ask(program, "/visits?camera=nut"))
    assert pages == len(found) / 2 > 1


def test_a_span_of_time_ends_before_its_end(program: Browser) -> None:
    """Two spans, one after the other, hold each visit once; the day of a span is the station's."""
    assert ids(ask(program, "/visits?since=2026-05-01T06:30:00Z&until=2026-05-01T09:30:00Z")) == ["v000"]
    assert ids(ask(program, "/visits?since=2026-05-01T08:30:00%2B02:00&until=2026-05-01T06:30:01Z")) == ["v000"]
    assert ids(ask(program, "/visits?day=2026-05-01&since=2026-05-02T00:00:00Z")) == []


def test_species_and_cameras(program: Browser) -> None:
    """What to draw a chart of, and which filters there are."""
    species, cameras = ask(program, "/species"), ask(program, "/cameras")
    SpeciesListJson.model_validate(species)
    CamerasJson.model_validate(cameras)
    for one in species["species"]:
        assert ask(program, f"/species/{segment(one['species'])}") == one
        listed = json.loads(program.get(one["visits_link"]).body)
        assert len(listed["visits"]) == one["visits"]
    assert [(one["camera"], one["name"], one["configured"]) for one in cameras["cameras"]] == [
        ("nut", "Nuts", True),
        ("seed", "seed", False),
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/visits?state=tired", 422),
        ("/visits?camra=nut", 422),
        ("/visits.csv?stat=rejected", 422),
        ("/visits?day=yesterday", 422),
        ("/visits?limit=0", 422),
        ("/visits?limit=1000000", 422),
        ("/visits?after=x", 404),
        ("/visits?after=2026-02-30T00:00:00.000000Z~v", 404),
        ("/visits?until=0.5", 422),
        ("/visits/a%0Ab", 404),
        ("/visits?since=2026-05-01T00:00:00", 422),
        ("/visits?species=" + "x" * 300, 422),
        ("/visits/none", 404),
        ("/visits/v000/pictures/99", 404),
        ("/visits/v000/pictures/0?size=5000", 422),
        ("/visits/v000/clip", 404),
        ("/species/None", 404),
        ("/docs", 404),
        ("/redoc", 404),
        ("/", 404),
    ],
)
def test_what_cannot_be_answered_is_said_in_json(program: Browser, path: str, status: int) -> None:
    """A filter that is misspelled must not be taken for none: the program would delete, or count, all the others."""
    answer = program.get(API + path)
    assert (answer.status, sorted(json.loads(answer.body))) == (status, ["error", "hint"])


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "9999-12-31"])
def test_days_at_the_ends_of_the_calendar_have_no_visits(program: Browser, day: str) -> None:
    """They have no neighbours, and no time in another zone."""
    assert ids(ask(program, f"/visits?day={day}")) == []
    assert ids(ask(program, f"/visits?since={day}T00:00:00%2B14:00&until={day}T00:00:00%2B14:00")) == []


def test_a_table_is_read_as_it_is_fetched(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million visits as one text would be more memory than the page has."""
    monkeypatch.setattr(api, "CSV_PART", 4)
    parts = list(api._csv_lines(Home(Config.model_validate({"home": store.home})), CardFilter()))
    assert [part.count("\n") for part in parts] == [5, 4, 2]


def test_a_cell_is_never_a_formula(program: Browser, store: Store) -> None:
    """A bird that somebody called `=HYPERLINK(…)` must not become a link in a spreadsheet."""
    assert formula_free("=1+1") == "'=1+1"
    assert all("'" not in line for line in program.get(f"{API}/visits.csv").text.splitlines())


def test_news_is_one_stream_for_all_who_listen(program: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and programs share the bound: two hundred, then no more."""
    assert program.get(f"{API}/events").headers["content-type"].startswith("text/event-stream")
    monkeypatch.setattr(live, "MOST_LISTENERS", 0)
    answer = program.get(f"{API}/events")
    assert (answer.status, answer.headers["retry-after"]) == (503, "30")


def test_the_description_has_every_route_and_no_page(program: Browser) -> None:
    """Programs are made of it; pages change, and are nobody's interface."""
    described = ask(program, "/openapi.json")
    assert set(described["paths"]) == {
        "/visits",
        "/visits.csv",
        "/visits/{visit_id}",
        "/visits/{visit_id}/pictures/{number}",
        "/visits/{visit_id}/clip",
        "/species",
        "/species/{name}",
        "/cameras",
        "/events",
    }
    assert all(set(methods) == {"get"} for methods in described["paths"].values())
    assert described["servers"] == [{"url": API}]
