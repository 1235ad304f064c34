"""Define the commands that look after a home for years: see how it is, back it up, mend it, limit it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from birdwatchd.cli.options import ConfigOption, HomeOption, VerboseOption
from birdwatchd.commands.arguments import parse_since, stored_config
from birdwatchd.commands.terminal import setup_log
from birdwatchd.errors import ConfigError
from birdwatchd.settings.load import find_config

__all__ = ["add_home_commands"]


def add_home_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    app.command(rich_help_panel="Keep", epilog="Example: birdwatchd backup /mnt/backup/birdwatchd")(backup)
    app.command(rich_help_panel="Keep", epilog="Example: birdwatchd restore /mnt/backup/birdwatchd")(restore)
    app.command(rich_help_panel="Keep", epilog="Example: birdwatchd retention --dry-run")(retention)
    app.command(rich_help_panel="Look", epilog="Example: birdwatchd status --json")(status)
    app.command(rich_help_panel="Look", epilog="Example: birdwatchd web --home /var/lib/birdwatchd")(web)
    app.command(rich_help_panel="Mend", epilog="Example: birdwatchd clock")(clock)
    app.command(rich_help_panel="Mend", epilog="Example: birdwatchd selftest -c birdwatchd.yaml")(selftest)
    app.command(rich_help_panel="Mend", epilog="Example: birdwatchd report birdwatchd-report.zip")(report)
    app.command(rich_help_panel="Mend", epilog="Example: birdwatchd doctor --home /var/lib/birdwatchd")(doctor)


def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", readable=False, help="Folder of backups, best on another disk.")
    ],
    config: ConfigOption = None,
    home: HomeOption = None,
    keep: Annotated[int, typer.Option(metavar="N", min=1, help="Number of databases to keep in DIR.")] = 3,
) -> int:
    """Back up database, crops and clips while birdwatchd runs.

    Only what is not there yet is copied. Until the new backup is complete and verified, the earlier ones stay.
    """
    from birdwatchd.commands.keep.backup import run_backup

    settings = stored_config(config, home=home)
    return run_backup(settings, folder, keep=keep)


def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", readable=False, help="Folder that `birdwatchd backup` wrote to.")
    ],
    config: ConfigOption = None,
    home: HomeOption = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="DATE", help="Which backup: 20260501 [default: the newest].")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also into a home that has visits; its database is kept beside.")
    ] = False,
) -> int:
    """Bring a backup back into an empty home, and verify it."""
    from birdwatchd.commands.keep.backup import run_restore

    settings = stored_config(config, home=home)
    return run_restore(settings, folder, name=at, replace=replace)


def retention(
    config: ConfigOption = None,
    home: HomeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted without deleting it.")] = False,
    keep_days: Annotated[
        int | None, typer.Option("--keep-days", metavar="N", min=1, max=36600, help="Instead of retention.keep_days.")
    ] = None,
    max_gb: Annotated[
        float | None,
        typer.Option("--max-gb", metavar="N", min=0.000001, max=100_000, help="Instead of retention.max_gb."),
    ] = None,
    min_free_gb: Annotated[
        float | None,
        typer.Option("--min-free-gb", metavar="N", min=0.000001, max=100_000, help="Instead of retention.min_free_gb."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line for what goes.")] = False,
) -> int:
    """Delete what is worth least until the limits are kept: clips, then pictures, then visits.

    `birdwatchd run` does so by itself; this shows what would go and why, or does it once, now.
    """
    from birdwatchd.commands.keep.retention import RetentionOptions, run_retention

    settings = stored_config(config, home=home)
    given = {"keep_days": keep_days, "max_gb": max_gb, "min_free_gb": min_free_gb}
    limits = settings.retention.model_copy(update={key: value for key, value in given.items() if value is not None})
    return run_retention(settings.model_copy(update={"retention": limits}), RetentionOptions(dry_run, as_json))


def status(
    config: ConfigOption = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Show how the station is: cameras, daemon, disk, messages that wait.

    The exit status is 0 if all is well and 1 if something needs a person: the daemon does not run, a camera has given
    no picture for 10 minutes, messages have waited for an hour, or less than 1 GB of the disk is free.
    """
    from birdwatchd.commands.status import run_status

    return run_status(stored_config(config, home=home), as_json=as_json)


def selftest(
    config: ConfigOption = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Send a drawn bird through the running daemon, and say where it stopped.

    It is cut out, classified, written and published as any bird is, but taken back: no list, first or statistic has it.
    """
    from birdwatchd.commands.diagnose.selftest import run_selftest
    from birdwatchd.demo.still import draw_still

    settings = stored_config(config, home=home)
    return run_selftest(settings, draw_still, as_json=as_json)


def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Archive to write: .zip or .tar.gz.")],
    config: ConfigOption = None,
    home: HomeOption = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            metavar="FILE",
            readable=False,
            help="Log to take the end of [default: the daemon's, or the journal].",
        ),
    ] = None,
) -> int:
    """Collect what a bug report needs into one archive, without passwords, addresses of channels, or your position.

    Configuration, versions, status, metrics, the state of the database and the end of the log. Look through it before
    you send it: it names your cameras, the hosts of their addresses and the birds of your rules.
    """
    from birdwatchd.commands.diagnose.report import run_report

    path = config or find_config()
    return run_report(path, file, home=home, log_file=log)


def doctor(
    config: ConfigOption = None,
    home: HomeOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what is wrong; the old database is kept under a dated name.")
    ] = False,
) -> int:
    """Check whether database, pictures and clips are whole and belong together.

    With --repair a damaged database is mended, and visits whose rows are lost are made again of their pictures.
    """
    from birdwatchd.commands.keep.doctor import run_doctor

    settings = stored_config(config, home=home)
    setup_log(zone=settings.station.zone)
    return run_doctor(settings, repair=repair)


def clock(
    config: ConfigOption = None,
    home: HomeOption = None,
    shift: Annotated[int | None, typer.Option("--shift", metavar="N", min=1, help="Shift this stretch.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Shift what an older birdwatchd stamped from here on …"),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="… and before this.")] = None,
    said: Annotated[str | None, typer.Option("--said", metavar="TIME", help="What the wrong clock said …")] = None,
    was: Annotated[str | None, typer.Option("--was", metavar="TIME", help="… when it was this time.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="The system's clock is right: mark what is stored of a later time.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be changed without changing it.")] = False,
) -> int:
    """Show by which clock visits were stamped, and shift what a wrong one has stamped.

    A clock that is put right while birdwatchd runs needs no command: what that run has stamped is put right with it.
    """
    from birdwatchd.commands.keep.clock import ClockOptions, run_clock

    settings = stored_config(config, home=home)
    now, zone = datetime.now(UTC), settings.station.zone
    times = {"since": since, "until": until, "said": said, "was": was}
    read = {name: parse_since(text, now, zone, f"--{name}") for name, text in times.items() if text is not None}
    return run_clock(settings, ClockOptions(stretch=shift, trust=trust, dry_run=dry_run, **read))


def web(
    config: ConfigOption = None,
    home: HomeOption = None,
    hash_password: Annotated[
        bool,
        typer.Option("--hash-password", help="Ask for a password, print what web.password_file must hold, and end."),
    ] = False,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="NAME", help="Make a token for a program that reads /api/v1; shown once."),
    ] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="List the tokens' names, and when they were made.")] = False,
    revoke: Annotated[str | None, typer.Option("--revoke", metavar="NAME", help="Take a token back.")] = None,
    verbose: VerboseOption = False,
) -> int:
    """Serve the page about your birds until stopped; `run` and `demo` do it by themselves."""
    from birdwatchd.web.command import ask_for_hash, list_tokens, make_token, revoke_token, run_web

    if hash_password + (token is not None) + (revoke is not None) + tokens > 1:
        raise ConfigError("choose one", "use one of --hash-password, --token NAME, --tokens and --revoke NAME")
    if hash_password:
        return ask_for_hash()
    settings = stored_config(config, home=home)
    if token is not None:
        return make_token(settings, token)
    if revoke is not None:
        return revoke_token(settings, revoke)
    if tokens:
        return list_tokens(settings)
    setup_log(verbose=verbose, as_json=settings.log.format == "json", zone=settings.station.zone)
    return run_web(settings)
