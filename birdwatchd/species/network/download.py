"""Download one published weights file atomically: it appears complete and verified, or not at all.

It is written to a temporary file in the same folder, checked against the publisher's SHA-256, synced to the disk and
only then renamed, so that neither a dead server nor a power cut leaves half a file where a model is looked for.
(birder's own `download_file` has no timeout: a server that stops sending would hang it for ever.)
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from birdwatchd.errors import ModelUnusable

__all__ = ["DownloadFailed", "download", "sha256_of"]

_CHUNK = 1 << 20
# Seconds without a single byte before the server counts as dead; a slow connection may take as long as it needs.
READ_TIMEOUT_S = 30.0


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
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, path: Path, sha256: str, *, progress: bool = False, timeout_s: float = READ_TIMEOUT_S) -> None:
    """Fetch `url` into `path`, making its folder where there is none.

    Args:
        url: http or https address, from birder's registry, never from a user.
        path: where the complete file appears.
        sha256: what the file must hash to, 64 hex digits.
        progress: show one line of progress on stderr.
        timeout_s: seconds without a byte after which the download fails.

    Raises:
        DownloadFailed: and leaves nothing at `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f"{path.name}.", suffix=".partial", delete=False
        ) as file:
            partial = Path(file.name)
            try:
                _fetch(url, file, sha256, timeout_s, _progress_on_stderr(path.name) if progress else _no_progress)
                partial.chmod(0o644)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
    except (OSError, http.client.HTTPException) as error:  # URLError, HTTPError, TimeoutError and SSLError are OSErrors
        raise DownloadFailed(_reason(error)) from None


def _fetch(url: str, file: IO[bytes], sha256: str, timeout_s: float, on_progress: Callable[[int, int], None]) -> None:
    digest, done = hashlib.sha256(), 0
    with _opened(url, timeout_s) as answer:
        expected = _length(answer.headers.get("Content-Length"))
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            on_progress(done, expected)
    if done < expected:
        raise DownloadFailed(f"broke off after {done} of {expected} bytes")
    if digest.hexdigest() != sha256:
        raise DownloadFailed("what came is not the published file: its sha256 differs")
    file.flush()
    os.fsync(file.fileno())


def _opened(url: str, timeout_s: float) -> Any:
    request = Request(url, headers={"User-Agent": "birdwatchd"})  # noqa: S310 # from birder's registry
    try:
        return urlopen(request, timeout=timeout_s)  # noqa: S310 # as above
    except ValueError as error:  # a proxy variable of the environment that is no address
        raise DownloadFailed(str(error)) from None


def _length(header: str | None) -> int:
    """Bytes that are to come; 0 where the server does not say, or says something else than a number."""
    return int(header) if header and header.isdecimal() else 0


def _no_progress(_done: int, _expected: int) -> None:
    """Show nothing: a daemon's log is no place for a progress bar."""


def _progress_on_stderr(name: str) -> Callable[[int, int], None]:
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
