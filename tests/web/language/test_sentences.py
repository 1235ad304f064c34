"""What lower floors say in English is said in the language of the page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from birdwatchd.web.language.catalogue import language
from birdwatchd.web.language.sentences import FORMS, sentence

PACKAGE = Path(__file__).parents[3] / "birdwatchd"
HEBREW = language("he")


def said_below() -> str:
    """Every text that the package holds, but the forms themselves; a value within one is a line break."""
    texts = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "sentences.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(str(one.value) if isinstance(one, ast.Constant) else "\n" for one in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n\n".join(texts)


def test_every_form_is_still_said() -> None:
    """Whoever words a reason or an error anew is told that the page no longer knows it."""
    said = said_below()
    between = r"%\(\w+\)s|resembles a visit you |visits you |; |\? |[()]|, cannot|, too|its process "
    longest = {form: max(re.split(between, form), key=len) for form in FORMS}
    # A sentence of its own begins with a capital letter.
    assert [
        form for form, piece in longest.items() if piece not in said and piece[:1].upper() + piece[1:] not in said
    ] == []


@pytest.mark.parametrize(
    ("english", "hebrew"),
    [
        ("0.62 is below 0.70 for Great tit", "0.62 נמוך מ־0.70 הדרוש ל־\u2068Great tit\u2069"),
        (
            "crops contradict each other: 2 of 5 say Hen harrier",
            "התמונות סותרות זו את זו: 2 מתוך 5 אומרות \u2068Hen harrier\u2069",
        ),
        ("there is no visit 01JT", "אין ביקור \u206801JT\u2069"),
        ("Did you mean House sparrow?", "האם התכוונתם ל־\u2068House sparrow\u2069?"),
        ("no answer or no visit was chosen", "לא נאמר דבר, או שלא נבחר אף ביקור"),
    ],
)
def test_a_sentence_is_found_by_its_form(english: str, hebrew: str) -> None:
    """Its values are taken over as they are."""
    assert sentence(english, HEBREW) == hebrew
    assert sentence(english, language("en")) == english[:1].upper() + english[1:]


def test_a_sentence_within_another_is_translated_too() -> None:
    """A name that is not sure, and why."""
    whole = sentence("0.71 for Great tit, but looks less like a bird than all earlier visits here", HEBREW)
    assert "נראה פחות כמו ציפור" in whole
    both = sentence("this was undone, and cannot go on; start a new review", HEBREW)
    assert both == "זה בוטל, ואי אפשר להמשיך; התחילו בדיקה חדשה"
    assert "daemon" not in sentence("the daemon does not answer: no daemon listens there.", HEBREW)


def test_what_nobody_translated_stays_english_and_says_so() -> None:
    """A screen reader then reads English as English; and nothing in a sentence becomes an element."""
    assert sentence("the <b>sky</b> fell", HEBREW) == '<span lang="en" dir="ltr">The &lt;b&gt;sky&lt;/b&gt; fell</span>'
    assert sentence("there is no visit <b>", HEBREW) == "אין ביקור \u2068&lt;b&gt;\u2069"
