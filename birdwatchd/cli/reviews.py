"""Define the commands by which a person says what a bird was, and those that use what was said for other visits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from birdwatchd.cli.options import (
    SINCE_HELP,
    STATE_HELP,
    VISIT_HELP,
    ConfigOption,
    HomeOption,
    ModelOption,
    VerboseOption,
)
from birdwatchd.commands.arguments import overridden, parse_since, stored_config
from birdwatchd.commands.terminal import setup_log
from birdwatchd.errors import ConfigError
from birdwatchd.records import State

__all__ = ["add_review_commands"]


def add_review_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    app.command(
        rich_help_panel="Teach",
        epilog="Example: birdwatchd review 01JTJC2Q8ZK4V7XW5N3M9R6BDA --species 'House sparrow'",
    )(review)
    app.command(rich_help_panel="Teach", epilog="Example: birdwatchd relabel --since 30d --dry-run")(relabel)
    app.command(rich_help_panel="Teach", epilog="Example: birdwatchd calibrate --dry-run")(calibrate)


def review(
    visit_id: Annotated[str | None, typer.Argument(metavar="[VISIT]", help=VISIT_HELP)] = None,
    config: ConfigOption = None,
    home: HomeOption = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="The name is right.")] = False,
    species: Annotated[
        str | None, typer.Option(metavar="NAME", help="The right species: common, scientific or local name.")
    ] = None,
    not_a_bird: Annotated[bool, typer.Option("--not-a-bird", help="It was a leaf, a squirrel, a hand …")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Undo the last review of this visit.")] = False,
    ask: Annotated[
        bool, typer.Option("--ask", help="Show each visit that nobody has reviewed, or VISIT, and ask what it was.")
    ] = False,
    since: Annotated[str | None, typer.Option(metavar="T", help=f"With --ask: {SINCE_HELP}")] = None,
    until: Annotated[str | None, typer.Option(metavar="T", help="With --ask: visits that began before then.")] = None,
    camera: Annotated[str | None, typer.Option(metavar="KEY", help="With --ask: only this camera.")] = None,
    state: Annotated[
        list[State] | None,
        typer.Option("--state", metavar="STATE", help=f"With --ask: {STATE_HELP}"),
    ] = None,
    any_name: Annotated[
        bool, typer.Option("--any-name", help="Accept a name that is not in the species table.")
    ] = False,
    by: Annotated[str, typer.Option(metavar="NAME", help="Name of the reviewer [default: your user name].")] = "",
) -> int:
    """Confirm or correct a visit; with --ask one after the other, the newest first, with the paths of its pictures."""
    from birdwatchd.commands.review import ReviewOptions, run_review, user_name
    from birdwatchd.store import ReviewVerdict

    wanted = [confirm, species is not None, not_a_bird, undo]
    settings = stored_config(config, home=home)
    now, zone = datetime.now(UTC), settings.station.zone
    if ask and not any((*wanted, any_name)):
        from birdwatchd.commands.asking.ask import AskOptions, run_ask

        times = {"since": since, "until": until}
        read = {name: parse_since(text, now, zone, f"--{name}") for name, text in times.items() if text is not None}
        options = AskOptions(by or user_name(), visit_id, camera=camera, states=tuple(state or ()), **read)
        return run_ask(settings, options)
    if sum(wanted) != 1 or ask:
        raise ConfigError(
            "choose one review", "use one of --confirm, --species NAME, --not-a-bird and --undo, or --ask"
        )
    if visit_id is None or since or until or camera or state:
        hint = "name one, such as `last`; --since, --until, --camera and --state belong to --ask"
        raise ConfigError("a review is of one visit", hint)
    verdicts = (ReviewVerdict.CONFIRM, ReviewVerdict.SPECIES, ReviewVerdict.NOT_A_BIRD, None)
    verdict = verdicts[wanted.index(True)]
    return run_review(settings, ReviewOptions(visit_id, verdict, species or "", undo, any_name, by))


def calibrate(
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the result without saving it.")] = False,
) -> int:
    """Calibrate confidence from your reviews."""
    from birdwatchd.commands.calibrate import run_calibrate

    return run_calibrate(overridden(stored_config(config, home=home), model=model), dry_run=dry_run)


def relabel(
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    since: Annotated[str | None, typer.Option(metavar="T", help=SINCE_HELP)] = None,
    camera: Annotated[str | None, typer.Option(metavar="KEY", help="Only this camera.")] = None,
    tell: Annotated[
        bool, typer.Option("--tell", help="Publish changes over MQTT and apply the alert rules to them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change without changing it.")] = False,
    verbose: VerboseOption = False,
) -> int:
    """Classify stored visits again, after settings or the model changed.

    The earlier verdicts are kept, and reviews stay as they are.
    """
    from birdwatchd.commands.relabel import RelabelOptions, run_relabel

    setup_log(verbose=verbose)
    settings = overridden(stored_config(config, home=home), model=model)
    setup_log(verbose=verbose, as_json=settings.log.format == "json", zone=settings.station.zone)
    after = parse_since(since, datetime.now(UTC), settings.station.zone) if since else None
    return run_relabel(settings, RelabelOptions(after, camera, tell, dry_run))
