"""Open the home at the start of the daemon, and wait for what goes away by itself: a full disk, another program.

Ending would be a restart every few seconds, with a line in the log each time. What waiting does not help is raised, and
nothing of the home is touched then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack

from birdwatchd.clock import StationClock
from birdwatchd.errors import StoreUnavailable
from birdwatchd.flow import Stop, StoreRetry
from birdwatchd.settings.config import Config
from birdwatchd.stages.named_files import require_named_files
from birdwatchd.store import Store, Writer
from birdwatchd.store.retention.reserve import open_store

__all__ = ["Opening"]

log = logging.getLogger(__name__)
RETRY_S = 5.0  # between two tries


class Opening:
    """The start of one run in its home."""

    def __init__(
        self,
        config: Config,
        clock: StationClock,
        stop: Stop,
        say: Callable[[str], None],
        on_home: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            stop: ends the wait.
            say: is told what is done, or waited for, as words for the service manager.
            on_home: is called once the home can be used, or is waited for; may be called again.
        """
        self._config, self._clock, self._stop, self._say = config, clock, stop, say
        self._on_home, self._waits_for = on_home, ""

    def open_home(self) -> Store | None:
        """Open the home, and put it in order.

        Returns:
            None if the stop came first.

        Raises:
            ConfigError: files that the configuration names cannot be used.
            StoreTooNew, StoreDamaged, StoreError: waiting does not help.
        """
        config = self._config
        require_named_files(config)
        retry = StoreRetry(on_first=self._cannot_start, on_again=lambda: log.info("%s can be used again", config.home))
        self._say("opening the database")

        def opened() -> Store:
            with ExitStack() as undo:
                store = undo.enter_context(
                    open_store(config.home, config.station.zone, check=True, without_pictures=config.without_pictures)
                )
                store.claim("run")
                self._begin_clock(store)
                store.sweep(self._clock.now())
                undo.pop_all()
            self._on_home()
            return store

        try:
            return retry.until_done(opened, wait=self._wait)
        except StoreUnavailable:
            return None

    def close_interrupted(self, writer: Writer) -> None:
        """End the visits that a killed run left open."""
        retry = StoreRetry(on_first=self._cannot_start, on_again=lambda: log.info("the start goes on again"))
        try:
            cut_short = retry.until_done(
                lambda: writer.close_interrupted(self._clock.now(), self._config.cameras.keys()), self._wait
            )
        except StoreUnavailable:
            return  # the stop came first
        if cut_short:
            log.info("closed %d visits that the last run left open", len(cut_short))

    def _begin_clock(self, store: Store) -> None:
        """Let the station's time begin, and say so where the system's clock cannot be right."""
        marked = store.clocks.begin(self._clock)
        if self._clock.behind:
            log.error(
                "the system's clock is behind: it says a time before what is stored already; visits are stamped from "
                "%s on until it is put right (if it is right, see `birdwatchd clock --trust`)",
                f"{self._clock.now().astimezone(self._config.station.zone):%Y-%m-%d %H:%M %Z}",
            )
        if marked.visits:
            log.warning(
                "%d visits lie in the future and count for nothing: the clock was ahead; see `birdwatchd clock`",
                len(marked.visits),
            )

    def _cannot_start(self, error: StoreUnavailable) -> None:
        log.error("cannot start yet: %s", error)
        self._waits_for = str(error)
        self._on_home()

    def _wait(self) -> bool:
        self._say(f"cannot start yet: {self._waits_for}")
        return not self._stop.wait(RETRY_S)
