"""Define the command line: parse what a person types, call the one module that does it, print the result.

Heavy libraries are imported inside the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from birdwatchd import __version__
from birdwatchd.cli.home import add_home_commands
from birdwatchd.cli.options import (
    VISIT_HELP,
    ConfigOption,
    HomeOption,
    MinBirdOption,
    ModelOption,
    VerboseOption,
)
from birdwatchd.cli.reviews import add_review_commands
from birdwatchd.cli.rules import add_rule_commands
from birdwatchd.cli.sections import Commands
from birdwatchd.cli.service import add_service_commands
from birdwatchd.cli.setup import add_setup_commands
from birdwatchd.cli.visits import add_visit_commands
from birdwatchd.commands.arguments import named_cameras, overridden, stored_config
from birdwatchd.commands.terminal import (
    VisitLines,
    ignore_warnings,
    out,
    recent_log,
    say_path_problem,
    say_problem,
    setup_log,
)
from birdwatchd.errors import BirdwatchError, ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import find_config, load_config

__all__ = ["app", "run_cli"]


def _leave(status: int | None, **_: object) -> None:
    """A command's return value is the exit status."""
    raise typer.Exit(status or 0)


app = typer.Typer(
    name="birdwatchd",
    cls=Commands,
    help="Know which birds visit your cameras.",
    epilog="Help on one command, with an example: birdwatchd COMMAND --help",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    result_callback=_leave,
)


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status: 0 good, 1 failed, 2 bad usage, 3 a damaged database."""
    ignore_warnings()
    try:
        app(args=list(arguments))
    except ConfigError as error:
        say_problem("\n".join(error.problems))
        return error.exit_status
    except BirdwatchError as error:
        say_problem(str(error))
        return error.exit_status
    except OSError as error:
        if not say_path_problem(error):
            raise
        return 2
    except SystemExit as leave:  # how typer ends, with usage errors as 2
        return leave.code if isinstance(leave.code, int) else 1
    return 0


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"birdwatchd {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


@app.command(rich_help_panel="Begin", epilog="Example: birdwatchd demo --seconds 60")
def demo(
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="N", min=15, help="End after N seconds instead of at Ctrl-C.")
    ] = None,
    home: HomeOption = None,
    cameras: Annotated[int, typer.Option(min=1, max=8, help="Number of simulated cameras.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the simulated visits.")] = 1,
    stay: Annotated[bool, typer.Option("--stay", help="Keep the page up after the end, until Ctrl-C.")] = False,
    verbose: VerboseOption = False,
) -> int:
    """Try the whole system with nothing to configure: simulated cameras, demo model, built-in broker."""
    from birdwatchd.demo.run import DemoSettings, run_demo

    setup_log(verbose=verbose, zone=Config().station.zone)
    return run_demo(DemoSettings(seconds, home or Path("birdwatchd-demo"), cameras, seed, stay))


@app.command(rich_help_panel="Run", epilog="Example: birdwatchd run -c /etc/birdwatchd/birdwatchd.yaml")
def run(config: ConfigOption = None, verbose: VerboseOption = False) -> int:
    """Watch the cameras of the configuration until stopped."""
    from birdwatchd.daemon import Daemon
    from birdwatchd.flow import Stop
    from birdwatchd.service import stop_on_signals
    from birdwatchd.stages.page_process import page_served

    stop = Stop()
    stop_on_signals(stop)
    settings = _logged_config(config, verbose=verbose)
    lines = VisitLines(settings.station.zone)
    usable = threading.Event()
    with page_served(settings, usable):
        return Daemon(settings, stop, on_visit=lines.show, recent_log=recent_log, on_home=usable.set).run()


@app.command(rich_help_panel="Run", epilog="Example: birdwatchd watch rtsp://user:password@192.0.2.10/main")
def watch(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="RTSP or HTTP URL, /dev/video0, or file.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    min_bird: MinBirdOption = None,
    verbose: VerboseOption = False,
) -> int:
    """Watch cameras or files without a configuration file."""
    from birdwatchd.daemon import Daemon
    from birdwatchd.flow import Stop
    from birdwatchd.service import stop_on_signals

    stop = Stop()
    stop_on_signals(stop)
    base = _logged_config(config, verbose=verbose, home=home, model=model)
    settings = base.model_copy(update={"cameras": named_cameras(sources, min_bird or "auto")})
    lines = VisitLines(base.station.zone)
    return Daemon(settings, stop, on_visit=lines.show, recent_log=recent_log).run()


@app.command(rich_help_panel="Run", epilog="Example: birdwatchd scan /media/card --json visits.jsonl")
def scan(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", readable=False, help="Video files and folders.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write one JSON object per visit to FILE; '-' is stdout."),
    ] = None,
    camera: Annotated[str, typer.Option(metavar="KEY", help="Key of the camera that made these recordings.")] = "scan",
    min_bird: MinBirdOption = None,
    again: Annotated[bool, typer.Option("--again", help="Scan also what was scanned before.")] = False,
    zone: Annotated[
        str,
        typer.Option(
            metavar="ZONE",
            help="The zone of the cameras' clocks, if they write local time [default: as recordings say].",
        ),
    ] = "",
    verbose: VerboseOption = False,
) -> int:
    """Find the visits in recordings: files, folders, camera-trap cards.

    A scan that was interrupted continues where it stopped.
    """
    from birdwatchd.commands.scan import ScanOptions, run_scan

    settings = _logged_config(config, verbose=verbose, home=home, model=model)
    return run_scan(settings, ScanOptions(tuple(paths), json_file, camera, min_bird or "auto", again, zone))


@app.command(rich_help_panel="Begin", epilog="Example: birdwatchd check -c birdwatchd.yaml --probe")
def check(
    config: ConfigOption = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Test each camera, the model, the database and the broker.")
    ] = False,
) -> int:
    """Check the configuration; with --probe also test cameras, model, database and broker.

    The probe tries everything, whatever fails before, and ends with status 1 if anything does.
    """
    from birdwatchd.commands.check import run_check

    return run_check(_config(config), config or find_config(), probe=probe)


@app.command(rich_help_panel="Mend", epilog="Example: birdwatchd tune nut_feeder --seconds 120 --out nut_feeder.png")
def tune(
    camera: Annotated[
        str, typer.Argument(metavar="CAMERA-or-FILE", help="A camera of the configuration, or a file, URL or device.")
    ],
    config: ConfigOption = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=2, max=36000, help="How long to watch [default: 60 s of a camera, 600 s of a file]."),
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A sheet (.png, .jpg) or a video (.mp4) [default: NAME-tune.png]."),
    ] = None,
    min_bird: Annotated[
        int | None, typer.Option("--min-bird", min=8, max=2000, help="Smallest bird, in pixels of the frame.")
    ] = None,
) -> int:
    """Draw what motion detection sees: what moves, what is followed, what is ignored and why."""
    from birdwatchd.commands.tune import TuneOptions, run_tune

    cameras = _config(config).cameras
    if camera not in cameras:
        cameras = named_cameras([camera])
    name, settings = (camera, cameras[camera]) if camera in cameras else next(iter(cameras.items()))
    if min_bird is not None:
        settings = settings.model_copy(update={"min_bird": min_bird})
    long = seconds or (60.0 if settings.source.is_live else 600.0)
    return run_tune(TuneOptions(name, settings, long, out_file or Path(f"{name}-tune.png")))


@app.command(rich_help_panel="Look", epilog="Example: birdwatchd similar 01JTJC2Q8ZK4V7XW5N3M9R6BDA -n 20")
def similar(
    what: Annotated[str, typer.Argument(metavar="VISIT-or-IMAGE", help=f"{VISIT_HELP} Or an image.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="Number of visits to list.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> int:
    """List the visits that look most like a visit or an image."""
    from birdwatchd.commands.similar import SimilarOptions, run_similar

    settings = overridden(stored_config(config, home=home), model=model)
    return run_similar(settings, SimilarOptions(what, count, as_json))


@app.command(rich_help_panel="Look", epilog="Example: birdwatchd why 01JTJC2Q8ZK4V7XW5N3M9R6BDA --out why.png")
def why(
    what: Annotated[str, typer.Argument(metavar="VISIT-or-IMAGE", help=f"{VISIT_HELP} Or an image.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    species: Annotated[
        str | None, typer.Option(metavar="NAME", help="Species to explain [default: the most probable].")
    ] = None,
    moment: Annotated[int | None, typer.Option(min=0, help="Number of the crop [default: the best].")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Picture to write [default: NAME-why.png].")
    ] = None,
) -> int:
    """Show which parts of an image led to its name."""
    from birdwatchd.commands.why import WhyOptions, run_why

    return run_why(
        overridden(stored_config(config, home=home), model=model), WhyOptions(what, species, moment, out_file)
    )


add_setup_commands(app)
add_home_commands(app)
add_review_commands(app)
add_rule_commands(app)
add_visit_commands(app)
add_service_commands(app)


def _config(path: Path | None) -> Config:
    return load_config(path or find_config())


def _logged_config(path: Path | None, *, verbose: bool, home: Path | None = None, model: str | None = None) -> Config:
    """The configuration with what overrides it, and the log as it wants it; what is said before is in lines."""
    setup_log(verbose=verbose)
    settings = overridden(_config(path), home=home, model=model)
    setup_log(verbose=verbose, as_json=settings.log.format == "json", zone=settings.station.zone)
    return settings
