"""Write the page: the table of faults, the day, the full file system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.camera_cost import machine
from benchmarks.camera_cost.arithmetic import blocks, slope
from benchmarks.camera_cost.part import Part
from benchmarks.faults.day import CAMERAS, Day
from benchmarks.faults.row import COLUMNS, Row
from birdwatchd.store import StoreReader

__all__ = ["PARTS", "day_part", "faults_part", "full_part", "page"]

PARTS = ("faults", "day", "full-fast", "full-real")
MIB = 2**20
WARM_UP_H = 4.0  # of the day: the network, SQLite's caches and the allocator have settled
BLOCKS = 30


def faults_part(rows: Mapping[str, Row]) -> Part:
    """The table of faults."""
    lost = [text for row in rows.values() for text in row.lost]
    data = {"rows": {name: asdict(row) for name, row in rows.items()}, "lost": lost}
    cells = tuple(row.cells for row in rows.values())
    remark = "**Nothing was lost in any row.**" if not lost else f"**Lost: {'; '.join(lost)}.**"
    unseen = sum(row.birds - row.birds_stored for row in rows.values() if row.was_busy)
    if unseen:
        remark += f" On a machine that was busy {unseen} birds in view have no visit; on a quiet one they count."
    return Part("faults", "Faults", _FAULTS, COLUMNS, cells, (remark,), machine.described(), data)


def day_part(day: Day) -> Part:
    """The day of eight cameras."""
    begun = day.begun
    with StoreReader.open_existing(day.home.folder) as store:
        stored = {visit.visit_id for visit in store.visits.find()}
    due = set(day.home.rows("SELECT visit_id, revision FROM audit_told"))
    heard = day.heard()
    named = [row[0] for row in day.home.rows("SELECT crop FROM moment WHERE crop IS NOT NULL")]
    there = sum((day.home.folder / name).is_file() for name in named)
    warm = [sample for sample in day.samples if sample.hour >= WARM_UP_H]
    hours = day.samples[-1].hour - day.samples[0].hour
    written = (day.samples[-1].written - day.samples[0].written) * 24 / hours
    lost = [
        f"{len(wanted - found)} of {len(wanted)} {what}"
        for what, wanted, found in (("visits", begun, stored), ("messages", due, heard))
        if wanted - found
    ]
    lost += [f"{len(named) - there} of {len(named)} pictures"] * (there < len(named)) + day.problems
    rows = (
        ("hours that passed for the cameras", f"{hours:.1f}"),
        ("times faster than time passes", f"{day.pace.factor:.0f}"),
        *((f"fault: {name}", str(count)) for name, count in sorted(day.faults.items())),
        ("visits begun by cameras / stored", f"{len(begun)} / {len(begun & stored)}"),
        ("messages due / received", f"{len(due)} / {len(due & heard)}"),
        ("pictures named / on disk", f"{len(named)} / {there}"),
        *_growth("resident memory, MiB", [(s.hour, s.resident / MIB) for s in warm]),
        *_growth("file descriptors", [(s.hour, s.descriptors) for s in warm]),
        *_growth("threads", [(s.hour, s.threads) for s in warm]),
        ("child processes, most", str(max(s.children for s in day.samples))),
        ("zombies, most at once / in the last sample", f"{max(s.zombies for s in day.samples)} / {warm[-1].zombies}"),
        ("written to disk by the main process, MB a day", f"{written / 1e6:.0f}"),
        ("lost", "; ".join(lost) or "nothing"),
    )
    text = _DAY.format(cameras=CAMERAS, visits=day.pace.visits, warm=f"{WARM_UP_H:g}", blocks=BLOCKS)
    data = {"samples": [asdict(sample) for sample in day.samples], "lost": lost}
    return Part("day", "A day of eight cameras", text, ("the day", ""), rows, (), machine.described(), data)


def _growth(what: str, points: Sequence[tuple[float, float]]) -> list[tuple[str, str]]:
    """First block, last block and slope of something that is sampled."""
    middles = blocks(points, BLOCKS)
    found = slope(middles)
    return [
        (f"{what}: after the warm-up / at the end", f"{middles[0][1]:.1f} / {middles[-1][1]:.1f}"),
        (f"{what}: growth in an hour (95 %)", f"{found.value:+.2f} ({found.low:+.2f} … {found.high:+.2f})"),
    ]


def full_part(name: str, full: Mapping[str, Any]) -> Part:
    """A full file system."""
    lost = list(full["problems"])
    lost += [f"{full['visits'] - full['stored']} of {full['visits']} visits"] * (full["stored"] < full["visits"])
    newest, pictured = full["newest"], full["newest_with_picture"]
    lost += [f"pictures of {newest - pictured} of the {newest} newest rarities"] * (pictured < newest)
    rows = (
        ("hours that passed for the cameras", f"{full['hours']:.2f}"),
        ("minutes of the real clock", f"{full['real_s'] / 60:.0f}"),
        ("free once it was full, least … most, MB", f"{full['least_free'] / 1e6:.1f} … {full['most_free'] / 1e6:.1f}"),
        ("visits in view or begun / stored", f"{full['visits']} / {full['stored']}"),
        ("new visits with pictures at the end", str(full["with_picture"])),
        ("rarities stored", str(full["rare"])),
        ("of the newest rarities / with a picture", f"{newest} / {pictured}"),
        ("visits of last year that still have a picture", str(full["old_pictures"])),
        ("lost", "; ".join(lost) or "nothing"),
    )
    title = f"A full file system, {full['title']}"
    data = {"full": dict(full), "lost": lost}
    return Part(name, title, _FULL[name], ("128 MB of tmpfs", ""), rows, (), machine.described(), data)


def page(parts: Sequence[Part]) -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(part.as_markdown() for part in parts)])


_INTRODUCTION = """\
# Faults

Written by `python -m benchmarks.faults --markdown docs/measurements/faults.md`; see `benchmarks/faults/README.md`.
"""

_FAULTS = """\
Each fault is injected into a whole station: the daemon as `birdwatchd run` starts it, with a process for each of
two cameras; GStreamer's RTSP server, which plays a drawn film (640 × 360, 8 frames a second, a bird for two seconds
every four) to each client from its beginning; mosquitto; SQLite; the demo's network. Between them lie lines that
can be cut.

- *Birds in view* were watched from coming to going and two seconds longer, without a fault in between: each must
  have a visit. A bird that a fault cut short may or may not have one.
- *Visits in the database at a fault* were read from it when the fault had struck; each must be there in the end.
- *Messages due* are the rows that were put into the outbox for subscribers of visits, as a trigger in the database
  noted them; *received*: by a subscriber whose session the broker keeps.
- *Waited for a core*: the share of the time in which the trial had work to do and the machine gave it no core. Above a
  half, a bird that was not seen or not written in time is shown and not called lost; all else is.
- *Pictures* are crops and clips that rows name in the end; on disk are those that are there and whole.
- *Seconds to recover*: after a kill until both cameras (or the one) are online again, in a process that has PyTorch
  loaded already, which a start as a user does takes some seconds longer; for a broker, from its return until the
  outbox is empty; for a line, from its mending until the camera is online; for a lock or a full disk, from its end
  until a visit (with a picture) of that time is stored; for a damaged database, everything: the refused start,
  `doctor --repair`, and the start after it.

A power cut is this: the home lies on an ext4 file system on a loop device, which is written to when something is
synced and otherwise hardly at all (`commit=300`). All processes are killed, the device is copied as it is then,
without what the system had not yet written to it, and the daemon starts from the copy, after ext4 has played back
its journal."""

_DAY = """\
The main process is the daemon: supervisors, pipes and their wire format, classification by the demo's network,
SQLite in a file, outbox, mosquitto, retention, effort. What is simulated is what cameras say: in place of each of
{cameras} camera processes there is one that says, faster than time passes, what a real camera process said of drawn
birds: evidence of {visits} visits a day with their crops, by chance between 5 and 20 o'clock, and a report for each
second. Decoding and motion detection are not run (see [camera cost](camera-cost.md) for their memory over an hour).
Storage watching, retention and retained states have their intervals divided by the same factor; all other intervals
of the main process (upkeep, reconnection, the poll for reviews) are those of the real clock. Faults come at random,
every 20 s of the real clock.

Samples every two seconds of the real clock, of the main process. The slope is Theil–Sen's with Sen's interval, over
medians of {blocks} blocks of what was sampled after the first {warm} hours."""

_FULL = {
    "full-fast": """\
The same, without faults, in a home on a file system of 128 MB that another program's file fills to the last byte at
the beginning. 250 visits of last year have pictures of 200 kB each, which retention (`min_free_gb`) may delete. One
in 60 visits is of a species that is not to be expected here.""",
    "full-real": """\
Two cameras in real time, as for the table of faults, clips included; otherwise the same. One bird in four is of a
species that is not to be expected here, so most of what is new is a rarity.""",
}
