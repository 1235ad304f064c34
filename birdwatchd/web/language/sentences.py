"""Say in another language what a lower floor said in English: why a bird has its name, what went wrong, what to do.

Verdicts keep their reasons as sentences, and errors are sentences for logs, programs and the terminal too. So the page
knows the forms that they take, and finds in a sentence the values that are in it. One whose form it does not know
stays English.
"""

from __future__ import annotations

import re
from functools import cache

from markupsafe import Markup, escape

from birdwatchd.web.language.catalogue import ENGLISH, N_, Language

__all__ = ["FORMS", "sentence"]

# Values are names, numbers and paths, but `reason`, which is a sentence of its own. The more special form comes first.
FORMS = (
    # why a bird has its name (`species/verdict/fusion.py`, `store/reviews.py`)
    N_("reviewed by %(name)s"),
    N_("%(share)s for %(name)s, but %(reason)s"),
    N_("%(share)s for %(name)s, which is not expected here and now"),
    N_("%(share)s for %(name)s, which is not a species"),
    N_("%(share)s is below %(least)s for %(name)s"),
    N_("%(name)s is not expected here and now"),
    N_("resembles a visit you corrected to %(name)s; there is no other %(other)s from here to compare with"),
    N_("resembles %(number)s visits you corrected to %(name)s; there is no other %(other)s from here to compare with"),
    N_("resembles a visit you marked as not a bird; there is no other %(other)s from here to compare with"),
    N_("resembles %(number)s visits you marked as not a bird; there is no other %(other)s from here to compare with"),
    N_("resembles a visit you marked as not a bird"),
    N_("resembles %(number)s visits you marked as not a bird"),
    N_("resembles a visit you corrected to %(name)s, not %(other)s"),
    N_("resembles %(number)s visits you corrected to %(name)s, not %(other)s"),
    N_("one crop is not enough for a rarity"),
    N_("crops contradict each other: %(number)s of %(total)s say %(name)s"),
    N_("%(number)s of %(total)s crops say %(name)s"),
    N_("only its order is certain"),
    N_("no crop could be classified"),
    N_("looks less like a bird than all earlier visits here"),
    N_("differs %(ratio)s times as much as usual from earlier visits of %(name)s"),
    # what needs somebody, and what is missing in the report (`commands/status.py`)
    N_("the daemon does not run (last sign of life %(at)s); start it: birdwatchd run"),
    N_("the daemon does not run (no sign of life in the last seven days); start it: birdwatchd run"),
    N_(
        "the daemon does not answer (%(why)s): it stopped in the last two minutes, starts just now, or cannot use its"
        " address; see its log"
    ),
    N_("camera %(name)s has given no picture for %(span)s; see the log"),
    N_("%(name)s: messages have waited for %(span)s; is its service reachable?"),
    N_("the last backup is %(span)s old; see why %(folder)s gets none"),
    N_("the disk is nearly full: %(size)s are free; make room"),
    N_("fps, motion, queues and memory are shown where `metrics.bind` is set in the configuration"),
    N_("nothing answers at %(address)s (%(why)s): no fps, motion, queues"),
    # what could not be done, and what to do about it (`web/`, `store/`, `commands/`)
    N_("there is nothing under this address."),
    N_("there is no visit %(name)s"),
    N_("it may have been deleted"),
    N_("see `birdwatchd visits`"),
    N_("this says nothing about the visit"),
    N_("confirm it, name a species, or say that it is no bird"),
    N_("no species is named"),
    N_("write its name"),
    N_("no species is called %(name)s"),
    N_("unknown species %(name)s"),
    N_("did you mean %(name)s?"),
    N_("did you mean %(name)s? to use the name as written, add --any-name"),
    N_("to use the name as written, add --any-name"),
    N_("visit %(name)s has no name to confirm"),
    N_("say which species it is"),
    N_("visit %(name)s has no review to take back"),
    N_("visit %(name)s is not over yet"),
    N_("review it when the bird has left"),
    N_("nothing was said, or of no visit"),
    N_("choose visits, and say what they are"),
    N_("the map was drawn anew since"),
    N_("draw the line once more"),
    N_("this was undone, and cannot go on"),
    N_("ask for it anew"),
    N_("other visits are just being reviewed"),
    N_("wait until that is done, or stop it"),
    N_("there are too many visits to search them here for the first time"),
    N_("run `birdwatchd similar last` once; the search is quick from then on"),
    N_("%(path)s cannot be written: %(why)s"),
    N_("nothing was reviewed"),
    N_("%(path)s: there is no database"),
    N_("check `home`, or run birdwatchd there first"),
    N_("restore it, or let `birdwatchd doctor --repair --home %(home)s` make visits of the pictures"),
    N_("%(path)s: is of an older birdwatchd"),
    N_("start `birdwatchd run` once; it upgrades it"),
    N_("%(path)s: another process holds the database"),
    N_("try again when it has finished"),
    N_("%(path)s: no room on the disk"),
    N_("free some space; birdwatchd then goes on by itself"),
)
_VALUE = re.compile(r"%\((\w+)\)s")


def sentence(text: str, language: Language) -> Markup:
    """A sentence of a lower floor, for a page; in English, and marked so, where nobody translated it."""
    said = _said(text, language)
    english = said is None and language.code != ENGLISH
    said = (text if said is None else said).replace("`", "")
    shown = escape(said[:1].upper() + said[1:])
    return Markup('<span lang="en" dir="ltr">{}</span>').format(shown) if english else shown


def _said(text: str, language: Language) -> str | None:
    for form, pattern in _patterns():
        found = pattern.fullmatch(text)
        if found is None:
            continue
        values = found.groupdict()
        if "reason" in values:
            values["reason"] = _said(values["reason"], language) or values["reason"]
        return language.gettext(form, **values)
    first, semicolon, rest = text.partition("; ")  # an error with its remedy in one line
    parts = [_said(first, language), _said(rest, language)] if semicolon else []
    return "; ".join(part for part in parts if part is not None) if parts and None not in parts else None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each form with the expression that finds its values in a sentence."""
    found = []
    for form in FORMS:
        pieces = _VALUE.split(form)  # text, name, text, name, … text
        names = [f"(?P<{piece}>.+?)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)]
        first = names[0][:1]  # some begin with a capital letter where they were said
        start = f"(?:{first}|{first.upper()})" if first.isalpha() else first
        found.append((form, re.compile(start + names[0][1:] + "".join(names[1:]), re.DOTALL)))
    return tuple(found)
