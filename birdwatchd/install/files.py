"""Fill in the templates of the service's files: units, user, folders, and the example as first configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from birdwatchd.install.layout import Layout

__all__ = ["BACKUP", "MARK", "SERVICE", "TIMER", "SystemFile", "example", "system_files"]

MARK = "# Written by `birdwatchd install`"  # how every file begins that may be overwritten and removed
SERVICE, BACKUP, TIMER = "birdwatchd.service", "birdwatchd-backup.service", "birdwatchd-backup.timer"
UNITS = Path("/etc/systemd/system")
RESTART_STEPS_SINCE = 254  # version of systemd
_STEPS = """\
# What does not go away by itself is tried ever more seldom.
RestartSteps=8
RestartMaxDelaySec=5min"""


@dataclass(frozen=True, slots=True)
class SystemFile:
    """A file of the service; `path` as the installed system sees it."""

    path: Path
    text: str


def example() -> str:
    """The example configuration, with which a new station begins."""
    return _template("birdwatchd.yaml")


def system_files(layout: Layout) -> tuple[SystemFile, ...]:
    """User, folders and units, in the order in which they are needed."""
    places = {
        Path("/etc/sysusers.d/birdwatchd.conf"): "sysusers.conf",
        Path("/etc/tmpfiles.d/birdwatchd.conf"): "tmpfiles.conf",
        UNITS / SERVICE: SERVICE,
        UNITS / BACKUP: BACKUP,
        UNITS / TIMER: TIMER,
    }
    return tuple(SystemFile(path, _filled(_template(name), layout)) for path, name in places.items())


def _template(name: str) -> str:
    return files("birdwatchd.install").joinpath("templates", name).read_text(encoding="utf-8")


def _filled(template: str, layout: Layout) -> str:
    """A template with its @WORDS@ replaced; a line for which there is nothing to say is left out."""
    values = {
        "USER": layout.user,
        "GROUP": layout.group,
        "CONFIG": str(layout.config),
        "CONFIGS": str(layout.config.parent),
        "CREDENTIALS": str(layout.credentials),
        "HOME": str(layout.home),
        "BACKUPS": str(layout.backups),
        "PROGRAM": str(layout.program),
        "STATE": layout.state,
        "WRITABLE": "".join(f"ReadWritePaths={path}\n" for path in layout.writable).rstrip(),
        "RESTART_STEPS": _STEPS if layout.systemd >= RESTART_STEPS_SINCE else "",
    }
    made = []
    for line in template.splitlines():
        filled = re.sub(r"@([A-Z_]+)@", lambda word: values[word[1]], line)
        nothing = (line and not filled) or (line.startswith("StateDirectory") and not layout.state)
        made += [] if nothing else [f"{filled}\n"]
    return "".join(made)
