"""Write what was measured as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.page.asking import Asked, Heard

__all__ = ["page"]

WRITTEN = "Written by `python -m benchmarks.page --markdown docs/measurements/page.md`; see benchmarks/page/README.md."


def page(
    visits: int,
    database: int,
    times: int,
    load: float,
    asked: Sequence[Asked],
    heard: Heard,
    memory: Mapping[str, float],
    table: tuple[float, int],
) -> str:
    """The page of results; the attacks below it are kept by tests, and written by hand."""
    rows = [
        f"| {one.name} | {one.median_s * 1000:.0f} | {one.most_s * 1000:.0f} | {one.cpu_s * 1000:.0f}"
        f" | {one.size / 1000:.0f} |"
        for one in asked
    ]
    refused = "one more was refused" if heard.refused else "one more was NOT refused"
    return "\n".join(
        [
            "# The page: how fast it answers, and what it costs",
            "",
            WRITTEN,
            "",
            f"{visits:,} visits of five years, a database of {database / 1e9:.2f} GB; each address asked for {times}"
            " times, one after the other, over a connection of its own, of the page's own process on the same machine:"
            f" 2 cores, with a load of {load:.1f} by other programs at the beginning. The time is from the request to"
            " the last byte; the processor time is that of the page's process for one answer.",
            "",
            "| page | median, ms | 95 %, ms | processor, ms | kB |",
            "|---|---:|---:|---:|---:|",
            *rows,
            "",
            f"**Listeners.** {heard.listeners} streams of news at once; {refused}. From a commit of another program"
            f" until the first had heard {heard.first_s:.2f} s, until the last {heard.last_s:.2f} s; *Visits* took"
            f" {heard.page_s * 1000:.0f} ms then.",
            "",
            f"**Memory** of the process (resident, with shared libraries): {memory['started']:.0f} MB after its start,"
            f" {memory['pages']:.0f} MB after all these pages, {memory['listening']:.0f} MB with the listeners,"
            f" {memory['table']:.0f} MB after the table of all visits.",
            "",
            f"**The table of all visits** as CSV: {table[1] / 1e6:.0f} MB in {table[0]:.0f} s.",
            "",
        ]
    )
