"""Decide where everything of the service belongs, and refuse what could not work, before anything is written."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from birdwatchd.errors import ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import load_config
from birdwatchd.settings.variables import CREDENTIALS

__all__ = ["BACKUPS", "CONFIG", "HOME", "Layout", "home_of", "installed_program", "within"]

CONFIG = Path("/etc/birdwatchd/birdwatchd.yaml")
HOME = Path("/var/lib/birdwatchd")
BACKUPS = Path("/var/backups/birdwatchd")
_STATE = Path("/var/lib")  # below it systemd makes the folder itself
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_PATH = re.compile(r"(/[A-Za-z0-9._+@-]+)+")  # what needs no quotes in a unit
# What the service cannot see: ProtectHome and PrivateTmp of its unit.
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 # not used, refused


@dataclass(frozen=True, slots=True)
class Layout:
    """Who runs the service, and where its things lie; paths as the installed system sees them.

    Attributes:
        program: the command `birdwatchd`, in the environment that it was installed into.
        models: folder of downloaded weights, if it is not in the home.
        systemd: version of systemd there; units say nothing that it does not know.
    """

    user: str
    config: Path
    home: Path
    backups: Path
    program: Path
    models: Path | None = None
    systemd: int = 252

    @property
    def group(self) -> str:
        """The group of the user, which may read the configuration."""
        return self.user

    @property
    def credentials(self) -> Path:
        """The folder with a file for each secret that the configuration names."""
        return self.config.parent / CREDENTIALS

    @property
    def state(self) -> str:
        """Name of the home below /var/lib; empty if it lies elsewhere."""
        return self.home.name if self.home.parent == _STATE else ""

    @property
    def writable(self) -> tuple[Path, ...]:
        """Folders besides the state that the service writes to."""
        return tuple(path for path in ((None if self.state else self.home), self.models) if path is not None)

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: with what to do instead.
        """
        if not _USER.fullmatch(self.user):
            raise ConfigError(f"--user {self.user} is not a name of a user", "use a-z, 0-9, _ and -")
        if self.user == "root":
            raise ConfigError("the service must not run as root", "leave out --user, or name an ordinary user")
        if self.config.name == CREDENTIALS:
            raise ConfigError(f"{self.config} is where the secrets belong", "name the configuration otherwise")
        paths = {"--config": self.config, "home": self.home, "--backups": self.backups, "--program": self.program}
        for name, path in (paths | ({"model.cache_dir": self.models} if self.models else {})).items():
            if not _PATH.fullmatch(str(path)) or ".." in path.parts:
                raise ConfigError(
                    f"{name} {path} cannot stand in a unit", "use an absolute path of letters, digits and ._+@-"
                )
            if _is_hidden(path):
                elsewhere = {"--program": "/opt/birdwatchd, as docs/how-to/run-as-a-service.md shows"}
                raise ConfigError(
                    f"{name} {path}: the service cannot see {'/'.join(path.parts[:2])[1:]}",
                    f"move it to {elsewhere.get(name, 'a folder below /var/lib, /srv or /mnt')}",
                )
        if self.home.parent == Path("/") or self.backups == self.home or self.backups.is_relative_to(self.home):
            raise ConfigError(
                f"home {self.home} and backups {self.backups} do not fit together",
                "give each a folder of its own, such as /var/lib/birdwatchd and /var/backups/birdwatchd",
            )

    def check_python(self) -> None:
        """Refuse a command of this machine whose Python the service cannot see, as pyenv's and uv's.

        Raises:
            ConfigError: with what to do instead.
        """
        python = (self.program.parent / "python3").resolve()
        if _is_hidden(python):
            raise ConfigError(
                f"{self.program} needs {python}, which the service cannot see",
                "make the environment with the Python of the system: /usr/bin/python3 -m venv /opt/birdwatchd",
            )


def _is_hidden(path: Path) -> bool:
    return any(path.is_relative_to(hidden) for hidden in _HIDDEN)


class _Anything(Mapping[str, str]):
    """Stands for secrets that are not known yet: only paths are read from the configuration here."""

    def __getitem__(self, name: str) -> str:
        return "unknown"

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def home_of(config: Path) -> tuple[Path, Path | None]:
    """The home that an existing configuration names, and the folder of weights where that lies elsewhere.

    Raises:
        ConfigError: the configuration is wrong.
    """
    found: Config = load_config(config, _Anything())
    home = found.home if "home" in found.model_fields_set else HOME
    models = found.model.cache_dir
    return home, None if models is None or models.is_relative_to(home) else models


def installed_program(arguments: Sequence[str] = sys.argv, prefix: str = sys.prefix) -> Path:
    """The command of the running installation.

    Raises:
        ConfigError: there is none, as after `pip install --target`.
    """
    for path in (Path(prefix) / "bin" / "birdwatchd", Path(arguments[0]).absolute()):
        if path.name == "birdwatchd" and path.is_file() and path.stat().st_mode & stat.S_IXUSR:
            return path
    raise ConfigError(
        "cannot tell which command the service should run", "give --program /opt/birdwatchd/bin/birdwatchd"
    )


def within(root: Path, path: Path) -> Path:
    """A path of the installed system as this process sees it."""
    return root / path.relative_to("/")
