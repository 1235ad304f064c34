"""`birdwatchd retention`: show what the limits would delete and why, or delete it now."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from rich.table import Table

from birdwatchd.commands.terminal import err, out, shown, size
from birdwatchd.records import rfc3339
from birdwatchd.settings.config import Config
from birdwatchd.settings.retention import RetentionSettings
from birdwatchd.store import Store, StoreReader
from birdwatchd.store.retention.last_run import LastRun
from birdwatchd.store.retention.plan import Plan, Usage
from birdwatchd.store.retention.retention import Deleted
from birdwatchd.store.retention.value import Item, Kind, Limit, Value

__all__ = ["RetentionOptions", "run_retention"]

_WHY = {
    Limit.KEEP_DAYS: "older than keep_days",
    Limit.MAX_GB: "more than max_gb",
    Limit.MIN_FREE_GB: "less than min_free_gb is free",
}


@dataclass(frozen=True, slots=True)
class RetentionOptions:
    """What the command line asked for."""

    dry_run: bool = False
    as_json: bool = False


@dataclass(slots=True)
class _Row:
    """One line of the table."""

    visits: set[str] = field(default_factory=set)
    files: int = 0
    size: int = 0
    oldest_s: float = 0.0
    newest_s: float = float("inf")

    def add(self, item: Item) -> None:
        self.visits.add(item.visit_id)
        self.files += len(item.files)
        self.size += item.size
        self.oldest_s, self.newest_s = max(self.oldest_s, item.age_s), min(self.newest_s, item.age_s)


def run_retention(config: Config, options: RetentionOptions) -> int:
    """Print what goes for the limits of the configuration; unless it is a dry run, delete it.

    Raises:
        StoreError: there is no home, or it cannot be read or written.
    """
    limits, now = config.retention, datetime.now(UTC)
    with StoreReader.open_existing(config.home) as reader:
        plan = reader.retention(limits).plan(now)
        if options.dry_run:
            items = list(plan.items())
            _print(config, plan, items, now, options)
            if not options.as_json:
                err.print("nothing was deleted (--dry-run)")
            return 0
    with Store.open(config.home, zone=config.station.zone) as store:
        retention = store.retention(limits)
        plan, items, done = retention.plan(now), list[Item](), Deleted()

        def planned() -> Iterable[Item]:
            for item in plan.items():
                items.append(item)
                yield item

        for step in retention.steps(iter(planned()), now):
            done.add(step)
        if done:
            LastRun(now, done.clips, done.pictures, done.visits, done.size).write(config.home)
    _print(config, plan, items, now, options)
    if not options.as_json:
        out.print(f"deleted: {done.text}", soft_wrap=True)
    return 0


def _print(config: Config, plan: Plan, items: list[Item], now: datetime, options: RetentionOptions) -> None:
    if options.as_json:
        for item in items:
            sys.stdout.write(json.dumps(_to_json(item, now)) + "\n")
        return
    _print_usage(config, plan.usage)
    if items:
        out.print(_table(items, now, config.station.zone), soft_wrap=True)
    elif config.retention.is_set and not plan.problem:
        out.print("  all limits are kept; nothing has to go", soft_wrap=True)
    if plan.problem:
        err.print(f"[bold yellow]not enough:[/] {shown(plan.problem)}", soft_wrap=True)


def _print_usage(config: Config, usage: Usage) -> None:
    parts = {"clips": usage.clips, "pictures": usage.pictures, "database": usage.database}
    said = ", ".join(f"{name} {size(count)}" for name, count in parts.items())
    out.print(f"{shown(config.home)}: {size(usage.total)} ({said}); {size(usage.free)} free", soft_wrap=True)
    limits = _limits(config.retention)
    out.print(f"  limits: {limits or 'none, so nothing is ever deleted; set retention.max_gb'}", soft_wrap=True)
    last = LastRun.read(config.home)
    if last is not None:
        counts = f"{last.clips:,} clips, {last.pictures:,} pictures, {last.visits:,} visits ({size(last.size)})"
        out.print(f"  last deleted: {counts}, {_day(last.at, config.station.zone)}", soft_wrap=True)


def _limits(limits: RetentionSettings) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in limits if value is not None)


def _table(items: Iterable[Item], now: datetime, zone: tzinfo) -> Table:
    rows: dict[tuple[Kind, Limit, Value], _Row] = {}
    for item in items:
        assert item.limit is not None
        rows.setdefault((item.kind, item.limit, item.value), _Row()).add(item)
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("what goes", "visits", "files", "size", "value", "of", "why"):
        right = heading in ("visits", "files", "size")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for (kind, limit, value), row in rows.items():
        days = (_day(now - timedelta(seconds=age_s), zone) for age_s in (row.oldest_s, row.newest_s))
        what = {Kind.CLIP: "clips", Kind.PICTURES: "pictures", Kind.VISIT: "visits"}[kind]
        files = f"{row.files:,}" if row.files else "–"
        span = " … ".join(dict.fromkeys(days))
        table.add_row(what, f"{len(row.visits):,}", files, size(row.size), value.text, span, _WHY[limit])
    return table


def _to_json(item: Item, now: datetime) -> dict[str, object]:
    return {
        "what": item.kind.value,
        "visit_id": item.visit_id,
        "start": rfc3339(now - timedelta(seconds=item.age_s)),
        "value": item.value.name.lower(),
        "why": item.limit.value if item.limit else None,
        "size": item.size,
        "files": list(item.files),
    }


def _day(at: datetime, zone: tzinfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d")
