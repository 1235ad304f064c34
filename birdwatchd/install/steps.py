"""The steps that make or remove the service. Each says what it does, knows whether that is done already, and does it.

All can be repeated. No step removes anything but files that `birdwatchd install` wrote.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from birdwatchd.errors import BirdwatchError, ConfigError
from birdwatchd.install.files import MARK
from birdwatchd.install.layout import within
from birdwatchd.whole_file import write_whole

__all__ = ["InstallError", "Link", "RemoveFile", "RemoveLink", "Run", "Step", "WriteFile", "is_ours"]

COMMAND_TIMEOUT_S = 120.0


class InstallError(BirdwatchError):
    """The service could not be made; what was done until then stays, and may be done again."""


class Step(Protocol):
    """One change of the system below a root."""

    @property
    def what(self) -> str:
        """What it does: the words after `would`."""

    def is_done(self, root: Path) -> bool:
        """Whether nothing is left to do."""

    def do(self, root: Path) -> None:
        """Do it.

        Raises:
            InstallError: with what to do about it.
            OSError: a file cannot be written.
        """


def is_ours(path: Path) -> bool:
    """Whether a file was written by `birdwatchd install`."""
    try:
        return path.is_file() and path.read_bytes().startswith(MARK.encode())
    except PermissionError:
        return False


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a file; one that was not written by us is kept beside it as `NAME.old`.

    Attributes:
        first: only where there is no file: it belongs to the people of the station.
    """

    path: Path
    text: str
    mode: int = 0o644
    first: bool = False

    @property
    def what(self) -> str:
        """See `Step`."""
        return f"write {self.path}"

    def is_done(self, root: Path) -> bool:
        """See `Step`."""
        path = within(root, self.path)
        try:
            return path.is_file() and (self.first or path.read_bytes() == self.text.encode())
        except PermissionError:  # of a folder that only root enters
            return False

    def do(self, root: Path) -> None:
        """See `Step`."""
        path = within(root, self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.with_name(f"{path.name}.old") if path.is_file() and not is_ours(path) else None
        write_whole(path, self.text.encode(), self.mode, old=old)


@dataclass(frozen=True, slots=True)
class Link:
    """Make a command known under a path that everybody's shell looks at; what is there already stays."""

    path: Path
    target: Path

    @property
    def what(self) -> str:
        """See `Step`."""
        return f"link {self.path} to {self.target}"

    def is_done(self, root: Path) -> bool:
        """See `Step`."""
        path = within(root, self.path)
        return path.is_symlink() or path.exists()

    def do(self, root: Path) -> None:
        """See `Step`."""
        path = within(root, self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(self.target)


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program of systemd's, which does nothing where all is as it should be."""

    argv: tuple[str, ...]

    @property
    def what(self) -> str:
        """See `Step`."""
        return f"run {' '.join(self.argv)}"

    def is_done(self, root: Path) -> bool:
        """See `Step`."""
        del root
        return False

    def do(self, root: Path) -> None:
        """See `Step`."""
        del root
        run_program(self.argv)


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove a file that `birdwatchd install` wrote, and no other."""

    path: Path

    @property
    def what(self) -> str:
        """See `Step`."""
        return f"remove {self.path}"

    def is_done(self, root: Path) -> bool:
        """See `Step`."""
        return not is_ours(within(root, self.path))

    def do(self, root: Path) -> None:
        """See `Step`."""
        within(root, self.path).unlink()


@dataclass(frozen=True, slots=True)
class RemoveLink:
    """Remove a link that leads to our command, and no other."""

    path: Path
    target: Path

    @property
    def what(self) -> str:
        """See `Step`."""
        return f"remove {self.path}"

    def is_done(self, root: Path) -> bool:
        """See `Step`."""
        path = within(root, self.path)
        return not (path.is_symlink() and path.readlink() == self.target)

    def do(self, root: Path) -> None:
        """See `Step`."""
        within(root, self.path).unlink()


def run_program(argv: Sequence[str]) -> str:
    """Run a program to its end and return what it wrote.

    Raises:
        InstallError: it is not there, or failed.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise InstallError(f"{argv[0]} is missing", "install systemd, of which it is a part") from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{' '.join(argv)} did not end within {COMMAND_TIMEOUT_S:.0f} s", "try it by hand") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise InstallError(f"{' '.join(argv)} failed: {lines[-1]}", "mend that and run `birdwatchd install` again")
    return done.stdout


def check_user(user: str, program: Path) -> None:
    """Try whether the user of the service can run the command.

    Raises:
        InstallError: it cannot.
        ConfigError: there is no such user.
    """
    import pwd

    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(f"there is no user {user}", "run systemd-sysusers, or useradd --system") from None
    try:
        done = subprocess.run(
            [program, "--version"],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(getattr(error, "strerror", None) or error)
    else:
        problem = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1] if done.returncode else ""
    if problem:
        folder = program.parent.parent
        raise InstallError(f"user {user} cannot run {program}: {problem}", f"try `chmod -R go+rX {folder}`")
