"""Define the commands with which a station begins: write a first configuration, choose a model."""

from __future__ import annotations

from typing import Annotated

import typer

from birdwatchd.cli.options import ConfigOption
from birdwatchd.commands.arguments import stored_config

__all__ = ["add_setup_commands"]


def add_setup_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    app.command(rich_help_panel="Begin", epilog="Example: birdwatchd models europe")(models)


def models(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Only models with these words in name or region.")
    ] = None,
    config: ConfigOption = None,
    every: Annotated[bool, typer.Option("--all", help="List every model of each region.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line, of all models.")] = False,
) -> int:
    """List the classifiers that birder publishes, by region; nothing is downloaded."""
    from birdwatchd.commands.setup.models import ModelsOptions, run_models

    return run_models(stored_config(config), ModelsOptions(tuple(words or ()), every, as_json))
