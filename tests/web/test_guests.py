"""What guests see of a visit: birds and pictures, nothing of people and of the station's files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from birdwatchd.records import Label
from birdwatchd.store import Review, ReviewVerdict
from birdwatchd.testing import START, example_visit, temporary_store
from birdwatchd.web.access.login import Login, hash_of
from tests.support.page import Browser, browser

HASH = hash_of("ten letters")


@pytest.fixture
def home() -> Iterator[Path]:
    """A visit in a recording, which somebody has reviewed."""
    with temporary_store() as store:
        (store.home / "password").write_text(HASH)
        writer = store.writer()
        writer.record(replace(example_visit("v1"), media="/home/ann/Videos/nut.mp4"), [], START)
        writer.review("v1", Review(ReviewVerdict.SPECIES, "ann.smith", Label("Great tit", "Parus major")), START)
        yield store.home


def guest(home: Path) -> Browser:
    return browser(home, login=Login(HASH), web={"guest": True, "password_file": home / "password"})


def test_a_guest_reads_no_names_of_people_and_files(home: Path) -> None:
    """Where somebody's recordings lie, and the user who named the bird, are not for everybody who passes by."""
    shown = guest(home).get("/visits/v1").text
    assert "named by a person" in shown
    assert "ann" not in shown
    owners = browser(home).get("/visits/v1").text
    assert "/home/ann/Videos/nut.mp4" in owners
    assert "Reviewed by ann.smith" in owners


def test_a_guest_who_logs_in_finds_the_same_visits(home: Path) -> None:
    """The filters of the list are part of its address."""
    shown = guest(home).get("/visits?state=confirmed&day=2026-05-01").text
    assert 'href="/login?next=%2Fvisits%3Fstate%3Dconfirmed%26day%3D2026-05-01"' in shown


def test_what_the_owner_can_do_is_not_a_guests_help(home: Path) -> None:
    """Commands of the station's machine, and pages that ask for a password, help nobody who passes by."""
    assert "birdwatchd check" in browser(home).get("/help").text
    shown = guest(home).get("/help").text
    assert ("Uncertain" in shown, "birdwatchd check" in shown, "/health" in shown) == (True, False, False)
