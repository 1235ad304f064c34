"""A real file system that is small enough to be filled: tmpfs, for those who may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

__all__ = ["fill", "small_disk"]


@contextmanager
def small_disk(folder: Path, megabytes: int = 64) -> Iterator[Path]:
    """Mount an empty file system of this size; skips the test where that is not allowed."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root, to mount a small file system")
    folder.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> Path:
    """Take all room but some bytes, as a log file that grows would; returns the file that does."""
    big = folder / "somebody-elses.log"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with big.open("ab", buffering=0) as file, suppress(OSError):  # others may take the last of it meanwhile
        for _ in range(max(0, free - leave) // 4096):
            file.write(bytes(4096))
    return big
