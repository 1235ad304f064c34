"""What somebody might try with the page and what comes of it; SECURITY.md has the list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from birdwatchd.records import Label, State
from birdwatchd.store import Review, ReviewVerdict
from birdwatchd.testing import START, example_moment, example_visit, temporary_store
from birdwatchd.web.access import tries
from birdwatchd.web.access.login import Login, hash_of
from tests.support.page import browser, segment

VISIT = "01JTJC2Q8ZK4V7XW5N3M9R6BDA"
EVIL = "<img src=x onerror=alert(1)>\"'"
SIZE = 5_000
PASSWORD_HASH = hash_of("correct horse battery")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with temporary_store() as store:
        clip = f"media/nut/2026/05/01/{VISIT}.mp4"
        (store.home / clip).parent.mkdir(parents=True)
        (store.home / clip).write_bytes(bytes(SIZE))
        visit = example_visit(VISIT, clip=clip)
        said = replace(visit.verdict, common_name=EVIL, scientific_name=EVIL, top=((EVIL, 0.9),), reasons=(EVIL,))
        store.writer().record(replace(visit, verdict=said, media=f"/cards/{EVIL}.avi"), [example_moment()], START)
        unsure = replace(said, state=State.UNCERTAIN)
        store.writer().record(replace(example_visit("v2"), verdict=unsure), [example_moment()], START)
        store.writer().review(VISIT, Review(ReviewVerdict.SPECIES, EVIL, Label(EVIL, EVIL)), START)
        yield store.home


@pytest.mark.parametrize(
    "path", ["/", "/visits", f"/visits/{VISIT}", "/review", "/review?show=all", "/species", f"/species/{segment(EVIL)}"]
)
def test_what_others_wrote_stays_text_on_every_page(home: Path, path: str) -> None:
    """Names of birds, recordings and reviewers, and reasons, come from files, models and people of elsewhere."""
    page = browser(home, cameras={"nut": {"source": "/", "name": EVIL}}).get(path)
    assert page.status == 200
    assert "<img src=x" not in page.text
    assert "&lt;img src=x" in page.text


def test_json_is_no_page(home: Path) -> None:
    """A browser that is led to the interface for programs shows text, whatever it holds."""
    answer = browser(home).get(f"/api/v1/visits/{VISIT}")
    assert json.loads(answer.body)["common_name"] == EVIL
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "attachment" in browser(home).get("/api/v1/visits.csv").headers["content-disposition"]


@pytest.mark.parametrize("where", ["/visits", "/api/v1/visits"])
@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        ("bytes=" + ",".join("0-" for _ in range(100)), SIZE),  # a hundred times the whole
        ("bytes=" + ",".join(f"{n}-{n + 4000}" for n in range(50)), SIZE),  # overlapping
        ("bytes=" + ",".join(f"{n * 2}-{n * 2}" for n in range(1500)), SIZE),  # many small ones
        ("bytes=0-" + "9" * 4000, SIZE),
        ("bytes=" + "9" * 4000 + "-", 200),
        ("bytes=100-50", 200),
        ("bytes=-" + "9" * 500, SIZE),
        ("bytes=-0", 200),
        ("bytes=²-³", 200),
        ("lines=1-2", 200),
        ("bytes=", 200),
    ],
)
def test_ranges_multiply_nothing(home: Path, where: str, wanted: str, most: int) -> None:
    """A header of a few kB must not make the page send, or read, more than the clip."""
    answer = browser(home).get(f"{where}/{VISIT}/clip", range=wanted)
    assert answer.status in (200, 206, 400, 416)
    assert len(answer.body) <= most


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/visits/../../birdwatchd.sqlite3",
        "/api/v1/visits/..%2f..%2fbirdwatchd.sqlite3/clip",
        "/api/v1/visits/%00/pictures/0",
        f"/api/v1/visits/{VISIT}/pictures/99999999999999999999999",
        f"/api/v1/visits/{VISIT}/pictures/-1",
        "/api/v1/species/..%2f..%2fetc%2fpasswd",
        "/api/v1//etc/passwd",
    ],
)
def test_an_address_for_programs_is_never_a_path(home: Path, path: str) -> None:
    """As of the page: ids and numbers are looked up, folders are not."""
    assert browser(home).get(path).status == 404


@pytest.mark.parametrize(
    "query",
    [
        "species=" + "x" * 1900,
        "species=%00",
        "species=%ff%fe",
        "day=99999-01-01",
        "after=" + "9" * 1900,
        "limit=" + "9" * 1900,
        "camera=' OR 1=1 --",
        "&".join(f"a{n}=1" for n in range(250)),
        "&".join("state=confirmed" for _ in range(100)),
    ],
)
def test_parameters_that_are_huge_or_strange_are_answered(home: Path, query: str) -> None:
    """No fault of the page, and no sentence of the database."""
    for where in ("/visits", "/api/v1/visits"):
        answer = browser(home).get(f"{where}?{query.replace(' ', '%20')}")
        assert answer.status in (200, 404, 422)
        assert "sqlite" not in answer.text.lower()


def test_headers_of_a_proxy_that_nobody_set_up_are_not_believed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who guesses passwords would be another device with each guess; a stranger's name would be the station's own."""
    somebody = browser(home, login=Login(PASSWORD_HASH))
    monkeypatch.setattr(tries, "FREE_TRIES", 2)  # each takes a tenth of a second
    for number in range(2):
        forwarded = {"x_forwarded_for": f"192.0.2.{number}", "forwarded": f"for=192.0.2.{number}"}
        somebody.post("/login", {"password": "wrong"}, **forwarded)
    answer = somebody.post("/login", {"password": "wrong"}, x_forwarded_for="192.0.2.99", x_real_ip="192.0.2.99")
    assert answer.status == 429
    for header in ("x_forwarded_host", "x_original_host", "x_forwarded_server"):
        assert browser(home).get("/visits", host="evil.example", **{header: "127.0.0.1"}).status == 421
    led = browser(home, login=Login(PASSWORD_HASH)).get("/visits", x_forwarded_host="evil.example")
    assert led.headers["location"].startswith("/login?")
    assert browser(home).get("/visits", x_original_url="/health", x_rewrite_url="/health").text.count("Visits") > 1
