"""`/species`: which species were seen here, and `/species/NAME`: when one of them comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from birdwatchd.store.pages.cards import CardFilter
from birdwatchd.web.render import home_of, render, words_of

__all__ = ["Bar", "bars_of", "router"]

router = APIRouter()
NEWEST = 12
HEIGHT = 80.0  # of the tallest bar, in units of the drawing


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart. `height` is in units of the drawing, 0 … 80."""

    label: str
    number: int
    height: float


@router.get("/species")
def species_list(request: Request) -> Response:
    """The species that were seen, the one seen last first; of this year only, if that is asked for."""
    home = home_of(request)
    year = request.query_params.get("of") == "year"
    local = home.now().astimezone(home.zone)
    begin = local.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0) if year else None
    return render(request, "species_list.html", found=home.store.species.all(begin), year=local.year, of_year=year)


@router.get("/species/{name:path}")  # names of two species hold a slash
def species_page(request: Request, name: str) -> Response:
    """One species: when it comes, and its newest visits."""
    home = home_of(request)
    found = home.store.species.of(name)
    if found is None:
        raise HTTPException(404)
    times = [at.astimezone(home.zone) for at in home.store.species.times(name)]
    hours, months = Counter(at.hour for at in times), Counter(at.month for at in times)
    return render(
        request,
        "species.html",
        species=found,
        hours=bars_of([(f"{hour:02}", hours[hour]) for hour in range(24)]),
        months=bars_of([(name, months[month]) for month, name in enumerate(words_of(request).language.months(), 1)]),
        newest=home.store.cards.page(CardFilter(species=name), NEWEST).cards,
    )


def bars_of(counts: Sequence[tuple[str, int]]) -> list[Bar]:
    """Bars for labels and numbers, the largest number as high as the chart."""
    most = max((number for _, number in counts), default=0)
    return [Bar(label, number, HEIGHT * number / most if most else 0.0) for label, number in counts]
