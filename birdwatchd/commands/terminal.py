"""What a person sees in the terminal: lines for visits, tables, and log lines that read well in a journal.

Results go to stdout, everything else to stderr, so that output can be piped.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape

from birdwatchd.errors import ExportError
from birdwatchd.monitor.repeats import RepeatLimit
from birdwatchd.records import State, Verdict, Visit
from birdwatchd.settings.cameras import CameraSettings

__all__ = [
    "NO_SPECIES",
    "VisitLines",
    "best_guess",
    "counted",
    "err",
    "ignore_warnings",
    "json_target",
    "name_of",
    "out",
    "plain",
    "recent_log",
    "say_path_problem",
    "say_problem",
    "setup_log",
    "shown",
    "size",
    "too_small",
    "visit_lines",
    "write_json",
]

log = logging.getLogger(__name__)

NO_SPECIES = frozenset({"unknown", "background", "none"})  # classes that classifiers have besides their species
HEADINGS = ("when", "for", "camera", "bird", "sure", "pictures", "visit")
RIGHT = frozenset({"for", "sure", "pictures"})
CHUNK = 500  # visits whose columns are measured at once
DATE_AND_TIME = "%Y-%m-%d %H:%M:%S"
PATH_HINTS = {
    errno.ENAMETOOLONG: "check the path",
    errno.EACCES: "choose another path, or ask its owner to let you in",
}
SHOWN_PATH = 900  # characters
PIPED_WIDTH = 160  # characters a line where no terminal tells its width
out = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False, emoji=False)
# Control characters (a terminal obeys ESC), line breaks, what turns the direction of a line, halves of characters
# (how Python keeps file names that are not UTF-8; they cannot be written at all).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

STYLES = {State.CONFIRMED: "bold green", State.UNCERTAIN: "yellow", State.UNKNOWN: "dim", State.REJECTED: "dim"}


def plain(text: object) -> str:
    """Text from outside as one line that no terminal obeys: what is not printable is written as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), str(text))


def shown(text: object) -> str:
    """Text from outside (names, paths, errors) for a line with rich's markup: shown as it is, never obeyed."""
    return escape(plain(text))


class _OneLine(logging.Formatter):
    """Log lines name cameras, files and what a broker said: a message is one line, and only a line."""

    def __init__(self, text: str, zone: tzinfo | None) -> None:
        super().__init__(text)
        self._zone = zone

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # logging's name
        """The station's time with its offset from UTC, so that it can be compared with lists and with other logs."""
        return datetime.fromtimestamp(record.created, UTC).astimezone(self._zone).isoformat(" ", "seconds")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return plain(super().formatMessage(record))


class _JsonLine(logging.Formatter):
    """A log line as one JSON object, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, without what a terminal would obey."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if repeats := getattr(record, "repeats", 0):
            line["repeats"] = repeats
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def ignore_warnings() -> None:
    """Print nothing of what Pillow thinks of damaged pictures: whoever opens one says what becomes of it."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def setup_log(*, verbose: bool = False, as_json: bool = False, zone: tzinfo | None = None) -> None:
    """Log to stderr, one line per change of state; as JSON objects with the time in UTC where programs read it.

    A line that repeats is written a few times a minute, and then counted.

    Args:
        zone: the station's, in which lines for people say the time; the system's where there is no configuration yet.
    """
    handler = logging.StreamHandler()
    text = _OneLine("%(asctime)s %(levelname)-7s %(message)s", zone)
    handler.setFormatter(_JsonLine() if as_json else text)
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, handlers=[RepeatLimit(handler)], force=True)
    for noisy in ("amqtt", "transitions", "asyncio", "alembic", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def recent_log() -> list[str]:
    """The newest lines that this process logged, oldest first."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, RepeatLimit)]
    return [line for handler in handlers for line in tuple(handler.recent)]


def too_small(settings: CameraSettings, width: int, height: int) -> str:
    """Which birds a camera whose main stream has this size, in pixels, does not see."""
    least = settings.smallest_bird(width, height)
    share = f"{100 * least / height:.1f} % of the height"
    how = "`min_bird: auto`" if settings.min_bird == "auto" else "`min_bird`"
    return f"birds of less than {least} pixels ({share}; {how}) are too small to be seen"


def say_problem(text: str) -> None:
    """One error on stderr, as plain lines that scripts can read and wide enough not to be wrapped."""
    for line in text.split("\n"):
        err.print(f"[bold red]birdwatchd:[/] {shown(line)}", soft_wrap=True)


def say_path_problem(error: OSError) -> bool:
    """Say that a path that somebody gave cannot be looked at; False where the error is about something else."""
    if error.errno not in PATH_HINTS or error.filename is None:
        return False
    say_problem(f"{str(error.filename)[:SHOWN_PATH]}: {error.strerror}; {PATH_HINTS[error.errno]}")
    return True


def say_warning(text: str) -> None:
    """One line on stderr about what goes on all the same."""
    err.print(f"[bold yellow]birdwatchd:[/] {shown(plain(text))}", soft_wrap=True)


def name_of(verdict: Verdict) -> str:
    """What to call a bird."""
    if verdict.common_name:
        return verdict.common_name if verdict.state is State.CONFIRMED else f"{verdict.common_name}?"
    return "not a bird" if verdict.state is State.REJECTED else "unknown bird"


def best_guess(verdict: Verdict) -> tuple[str, float]:
    """What to call a bird, and how sure that is; of a bird without a name, the species that is most probable.

    How sure the network is that it is no species says nothing to a person who sees that it is a bird.
    """
    if verdict.state is State.UNKNOWN and not verdict.common_name:
        species = next(((name, p) for name, p in verdict.top if name.casefold() not in NO_SPECIES), None)
        if species is not None:
            return f"unknown bird ({species[0]}?)", species[1]
    return name_of(verdict), verdict.score


def counted(number: int, noun: str) -> str:
    """`1 visit`, `2 visits`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """A number of bytes: `5.9 MB`, `12.34 GB`."""
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


class VisitLines:
    """Print a visit when it gets a name, when the name changes, and when it is over.

    It is stored already: an output that is closed or full ends nothing.
    """

    def __init__(self, zone: tzinfo | None = None, *, dated: bool = False) -> None:
        """
        Args:
            dated: with the day, for what was not just now.
        """
        self._zone, self._form = zone, DATE_AND_TIME if dated else "%H:%M:%S"
        self._said: dict[str, str] = {}
        self._problem = ""

    def show(self, visit: Visit) -> None:
        """Show one stored revision."""
        name = name_of(visit.verdict)
        if visit.end is None and self._said.get(visit.visit_id) == name:
            return
        self._said[visit.visit_id] = name
        if visit.end is not None:
            del self._said[visit.visit_id]
        try:
            out.print(self._line(visit), soft_wrap=True)
            problem = ""
        except SystemExit:  # how rich says that nobody reads any more, such as `head`; it prints nothing from then on
            problem = "nobody reads them"
        except OSError as error:
            problem = str(error.strerror)
        if problem and problem != self._problem:
            log.warning("visits are stored and not printed (%s)", problem)
        self._problem = problem

    def _line(self, visit: Visit) -> str:
        clock = _local(visit.start, self._zone).strftime(self._form)
        style = STYLES[visit.verdict.state]
        if visit.end is None:
            tail = "[dim]…[/]"
        else:
            tail = f"[dim]{(visit.end - visit.start).total_seconds():.1f} s, {counted(visit.moments, 'picture')}[/]"
        name, sure = best_guess(visit.verdict)
        score = f"{sure:4.0%}"
        camera, bird = shown(f"{visit.camera:<12}"), shown(f"{name:<28}")
        return f"[dim]{clock}[/]  {camera} [{style}]{bird}[/] {score}  {tail}"


def visit_lines(visits: Iterable[Visit], zone: tzinfo | None) -> Iterator[str]:
    """Visits as lines in columns, in the order given; nothing is ever cut, so that ids and times can be copied.

    Columns are as wide as those of some hundred visits need, and never become narrower.
    """
    widths = [len(heading) for heading in HEADINGS]
    rest_of_them = iter(visits)
    rows = [_cells(visit, zone) for visit in islice(rest_of_them, CHUNK)]
    first = True
    while rows:
        widths = [max(width, *(len(cells[i]) for _, cells in rows)) for i, width in enumerate(widths)]
        if first:
            yield f"[dim]{_columns(HEADINGS, widths)}[/]"
            first = False
        for style, cells in rows:
            when, lasted, camera, bird, *rest = (shown(cell) for cell in _padded(cells, widths))
            yield f"{when}  {lasted}  {camera}  [{style}]{bird}[/]  {'  '.join(rest)}".rstrip()
        rows = [_cells(visit, zone) for visit in islice(rest_of_them, CHUNK)]


def _cells(visit: Visit, zone: tzinfo | None) -> tuple[str, tuple[str, ...]]:
    """The style of a visit's line, and its columns."""
    bird, sure = best_guess(visit.verdict)
    lasted = f"{(visit.end - visit.start).total_seconds():.0f} s" if visit.end else "…"
    when = _local(visit.start, zone).strftime(DATE_AND_TIME)
    return STYLES[visit.verdict.state], (
        when,
        lasted,
        plain(visit.camera),
        plain(bird),
        f"{sure:.0%}",
        str(visit.moments),
        plain(visit.visit_id),
    )


def _padded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for heading, cell, width in zip(HEADINGS, cells, widths, strict=True):
        yield cell.rjust(width) if heading in RIGHT else cell.ljust(width)


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_padded(cells, widths)).rstrip()


def _local(at: datetime, zone: tzinfo | None) -> datetime:
    return at.astimezone(zone)


@contextmanager
def json_target(name: str | None) -> Iterator[IO[str] | None]:
    """Open what `--json` names: a file, or stdout for `-`; None where nothing is named.

    Raises:
        ExportError: it cannot be written, or is something else than what a scan wrote.
    """
    if name is None or name == "-":
        yield sys.stdout if name else None
        return
    try:
        if not _may_replace(Path(name)):
            raise ExportError(f"{name}: is there already, and was not written by a scan", "choose another --json FILE")
        with Path(name).open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise ExportError(f"{name}: cannot be written ({error.strerror})", "choose another --json FILE") from None


def write_json(target: IO[str], name: str | None, value: object) -> None:
    """Write one line to what `json_target` opened under this name.

    Raises:
        ExportError: it cannot be written: the disk is full, or whoever read it is gone.
    """
    try:
        target.write(json.dumps(value, ensure_ascii=False) + "\n")
        target.flush()
    except OSError as error:
        raise ExportError(f"{name}: cannot be written ({error.strerror})", "choose another --json FILE") from None


def _may_replace(path: Path) -> bool:
    """Whether a file is not there, is empty, is a pipe or device, or holds what a scan wrote."""
    if not path.is_file() or path.stat().st_size == 0:
        return True
    with path.open("rb") as file:
        return file.read(12).startswith(b'{"visit_id"')
