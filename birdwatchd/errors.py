"""Name everything that can go wrong, each with its remedy, so that callers decide by class and people read one line.

Foreign exceptions (libav, torch, SQLAlchemy, paho) are translated into these where their library lives;
nothing above that border sees them.
"""

from __future__ import annotations

MOST_LETTERS = 900  # of what is quoted in one line; the keys that a camera may have take 400


def shortened(text: str, most: int = MOST_LETTERS) -> str:
    """Text that somebody else wrote, for a line: one line, cut where it is longer than `most` letters."""
    text = "\\n".join(text.splitlines())
    return text if len(text) <= most else f"{text[: most - 1]}…"


class BirdwatchError(Exception):
    """A failure with a sentence for people.

    Args:
        message: what went wrong, naming the thing (file, camera, key).
        hint: what to do about it; may be empty where the message says it already.
    """

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ConfigError(BirdwatchError):
    """The configuration cannot be used. Give up with status 2; `problems` holds one line per mistake."""

    exit_status = 2

    def __init__(self, message: str, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.problems = problems or (str(self),)


class SourceError(BirdwatchError):
    """A camera or media file gave no pictures."""


class SourceUnreachable(SourceError):
    """Nobody answered, or the stream broke off. Try again, 1 s … 60 s."""


class SourceRefused(SourceError):
    """The camera answered no (401, 403, 404). Try again every five minutes, and say so."""


class SourceUnusable(SourceError):
    """What came is no video that can be decoded. Only this source is given up."""


class ModelError(BirdwatchError):
    """The classifier cannot be used."""


class ModelUnusable(ModelError):
    """Weights are missing, damaged or of another network. Give up, saying which file belongs where."""


class ModelMissing(ModelUnusable):
    """The weights are published, and not on this machine. Fetch them, or put them there."""


class DeviceLost(ModelError):
    """The device failed under a model that worked. A new process is needed."""


class StoreError(BirdwatchError):
    """The database or the media folder failed."""


class StoreDamaged(StoreError):
    """The database, or a row of it, cannot be read. Give up with status 3: only `birdwatchd doctor` mends it."""

    exit_status = 3


class NoSuchVisit(StoreError):
    """No visit has this id, or several ids begin so."""


class ReviewRefused(StoreError):
    """This visit cannot be reviewed as it is, or has no such review to take back."""


class StoreTooNew(StoreError):
    """The database was written by a newer birdwatchd. Give up with status 3: a restart cannot help."""

    exit_status = 3


class StoreTooOld(StoreError):
    """Nobody can read the database before `birdwatchd run` has begun or upgraded it."""


class StoreInUse(StoreError):
    """Another process records into this home. Give up; the message names it."""


class StoreUnavailable(StoreError):
    """The database takes nothing for now. What was asked for has not happened; try again (`flow.StoreRetry`)."""


class StoreBusy(StoreUnavailable):
    """Another process holds the database. Try again."""


class StoreFull(StoreUnavailable):
    """No room on the disk. Make room, then try again."""


class BrokerError(BirdwatchError):
    """The MQTT broker is away or refused us. The outbox keeps what there is to say."""


class BrokerUnreachable(BrokerError):
    """Nobody answers at the broker's address. Try again with back-off."""


class BrokerRefused(BrokerError):
    """The broker answered and said no (user, password, permission)."""


class ChannelError(BirdwatchError):
    """A channel did not take a message. The outbox keeps it. No text of these holds any part of an address."""


class ChannelUnreachable(ChannelError):
    """Nobody answered, or the answer was to come again later. Try again with back-off."""


class ChannelRefused(ChannelError):
    """The answer was no, or the address is none. Trying again helps only after a person did something."""


class ExportError(BirdwatchError):
    """One export failed; nothing else did."""
