"""Hold what the page shows: the configuration, and the home's database, opened when it is there."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from birdwatchd.errors import NoSuchVisit
from birdwatchd.monitor.local_socket import LIVE_SOCKET_NAME
from birdwatchd.settings.config import Config
from birdwatchd.species.class_names import class_names
from birdwatchd.store import StoreReader
from birdwatchd.store.database import FILE_NAME
from birdwatchd.store.media import Media
from birdwatchd.store.pages.cards import Card
from birdwatchd.web.names import Names
from birdwatchd.web.pictures.kept import KeptPictures
from birdwatchd.web.pictures.small import SmallPictures

__all__ = ["Home", "card_of"]


class Home:
    """The home of a station, for reading. Safe to use from several threads."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.media = Media(config.home, config.without_pictures)
        self.names = Names(config.species, lambda: class_names(config.model, config.model_cache))
        self.pictures = KeptPictures(self.media)
        self.small_pictures = SmallPictures(self.media, self.pictures)
        self._lock = threading.Lock()
        self._reader: StoreReader | None = None
        self._file: tuple[int, int] | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The station's time zone."""
        return self.config.station.zone

    @property
    def database(self) -> Path:
        """The database file, which need not exist yet."""
        return self.config.home / FILE_NAME

    @property
    def store(self) -> StoreReader:
        """What is stored; opened anew when a restore put another file in its place.

        Raises:
            StoreError: there is no database yet, or none that can be read.
        """
        with self._lock:
            try:
                found = self.database.stat()
                file = (found.st_dev, found.st_ino)
            except OSError:
                file = None
            if self._reader is None or file != self._file:
                if self._reader is not None:
                    self._reader.close()
                self._reader = None
                self._reader, self._file = StoreReader.open_existing(self.config.home), file
            return self._reader

    @staticmethod
    def now() -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)

    def shows(self, camera: str) -> bool:
        """Whether pictures of a camera are shown: not of one whose pictures are not to be kept, also none of before."""
        return camera not in self.config.without_pictures

    @property
    def has_live(self) -> bool:
        """Whether a daemon offers what its cameras show now."""
        return (self.config.home / LIVE_SOCKET_NAME).exists()

    def camera_name(self, key: str) -> str:
        """What people call a camera."""
        camera = self.config.cameras.get(key)
        return (camera.name if camera is not None else "") or key.replace("_", " ")


def card_of(home: Home, visit_id: str) -> Card:
    """A visit, by its whole id.

    Raises:
        NoSuchVisit: there is none.
    """
    card = home.store.cards.of(visit_id)
    if card is None:
        raise NoSuchVisit(f"there is no visit {visit_id[:64]}", "it may have been deleted")
    return card
