"""Define the commands that look at what is stored: list visits, show one, delete some, say when was watched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from birdwatchd.cli.options import SINCE_HELP, STATE_HELP, VISIT_HELP, ConfigOption, HomeOption
from birdwatchd.commands.arguments import parse_since, stored_config
from birdwatchd.errors import ConfigError
from birdwatchd.records import State

__all__ = ["add_visit_commands"]


def add_visit_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    app.command(rich_help_panel="Look", epilog="Example: birdwatchd visits --since 7d --species 'Eurasian hoopoe'")(
        visits
    )
    app.command(rich_help_panel="Look", epilog="Example: birdwatchd show last:nut_feeder")(show)
    app.command(rich_help_panel="Look", epilog="Example: birdwatchd effort --since 30d")(effort)
    app.command(rich_help_panel="Keep", epilog="Example: birdwatchd delete 01JTJC2Q --yes")(delete)


def visits(
    config: ConfigOption = None,
    home: HomeOption = None,
    since: Annotated[str | None, typer.Option(metavar="T", help=SINCE_HELP)] = None,
    until: Annotated[str | None, typer.Option(metavar="T", help="Only visits that began before then.")] = None,
    camera: Annotated[str | None, typer.Option(metavar="KEY", help="Only this camera.")] = None,
    species: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this species: any name of it, or a word of one.")
    ] = None,
    genus: Annotated[str | None, typer.Option(metavar="NAME", help="Only this genus, such as Parus.")] = None,
    family: Annotated[str | None, typer.Option(metavar="NAME", help="Only this family, such as Paridae.")] = None,
    state: Annotated[list[State] | None, typer.Option("--state", metavar="STATE", help=STATE_HELP)] = None,
    unreviewed: Annotated[bool, typer.Option("--unreviewed", help="Only visits that nobody has reviewed.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="At most N visits, the newest.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table for spreadsheets.")] = False,
) -> int:
    """List visits, newest last."""
    from birdwatchd.commands.visits import ListOptions, genera_of, run_visits
    from birdwatchd.store import VisitFilter

    if as_json and as_csv:
        raise ConfigError("choose one form", "use one of --json and --csv")
    if genus and family:
        raise ConfigError("choose one group", "use one of --genus and --family")
    settings = stored_config(config, home=home)
    now, zone = datetime.now(UTC), settings.station.zone
    genera, group = genera_of(family) if family else (frozenset({genus.capitalize()} if genus else ()), None)
    wanted = VisitFilter(
        since=parse_since(since, now, zone) if since else None,
        until=parse_since(until, now, zone, "--until") if until else None,
        camera=camera,
        species=species,
        states=tuple(state or ()),
        genera=genera,
        group=group,
        unreviewed=unreviewed,
    )
    return run_visits(settings, ListOptions(wanted, limit, "json" if as_json else "csv" if as_csv else "lines"))


def show(
    visit: Annotated[str, typer.Argument(metavar="VISIT", help=VISIT_HELP)],
    config: ConfigOption = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Show everything about one visit, with the paths of its pictures and of its clip."""
    from birdwatchd.commands.visits import run_show

    return run_show(stored_config(config, home=home), visit, as_json=as_json)


def delete(
    visits: Annotated[list[str], typer.Argument(metavar="VISIT...", help=VISIT_HELP)],
    config: ConfigOption = None,
    home: HomeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, the visits are only shown.")] = False,
) -> int:
    """Delete visits with their pictures and clips.

    Who was told of them is told that they are retracted. For a wrong name use `birdwatchd review`: reviews teach.
    """
    from birdwatchd.commands.visits import run_delete

    return run_delete(stored_config(config, home=home), visits, sure=yes)


def effort(
    config: ConfigOption = None,
    home: HomeOption = None,
    since: Annotated[str, typer.Option(metavar="T", help=SINCE_HELP)] = "7d",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per day.")] = False,
) -> int:
    """Show for how long each camera was watched on each day."""
    from birdwatchd.commands.visits import run_effort

    settings = stored_config(config, home=home)
    return run_effort(settings, parse_since(since, datetime.now(UTC), settings.station.zone), as_json=as_json)
