"""`birdwatchd doctor`: say whether database, pictures and clips are whole and belong together, and mend what is not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from birdwatchd.commands.terminal import counted, err, out, shown
from birdwatchd.errors import StoreError, StoreTooNew
from birdwatchd.settings.config import Config
from birdwatchd.store.database import FILE_NAME, Database
from birdwatchd.store.media import LOST
from birdwatchd.store.rescue.examine import DatabaseFindings, MediaFindings, examine_database, examine_media
from birdwatchd.store.rescue.rebuild import Rebuilt, rebuild_rows
from birdwatchd.store.rescue.repair import Repaired, check_owner, repair_database

__all__ = ["run_doctor"]


@dataclass(frozen=True, slots=True)
class _Findings:
    database: DatabaseFindings
    media: MediaFindings

    @property
    def unnamed(self) -> int:
        """Pictures and clips in `media/` that no row names; 0 where rows cannot be read before an upgrade."""
        return 0 if self.database.is_older else self.media.unnamed_crops + self.media.unnamed_clips

    @property
    def missing(self) -> int:
        """Pictures and clips that rows name, and that are not there."""
        return self.media.missing_crops + self.media.missing_clips


def run_doctor(config: Config, *, repair: bool = False) -> int:
    """Examine a home, and repair it if asked to; returns 0 if nothing is wrong (any more), else 1.

    Raises:
        StoreBusy, StoreFull, StoreTooNew, StoreError: it cannot be examined or repaired.
    """
    home, now = config.home, datetime.now(UTC)
    if not home.is_dir():
        raise StoreError(f"{home}: there is no such folder", "check `home`")
    found = _examine(home, now)
    if not found.database.exists and not (found.media.crops or found.media.clips or found.media.lost):
        raise StoreError(f"{home / FILE_NAME}: there is no database", "check `home`, or run birdwatchd there first")
    _print(home, found)
    if not repair:
        return _advise(found)
    check_owner(home)
    if found.database.is_damaged:
        with err.status("repairing the database …"):
            repaired = repair_database(home, found.database, now)
        _print_repaired(repaired)
    with err.status("making rows of pictures and clips …"):
        rebuilt = _rebuild(home, config.station.zone, now)
    _print_rebuilt(rebuilt)
    out.print("after the repair:")
    after = _examine(home, now)
    _print(home, after)
    return 1 if after.database.is_damaged or after.unnamed or after.missing else 0


def _examine(home: Path, now: datetime) -> _Findings:
    with err.status("reading the whole database …"):
        database = examine_database(home)
    if database.is_newer:
        raise StoreTooNew(
            f"{home / FILE_NAME}: was written by a newer birdwatchd (schema {database.version})",
            "install that version again, or restore the backup made before the upgrade",
        )
    readable = bool(database.version) and not database.is_damaged and not database.is_older
    with err.status("comparing rows with pictures and clips …"):
        return _Findings(database, examine_media(home, now, database=readable))


def _rebuild(home: Path, zone: ZoneInfo, now: datetime) -> Rebuilt:
    with closing(Database.open(home)) as database:
        return rebuild_rows(database, zone, now)


def _print(home: Path, found: _Findings) -> None:
    database, media = found.database, found.media
    if database.is_damaged:
        problems = [shown(problem) for problem in database.problems[:3]]
        if database.unreadable:
            problems.append(f"{counted(database.unreadable, 'row')} with values that cannot be read")
        more = f" … and {len(database.problems) - 3} more" if len(database.problems) > 3 else ""
        _line("database", f"[bold red]damaged:[/] {'; '.join(problems)}{more}")
    elif not database.exists:
        _line("database", "[bold red]missing[/]")
    elif not database.version:
        _line("database", "empty")
    else:
        older = "; the next start upgrades it from an older version" if database.is_older else ""
        _line("database", f"[green]good[/], {counted(database.visits or 0, 'visit')}{older}")
    compared = bool(database.version) and not database.is_damaged and not database.is_older
    for noun, number, unnamed, missing in (
        ("picture", media.crops, media.unnamed_crops, media.missing_crops),
        ("clip", media.clips, media.unnamed_clips, media.missing_clips),
    ):
        said = [str(number)]
        if compared:
            said += [f"[bold red]{unnamed} that no visit names[/]"] if unnamed else []
            said += [f"[bold red]{missing} missing[/] that visits name"] if missing else []
        _line(f"{noun}s", ", ".join(said) + ("" if compared else "; not compared with the database"))
    if media.lost:
        size = f"{media.lost_bytes / 1e6:.1f} MB"
        _line(LOST, f"{counted(media.lost, 'file')}, {size}, in {shown(home / LOST)}")
    if media.denied:
        _line("folders", f"[bold red]{media.denied} may not be looked into[/]; run this as birdwatchd's user")


def _advise(found: _Findings) -> int:
    """Print what to do; returns the exit status."""
    database, media = found.database, found.media
    if database.is_damaged:
        _line("to do", "stop birdwatchd and run this with --repair: it saves what can be read and keeps the old file")
    elif not database.exists or found.unnamed or media.lost:
        _line("to do", "run this with --repair: visits are made again of pictures and clips; nothing is deleted")
    if found.missing:
        _line(
            "to do",
            "if nobody deleted the missing files on purpose, put them back from a backup of media/; visits stay",
        )
    wrong = database.is_damaged or not database.exists or found.unnamed or found.missing or media.lost or media.denied
    return 1 if wrong else 0


def _print_repaired(repaired: Repaired) -> None:
    if repaired.salvaged is None:
        _line("repaired", "new indexes and sums were enough; no row was lost")
    else:
        rows = repaired.salvaged.rows
        saved = ", ".join(counted(rows[table], noun) for table, noun in (("visit", "visit"), ("moment", "moment")))
        unreadable = repaired.salvaged.unreadable
        left_out = f"; left out {counted(unreadable, 'row')} with values that cannot be read" if unreadable else ""
        _line("repaired", f"{saved} and {counted(rows['review'], 'review')} saved into a new database{left_out}")
    if repaired.kept is not None:
        _line("kept", f"the old file is {shown(repaired.kept)}; delete it when you miss nothing")


def _print_rebuilt(rebuilt: Rebuilt) -> None:
    if rebuilt.crops or rebuilt.clips or rebuilt.visits:
        files = f"{counted(rebuilt.crops, 'picture')} and {counted(rebuilt.clips, 'clip')}"
        _line("restored", f"{files} are named again, {counted(rebuilt.visits, 'visit')} made again of them")
    if rebuilt.unnamed:
        hint = "`birdwatchd relabel` names their birds"
        _line("restored", f"{rebuilt.unnamed} of these visits say only when and where they were; {hint}")
    if rebuilt.kept:
        _line(LOST, f"{counted(rebuilt.kept, 'file')} stay there: another file has the same name in media/")
    if rebuilt.unusable:
        _line(
            "left", f"{counted(rebuilt.unusable, 'file')} stay without a visit: no picture, or not the one of its row"
        )


def _line(name: str, said: str) -> None:
    out.print(f"{name:<11} {said}", soft_wrap=True)
