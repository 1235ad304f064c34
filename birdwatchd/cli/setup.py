"""Define the commands with which a station begins: write a first configuration, choose a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdwatchd.cli.options import ConfigOption
from birdwatchd.commands.arguments import stored_config

__all__ = ["add_setup_commands"]


def add_setup_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    app.command(rich_help_panel="Begin", epilog="Example: birdwatchd init --camera rtsp://user:password@192.0.2.10")(
        init
    )
    app.command(rich_help_panel="Begin", epilog="Example: birdwatchd models europe")(models)


def init(
    camera: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of the camera; a host alone is searched for its streams."),
    ] = None,
    place: Annotated[str | None, typer.Option(metavar="NAME", help="Name of this place, such as garden.")] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="MQTT broker: mqtt://user:password@host, or none.")
    ] = None,
    gate: Annotated[
        str | None, typer.Option("--gate", metavar="URL", help="Small stream [default: the usual one, if it opens].")
    ] = None,
    camera_name: Annotated[
        str | None, typer.Option("--camera-name", metavar="NAME", help="Name of the camera [default: feeder].")
    ] = None,
    position: Annotated[
        str | None, typer.Option(metavar="LAT,LON", help="Where it is, for sunrise and sunset [default: none].")
    ] = None,
    zone: Annotated[str | None, typer.Option(metavar="ZONE", help="Time zone [default: this machine's].")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME-OR-FILE", help="Classifier; see `birdwatchd models` [default: Israel's birds]."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write [default: birdwatchd.yaml].")
    ] = None,
    probe: Annotated[bool, typer.Option("--probe/--no-probe", help="Try camera and broker before writing.")] = True,
) -> int:
    """Write a first configuration: asks for camera, place and broker, finds the camera's streams, and tries them.

    Nothing is asked where --camera, --place and --broker are given. Passwords go to files of their own beside it.
    """
    from birdwatchd.commands.setup.init import InitOptions, run_init

    file = file or Path("birdwatchd.yaml")
    return run_init(InitOptions(file, camera, gate, camera_name, place, position, zone, broker, model, probe))


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
