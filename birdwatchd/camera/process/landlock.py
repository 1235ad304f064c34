"""Restrict this process to some files and TCP ports with Linux's Landlock, through its three system calls.

Needs no privileges, cannot be undone, and holds for all threads and processes that are started afterwards. What a
kernel can restrict is told by its version of the interface (`abi`): files from 1, ports from 4 (Linux 6.7), signals to
others from 6 (Linux 6.12). https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FILES_ABI", "PORTS_ABI", "SIGNALS_ABI", "Rules", "abi", "restrict"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION = 1  # flag of landlock_create_ruleset
_PATH_BENEATH, _NET_PORT = 1, 2  # types of rules
FILES_ABI, PORTS_ABI, SIGNALS_ABI = 1, 4, 6

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 5, 1 << 7, 1 << 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # rights that a rule about a file may give
_FS_RIGHTS = ((1, (1 << 13) - 1), (2, 1 << 13), (3, _TRUNCATE), (5, _IOCTL_DEV))  # that came with each version
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_UNIX_SOCKET, _SIGNAL = 1 << 0, 1 << 1

_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG
_DEVICE = _READ | _WRITE_FILE | _IOCTL_DEV


@dataclass(frozen=True, slots=True)
class Rules:
    """What stays possible; all other files and ports are refused with EACCES.

    Attributes:
        read: files, and folders with all below them, that may be read.
        list: folders whose names may be read, with those of the folders below, but no file in them.
        write: folders below which files may be made, written and deleted, and files that may be written.
        devices: device files, and folders of them, that may be used.
        run: programs that may be started, and what loads them.
        ports: TCP ports to which it may connect, on whatever host.
    """

    read: tuple[Path, ...] = ()
    list: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()
    run: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def abi() -> int:
    """The version of Landlock that this kernel has; 0 where it has none, or it is switched off."""
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(rules: Rules) -> None:
    """Hold the calling thread, and all that it starts, to the rules as far as this kernel can.

    `no_new_privs` must be set before (`birdwatchd.camera.process.seccomp.give_up_privileges`).

    Raises:
        OSError: the kernel refused it.
    """
    version = abi()
    files = sum(rights for since, rights in _FS_RIGHTS if version >= since)
    net = _BIND_TCP | _CONNECT_TCP if version >= PORTS_ABI else 0
    scoped = _ABSTRACT_UNIX_SOCKET | _SIGNAL if version >= SIGNALS_ABI else 0
    attributes = _Ruleset(files, net, scoped)
    size = 24 if version >= SIGNALS_ABI else 16 if version >= PORTS_ABI else 8
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for paths, rights in (
            (rules.read, _READ),
            (rules.list, _READ_DIR),
            (rules.write, _WRITE),
            (rules.devices, _DEVICE),
            (rules.run, _READ | _EXECUTE),
        ):
            _allow_paths(ruleset, paths, rights & files)
        for port in rules.ports if net else ():
            _call(_ADD_RULE, ruleset, _NET_PORT, ctypes.byref(_NetPort(_CONNECT_TCP, port)), 0)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow_paths(ruleset: int, paths: Iterable[Path], rights: int) -> None:
    """Allow this below each path that is there; what is not there now cannot be allowed and stays out of reach."""
    for path in paths:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
            given = rights if is_folder else rights & _OF_FILES
            if given:
                _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(_PathBeneath(given, handle)), 0)
        finally:
            os.close(handle)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    plain = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *plain))
    if result < 0:
        code = ctypes.get_errno() or errno.ENOSYS
        raise OSError(code, os.strerror(code))
    return result
