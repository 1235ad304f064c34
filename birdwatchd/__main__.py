"""Start the command line: `birdwatchd …` and `python -m birdwatchd …` are the same."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

WRITABLE_FOR_ALL = 0o002  # what no file is made, also where the machine (umask 000) would


def main() -> None:
    """Run the command line and leave with its exit status.

    `sudo -u birdwatchd` leaves one in a folder that this user may not enter; libraries that look for files there fail.
    """
    if not os.access(".", os.X_OK, effective_ids=True):
        os.chdir("/")
    _open_what_is_closed()
    os.umask(os.umask(WRITABLE_FOR_ALL) | WRITABLE_FOR_ALL)
    _let_out_every_name(sys.stdout)
    from birdwatchd.cli import run_cli  # asks what the output is when it is imported

    try:
        status = run_cli(sys.argv[1:])
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        sys.stderr.write("birdwatchd: the output cannot be written: its disk is full; free some space\n")
        _lead_nowhere(sys.stdout.fileno())  # Python writes what is left when it ends
        status = 1
    sys.exit(status)


def _open_what_is_closed() -> None:
    """Let closed standard files (`>&-`, some service managers) lead nowhere.

    The next file that is opened would get their number, be it the database, and what is printed would end in it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            _lead_nowhere(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # until the end


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    os.set_inheritable(number, True)  # else the programs that are started have it closed


def _let_out_every_name(file: TextIO) -> None:
    """Print names of birds also where the language of the system has no letters for them.

    What goes to a program or a file is UTF-8, as JSON has to be; a terminal gets what it takes, and `\\u05d9` for the
    rest.
    """
    reconfigure = getattr(file, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding=None if file.isatty() else "utf-8", errors="backslashreplace")


if __name__ == "__main__":
    main()
