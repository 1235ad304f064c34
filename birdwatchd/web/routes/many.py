"""`/review/many`, `/review/jobs`: review a selection, all that match a filter, or all that look alike, as one job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from birdwatchd.commands.review import species_named
from birdwatchd.commands.review_many import MOST_VISITS, JobFiles, ReviewJob, done_by
from birdwatchd.errors import ConfigError, ReviewRefused
from birdwatchd.store import ReviewVerdict
from birdwatchd.web.home import Home, card_of
from birdwatchd.web.jobs import Jobs
from birdwatchd.web.looks import Looks, read_outline
from birdwatchd.web.render import home_of, render, words_of
from birdwatchd.web.routes.list_filter import Asked, choices_of, misread, read_filter
from birdwatchd.web.routes.visits import likeness
from birdwatchd.web.words import PAGE_REVIEWER, Words

__all__ = ["router"]

router = APIRouter()
PICK = "pick-"  # begins the names of the fields of a selection; the rest is a visit's id
SHOWN = 24
MOST_ALIKE = 500  # visits, among which those are that look like one
BESIDES = ("before", "like", "map", "line")  # which an address of many visits may have besides filters
ALIKE = 0.9  # the least likeness of "all like this", where nobody says another


@dataclass(frozen=True, slots=True)
class Chosen:
    """Visits that are to be reviewed together. `about` says which; `which` is the address's words for them."""

    visit_ids: tuple[str, ...]
    about: str
    which: str


@router.get("/review/many")
def many(request: Request) -> Response:
    """Which visits an address names, and what can be said of all of them."""
    home = home_of(request)
    given = dict(request.query_params) | {"before": request.query_params.get("before") or home.now().isoformat()}
    chosen = _chosen(home, request.app.state.looks, words_of(request), given)
    return render(
        request,
        "many.html",
        chosen=chosen,
        most=MOST_VISITS,
        like=given.get("like", ""),
        least=round(_least(given) * 100),
        cards=home.store.cards.these(chosen.visit_ids[:SHOWN]),
    )


@router.get("/review/jobs")
def jobs(request: Request) -> Response:
    """The newest jobs."""
    home = home_of(request)
    return render(request, "jobs.html", jobs=JobFiles(home.config.home).newest())


@router.post("/review/jobs")
def begin(request: Request) -> Response:
    """Begin a job for what was chosen, or selected."""
    home, form = home_of(request), request.state.form
    selected = tuple(name.removeprefix(PICK) for name in form if name.startswith(PICK))
    if selected:
        about = words_of(request).language.ngettext("%(num)s selected visit", "%(num)s selected visits", len(selected))
        chosen = Chosen(selected, about, "")
    elif form.get("which"):
        chosen = _chosen(home, request.app.state.looks, words_of(request), dict(parse_qsl(form["which"])))
    else:  # which is not all of them
        chosen = Chosen((), "", "")
    verdict = next((one for one in ReviewVerdict if one.value == form.get("verdict")), None)
    species = form.get("species", "").strip()[:255] if verdict is ReviewVerdict.SPECIES else ""
    if verdict is None or not chosen.visit_ids or (verdict is ReviewVerdict.SPECIES and not species):
        raise ConfigError("no answer or no visit was chosen", "choose visits, and say what they are")
    if species:
        species = species_named(species, home.config).common_name
    job = ReviewJob(ReviewJob.id_at(home.now()), verdict, species, PAGE_REVIEWER, chosen.about, chosen.visit_ids)
    _jobs(request).start(job)
    return RedirectResponse(f"/review/jobs/{job.job_id}", 303)


@router.get("/review/jobs/{job_id}")
def job(request: Request, job_id: str) -> Response:
    """How far a job is, and the means to stop it, to let it go on, and to undo it."""
    home = home_of(request)
    found = _found(home, job_id)
    done = len(done_by(home.store, found))
    return render(request, "job.html", job=found, done=done, progress=_jobs(request).progress(job_id))


@router.post("/review/jobs/{job_id}")
def steer(request: Request, job_id: str) -> Response:
    """Stop a job, let it go on, or undo it."""
    found = _found(home_of(request), job_id)
    asked = request.state.form.get("do", "")
    if asked == "stop":
        _jobs(request).halt(job_id)
    elif asked in ("go_on", "undo"):
        _jobs(request).start(found, undo=asked == "undo")
    return RedirectResponse(f"/review/jobs/{found.job_id}", 303)


def _jobs(request: Request) -> Jobs:
    found: Jobs = request.app.state.jobs
    return found


def _found(home: Home, job_id: str) -> ReviewJob:
    found = JobFiles(home.config.home).read(job_id)
    if found is None:
        raise HTTPException(404)
    return found


def _chosen(home: Home, looks: Looks, said: Words, given: Mapping[str, str]) -> Chosen:
    """The visits that an address names: like one, within a line, or all that match and began before it was asked."""
    which = urlencode({name: value for name, value in given.items() if value})
    like = given.get("like", "")
    if given.get("map"):
        drawn = looks.named(given["map"])
        if drawn is None:
            raise ReviewRefused("the map has been drawn again since", "draw the line once more")
        points = drawn.within(read_outline(given.get("line", "")))
        about = said.language.gettext("visits within a line on the map of looks")
        return Chosen(tuple(point.visit_id for point in points), about, which)
    if like:
        visit = card_of(home, like).stored.visit
        least = _least(given)
        found = [one for one, share in likeness(home, visit, MOST_ALIKE) if share >= least]
        about = said.language.gettext(
            "visits that look like %(name)s (%(share)s or more)",
            name=said.title(visit.verdict),
            share=said.percent(least),
        )
        return Chosen((like, *found), about, which)
    if wrong := misread(given, BESIDES):
        raise ConfigError(f"not understood: {', '.join(wrong)}", "it would count for all visits; go back to the list")
    asked = read_filter(given, home.zone)
    wanted, before = asked.wanted, _instant(given.get("before", ""))
    if before is not None:
        wanted = replace(wanted, until=min(wanted.until or before, before))
    wanted = replace(wanted, unreviewed=True, over=True)
    about = _about(asked, home, said)
    return Chosen(tuple(home.store.cards.ids(wanted, MOST_VISITS)), about, which)


def _about(asked: Asked, home: Home, said: Words) -> str:
    """Which visits a filter asks for, in words; that they are not reviewed goes without being asked for."""
    _, wanted = said.language.gettext, asked.wanted
    camera = home.camera_name(wanted.camera) if wanted.camera else None
    chosen = choices_of(replace(asked, wanted=replace(wanted, unreviewed=False)), said, wanted.species, camera)
    named = ", ".join(one.words for one in chosen)
    return _("%(which)s, not reviewed", which=named) if named else _("all visits, not reviewed")


def _least(given: Mapping[str, str]) -> float:
    text = given.get("least", "")
    return min(int(text), 100) / 100 if text.isascii() and text.isdecimal() and len(text) <= 3 else ALIKE


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):  # at the ends of the calendar there is no time in another zone
        return None
