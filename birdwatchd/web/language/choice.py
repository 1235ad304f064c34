"""Choose the language of an answer: what somebody chose at the page, the station's setting, or the browser's wish."""

from __future__ import annotations

from collections.abc import Mapping

from birdwatchd.web.cookies import cookie
from birdwatchd.web.language.catalogue import ENGLISH, LANGUAGES

__all__ = ["COOKIE", "chosen"]

COOKIE = "birdwatchd_language"
MOST_LANGUAGES = 20  # that a browser's wish is read of


def chosen(headers: Mapping[str, str], setting: str) -> str:
    """The code of the language to answer in.

    Args:
        headers: of the request, by names in small letters.
        setting: `web.language`: a code, or `auto`.
    """
    kept = cookie(headers.get("cookie", ""), COOKIE)
    if kept in LANGUAGES:
        return kept
    return setting if setting in LANGUAGES else _preferred(headers.get("accept-language", ""))


def _preferred(wish: str) -> str:
    """The best of ours for an `Accept-Language` header: `he-IL,he;q=0.9,en;q=0.8`; English where it names none."""
    found: dict[str, float] = {}
    for part in wish.split(",")[:MOST_LANGUAGES]:
        tag, _, weight = part.partition(";")
        code = {"iw": "he"}.get(known := tag.strip().lower().partition("-")[0], known)  # Java's old name of Hebrew
        if code in LANGUAGES:
            found.setdefault(code, _weight(weight))
    best = max(found, key=lambda code: found[code], default=ENGLISH)
    return best if found.get(best, 0) > 0 else ENGLISH


def _weight(text: str) -> float:
    """`q=0.8` as a number; 1 where there is none, 0 where it is no number."""
    name, equals, value = text.strip().partition("=")
    if not equals or name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
