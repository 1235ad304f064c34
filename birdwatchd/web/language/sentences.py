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

# Values are names, numbers and paths; those of `WITHIN` are sentences, and translated. More special forms come first.
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
    # why a camera can hardly see birds (`camera/blindness.py`)
    N_("the picture is frozen"),
    N_("restart the camera, or the recorder that it comes from"),
    N_("the picture is black"),
    N_("check the lens cover, the exposure and the infra-red lamp; a night without a lamp is as dark as that"),
    N_("the picture shows nothing"),
    N_("clean the lens; it is covered, fogged up or overexposed"),
    N_("the camera moves too much"),
    N_("fix it to something firm, shield it from the wind, and switch off whatever turns it"),
    N_("almost the whole picture moves"),
    N_("turn the camera away from water and leaves, dry the lens, or draw `ignore` polygons around what moves"),
    # what could not be done, and what to do about it (`web/`, `store/`, `commands/`)
    N_("there is nothing under this address."),
    N_("the page itself has a fault, which is in its log as fault %(id)s"),
    N_("if it happens again, report it with these lines of the log"),
    N_("the station cannot show this now"),
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
    N_("its name has changed to %(name)s"),
    N_("look at it again"),
    N_("visit %(name)s has no name to confirm"),
    N_("say which species it is"),
    N_("visit %(name)s has no review to take back"),
    N_("visit %(name)s is not over yet"),
    N_("review it when the bird has left"),
    N_("no answer or no visit was chosen"),
    N_("choose visits, and say what they are"),
    N_("the map has been drawn again since"),
    N_("draw the line once more"),
    N_("this was undone, and cannot go on"),
    N_("start a new review"),
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
    N_("%(path)s: holds no visits yet"),
    N_("start `birdwatchd run` once"),
    N_("not understood: %(what)s"),
    N_("it would count for all visits; go back to the list"),
    N_("unknown filter %(name)s; did you mean %(other)s?"),
    N_("unknown filter %(name)s"),
    N_("“%(what)s” (%(name)s): %(value)s cannot be read; write %(how)s"),
    N_("%(name)s: %(value)s cannot be read; write %(how)s"),
    N_("Name is"),
    N_("Day"),
    N_("Hour"),
    N_("firsts"),
    N_("rare"),
    N_("not reviewed"),
    N_("Score from, in percent"),
    N_("Score to, in percent"),
    N_("a scientific name"),
    N_("the key of a camera"),
    N_("one of %(names)s"),
    N_("a date such as %(date)s"),
    N_("an hour from 0 to 23, together with a day"),
    N_("a whole percentage such as %(number)s"),
    N_("taken from the link to older visits"),
    N_("%(path)s: another process holds the database"),
    N_("try again when it has finished"),
    N_("%(path)s: no room on the disk"),
    # why a camera shows nothing (`stages/live.py`, `web/routes/camera_now.py`)
    N_("this camera is not watched."),
    N_("no picture of this camera is kept or shown (store: nothing)."),
    N_("the daemon does not answer: %(why)s."),
    N_("there is no picture yet: the camera has sent none since this page was opened."),
    # why there are no lines for a place that was drawn (`web/routes/camera_lines.py`)
    N_("line %(number)s holds something other than numbers from 0 to 1."),
    N_("line %(number)s has an odd number of numbers: each corner has two."),
    N_("line %(number)s has a number above 1: they are fractions of the picture."),
    N_("a place needs three corners or more; line %(number)s has %(count)s."),
    N_("that is more than %(number)s corners; use fewer."),
    N_("give the zone a name; alert rules use it."),
    N_("a zone is one place; draw one."),
    N_("free some space; birdwatchd then goes on by itself"),
    # what the self-test, the evidence map and the log say (`web/asked/`, `stages/`, `monitor/`)
    N_("online"),
    N_("offline"),
    N_("starting"),
    N_("finished"),
    N_("disabled"),
    N_("unknown"),
    N_("%(state)s, a frame %(seconds)s s ago, cannot see birds"),
    N_("%(state)s, a frame %(seconds)s s ago"),
    N_("%(state)s, cannot see birds"),
    N_("%(free)s of %(all)s GB are free, too little for clips"),
    N_("%(free)s of %(all)s GB are free, too little for pictures"),
    N_("%(free)s of %(all)s GB are free"),
    N_("not reached"),
    N_("%(number)s crop accepted from the test camera"),
    N_("no answer in %(seconds)s s, %(number)s crops wait; see the log for its stage"),
    N_("the network gave no answer; see crops_undecodable_total in the metrics"),
    N_("%(model)s, after %(seconds)s s"),
    N_("no answer in %(seconds)s s; see the log for the database"),
    N_("written with its crop, read back, and taken back"),
    N_("no broker is configured"),
    N_("not acknowledged in %(seconds)s s: %(reason)s"),
    N_("the broker is not connected; see the log"),
    N_("%(number)s messages wait before it"),
    N_("the broker acknowledged %(topic)s after %(seconds)s s"),
    N_("another map is being made; ask again when it is done"),
    N_("the picture is not kept any more"),
    N_("no picture of this visit is kept"),
    N_("retention or somebody has removed it, or its camera has `store: nothing`"),
    N_("the model %(name)s is not on this machine"),
    N_("run birdwatchd with it once, or `birdwatchd check --probe`: both fetch it; then ask again"),
    N_("there is not enough memory for the model"),
    N_("the map cannot be kept"),
    N_("the disk is full, or the home is not yours to write to"),
    N_("its process cannot be started (%(why)s)"),
    N_("it took longer than %(seconds)s s and was stopped"),
    N_("its process was ended by signal %(number)s; there may be too little memory"),
    N_("its process ended with status %(number)s; there may be too little memory"),
    N_("its process was ended by signal %(number)s (%(why)s)"),
    N_("its process was ended by signal %(number)s"),
    N_("its process ended with status %(number)s (%(why)s)"),
    N_("its process ended with status %(number)s"),
    N_("its socket is not yours; run this as the daemon's user, or as root"),
    N_("no daemon listens there"),
    N_("its socket cannot be used (%(why)s)"),
    N_("the daemon has been silent for %(seconds)s s"),
    N_("the daemon hung up in the middle of its answer"),
    N_("the daemon hung up without an answer; run this as its user, or as root"),
    N_("it gave no answer"),
)
WITHIN = frozenset({"how", "reason", "state", "what", "why"})
_VALUE = re.compile(r"%\((\w+)\)s")


def sentence(text: str, language: Language, *, whole: bool = True) -> Markup:
    """A sentence of a lower floor, for a page; in English, and marked so, where nobody translated it.

    Args:
        whole: begins with a capital letter.
    """
    said = _said(text, language)
    english = said is None and language.code != ENGLISH
    said = (text if said is None else said).replace("`", "")
    shown = escape(said[:1].upper() + said[1:] if whole else said)
    return Markup('<span lang="en" dir="ltr">{}</span>').format(shown) if english else shown


def _said(text: str, language: Language) -> str | None:
    for form, pattern in _patterns():
        found = pattern.fullmatch(text)
        if found is None:
            continue
        values = found.groupdict()
        for inner in values.keys() & WITHIN:
            values[inner] = _said(values[inner], language) or values[inner]
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
