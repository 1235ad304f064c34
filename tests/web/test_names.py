"""Names that are found while they are typed: those that are meant come first, in Hebrew too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from birdwatchd.settings.species import SpeciesSettings
from birdwatchd.testing import temporary_store
from birdwatchd.web.names import Names
from tests.support.page import Browser, browser
from tests.support.three_birds import UNSURE, fill


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_store() as store:
        fill(store)
        yield store.home


@pytest.fixture
def owner(home: Path) -> Browser:
    return browser(home, cameras={"nut": {"source": "/", "name": "Nut feeder"}})


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
