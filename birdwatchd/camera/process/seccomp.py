"""Refuse this process the system calls that no decoder needs, with a filter of Linux's seccomp.

Programs cannot be started, other processes cannot be signalled or looked into, and of sockets none can be made but TCP
over IPv4, and those only where the caller says so: the filter sees numbers, not addresses, so where they may connect to
is Landlock's to say (`birdwatchd.camera.process.landlock`). https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

__all__ = ["give_up_privileges", "refuse_calls", "system_calls"]

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# Classic BPF, as in linux/bpf_common.h: load a word, jump if equal, if any bit is set, if at least; mask; return.
_LOAD, _IF_EQUAL, _IF_SET, _IF_LEAST, _MASK, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_NUMBER, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24  # offsets in struct seccomp_data; the low words of arguments
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000  # x86-64's second set of calls
_STREAM_MASK = 0xF  # of a socket's type; above it are flags

_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Refused whatever their arguments.
_NEVER: dict[str, tuple[int, int]] = {  # name: its number on x86_64 and aarch64; -1 where there is none
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, -1),
    "vfork": (58, -1),
    "socketpair": (53, 199),
    "bind": (49, 200),
    "listen": (50, 201),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
}
# Of these, what a server needs.
_SERVING = frozenset(
    ("socketpair", "listen", "execve", "fork", "vfork", "kill", "tkill", "pidfd_open", "pidfd_send_signal")
)
_CLONE, _CLONE3, _SOCKET, _TGKILL, _PRLIMIT = (56, 220), (435, 435), (41, 198), (234, 131), (302, 261)


def system_calls() -> dict[str, tuple[int, int]]:
    """The numbers of all system calls that the filter knows, on x86_64 and aarch64."""
    others = {"clone": _CLONE, "clone3": _CLONE3, "socket": _SOCKET, "tgkill": _TGKILL, "prlimit64": _PRLIMIT}
    return _NEVER | others


def give_up_privileges() -> None:
    """Set `no_new_privs`, without which no restriction can be taken on by a process without privileges.

    Raises:
        OSError: this kernel has no such thing.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def refuse_calls(*, tcp: bool, serves: bool = False) -> None:
    """Install the filter on the calling thread and all that it starts.

    Args:
        tcp: whether sockets for TCP over IPv4 may be made.
        serves: whether it may do what a server needs: listen on sockets that it has, ask other programs of this machine
            over local sockets (AF_UNIX), and start and end programs. Those are held to the same.

    Raises:
        OSError: this kernel cannot, or the architecture is not known here.
    """
    machine = platform.machine()
    if machine not in _ARCHES or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    code = _program(list(_ARCHES).index(machine), _ARCHES[machine], tcp=tcp, serves=serves)
    instructions = b"".join(code)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    # struct sock_fprog: the number of instructions, padding, a pointer to them
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    pointed = ctypes.create_string_buffer(program, len(program))  # kept by name: it must outlive the call
    _prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(pointed), 0, 0)


def _program(column: int, arch: int, *, tcp: bool, serves: bool) -> list[bytes]:
    """The filter: each rule is a few instructions, skipped as a whole where the number of the call is another."""
    refused, missing = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code = [
        _op(_LOAD, _ARCH),
        _op(_IF_EQUAL, arch, 1, 0),
        _op(_RETURN, refused),
        _op(_LOAD, _NUMBER),
        _op(_IF_LEAST, _X32, 0, 1),
        _op(_RETURN, refused),
    ]

    def rule(number: int, *body: bytes) -> None:
        code.extend((_op(_IF_EQUAL, number, 0, len(body)), *body))

    for name, numbers in _NEVER.items():
        if numbers[column] >= 0 and not (serves and name in _SERVING):
            rule(numbers[column], _op(_RETURN, refused))
    rule(_CLONE3[column], _op(_RETURN, missing))  # its flags lie in memory; the C library then calls clone instead
    allowed, not_allowed = _op(_RETURN, _ALLOW), _op(_RETURN, refused)
    threads_only = (_op(_LOAD, _ARG0), _op(_IF_SET, _CLONE_THREAD, 0, 1), allowed, not_allowed)
    if not serves:
        rule(_CLONE[column], *threads_only)
    rule(_TGKILL[column], _op(_LOAD, _ARG0), _op(_IF_EQUAL, os.getpid(), 0, 1), allowed, not_allowed)
    rule(_PRLIMIT[column], _op(_LOAD, _ARG0), _op(_IF_EQUAL, 0, 0, 1), allowed, not_allowed)
    if serves:
        code.extend(_only_sockets(_SOCKET[column], socket.AF_UNIX))
    elif tcp:
        code.extend(_only_sockets(_SOCKET[column], socket.AF_INET))
    else:
        rule(_SOCKET[column], not_allowed)
    code.append(allowed)
    return code


def _only_sockets(number: int, family: int) -> list[bytes]:
    """Of the call that makes sockets, only streams of one family."""
    allowed, not_allowed = _op(_RETURN, _ALLOW), _op(_RETURN, _ERRNO | errno.EPERM)
    body = [
        _op(_LOAD, _ARG0),
        _op(_IF_EQUAL, family, 0, 4),
        _op(_LOAD, _ARG1),
        _op(_MASK, _STREAM_MASK),
        _op(_IF_EQUAL, socket.SOCK_STREAM, 0, 1),
        allowed,
        not_allowed,
    ]
    return [_op(_IF_EQUAL, number, 0, len(body)), *body]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction, as struct sock_filter."""
    return struct.pack("HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def _prctl(*arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(*(ctypes.c_ulong(one) for one in arguments)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
