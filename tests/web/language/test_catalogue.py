"""The catalogue is complete: what is added to the page without its translation is found here."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from babel.messages.catalog import Message

from birdwatchd.web.language.catalogue import ENGLISH, LANGUAGES, language
from tools.texts import FOLDER, catalogue_of, found

ROOT = Path(__file__).parents[3]
OTHERS = [code for code in LANGUAGES if code != ENGLISH]
CLDR = re.compile(r"E{3,5}|d|M{3,4}|y")  # the letters of the patterns of dates


def forms(text: Message) -> Iterator[tuple[str, str]]:
    """Each translation with the English that it says; of the plural the last one names the number."""
    if isinstance(text.string, str):
        yield str(text.id), text.string
    else:
        yield text.id[1], list(text.string or [""])[-1]


def test_there_is_a_catalogue_for_each_language() -> None:
    """A language that is offered has its texts."""
    assert sorted(one.parents[1].name for one in FOLDER.glob("*/LC_MESSAGES/page.po")) == sorted(OTHERS)


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_translated(code: str) -> None:
    """`python -m tools.texts` adds the new ones, and says which wait."""
    texts = catalogue_of(code)
    wanted = {(one.context, one.id) for one in found() if one.id}
    assert len(wanted) > 300
    assert {(one.context, one.id) for one in texts if one.id} == wanted
    assert [one.id for one in texts if one.id and not (one.string and all(one.string))] == []
    assert [one.id for one in texts if one.fuzzy and one.id] == []
    assert list(texts.obsolete) == []


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_values_and_elements_of_its_english(code: str) -> None:
    """A placeholder that is misspelt is a page that does not come; an element that is not closed, one in bold."""
    for one in catalogue_of(code):
        if not one.id:
            continue
        for english, said in forms(one):
            for what in (r"%\(\w+\)s|%%", r"</?\w+[^>]*>", r"`[^`]*`"):
                assert Counter(re.findall(what, said)) == Counter(re.findall(what, english)), said
            rest = re.sub(r"%\(\w+\)s|%%", "", said)
            assert "%" not in rest, said
        named = set(re.findall(r"%\((\w+)\)s", str(one.id)))
        several = [one.string] if isinstance(one.string, str) else list(one.string or [])
        for said in several:  # of one or two the number need not be said
            assert set(re.findall(r"%\((\w+)\)s", said)) <= named, said
            assert said.count("<") == str(one.id[0] if isinstance(one.id, tuple) else one.id).count("<"), said
        if isinstance(one.id, str) and CLDR.fullmatch(one.id.split()[0]):
            assert CLDR.search(several[0]), several


def test_numbers_and_days_are_those_of_the_language() -> None:
    """Hebrew counts one, two and many, and says the month with its letter."""
    hebrew = language("he")
    said = [hebrew.ngettext("%(num)s visit", "%(num)s visits", number) for number in (1, 2, 3, 1234)]
    assert said == ["ביקור אחד", "שני ביקורים", "3 ביקורים", "1,234 ביקורים"]
    assert hebrew.date(date(2026, 5, 4), "EEEE d MMMM") == "יום שני, 4 במאי"
    assert (hebrew.direction, language("en").direction) == ("rtl", "ltr")
    assert len(hebrew.months()) == len(set(hebrew.months())) == 12


def test_a_latin_name_stands_by_itself_in_hebrew() -> None:
    """Otherwise `Great tit?` within a Hebrew sentence has its question mark before the bird."""
    said = language("he").gettext("%(share)s for %(name)s, but %(reason)s", share=0.4, name="Great tit?", reason="שלום")
    assert "\u2068Great tit?\u2069" in said
    assert said.count("\u2068") == 1


def test_the_wheel_carries_the_catalogues() -> None:
    """An installed page without them would not start in Hebrew."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["birdwatchd"]
    packed = {one for pattern in patterns for one in (ROOT / "birdwatchd").glob(pattern)}
    assert {FOLDER / code / "LC_MESSAGES" / "page.po" for code in OTHERS} <= packed


def test_no_text_holds_an_address() -> None:
    """The path of the page is put before addresses when a template is read: such a text has no translation then."""
    texts = [text for one in found() if one.id for text in ([one.id] if isinstance(one.id, str) else one.id)]
    assert [text for text in texts if re.search(r"""(?:href|src|action)=["']/""", text)] == []
