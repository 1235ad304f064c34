"""`birdwatchd review`: confirm a visit's name, correct it, mark it as no bird, or undo that."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import UTC, datetime

from birdwatchd.alerts.engine import build_alert_engine
from birdwatchd.commands.terminal import name_of, out, shown
from birdwatchd.errors import ConfigError
from birdwatchd.mqtt.build import build_composer
from birdwatchd.records import Label, Visit
from birdwatchd.settings.config import Config
from birdwatchd.species.verdict.named import SpeciesNames, find_species, similar_species
from birdwatchd.store import Review, ReviewVerdict, Store

__all__ = ["ReviewOptions", "review_visit", "run_review", "species_named", "user_name"]


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """What the command line asked for: one of `verdict` and `undo`."""

    visit_id: str
    verdict: ReviewVerdict | None = None
    species: str = ""
    undo: bool = False
    any_name: bool = False
    by: str = ""


def run_review(config: Config, options: ReviewOptions) -> int:
    """Store the review, and say what it changed.

    Raises:
        ConfigError, StoreError: as `review_visit`.
    """
    before, after = review_visit(config, options, datetime.now(UTC))
    out.print(_outcome(before, after), soft_wrap=True)
    return 0


def review_visit(config: Config, options: ReviewOptions, now: datetime) -> tuple[Visit, Visit]:
    """Store a review, or take one back; corrections go to those who were notified of the visit.

    Returns:
        The visit as it was, and as it is then.

    Raises:
        ConfigError: no species has this name.
        StoreError: there is no such visit, it is not over, or there is nothing to confirm or to take back.
    """
    label = None
    if options.verdict is ReviewVerdict.SPECIES:
        label = species_named(options.species, config, any_name=options.any_name)
    zone, unkept = config.station.zone, config.without_pictures
    with Store.open(config.home, zone=zone, without_pictures=unkept, existing=True) as store:
        before = store.visits.named(options.visit_id)
        visit_id = before.visit_id
        writer = store.writer(build_composer(config), build_alert_engine(config))
        if options.undo:
            after = writer.undo_review(visit_id, now)
        else:
            assert options.verdict is not None
            review = Review(options.verdict, options.by or user_name(), label)
            after = writer.review(visit_id, review, now)
    return before, after


def species_named(name: str, config: Config, *, any_name: bool = False) -> Label:
    """The species with a common, scientific or local name, or the only one with a word in a name that begins so.

    Args:
        any_name: accept an unknown name as it is written; a beginning is then none.

    Raises:
        ConfigError: no species has this name; suggests similar ones.
    """
    if any_name:
        return find_species(name, config.species) or Label(" ".join(name.split()))
    found = SpeciesNames(config.species).find(name)
    if len(found) == 1:
        return found[0]
    similar = " or ".join(one.common_name for one in found[:3]) or similar_species(name, config.species)
    hint = f"did you mean {similar}{' …' if len(found) > 3 else ''}? " if similar else ""
    raise ConfigError(f"unknown species {name}", f"{hint}to use the name as written, add --any-name")


def _outcome(before: Visit, after: Visit) -> str:
    name, now = name_of(before.verdict), name_of(after.verdict)
    if name == now:
        why = next(iter(after.verdict.reasons), "as before the review")
        return f"{shown(after.visit_id)}: [bold]{shown(now)}[/], {shown(why)}"
    return f"{shown(after.visit_id)}: {shown(name)} → [bold]{shown(now)}[/]"


def user_name() -> str:
    """Who reviews where nobody says otherwise."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        return "somebody"
