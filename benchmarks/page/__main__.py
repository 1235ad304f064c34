"""Measure the page with a million visits: `python -m benchmarks.page --markdown docs/measurements/page.md`."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

from benchmarks.page.asking import CSV, Asked, Heard, ask, fetch, free_port, listen, memory_mb, served
from benchmarks.page.filling import SPECIES, fill, newest_id
from benchmarks.page.filters import make_hard, slowest
from benchmarks.page.report import page
from birdwatchd.store import Store

LISTENERS = 200


def addresses(now: datetime, visit_id: str) -> dict[str, str]:
    """Every page and every question of a program, and the filters that might look at all visits."""
    common, rare = quote(SPECIES[0][1]), quote(SPECIES[90][1])
    old = f"{now - timedelta(days=1500):%Y-%m-%d}"
    return {
        "Today": "/",
        "Visits": "/visits",
        "Visits, four years back": f"/visits?after={old}T12:00:00.000000Z~x",
        "Visits of a day four years ago": f"/visits?day={old}",
        "Visits of an hour four years ago": f"/visits?day={old}&hour=9",
        "Visits of a species in an hour": f"/visits?species={common}&day={old}&hour=9",
        "Visits of a rare species in an hour": f"/visits?species={rare}&day={old}&hour=9",
        "Visits of the most frequent species": f"/visits?species={common}",
        "Visits of a rare species": f"/visits?species={rare}",
        "Visits of a camera": "/visits?camera=gate",
        "Visits that are uncertain": "/visits?state=uncertain",
        "Visits that were firsts": "/visits?firsts=1",
        "Visits that are rare": "/visits?rare=1",
        "Visits, not reviewed": "/visits?unreviewed=1",
        "Visits, rare firsts (none)": "/visits?rare=1&firsts=1&camera=gate",
        "Visits, rare ones of a species": f"/visits?rare=1&species={common}",
        "A visit": f"/visits/{visit_id}",
        "Review": "/review",
        "Review, everything": "/review?show=all",
        "Species": "/species",
        "Species of this year": "/species?of=year",
        "The most frequent species": f"/species/{common}",
        "Health": "/health",
        "A small picture": f"/visits/{visit_id}/pictures/0?size=320",
        "API: visits": "/api/v1/visits",
        "API: 200 visits": "/api/v1/visits?limit=200",
        "API: a visit": f"/api/v1/visits/{visit_id}",
        "API: species": "/api/v1/species",
        "API: cameras": "/api/v1/cameras",
    }


def main() -> int:
    """Fill a home, serve it, ask."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--visits", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=30, help="how often each address is asked for")
    parser.add_argument("--home", type=Path, help="a home of an earlier run, or where to make one")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--filters", action="store_true", help="instead, find the slowest combinations of filters")
    parser.add_argument("--hard", action="store_true", help="let few visits pass these (changes the home)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        if not (home / "birdwatchd.sqlite3").exists():
            home.mkdir(parents=True, exist_ok=True)
            fill(home, options.visits, datetime.now(UTC))
        Store.open(home, zone=ZoneInfo("UTC")).close()  # one of an earlier version is upgraded
        if options.hard:
            make_hard(home, datetime.now(UTC))
        if options.filters:
            print(slowest(home, datetime.now(UTC)))
            return 0
        text = measure(home, options.visits, options.times)
    print(text)
    if options.markdown is not None:
        options.markdown.write_text(text, encoding="utf-8")
    return 0


def measure(home: Path, visits: int, times: int) -> str:
    """Ask for everything; the page of results."""
    load, port = os.getloadavg()[0], free_port()
    with served(home, port) as pid:
        started_mb = memory_mb(pid)
        asked: list[Asked] = []
        for name, path in addresses(datetime.now(UTC), newest_id(home)).items():
            asked.append(ask(pid, port, name, path, times))
            print(asked[-1], flush=True)
        pages_mb = memory_mb(pid)
        heard: Heard = listen(port, home, "/visits", LISTENERS)
        listening_mb = memory_mb(pid)
        began_s = time.perf_counter()
        size = fetch(port, CSV)
        table_s = time.perf_counter() - began_s
        memory = {"started": started_mb, "pages": pages_mb, "listening": listening_mb, "table": memory_mb(pid)}
    database = (home / "birdwatchd.sqlite3").stat().st_size
    return page(visits, database, times, load, asked, heard, memory, (table_s, size))


if __name__ == "__main__":
    raise SystemExit(main())
