"""Show what came and what birdwatchd made of it: a table of the birds, a line per promise, and the latencies."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from birdwatchd.commands.terminal import out, shown
from birdwatchd.demo.comparison import Comparison, Sighting
from birdwatchd.demo.load import Load
from birdwatchd.demo.messages import Messages, latency_lines
from birdwatchd.demo.verdict import Outcome, judge, recorded
from birdwatchd.settings.config import Config

__all__ = ["show_summary"]

_STYLES = {Outcome.KEPT: "green", Outcome.BROKEN: "red", Outcome.TOO_SLOW: "yellow"}


def show_summary(comparison: Comparison, messages: Messages, load: Load, config: Config) -> bool:
    """Show what was promised and what became of it; True if birdwatchd broke no promise."""
    sightings = comparison.sightings
    if sightings:
        out.print(_sightings_table(sightings))
    checks = judge(comparison, load)
    for check in checks:
        out.print(f"  [{_STYLES[check.outcome]}]{check.outcome.value}[/] {shown(check.text)}", soft_wrap=True)
    first = [s.latency_s for s in sightings if s.latency_s is not None]
    final = [s.final_s for s in sightings if s.final_s is not None]
    for line in latency_lines(first, final, "measured on an overloaded machine" if load.is_slow else ""):
        out.print(f"    {line}", soft_wrap=True)
    home = shown(config.home)
    out.print(f"\n  {messages.count} visit messages received; database and crops are in {home}", soft_wrap=True)
    out.print(f"  look again with: birdwatchd visits --home {home}", soft_wrap=True)
    return all(check.outcome is not Outcome.BROKEN for check in checks)


def _sightings_table(sightings: Sequence[Sighting]) -> Table:
    """One line a bird, in 80 columns; only a name that is wrong may need a second one."""
    title = "\nwhat came, and what birdwatchd recorded"
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for heading in ("camera", "bird", "for", "recorded as", "sure", "crops", "message", "visits"):
        words = heading in ("camera", "bird", "recorded as")
        least = 12 if heading in ("bird", "recorded as") else None
        table.add_column(heading, justify="left" if words else "right", no_wrap=least is None, min_width=least)
    for s in sightings:
        visit = s.visits[0] if s.visits else None
        table.add_row(
            shown(s.camera),
            shown(s.species),
            f"{(s.end - s.start).total_seconds():.1f} s",
            _recorded_as(s),
            f"{visit.verdict.score:.0%}" if visit else "",
            str(s.crops),
            f"{s.latency_s:.2f} s" if s.latency_s is not None else "",
            str(len(s.visits)),
        )
    return table


def _recorded_as(s: Sighting) -> str:
    if s.named_right:
        return "[green]the same[/]"
    style = "yellow" if s.slowed and recorded(s) is not Outcome.BROKEN else "red"
    if not s.visits:
        return f"[{style}]{'missed: too slow' if s.slowed else 'missed'}[/]"
    verdict = s.visits[0].verdict
    return f"[{style}]{shown(verdict.common_name or verdict.state.value)}[/]"
