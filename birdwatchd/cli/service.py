"""Define the commands that make birdwatchd a service of this machine, and remove it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_service_commands"]

_Root = Annotated[
    Path, typer.Option("--root", metavar="DIR", help="Change the system below DIR, such as an image, not this one.")
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done without doing it.")]


def add_service_commands(app: typer.Typer) -> None:
    """Add them to the command line."""
    app.command(rich_help_panel="Run", epilog="Example: birdwatchd install --user birdwatchd --dry-run")(install)
    app.command(rich_help_panel="Run", epilog="Example: birdwatchd uninstall --dry-run")(uninstall)


def install(
    user: Annotated[
        str, typer.Option(metavar="NAME", help="User that the service runs as; is made if there is none.")
    ] = "birdwatchd",
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration; the example is put there if none is.")
    ] = Path("/etc/birdwatchd/birdwatchd.yaml"),
    home: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of visits [default: that of FILE, else /var/lib/birdwatchd]."),
    ] = None,
    backups: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of backups [default: /var/backups/birdwatchd].")
    ] = None,
    program: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Command that the service runs [default: this one].")
    ] = None,
    root: _Root = Path("/"),
    dry_run: _DryRun = False,
) -> int:
    """Make the systemd service: user, folders, units, and the timer of the backup; run it again after an upgrade.

    Nothing is started. Configuration, secrets and data that are there stay as they are.
    """
    from birdwatchd.install.run import InstallOptions, run_install

    return run_install(InstallOptions(user, config, home, backups, program, root.absolute(), dry_run))


def uninstall(root: _Root = Path("/"), dry_run: _DryRun = False) -> int:
    """Stop and remove the systemd service; visits, pictures, backups, configuration and user stay."""
    from birdwatchd.install.run import UninstallOptions, run_uninstall

    return run_uninstall(UninstallOptions(root.absolute(), dry_run))
