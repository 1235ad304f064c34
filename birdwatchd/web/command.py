"""`birdwatchd web`: serve the page by itself, and make the hash of its password."""

from __future__ import annotations

import getpass
import sys

from birdwatchd.commands.terminal import err, out
from birdwatchd.errors import ConfigError
from birdwatchd.flow import Stop
from birdwatchd.service import stop_on_signals
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import listening
from birdwatchd.store import StoreReader
from birdwatchd.web.access.login import hash_of
from birdwatchd.web.server import serve

__all__ = ["ask_for_hash", "run_web"]


def run_web(config: Config) -> int:
    """Serve the page until a signal ends it.

    Raises:
        ConfigError: it is switched off, its address is used already, or its password file cannot be used.
        StoreError: there is no database in the home that can be read.
    """
    if not config.web.bind:
        raise ConfigError("the page is switched off", "take `web: off` out of the configuration")
    StoreReader.open_existing(config.home).close()
    stop = Stop()
    stop_on_signals(stop)
    stop.armed = True
    with listening(config.web) as listener:
        out.print(f"The page is at [bold]{config.web.local_url}[/]; Ctrl-C ends it", soft_wrap=True)
        serve(config, listener, stop)
    return 0


def ask_for_hash() -> int:
    """Ask for a password twice, or read a line of stdin where nobody types; print its argon2 hash.

    Raises:
        ConfigError: it is too short, or the two are not the same.
    """
    if sys.stdin.isatty():
        password = getpass.getpass("New password for the page: ")
        if getpass.getpass("The same again: ") != password:
            raise ConfigError("the two passwords are not the same", "try again")
    else:
        password = sys.stdin.readline().rstrip("\n")
    hashed = hash_of(password)
    err.print("Write this line into the file that web.password_file names:")
    sys.stdout.write(hashed + "\n")
    return 0
