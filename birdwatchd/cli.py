"""The door: every command a person types. Parses, calls one part, shows the result; decides nothing.

Heavy libraries are imported inside the commands that need them, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from birdwatchd import __version__
from birdwatchd.commands.arguments import named_cameras, overridden, parse_since
from birdwatchd.commands.terminal import VisitLines, err, out, say_problem, setup_log, visits_table
from birdwatchd.errors import BirdwatchError, ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import find_config, load_config

__all__ = ["app", "run_cli"]


def _leave(status: int | None, **_: object) -> None:
    """A command's return value is the exit status."""
    raise typer.Exit(status or 0)


app = typer.Typer(
    name="birdwatchd",
    help="Know which birds visit your cameras.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    result_callback=_leave,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration; without it ./birdwatchd.yaml, then /etc/birdwatchd/birdwatchd.yaml, then defaults.",
    ),
]
HomeOption = Annotated[Path | None, typer.Option("--home", metavar="DIR", help="Database and pictures live here.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME-OR-FILE", help="Classifier; 'demo' knows only eight cartoon birds."),
]
MinBirdOption = Annotated[
    int, typer.Option("--min-bird", min=8, max=2000, help="Smallest bird, pixels of the source frame.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status: 0 good, 1 failed at run time, 2 bad usage or configuration."""
    try:
        app(args=list(arguments))
    except ConfigError as error:
        say_problem("\n".join(error.problems))
        return error.exit_status
    except BirdwatchError as error:
        say_problem(str(error))
        return error.exit_status
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


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="N", min=15, help="End after N seconds; else at Ctrl-C.")
    ] = None,
    home: HomeOption = None,
    cameras: Annotated[int, typer.Option(min=1, max=8, help="How many simulated cameras.")] = 2,
    seed: Annotated[int, typer.Option(help="Another number, other visits.")] = 1,
    verbose: VerboseOption = False,
) -> int:
    """Try the whole system with nothing to configure: simulated cameras, demo model, a broker of its own."""
    from birdwatchd.demo.run import DemoSettings, run_demo

    setup_log(verbose=verbose)
    return run_demo(DemoSettings(seconds, home or Path("birdwatchd-demo"), cameras, seed))


@app.command()
def run(config: ConfigOption = None, verbose: VerboseOption = False) -> int:
    """Run the daemon."""
    from birdwatchd.daemon import Daemon
    from birdwatchd.flow import Stop
    from birdwatchd.service import stop_on_signals

    stop = Stop()
    stop_on_signals(stop)
    setup_log(verbose=verbose)
    settings = _config(config)
    lines = VisitLines(settings.station.zone)
    return Daemon(settings, stop, on_visit=lines.show).run()


@app.command()
def watch(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="RTSP or HTTP URL, /dev/video0, or file.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    min_bird: MinBirdOption = 24,
    verbose: VerboseOption = False,
) -> int:
    """Run the daemon on cameras named here instead of in a configuration file."""
    from birdwatchd.daemon import Daemon
    from birdwatchd.flow import Stop
    from birdwatchd.service import stop_on_signals

    stop = Stop()
    stop_on_signals(stop)
    setup_log(verbose=verbose)
    base = overridden(_config(config), home=home, model=model)
    settings = base.model_copy(update={"cameras": named_cameras(sources, min_bird)})
    return Daemon(settings, stop, on_visit=VisitLines().show).run()


@app.command()
def scan(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Video files and folders.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="One JSON object per visit; '-' is stdout.")
    ] = None,
    camera: Annotated[str, typer.Option(help="Key of the camera these recordings come from.")] = "scan",
    min_bird: MinBirdOption = 24,
    again: Annotated[bool, typer.Option("--again", help="Scan also what was scanned before.")] = False,
    verbose: VerboseOption = False,
) -> int:
    """Find the visits in recordings: files, folders, camera-trap cards. Resumes where it was stopped."""
    from birdwatchd.commands.scan import ScanOptions, run_scan

    setup_log(verbose=verbose)
    settings = overridden(_config(config), home=home, model=model)
    return run_scan(settings, ScanOptions(tuple(paths), json_file, camera, min_bird, again))


@app.command()
def check(
    config: ConfigOption = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Open each camera, the model, the database and the broker.")
    ] = False,
) -> int:
    """Say whether the configuration is good, and with --probe whether everything it names works."""
    from birdwatchd.commands.check import check_config, probe_all

    path = config or find_config()
    settings = _config(config)
    check_config(settings, path)
    return probe_all(settings) if probe else 0


@app.command()
def tune(
    camera: Annotated[
        str, typer.Argument(metavar="CAMERA-or-FILE", help="A camera of the configuration, or a file, URL or device.")
    ],
    config: ConfigOption = None,
    seconds: Annotated[
        float | None, typer.Option(min=2, max=36000, help="How much to watch; 60 s of a camera, 600 s of a file.")
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A sheet (.png, .jpg) or a video (.mp4); default NAME-tune.png."),
    ] = None,
    min_bird: Annotated[
        int | None, typer.Option("--min-bird", min=8, max=2000, help="Smallest bird, pixels of the source frame.")
    ] = None,
) -> int:
    """Draw what the motion gate sees: what moves, what is followed, what is ignored and why."""
    from birdwatchd.commands.tune import TuneOptions, run_tune

    cameras = _config(config).cameras
    if camera not in cameras:
        cameras = named_cameras([camera], 24)
    name, settings = (camera, cameras[camera]) if camera in cameras else next(iter(cameras.items()))
    if min_bird is not None:
        settings = settings.model_copy(update={"min_bird": min_bird})
    long = seconds or (60.0 if settings.source.is_live else 600.0)
    return run_tune(TuneOptions(name, settings, long, out_file or Path(f"{name}-tune.png")))


@app.command()
def visits(
    config: ConfigOption = None,
    home: HomeOption = None,
    since: Annotated[
        str | None, typer.Option(metavar="T", help="A date, a time, or how long ago: 2026-05-01, 12h, 7d.")
    ] = None,
    camera: Annotated[str | None, typer.Option(help="Only this camera.")] = None,
    species: Annotated[str | None, typer.Option(help="Only this species, common or scientific name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest N.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> int:
    """List what was seen, newest last."""
    from birdwatchd.store.reader import Catalogue

    settings = overridden(_config(config), home=home)
    zone = settings.station.zone
    after = parse_since(since, datetime.now(UTC), zone) if since else None
    with Catalogue.open_existing(settings.home) as store:
        found = store.visits(since=after, camera=camera, species=species, limit=limit)
    if as_json:
        for visit in found:
            sys.stdout.write(json.dumps(visit.to_json(), ensure_ascii=False) + "\n")
    elif found:
        out.print(visits_table(found, zone), soft_wrap=True)
    else:
        err.print("no visits match")
    return 0


@app.command()
def review(
    visit_id: Annotated[str, typer.Argument(metavar="VISIT_ID", help="As `birdwatchd visits` shows it.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="The name is right.")] = False,
    species: Annotated[
        str | None, typer.Option(metavar="NAME", help="It is this species: common, scientific or local name.")
    ] = None,
    not_a_bird: Annotated[bool, typer.Option("--not-a-bird", help="A leaf, a squirrel, a hand.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back the last review of this visit.")] = False,
    any_name: Annotated[bool, typer.Option("--any-name", help="Take a name that no table has.")] = False,
    by: Annotated[str, typer.Option(help="Who says so; you by default.")] = "",
) -> int:
    """Say what a visit really was."""
    from birdwatchd.commands.review import ReviewOptions, run_review
    from birdwatchd.store import Opinion

    wanted = [confirm, species is not None, not_a_bird, undo]
    if sum(wanted) != 1:
        raise ConfigError("say one thing of a visit", "use --confirm, --species NAME, --not-a-bird or --undo")
    opinions = (Opinion.CONFIRM, Opinion.SPECIES, Opinion.NOT_A_BIRD, None)
    opinion = opinions[wanted.index(True)]
    settings = overridden(_config(config), home=home)
    return run_review(settings, ReviewOptions(visit_id, opinion, species or "", undo, any_name, by))


@app.command()
def similar(
    what: Annotated[str, typer.Argument(metavar="VISIT_ID-or-IMAGE", help="A visit, or a picture of a bird.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> int:
    """Past visits that look like this one."""
    from birdwatchd.commands.similar import SimilarOptions, run_similar

    settings = overridden(_config(config), home=home, model=model)
    return run_similar(settings, SimilarOptions(what, count, as_json))


@app.command()
def why(
    what: Annotated[str, typer.Argument(metavar="VISIT_ID-or-IMAGE", help="A visit, or a picture of a bird.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    species: Annotated[str | None, typer.Option(help="Why this one? The most probable by default.")] = None,
    moment: Annotated[int | None, typer.Option(min=0, help="Which picture of the visit; the best by default.")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default NAME-why.png.")] = None,
) -> int:
    """Draw what in a picture speaks for its name."""
    from birdwatchd.commands.why import WhyOptions, run_why

    return run_why(overridden(_config(config), home=home, model=model), WhyOptions(what, species, moment, out_file))


@app.command()
def calibrate(
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the table and write nothing.")] = False,
) -> int:
    """Make probabilities honest: fit them to the visits that people reviewed."""
    from birdwatchd.commands.calibrate import run_calibrate

    return run_calibrate(overridden(_config(config), home=home, model=model), dry_run=dry_run)


@app.command()
def relabel(
    config: ConfigOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="Only visits since then: 2026-05-01, 12h, 7d.")] = None,
    camera: Annotated[str | None, typer.Option(help="Only this camera.")] = None,
    tell: Annotated[bool, typer.Option("--tell", help="Say over MQTT what changed; alert rules decide anew.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and write nothing.")] = False,
    verbose: VerboseOption = False,
) -> int:
    """Name stored visits anew, after settings or the model changed; both verdicts are kept, reviews stand."""
    from birdwatchd.commands.relabel import RelabelOptions, run_relabel

    setup_log(verbose=verbose)
    settings = overridden(_config(config), home=home, model=model)
    after = parse_since(since, datetime.now(UTC), settings.station.zone) if since else None
    return run_relabel(settings, RelabelOptions(after, camera, tell, dry_run))


rules = typer.Typer(name="rules", help="Try alert rules and channels.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(rules)


@rules.command("test")
def rules_test(
    config: ConfigOption = None,
    home: HomeOption = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="Only visits since then: 2026-05-01, 12h, 7d.")] = None,
    until: Annotated[str | None, typer.Option(metavar="T", help="Only visits before then.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line; the last is the summary.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Show also the visits that are not told, and why.")] = False,
) -> int:
    """Go through the stored visits and say which alert rules would have told of them; nothing is sent or written."""
    from birdwatchd.commands.rules import RehearsalOptions, run_rehearsal

    settings, now = overridden(_config(config), home=home), datetime.now(UTC)
    zone = settings.station.zone
    after = parse_since(since, now, zone) if since else None
    before = parse_since(until, now, zone, "--until") if until else None
    return run_rehearsal(settings, RehearsalOptions(after, before, as_json, every))


@rules.command("send")
def rules_send(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="A name below `channels:`.")],
    config: ConfigOption = None,
) -> int:
    """Send a message by one channel that says it is a test."""
    from birdwatchd.commands.rules import send_test

    return send_test(_config(config), channel)


def _config(path: Path | None) -> Config:
    return load_config(path or find_config())
