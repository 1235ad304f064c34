"""The map of looks: birds that look alike lie together, the odd ones are found, and a line picks what is in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from birdwatchd.search.looks import LooksMap, Point, draw_looks
from birdwatchd.store import Store
from birdwatchd.testing import START, example_moment, example_visit, temporary_store
from birdwatchd.web.looks import Looks, read_outline

TITS, SPARROWS = [f"t{n}" for n in range(8)], [f"s{n}" for n in range(8)]


def fill(store: Store) -> None:
    """Tits look one way, sparrows another; t7 is a sparrow under a wrong name. One visit is of another model."""
    rng = np.random.default_rng(1)
    tit, sparrow = rng.normal(size=(2, 16))
    for number, visit_id in enumerate([*TITS, *SPARROWS, "other"]):
        name = "Great tit" if visit_id in TITS else "House sparrow"
        looks = tit if visit_id in TITS[:7] else sparrow
        vector = (looks + 0.1 * rng.normal(size=16)).astype(np.float32)
        visit = example_visit(visit_id, name, start=START + timedelta(minutes=number))
        if visit_id == "other":
            visit = replace(visit, model="demo@2")
        store.writer().record(visit, [replace(example_moment(), embedding=vector * (1 + number))], START)
    store.writer().record(example_visit("bare"), [], START)


def test_birds_that_look_alike_lie_together_and_the_odd_one_is_found() -> None:
    """A wrong name among hundreds of right ones is the bird among the wrong neighbours."""
    with temporary_store() as store:
        fill(store)
        made = Looks().newest(store)
        again = Looks().newest(store)
    places = {point.visit_id: np.array([point.x, point.y]) for point in made.map.points}
    assert set(places) == {*TITS, *SPARROWS}  # neither another model's nor one without a picture
    assert again.name == made.name  # not mirrored, not shuffled
    assert max(np.abs(place).max() for place in places.values()) == 1.0
    among = np.mean([places[one] for one in SPARROWS], axis=0)
    tits = np.mean([places[one] for one in TITS[:7]], axis=0)
    assert np.linalg.norm(places["t7"] - among) < 0.3 < 1.0 < np.linalg.norm(places["t7"] - tits)
    odd = made.map.odd(3)
    assert odd[0].visit_id == "t7"
    assert (odd[0].oddness or 0) > 5 * (odd[1].oddness or 1)
    assert 0.5 < made.map.shown <= 1.0


def test_a_line_picks_what_is_within_it() -> None:
    """A line bends inward too: what lies in the bend is not meant."""
    points = [Point(str(x), "a bird", x / 10, 0.0, None) for x in range(-9, 10)]
    outline = read_outline("-500_-500~-500_500~500_500~100_0~500_-500")  # an arrow head, open to the right
    found = [point.visit_id for point in LooksMap("demo@1", tuple(points), 1.0).within(outline)]
    assert found == ["-5", "-4", "-3", "-2", "-1", "0"]


@pytest.mark.parametrize("text", ["", "1_1~2_2", "a_b~c_d~e_f", "1_1~2_2~~3_3"])
def test_what_is_no_line_picks_nothing(text: str) -> None:
    """An address that was cut short must not choose all birds."""
    assert LooksMap("m", (Point("v", "a bird", 0.0, 0.0, None),), 1.0).within(read_outline(text)) == []


@pytest.mark.parametrize("embeddings", [[], [[0.0, 0.0]], [[1.0, 2.0]], [[1.0, 0.0]] * 4, [[1.0]] * 3])
def test_few_or_equal_birds_are_drawn_too(embeddings: list[list[float]]) -> None:
    """The first day of a station, a model of one dimension, a picture of nothing: no division by nothing."""
    with temporary_store() as store:
        visits = []
        for number, vector in enumerate(embeddings):
            visits.append(example_visit(f"v{number}"))
            moment = replace(example_moment(), embedding=np.array(vector, np.float32))
            store.writer().record(visits[-1], [moment], START)
        drawn = draw_looks(store, [(visit, "House sparrow") for visit in visits])
    assert len(drawn.points) == len(embeddings)
    assert all(np.isfinite([point.x, point.y]).all() for point in drawn.points)
