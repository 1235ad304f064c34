"""How the daemon opens its home: it waits for what goes away by itself, and for nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from birdwatchd.clock import StationClock
from birdwatchd.errors import StoreDamaged, StoreFull
from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.stages.opening import Opening
from birdwatchd.store import Store
from birdwatchd.store.media import Swept
from tests.support import homes


def opening(home: Path, stop: Stop | None = None, say: Callable[[str], None] = lambda text: None) -> Opening:
    return Opening(Config(home=home), StationClock(), stop or Stop(), say)


def test_a_full_disk_at_the_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ending would be a restart every few seconds, with a line in the log each time."""
    tries = iter([StoreFull("disk", "free some space"), StoreFull("disk", "free some space"), None])
    truly = Store.open

    def full(home: Path, **how: object) -> Store:
        if (error := next(tries)) is not None:
            raise error
        return truly(home, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "open", full)
    monkeypatch.setattr("birdwatchd.stages.opening.RETRY_S", 0.001)
    said: list[str] = []
    store = opening(tmp_path / "home", say=said.append).open_home()
    assert store is not None
    store.close()
    waits = "cannot start yet: disk; free some space"
    assert said == ["opening the database", waits, waits], "systemd shows it, and gives more time"
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [waits]


def test_a_start_that_breaks_off_half_way_leaves_the_home_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full after the home was claimed: the next try was refused by the claim of the one before."""
    truly, fails = Store.sweep, [StoreFull("disk", "free some space")]

    def sweep(store: Store, now: datetime) -> Swept:
        if fails:
            raise fails.pop()
        return truly(store, now)

    monkeypatch.setattr(Store, "sweep", sweep)
    monkeypatch.setattr("birdwatchd.stages.opening.RETRY_S", 0.001)
    store = opening(tmp_path / "home").open_home()
    assert store is not None
    store.close()


def test_a_stop_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no room to free wants to stop it."""

    def full(home: Path, **how: object) -> Store:
        raise StoreFull("disk", "free some space")

    monkeypatch.setattr(Store, "open", full)
    stop = Stop()
    stop.set("test")
    assert opening(tmp_path / "home", stop).open_home() is None


@pytest.mark.parametrize("how", [name for name in homes.BREAKS if name != "lost"])
def test_a_damaged_database_is_not_waited_for(tmp_path: Path, how: str) -> None:
    """It does not mend itself; and nothing of the home is touched before a person has looked."""
    home = tmp_path / "home"
    homes.fill(home, 2)
    homes.BREAKS[how](home)
    files = homes.media(home)
    with pytest.raises(StoreDamaged, match="doctor --repair"):
        opening(home).open_home()
    assert homes.media(home) == files


def test_a_lost_database_is_begun_anew_and_loses_no_picture(tmp_path: Path) -> None:
    """A station must go on by itself; what it cannot name it moves aside."""
    home = tmp_path / "home"
    homes.fill(home, 2)
    files = {name for name in homes.media(home) if name.endswith(".jpg")}
    homes.lose(home)
    store = opening(home).open_home()
    assert store is not None
    store.close()
    assert {name for name in files if (home / "lost+found" / name).is_file()} == files


def test_a_home_is_announced_only_once_it_can_be_used_or_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` told the page's address, and then that there is nothing to show; while it waits, the page says why."""
    monkeypatch.setattr("birdwatchd.stages.opening.RETRY_S", 0.001)
    config, truly = Config(home=tmp_path / "home"), Store.open
    said: list[str] = []

    def announced(error: Exception | None) -> list[str]:
        said.clear()
        failures = [error] if error is not None else []

        def opened(home: Path, **how: object) -> Store:
            if failures:
                raise failures.pop()
            said.append("opened")
            return truly(home, **how)  # type: ignore[arg-type]

        monkeypatch.setattr(Store, "open", opened)
        start = Opening(config, StationClock(), Stop(), lambda text: None, lambda: said.append("announced"))
        try:
            store = start.open_home()
        except StoreDamaged:
            return said
        assert store is not None
        store.close()
        return said

    assert announced(None) == ["opened", "announced"]
    assert announced(StoreFull("disk", "free some space")) == ["announced", "opened", "announced"]
    assert announced(StoreDamaged("spoilt", "mend it")) == []
