"""`birdwatchd clock`: show in which stretches of time visits were stamped, and shift what a wrong clock has stamped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from rich.table import Table

from birdwatchd.clock import BUILT, ClockReading, read_clocks
from birdwatchd.commands.terminal import counted, err, out, shown
from birdwatchd.errors import ConfigError, StoreError, StoreInUse
from birdwatchd.mqtt.build import build_composer
from birdwatchd.settings.config import Config
from birdwatchd.store import Shifted, Store, StoreReader, Stretch
from birdwatchd.store.timekeeping.doubt import Doubt

__all__ = ["ClockOptions", "run_clock"]

_DOUBT = {
    None: "",
    Doubt.BEHIND: "[yellow]the clock was behind: it was later than that[/]",
    Doubt.AHEAD: "[yellow]the clock was ahead; counts for nothing until it is shifted[/]",
}


@dataclass(frozen=True, slots=True)
class ClockOptions:
    """What the command line asked for.

    Attributes:
        stretch, since, until: what to shift: a stretch, or what an older version stamped in a span.
        said, was: what the clock said at some moment of it, and when that was.
        trust: the system's clock is right, and what is stored later is not.
    """

    stretch: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    said: datetime | None = None
    was: datetime | None = None
    trust: bool = False
    dry_run: bool = False


def run_clock(config: Config, options: ClockOptions) -> int:
    """Shift, mark or show.

    Raises:
        ConfigError: options that do not go together.
        StoreError: there is no such stretch, or it would lie in the future; nothing was changed.
    """
    now = read_clocks()
    if options.trust:
        return _trust(config, now.wall, dry_run=options.dry_run)
    if (options.since is None) != (options.until is None):
        raise ConfigError("--since and --until belong together", "give both")
    if options.stretch is not None or options.since is not None:
        return _shift(config, options, now.wall)
    if options.said is not None or options.was is not None:
        raise ConfigError("--said and --was belong to what is shifted", "give --shift, or --since and --until")
    with StoreReader.open_existing(config.home) as store:
        _print(store.stretches(), now, config.station.zone)
    return 0


def _shift(config: Config, options: ClockOptions, now: datetime) -> int:
    if options.said is None or options.was is None:
        raise ConfigError("by how much?", "give what the clock said and when that was: --said TIME --was TIME")
    by, since, until = options.was - options.said, options.since, options.until
    span = None if since is None or until is None else (since, until)
    with Store.open(config.home, zone=config.station.zone, existing=True) as store:
        running = not _claimed(store)
        going_on = {one.number for one in store.stretches() if one.of_newest_run and running}
        if options.stretch in going_on:
            raise StoreError(
                f"stretch {options.stretch} is going on",
                "set the system's clock right (timedatectl set-time …): what was stamped in it is put right with it",
            )
        done = store.clocks.shift(by, now, stretch=options.stretch, span=span, dry_run=options.dry_run)
        if not options.dry_run:
            _tell(config, store, done, now)
    _say(done, by, dry_run=options.dry_run)
    return 0


def _claimed(store: Store) -> bool:
    """Keep `run` and `scan` from starting meanwhile; False where one is running."""
    try:
        store.claim("clock")
    except StoreInUse:
        return False
    return True


def _tell(config: Config, store: Store, done: Shifted, now: datetime) -> None:
    """Let pictures and the broker say the new times."""
    writer, composer = store.writer(), build_composer(config)
    for visit_id in done.visits:
        writer.renew_note(visit_id)
    if composer is not None:
        for camera in done.cameras:
            store.outbox.put(composer.states(store.cameras.summary(camera, now)), now)


def _say(done: Shifted, by: timedelta, *, dry_run: bool) -> None:
    direction = "later" if by > timedelta() else "earlier"
    visits, spans, firsts = (
        counted(number, noun)
        for number, noun in ((len(done.visits), "visit"), (done.spans, "span"), (done.firsts, "visit"))
    )
    out.print(f"{visits} and {spans} of effort: {abs(by)} {direction}; {firsts} with other firsts", soft_wrap=True)
    if dry_run:
        err.print("nothing was changed (--dry-run)")


def _trust(config: Config, now: datetime, *, dry_run: bool) -> int:
    with Store.open(config.home, zone=config.station.zone, existing=True) as store:
        store.claim("clock")
        done = store.clocks.trust(now, dry_run=dry_run)
    visits, spans = counted(len(done.visits), "visit"), counted(done.spans, "span")
    marked = "" if dry_run else " and are marked"
    out.print(f"{visits} and {spans} of effort lie after {_at(now, config.station.zone)}{marked}", soft_wrap=True)
    return 0


def _print(stretches: list[Stretch], now: ClockReading, zone: tzinfo) -> None:
    right = "synchronised" if now.synchronised else "not synchronised"
    newest = max((one.newest_at for one in stretches if one.newest_at and one.doubt is not Doubt.AHEAD), default=BUILT)
    if not now.synchronised and now.wall < newest:
        right += f"; [bold red]behind:[/] the newest that is stored is of {_at(newest, zone)}"
    out.print(f"the system's clock says {_at(now.wall, zone)}, {right}", soft_wrap=True)
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("stretch", "from", "to", "visits", "clock", "shifted by", ""):
        table.add_column(heading, justify="right" if heading in ("stretch", "visits") else "left", no_wrap=True)
    for one in stretches:
        table.add_row(
            str(one.number),
            _at(one.began_at, zone),
            "–" if one.newest_at is None else _at(one.newest_at, zone),
            f"{one.visits:,}",
            "synchronised" if one.synchronised else "alone",
            str(timedelta(seconds=round(one.shifted_s))) if one.shifted_s else "–",
            _DOUBT[one.doubt],
        )
    if stretches:
        out.print(table, soft_wrap=True)


def _at(at: datetime, zone: tzinfo) -> str:
    return shown(f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}")
