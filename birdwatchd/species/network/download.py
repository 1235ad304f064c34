"""Download one published weights file: it appears complete and verified, or not at all, and what came is never lost.

It grows in a file beside, `NAME.HASH.partial`, which stays when the line breaks or the process is killed; the next
attempt asks only for the rest. The whole is checked against the publisher's SHA-256, synced to the disk and only then
renamed, so that neither a dead server nor a power cut leaves half a file where a model is looked for. There is no limit
for the whole: a line that is slow but alive may take hours.
(birder's own `download_file` has no timeout: a server that stops sending would hang it for ever.)
"""

from __future__ import annotations

import errno
import fcntl
import glob
import http.client
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from birdwatchd.errors import ModelUnusable

__all__ = ["DownloadFailed", "OnBytes", "download", "ignore_bytes", "sha256_of"]

_CHUNK = 1 << 18
# Seconds without a single byte before the server counts as dead; a slow connection may take as long as it needs.
READ_TIMEOUT_S = 30.0
RECONNECT_S = 1.0  # before the rest is asked for after the line broke
CLAIM_S = 1.0  # between two looks whether another process that fetches the same file is done
NOT_SATISFIABLE = 416  # there is nothing after the bytes that are here

OnBytes = Callable[[int, int], None]  # bytes that are here, bytes that there will be (0: the server does not say)


class DownloadFailed(ModelUnusable):
    """The publisher could not be reached, or sent something else than the published file."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a pipe in its place would wait for ever
            raise OSError(errno.EINVAL, "is not a file")
        return file_digest(file, "sha256").hexdigest()


def ignore_bytes(_done: int, _expected: int) -> None:
    """Tell nobody: a daemon's log is no place for a progress bar."""


def download(
    url: str,
    path: Path,
    sha256: str,
    *,
    progress: bool = False,
    on_bytes: OnBytes = ignore_bytes,
    timeout_s: float = READ_TIMEOUT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch `url` into `path`, making its folder where there is none; goes on where an earlier attempt broke off.

    If the line breaks, the rest is asked for as long as each attempt gets farther than all before. While another
    process fetches the same file, this one waits for it.

    Args:
        url: http or https address, from birder's registry, never from a user.
        path: where the complete file appears.
        sha256: what the file must hash to, 64 hex digits.
        progress: show one line of progress on stderr.
        on_bytes: is called whenever something came, and about every second of waiting for another process.
        timeout_s: seconds without a byte after which an attempt fails.
        sleep: waits between two attempts.

    Raises:
        DownloadFailed: and leaves nothing at `path`; what came stays beside it for the next attempt.
    """
    show = _progress_on_stderr(path.name) if progress else ignore_bytes

    def report(done: int, expected: int) -> None:
        show(done, expected)
        on_bytes(done, expected)

    partial = path.with_name(f"{path.name}.{sha256[:12]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(partial, lambda size: report(size, 0), sleep) as file:
            if path.exists():
                return  # another process fetched it meanwhile
            _remove_others(path, partial)
            _fetch(file, sha256, lambda: _receive(url, file, timeout_s, report), sleep)
            os.fsync(file.fileno())
            partial.chmod(0o644)
            partial.replace(path)
            _sync_folder(path.parent)
    except (OSError, http.client.HTTPException) as error:  # URLError, HTTPError, TimeoutError and SSLError are OSErrors
        raise DownloadFailed(_reason(error)) from None


@contextmanager
def _claimed(partial: Path, waiting: Callable[[int], None], sleep: Callable[[float], None]) -> Iterator[IO[bytes]]:
    """The partial file, open for appending and locked; an empty one is removed at the end."""
    while True:
        file = partial.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if partial.exists() and partial.stat().st_ino == os.fstat(file.fileno()).st_ino:
                break
        except BlockingIOError:
            waiting(_size(file))
            sleep(CLAIM_S)
        file.close()  # held by another process, or that one has renamed or removed it
    try:
        yield file
    finally:
        if partial.exists() and _size(file) == 0:
            partial.unlink()
        file.close()


def _remove_others(path: Path, partial: Path) -> None:
    """Remove what attempts for an earlier edition of the file left, and those of version 0.1, which never went on."""
    for other in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        if other != partial:
            other.unlink(missing_ok=True)


def _fetch(file: IO[bytes], sha256: str, receive: Callable[[], None], sleep: Callable[[float], None]) -> None:
    """Receive until the file is whole and right.

    Raises:
        DownloadFailed: it is another file than the published one, or broke off and got no farther.
        OSError, HTTPException: the server could not be reached, or answered no.
    """
    farthest, pieced, begun_anew = _size(file), _size(file) > 0, False
    while True:
        try:
            receive()
        except (OSError, http.client.HTTPException, DownloadFailed) as error:
            file.flush()
            if isinstance(error, HTTPError) or _size(file) <= farthest:
                raise
            farthest, pieced = _size(file), True
            sleep(RECONNECT_S)
            continue
        if sha256_of(Path(file.name)) == sha256:
            return
        file.truncate(0)
        if begun_anew or not pieced:
            raise DownloadFailed("what came is not the published file: its sha256 differs")
        farthest, pieced, begun_anew = 0, False, True  # a power cut, or another edition, spoilt a piece


def _receive(url: str, file: IO[bytes], timeout_s: float, report: OnBytes) -> None:
    """Ask for what is missing and append it; returns when the server says that this is all."""
    done = _size(file)
    try:
        answer = _opened(url, done, timeout_s)
    except HTTPError as error:
        if error.code == NOT_SATISFIABLE and done:
            error.close()
            return  # all bytes are here already
        raise
    with answer:
        if not _continues(answer, done):
            file.truncate(0)
            done = 0
        coming = _length(answer.headers.get("Content-Length"))
        expected = done + coming if coming else 0
        while chunk := answer.read1(_CHUNK):
            file.write(chunk)
            file.flush()
            done += len(chunk)
            report(done, expected)
    if done < expected:
        raise DownloadFailed(f"broke off after {done} of {expected} bytes")


def _opened(url: str, done: int, timeout_s: float) -> Any:
    headers = {"User-Agent": "birdwatchd"} | ({"Range": f"bytes={done}-"} if done else {})
    request = Request(url, headers=headers)  # noqa: S310 # from birder's registry
    try:
        return urlopen(request, timeout=timeout_s)  # noqa: S310 # as above
    except ValueError as error:  # a proxy variable of the environment that is no address
        raise DownloadFailed(str(error)) from None


def _continues(answer: Any, done: int) -> bool:
    """Whether an answer begins after the bytes that are here; some servers send the whole file again."""
    begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
    return answer.status == http.client.PARTIAL_CONTENT and begins is not None and int(begins[1]) == done


def _length(header: str | None) -> int:
    """Bytes that are to come; 0 where the server does not say, or says something else than a number."""
    return int(header) if header and header.isdecimal() else 0


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _progress_on_stderr(name: str) -> OnBytes:
    def show(done: int, expected: int) -> None:
        of = f" of {expected / 1e6:.0f}" if expected else ""
        sys.stderr.write(f"\r{name}: {done / 1e6:.0f}{of} MB" + ("\n" if done == expected else ""))
        sys.stderr.flush()

    return show


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, URLError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    if isinstance(error, TimeoutError):
        return "the server fell silent"
    return str(getattr(error, "strerror", None) or error)
