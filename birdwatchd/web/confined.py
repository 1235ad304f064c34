"""Say what the process of the page may still reach, before it answers anybody: the same means hold a camera's process.

It reads the home, its own libraries and the few files that the configuration names for it. It writes the database,
its notes of jobs, and what can be made again (`cache`, copies of embeddings); never a crop, a clip or a token.
It connects to nobody but the daemon. The programs that it starts (`web/asked/`) are held to the same.

SQLite makes and deletes `-wal` and `-shm` beside the database with the first and the last connection. The kernel knows
files and not names, so this process keeps one connection open from before on: they stay the same files as long as it
lives. When they are others all the same (after a restore, or the first start of a station), it has to begin anew.
"""

from __future__ import annotations

import mimetypes
import os
from contextlib import suppress
from pathlib import Path

from PIL import Image

from birdwatchd.camera.process.sandbox import Confinement
from birdwatchd.commands.review_many import FOLDER as JOBS
from birdwatchd.errors import StoreError
from birdwatchd.search.nearest import FOLDER as COPIES
from birdwatchd.search.nearest import make_folder
from birdwatchd.settings.config import Config
from birdwatchd.stages.page_process import WORK
from birdwatchd.store.database import FILE_NAME
from birdwatchd.store.media import CACHE, LOCK_NAME
from birdwatchd.store.pages.changes import Changes

__all__ = ["Reach"]

Identity = tuple[int, int] | None


class Reach:
    """What one process of the page reaches. Holds the connection that keeps the database's files."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._files = [config.home / f"{FILE_NAME}{suffix}" for suffix in ("", "-wal", "-shm")]
        self._anchor = Changes(self._files[0])
        self._prepare()
        self._known = self._identities()

    def confinement(self) -> Confinement:
        """For `birdwatchd.camera.process.sandbox.confine`."""
        config, home = self._config, self._config.home
        named = (
            config.web.password_file,
            config.species.bar_chart,
            config.species.names_file,
            config.model.file,
            config.model.cache_dir,
        )
        written = [*self._files, *(home / name for name in (JOBS, WORK, COPIES, CACHE))]
        return Confinement(
            read=(str(home), *(str(path) for path in named if path is not None)),
            write=tuple(map(str, written)),
            serves=True,
            memory_mb=0,  # threads of the server reserve more than they use; the parent looks at what is used
        )

    def is_another(self) -> bool:
        """Whether the database's files are others than those that may be reached."""
        return self._identities() != self._known

    def _prepare(self) -> None:
        """Make what is not there yet and could not be made later."""
        home = self._config.home
        mimetypes.init(())  # of what is served; those of the machine cannot be read later
        Image.init()  # it loads its formats when they are first used, some from folders beside its own
        if not self._files[0].exists():
            return
        with suppress(StoreError):  # the page says so
            self._anchor.look()
        with suppress(OSError):  # a home of somebody else's, which is only looked at
            for name in (JOBS, WORK, CACHE):
                (home / name).mkdir(mode=0o700 if name == WORK else 0o755, exist_ok=True)
            make_folder(self._files[0])
            os.close(os.open(home / LOCK_NAME, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))

    def _identities(self) -> list[Identity]:
        return [_identity(path) for path in self._files]


def _identity(path: Path) -> Identity:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
