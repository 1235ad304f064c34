"""Names put right on the page, by a browser without JavaScript, and the queue of what is to be reviewed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from birdwatchd.records import State
from birdwatchd.store import Store
from birdwatchd.testing import temporary_store
from tests.support.page import Browser, browser
from tests.support.three_birds import NAMELESS, SURE, UNSURE, ZONE, fill


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        fill(store)
        yield store.home


@pytest.fixture
def owner(home: Path) -> Browser:
    return browser(home, cameras={"nut": {"source": "/", "name": "Nut feeder"}})


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


@pytest.mark.parametrize("query", ["", "?show=all", "?guess=hidden&show=all"])
def test_a_review_without_javascript_goes_on_in_the_same_queue(owner: Browser, query: str) -> None:
    """Who goes through all birds was sent back to the uncertain ones by each answer."""
    backs = {unescape(one) for one in re.findall(r'name="back" value="([^"]*)"', owner.get(f"/review{query}").text)}
    assert backs == {f"/review{query}"}
    where = f"/visits/{UNSURE}/review"
    said = {"verdict": "confirm", "back": f"/review{query}"}
    assert owner.post(where, said).headers["location"] == f"/review{query}"
    part = owner.post(where, said | {"verdict": "undo"}, hx_request="true").text
    assert {unescape(one) for one in re.findall(r'name="back" value="([^"]*)"', part)} == backs


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


def test_a_misspelt_name_stays_to_be_put_right(owner: Browser) -> None:
    """On a phone a long name takes a while: one wrong letter in it must not cost the rest."""
    said = {"verdict": "species", "species": 'House "sparow', "part": "verdict"}
    part = owner.post(f"/visits/{UNSURE}/review", said, hx_request="true").text
    assert 'value="House &#34;sparow"' in part
    said["species"] = "House sparrow"
    part = owner.post(f"/visits/{UNSURE}/review", said, hx_request="true").text
    assert 'value="House sparrow" required' not in part


def test_what_a_person_said_is_not_asked_again(owner: Browser) -> None:
    """After a review the largest button still asked whether the name is right; it is the undo that one looks for."""
    said = {"verdict": "confirm", "part": "verdict"}
    assert 'value="confirm"' in owner.get(f"/visits/{UNSURE}").text
    part = owner.post(f"/visits/{UNSURE}/review", said, hx_request="true").text
    assert ('value="confirm"' in part, 'value="undo"' in part) == (False, True)
    assert 'value="confirm"' not in owner.get(f"/visits/{UNSURE}").text


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
