"""`birdwatchd web`: serve the page by itself, make the hash of its password, and the tokens of programs."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime

from birdwatchd.commands.terminal import err, out
from birdwatchd.errors import ConfigError
from birdwatchd.flow import Stop
from birdwatchd.service import stop_on_signals
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import PageProcess, listeners
from birdwatchd.store import StoreReader
from birdwatchd.store.database import require_database
from birdwatchd.web.access.login import Login, hash_of
from birdwatchd.web.access.tokens import Tokens

__all__ = ["ask_for_hash", "list_tokens", "make_token", "revoke_token", "run_web"]


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
    Login.of(config.web)  # its process could only end
    sockets = listeners(config.web)
    out.print(f"The page is at [bold]{config.web.local_url}[/]; Ctrl-C ends it", soft_wrap=True)
    PageProcess(config).run(stop, sockets)
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


def make_token(config: Config, name: str) -> int:
    """Make a token for a program, and print it; what is kept tells nobody what it was.

    Raises:
        ConfigError: the page has no password, so that programs need no token; or there can be none of this name.
        StoreError: there is no database in the home.
    """
    if config.web.password_file is None:
        raise ConfigError("the page has no password, so programs need no token", "set web.password_file first")
    require_database(config.home)
    token = Tokens(config.home).make(name, datetime.now(UTC))
    err.print("Keep it now, it is not shown again. A program sends it as the header `Authorization: Bearer TOKEN`:")
    sys.stdout.write(token + "\n")
    return 0


def list_tokens(config: Config) -> int:
    """Print the name of each token and when it was made, not the token.

    Raises:
        ConfigError: what is kept cannot be read.
    """
    for one in Tokens(config.home).all():
        sys.stdout.write(f"{one.name} {one.made_at}\n")
    return 0


def revoke_token(config: Config, name: str) -> int:
    """Take a token back.

    Raises:
        ConfigError: there is none of that name.
    """
    Tokens(config.home).revoke(name)
    err.print(f"No program gets in with the token {name} any more.")
    return 0
