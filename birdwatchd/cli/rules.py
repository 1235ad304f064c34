"""Define the commands that try alert rules and channels out, without waiting for a bird."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from birdwatchd.cli.options import SINCE_HELP, ConfigOption, HomeOption
from birdwatchd.cli.sections import Sections
from birdwatchd.commands.arguments import parse_since, stored_config
from birdwatchd.settings.load import find_config, load_config

__all__ = ["add_rule_commands"]


def add_rule_commands(app: typer.Typer) -> None:
    """Add them to the command line, as `rules test` and `rules send`."""
    rules = typer.Typer(
        name="rules", cls=Sections, help="Test alert rules and channels.", no_args_is_help=True, rich_markup_mode=None
    )
    rules.command("test", epilog="Example: birdwatchd rules test --since 30d --all")(backtest)
    rules.command(epilog="Example: birdwatchd rules send phone")(send)
    app.add_typer(rules, rich_help_panel="Mend")


def backtest(
    config: ConfigOption = None,
    home: HomeOption = None,
    since: Annotated[str | None, typer.Option(metavar="T", help=SINCE_HELP)] = None,
    until: Annotated[str | None, typer.Option(metavar="T", help="Only visits before then.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line; the last is the summary.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Also list visits that trigger no rule, and why.")] = False,
) -> int:
    """List which stored visits would have triggered which alert rule; nothing is sent or written."""
    from birdwatchd.commands.rules import BacktestOptions, run_backtest

    settings, now = stored_config(config, home=home), datetime.now(UTC)
    zone = settings.station.zone
    after = parse_since(since, now, zone) if since else None
    before = parse_since(until, now, zone, "--until") if until else None
    return run_backtest(settings, BacktestOptions(after, before, as_json, every))


def send(
    channel: Annotated[
        str, typer.Argument(metavar="CHANNEL", help="Name of a channel in the configuration (channels:).")
    ],
    config: ConfigOption = None,
) -> int:
    """Send a test message through a channel."""
    from birdwatchd.commands.rules import send_test

    return send_test(load_config(config or find_config()), channel)
