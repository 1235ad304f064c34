"""Read a text file that a person made, of bounded size and only if it is a file: anything else there is an error.

A named pipe in its place would wait for ever, and a file of gigabytes would fill the memory.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["NotText", "read_text"]


class NotText(Exception):
    """A file is not what it should be; the text is a clause that follows its name, such as `is not UTF-8 text`."""


def read_text(path: Path, *, most_bytes: int) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Args:
        most_bytes: a larger file is refused without being read.

    Raises:
        NotText: it cannot be read, is no regular file, is too large, or is no text; also where it holds a NUL.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotText("is not a file")
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise NotText(f"cannot be read ({error.strerror})") from None
    except ValueError:  # a NUL in its name
        raise NotText("cannot be read (not a name of a file)") from None
    if len(data) > most_bytes:
        raise NotText(f"is larger than {most_bytes // 1_000_000} MB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotText("is not UTF-8 text") from None
    if "\0" in text:
        raise NotText("is not text: it holds NUL")
    return text
