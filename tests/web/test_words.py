"""The words of the page are those of people, and say no more than is known."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from birdwatchd.records import Rank, State, Verdict
from birdwatchd.web.language.catalogue import language
from birdwatchd.web.routes.visits import top_rows
from birdwatchd.web.words import Words
from tests.support.three_birds import NOW

ENGLISH = language("en")
WORDS = Words(ENGLISH)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (WORDS.age(None), "never"),
        (WORDS.age(2), "just now"),
        (WORDS.frame_age(2), "just now"),
        (WORDS.frame_age(28), "less than a minute ago"),
        (WORDS.frame_age(61), "61 s ago"),
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
