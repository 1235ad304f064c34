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
from birdwatchd.species.verdict.named import find_species, similar_species
from birdwatchd.store import Review, ReviewVerdict, Store

__all__ = ["ReviewOptions", "review_visit", "run_review", "species_named"]


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
    with Store.open(config.home, zone=config.station.zone, without_pictures=config.without_pictures) as store:
        before = store.visits.named(options.visit_id)
        visit_id = before.visit_id
        writer = store.writer(build_composer(config), build_alert_engine(config))
        if options.undo:
            after = writer.undo_review(visit_id, now)
        else:
            assert options.verdict is not None
            review = Review(options.verdict, options.by or _user(), label)
            after = writer.review(visit_id, review, now)
    return before, after


def species_named(name: str, config: Config, *, any_name: bool = False) -> Label:
    """The species with a common, scientific or local name.

    Args:
        any_name: accept an unknown name as it is written.

    Raises:
        ConfigError: no species has this name; suggests similar ones.
    """
    found = find_species(name, config.species)
    if found is not None:
        return found
    if any_name:
        return Label(" ".join(name.split()))
    similar = similar_species(name, config.species)
    hint = f"did you mean {similar}? " if similar else ""
    raise ConfigError(f"unknown species {name}", f"{hint}to use the name as written, add --any-name")


def _outcome(before: Visit, after: Visit) -> str:
    return f"{shown(after.visit_id)}: {shown(name_of(before.verdict))} → [bold]{shown(name_of(after.verdict))}[/]"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        return "somebody"
