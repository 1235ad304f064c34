"""In which language somebody is answered."""

from __future__ import annotations

import time

import pytest

from birdwatchd.web.language.choice import chosen


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ("", "en"),
        ("he", "he"),
        ("he-IL,he;q=0.9,en-US;q=0.8,en;q=0.7", "he"),
        ("en-GB,en;q=0.9,he;q=0.8", "en"),
        ("fr,he;q=0.5", "he"),
        ("en;q=0.3, he;q=0.4", "he"),
        ("iw", "he"),
        ("fr, *", "en"),
        ("he;q=0", "en"),
        ("he;q=nan,en;q=0.1", "en"),
        ("he;q=x;q", "en"),
        (",;=,he;", "he"),
    ],
)
def test_a_browser_is_answered_in_what_it_prefers(wish: str, code: str) -> None:
    """Nobody has to look for a switch; whatever stands in the header, a page comes."""
    assert chosen({"accept-language": wish}, "auto") == code


@pytest.mark.parametrize(
    ("cookie", "setting", "code"),
    [
        ("", "he", "he"),
        ("", "en", "en"),
        ("birdwatchd_language=en", "he", "en"),
        ("a=b; birdwatchd_language=he", "auto", "he"),
        ("birdwatchd_language=../../etc", "auto", "he"),
        ("\x00=;;", "auto", "he"),
        ('frigate={"theme": "dark"}; a b; é=1;birdwatchd_language=en', "auto", "en"),  # of others on this host
    ],
)
def test_what_somebody_chose_counts_before_the_setting(cookie: str, setting: str, code: str) -> None:
    """One of a family reads English on a station that is set to Hebrew."""
    assert chosen({"accept-language": "he", "cookie": cookie}, setting) == code


def test_no_cookie_takes_long_to_read() -> None:
    """Whoever is not logged in can send one; Python's own parser took a second for it, in which nobody was answered."""
    began_s = time.process_time()
    assert chosen({"cookie": 'a="' + '\\"' * 7500 + '"'}, "auto") == "en"
    assert time.process_time() - began_s < 0.1
