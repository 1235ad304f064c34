"""Take away from a child process what its work does not need, before it touches anything that a stranger sent.

What stays: its pipes, the source it was given, the folder of its clips or the file it is to draw, the program's own
libraries (to read), and the ports of its relays. The parent says which (`Confinement`), the child enforces it on itself
for ever (`confine`). What this kernel cannot enforce is said, never passed over.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from birdwatchd.camera.process import landlock, seccomp
from birdwatchd.camera.process.memory import bound_data, leave_no_core

__all__ = ["Confinement", "confine"]

PACKAGE = Path(__file__).resolve().parents[2]
# What libraries read by themselves: the machine's zone, chance, the number of processors.
_SYSTEM = ("/etc/localtime", "/usr/share/zoneinfo", "/dev/urandom", "/dev/null", "/sys/devices/system/cpu")
_PYTHON = tuple(str(path) for path in (sysconfig.get_config_var("LIBDIR"),) if path)
# Drivers of graphics devices load libraries and look at the machine when the first frame is decoded.
_DRIVERS = ("/usr", "/lib", "/lib64", "/opt", "/etc/ld.so.cache", "/etc/OpenCL", "/etc/vulkan", "/sys", "/proc")


# What a program that is started loads before it is Python.
_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", *_PYTHON)


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a child process may still reach.

    Attributes:
        read: files and folders that it may read; they are the source.
        list: folders whose names it may read.
        write: folders and files that it may write.
        devices: a camera of this machine.
        ports: of its relays, on this machine.
        memory_mb: what it may have resident, MiB; 0 where its parent alone sees to that.
        device: a graphics device may decode, so its drivers are within reach as well.
        serves: it answers on a listening socket that it was given, asks the daemon over its local socket, and starts
            Python's programs, which are held to the same.
    """

    read: tuple[str, ...] = ()
    list: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    memory_mb: int = 512
    device: bool = False
    serves: bool = False

    def to_order(self) -> dict[str, Any]:
        """As plain values, to be sent to the child."""
        return asdict(self)

    @classmethod
    def from_order(cls, order: Mapping[str, Any]) -> Confinement:
        """What the parent sent; without a word nothing is within reach."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in order.items()
        }
        return cls(**given)


def confine(allowed: Confinement) -> list[str]:
    """Hold this process to that, for ever; returns what is not in force, each with its reason.

    To be called before other threads are started: they would stay free.
    """
    missing: list[str] = []
    others = len(os.listdir("/proc/self/task")) - 1  # now: afterwards it cannot be read

    def attempt(what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except (OSError, ValueError) as error:
            missing.append(f"{what} ({getattr(error, 'strerror', None) or error})")

    if allowed.memory_mb:
        attempt("the limit of memory", lambda: bound_data(allowed.memory_mb))
    attempt("the ban on core dumps", leave_no_core)
    attempt("the loss of privileges", seccomp.give_up_privileges)
    version = landlock.abi()
    if version < landlock.FILES_ABI:
        missing.append("the limits of files and network (this kernel has no Landlock)")
    else:
        attempt("the limits of files and network", lambda: landlock.restrict(_rules(allowed)))
        if version < landlock.PORTS_ABI:
            missing.append("the limit of ports (this kernel's Landlock is too old; Linux 6.7 has it)")
    attempt("the filter of system calls", lambda: seccomp.refuse_calls(tcp=bool(allowed.ports), serves=allowed.serves))
    if others:
        missing.append(f"all of it for {others} threads that were there before")
    return missing


def _rules(allowed: Confinement) -> landlock.Rules:
    devices = [*allowed.devices]
    read = [*allowed.read, *_SYSTEM, *map(str, _libraries())]
    if allowed.device:
        devices += [str(path) for path in (*Path("/dev").glob("nvidia*"), Path("/dev/dri"))]
        read += _DRIVERS
    run, listed = list[str](), [*allowed.list]
    if allowed.serves:
        run = [sys.executable, *map(str, (*Path("/lib").glob("ld-*"), *Path("/lib64").glob("ld-*")))]
        listed.append(str(PACKAGE.parent))  # names alone, by which Python finds the package
        read += [*_SYSTEM_LIBRARIES, f"{sys.prefix}/pyvenv.cfg", "/proc/cpuinfo"]
    paths = {"read": read, "list": listed, "write": allowed.write, "devices": devices, "run": run}
    return landlock.Rules(**{name: tuple(map(Path, found)) for name, found in paths.items()}, ports=allowed.ports)


def _libraries() -> list[Path]:
    """The folders of Python, of installed packages and of this one, from which modules may still be loaded.

    Packages may lie anywhere (`PYTHONPATH`, a `.pth` file), so the folder of each one that is loaded is among them, and
    not what else lies beside it. Some installers (Nix's, uv with `--link-mode symlink`) put links into the folder of
    packages: what these lead to is among them too, for what is loaded later, and by programs that are started.
    """
    installed = {Path(path) for name, path in sysconfig.get_paths().items() if "lib" in name}
    installed |= {Path(entry) for entry in sys.path if entry.rstrip("/").endswith(("-packages", "lib-dynload"))}
    for name, module in list(sys.modules.items()):
        if "." not in name:
            installed |= {Path(folder) for folder in getattr(module, "__path__", ())}
    found = [path for path in (*sorted(installed), PACKAGE) if path.is_absolute() and path.is_dir()]
    return [*found, *(entry.resolve() for path in found for entry in path.iterdir() if entry.is_symlink())]
