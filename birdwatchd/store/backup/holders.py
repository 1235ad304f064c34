"""Say which processes have a file open, so that a person knows what to stop (`/proc`, so on Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Holder", "holders"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A process. `command` is its program and, of ours, the command: arguments may hold passwords."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command}, pid {self.pid}"


def holders(path: Path, proc: Path = Path("/proc")) -> list[Holder]:
    """The processes that have a file open, but this one; of a part of birdwatchd the command that started it.

    Those of other users are seen by root only.
    """
    try:
        wanted, folders = path.stat(), list(proc.iterdir())
    except OSError:  # some containers have no `/proc`
        return []
    found = set()
    for folder in folders:
        if folder.name.isdecimal() and any(os.path.samestat(wanted, one) for one in _open_in(folder)):
            found.add(_head(int(folder.name), proc))
    return [Holder(pid, _command(pid, proc)) for pid in sorted(found - {os.getpid()})]


def _open_in(process: Path) -> Iterator[os.stat_result]:
    try:
        for link in (process / "fd").iterdir():
            yield link.stat()
    except OSError:  # another user's, or it ends just now
        return


def _head(pid: int, proc: Path) -> int:
    """The process that a person started: birdwatchd starts a part of itself anew that somebody stops."""
    while _is_ours(_arguments(pid, proc)):
        parent = _parent(pid, proc)
        if not _is_ours(_arguments(parent, proc)):
            break
        pid = parent
    return pid


def _parent(pid: int, proc: Path) -> int:
    try:
        status = (proc / str(pid) / "stat").read_text("utf-8", "replace")
        return int(status.rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _arguments(pid: int, proc: Path) -> list[str]:
    try:
        return (proc / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def _name(argument: str) -> str:
    return argument.rpartition("/")[2]


def _is_ours(arguments: list[str]) -> bool:
    """Whether this is birdwatchd, and not what starts it, such as `sudo -u birdwatchd birdwatchd restore`."""
    if not arguments or not _name(arguments[0]).startswith(("python", "birdwatchd")):
        return False
    return any(_name(one) == "birdwatchd" or _name(one).startswith("birdwatchd.") for one in arguments[:4])


def _command(pid: int, proc: Path) -> str:
    arguments = _arguments(pid, proc)
    for place, one in enumerate(arguments[:4]):
        if _name(one) == "birdwatchd":
            return " ".join(["birdwatchd", *arguments[place + 1 : place + 2]]).strip()
    return _name(arguments[0]) if arguments and arguments[0] else "a process"
