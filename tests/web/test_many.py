"""Many visits at once on the page, similar ones, the guess that leads nobody, and the pictures' places in a clip."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest

from birdwatchd.commands.similar import similar_visits
from birdwatchd.flow import Stop
from birdwatchd.records import State, clip_path, new_visit_id
from birdwatchd.store import Store
from birdwatchd.store.pages.clip_span import EPOCH, clip_span
from birdwatchd.testing import START, example_moment, example_visit, temporary_store
from birdwatchd.web.app import build_app
from tests.support.page import Browser, browser

IDS = [new_visit_id(START + timedelta(minutes=number), number) for number in range(5)]


def clip_of(start_s: int, seconds: int) -> bytes:
    """The beginning of a clip, as `mp4.py` writes it."""
    header = b"\0\0\0\0" + struct.pack(">IIII", start_s, start_s, 1000, seconds * 1000) + bytes(80)
    movie = struct.pack(">I4s", len(header) + 8, b"mvhd") + header
    return struct.pack(">I4s", 16, b"ftyp") + b"isom\0\0\2\0" + struct.pack(">I4s", len(movie) + 8, b"moov") + movie


@pytest.fixture
def store() -> Iterator[Store]:
    with temporary_store() as made:
        for number, visit_id in enumerate(IDS):
            visit = example_visit(visit_id, "Great tit", start=START + timedelta(minutes=number))
            verdict = replace(visit.verdict, state=State.UNCERTAIN, score=0.5 + number / 10)
            made.writer().record(replace(visit, verdict=verdict), [example_moment(0)], START)
        yield made


@pytest.fixture
def owner(store: Store) -> Browser:
    made = browser(store.home)
    made.app = build_app(made.config, made.login, Stop())  # which goes on, so that jobs do
    return made


def wait_for_job() -> None:
    for thread in threading.enumerate():
        if thread.name == "reviews":
            thread.join(10)


def judged(store: Store) -> list[str]:
    return [visit_id for visit_id, _, _ in store.visits.reviews()]


@pytest.mark.parametrize(
    ("query", "shown"),
    [("least=65", 3), ("most=65", 2), ("least=55&most=75", 2), ("least=101&most=x", 5), ("least=-1", 5)],
)
def test_visits_are_filtered_by_score(owner: Browser, query: str, shown: int) -> None:
    """The names that are nearly sure are those that are quickly put right."""
    assert owner.get(f"/visits?{query}").text.count('class="card"') == shown


def test_all_that_match_a_filter_are_reviewed_and_undone(owner: Browser, store: Store) -> None:
    """Two hundred great tits of a day are two presses; without JavaScript, and as one undo."""
    text = owner.get("/visits?state=uncertain&least=65").text
    link = re.search(r'href="(/review/many[^"]*)"', text)
    assert link is not None
    asked = owner.get(unescape(link[1])).text
    assert "Review 3 visits at once" in asked
    which = re.search(r'name="which" value="([^"]+)"', asked)
    assert which is not None
    late = new_visit_id(START, 99)  # comes between question and answer, and is not meant
    store.writer().record(example_visit(late, start=START + timedelta(days=9000)), [], START)
    answer = owner.post("/review/jobs", {"which": unescape(which[1]), "verdict": "confirm"})
    assert answer.status == 303
    wait_for_job()
    assert judged(store) == IDS[2:]
    where = answer.headers["location"]
    page = owner.get(where).text
    assert 'class="problem"' not in page
    assert "<b>3</b> of 3 visits have this review" in page
    assert owner.get("/review/jobs").text.count(where) == 1
    owner.post(where, {"do": "undo"})
    wait_for_job()
    assert judged(store) == []
    assert "<h1>Undone</h1>" in owner.get(where).text


def test_a_selection_is_reviewed(owner: Browser, store: Store) -> None:
    """Ticked with x or a thumb, then one answer for all."""
    assert owner.get("/review").text.count('form="selection"') == 5
    form = {f"pick-{IDS[0]}": "1", f"pick-{IDS[3]}": "1", "verdict": "species", "species": "house sparrow"}
    assert owner.post("/review/jobs", form).status == 303
    wait_for_job()
    assert judged(store) == [IDS[0], IDS[3]]
    visit = store.visits.get(IDS[3])
    assert visit is not None
    assert visit.verdict.common_name == "House sparrow"


@pytest.mark.parametrize(
    "form", [{"verdict": "confirm"}, {"pick-v1": "1"}, {"pick-v1": "1", "verdict": "species", "species": "Greta tit"}]
)
def test_what_says_nothing_begins_no_job(owner: Browser, store: Store, form: dict[str, str]) -> None:
    """A form without visits is not all visits: `verdict=confirm` alone once more must not confirm everything."""
    assert owner.post("/review/jobs", form).status == 422
    assert judged(store) == []
    assert not (store.home / "review-jobs").exists()


def test_where_nothing_was_reviewed_the_page_leads_to_it(owner: Browser) -> None:
    """The addresses stand within a sentence; they led nowhere, and it had no translation."""
    text = owner.get("/review/jobs").text
    assert '<a href="/visits">Choose some by a filter</a>' in text
    assert '<a href="/review">Review</a>.</li>' in text


def test_visits_that_look_alike_are_found_and_reviewed(owner: Browser, store: Store) -> None:
    """One bird is put right, and all like it with it."""
    text = owner.get(f"/visits/{IDS[0]}/similar").text
    assert text.count('class="card"') == 4
    assert "100\N{NO-BREAK SPACE}% alike" in text
    assert "Review 5 visits at once" in owner.get(f"/review/many?like={IDS[0]}&least=99").text
    store.writer().record(example_visit("bare"), [], START)
    assert "could be compared" in owner.get("/visits/bare/similar").text
    assert owner.get("/visits/nobody/similar").status == 404
    assert owner.get("/review/many?like=nobody").status == 404


def test_the_first_search_of_many_visits_is_the_commands(
    owner: Browser, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million embeddings are read into a gigabyte of memory once: not by the page, which has 150 MB."""
    monkeypatch.setattr("birdwatchd.web.routes.visits.MOST_UNCOPIED", 4)
    answer = owner.get(f"/visits/{IDS[0]}/similar")
    assert (answer.status, "birdwatchd similar last" in answer.text) == (503, True)
    visit = store.visits.get(IDS[0])
    assert visit is not None
    assert len(similar_visits(store, visit, 1)) == 1  # as the command does, and leaves the copy there
    assert owner.get(f"/visits/{IDS[0]}/similar").status == 200


def test_a_line_on_the_map_is_reviewed(owner: Browser, store: Store) -> None:
    """A cloud of birds under one wrong name is put right with one line around it, and no other map is picked from."""
    text = owner.get("/looks").text
    name = re.search(r'data-map="(\w+)"', text)
    assert name is not None
    assert len(re.findall(r"<circle [^>]*data-v=", text)) == 5
    assert "Odd ones out" in text
    whole = "line=-1100_-1100~-1100_1100~1100_1100~1100_-1100"
    assert "Review 5 visits at once" in owner.get(f"/review/many?map={name[1]}&{whole}").text
    assert "No visit matches that is not reviewed" in owner.get(f"/review/many?map={name[1]}&line=1").text
    answer = owner.post("/review/jobs", {"which": f"map={name[1]}&{whole}", "verdict": "not_a_bird"})
    assert answer.status == 303
    wait_for_job()
    assert judged(store) == IDS
    assert owner.post("/review/jobs", {"which": f"map=old&{whole}", "verdict": "confirm"}).status == 409
    assert "Draw the line once more" in owner.get(f"/review/many?map=old&{whole}").text


def test_the_guess_is_hidden_until_it_is_asked_for(owner: Browser) -> None:
    """Whoever reads a name first sees that bird: a fresh eye is worth more, also to a screen reader."""
    text = owner.get("/review?guess=hidden").text
    bare = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    assert "Great tit" in text
    assert "Great tit" not in bare
    answer = owner.post(
        f"/visits/{IDS[0]}/review", {"verdict": "species", "species": "x", "guess": "hidden"}, hx_request="true"
    )
    assert "Great tit" not in re.sub(r"<details.*?</details>", "", answer.text, flags=re.DOTALL)
    assert "Great tit" in owner.get("/review").text.partition("<details")[0]


def test_a_clip_shows_where_its_pictures_are(owner: Browser, store: Store) -> None:
    """A bird is ten seconds of a minute: the player's marks are where to look."""
    visit_id = new_visit_id(START, 77)
    clip = clip_path("nut", visit_id)
    file = store.home / clip
    file.parent.mkdir(parents=True, exist_ok=True)
    began_s = int((START - EPOCH).total_seconds()) - 5
    file.write_bytes(clip_of(began_s, 20))
    visit = example_visit(visit_id, clip=clip)
    store.writer().record(visit, [example_moment(0), example_moment(1)], START)
    text = owner.get(f"/visits/{visit_id}").text
    assert re.findall(r'data-seek="([\d.]+)"', text) == ["5.0", "6.0"]
    file.write_bytes(clip_of(0, 20))  # of an older version, which did not write it down
    assert "data-seek" not in owner.get(f"/visits/{visit_id}").text


@pytest.mark.parametrize("content", [b"", b"\0\0\0\1moov", b"\0\0\0\0free" * 9, clip_of(7, 20)[:40]])
def test_a_damaged_clip_has_no_marks(tmp_path: Path, content: bytes) -> None:
    """A clip that was cut short by a power cut must not take the visit's page down."""
    (tmp_path / "clip").write_bytes(content)
    assert clip_span(tmp_path / "clip") is None


@pytest.mark.parametrize("before", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00"])
def test_the_ends_of_the_calendar_are_no_fault(owner: Browser, before: str) -> None:
    """They have no time in another zone; an address that somebody made up gets an answer."""
    assert owner.get(f"/review/many?before={quote(before)}").status == 200
    assert owner.get(f"/visits?after={quote(before)}~v1").status == 200
