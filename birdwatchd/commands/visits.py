"""`birdwatchd visits`, `show`, `delete` and `effort`: look at what is stored, and take visits out of it."""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

from birdwatchd.commands.terminal import best_guess, counted, err, out, shown, visit_lines
from birdwatchd.errors import ConfigError
from birdwatchd.mqtt.build import build_composer
from birdwatchd.records import Visit, rfc3339
from birdwatchd.settings.config import Config
from birdwatchd.species.taxonomy import bundled_taxonomy, name_key
from birdwatchd.species.verdict.named import find_species
from birdwatchd.store import Store, StoreReader, VisitFilter, day_bounds

__all__ = [
    "CSV_COLUMNS",
    "ListOptions",
    "formula_free",
    "genera_of",
    "run_delete",
    "run_effort",
    "run_show",
    "run_visits",
]

CSV_COLUMNS = (
    "visit_id",
    "camera",
    "start",
    "end",
    "state",
    "rank",
    "common_name",
    "scientific_name",
    "score",
    "count_max",
    "moments",
    "media",
    "start_s",
    "end_s",
    "model",
)
WATCHED = frozenset({"online"})  # states of a camera in which birds are looked for


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Which visits, how many of them (the newest), and how they are written: `lines`, `json` or `csv`."""

    wanted: VisitFilter
    limit: int | None = None
    form: str = "lines"


def run_visits(config: Config, options: ListOptions) -> int:
    """List visits, newest last.

    Raises:
        ConfigError: there is no such camera, or several species are called so.
    """
    with StoreReader.open_existing(config.home) as store:
        wanted = _meant(store, config, options.wanted)
        found: Iterable[Visit] = store.visits.each(wanted)
        if options.limit is not None:
            found = store.visits.newest(wanted, options.limit)
        if options.form == "json":
            for visit in found:
                pictures = [str(moment.crop) for moment in store.visits.moments(visit.visit_id) if moment.crop]
                clip = str(config.home / visit.clip) if visit.clip else None
                line = visit.to_json() | {"pictures": pictures, "clip": clip}
                sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        elif options.form == "csv":
            _write_csv(found)
        else:
            _print_lines(found, config.station.zone)
    return 0


def _meant(store: StoreReader, config: Config, wanted: VisitFilter) -> VisitFilter:
    """The filter with the species that is meant: any name of it, or the beginning of a word of one that was seen.

    Raises:
        ConfigError: several species that were seen are called so; or there is no such camera.
    """
    if wanted.camera is not None and wanted.camera not in (known := {*config.cameras, *store.visits.cameras()}):
        raise ConfigError(f"there is no camera {wanted.camera}", f"there are {', '.join(sorted(known)) or 'none yet'}")
    if wanted.species is None:
        return wanted
    named = find_species(wanted.species, config.species)
    if named is not None and named.scientific_name:
        return replace(wanted, species=named.scientific_name)
    key, seen = f" {name_key(wanted.species)}", store.visits.names()
    exact = [one for one in seen if wanted.species.casefold() in (name.casefold() for name in one if name)]
    found = exact or [one for one in seen if any(key in f" {name_key(name)}" for name in one if name)]
    species = sorted({scientific or common for common, scientific in found})
    if len(species) > 1:
        names = sorted({common for common, _ in found})
        raise ConfigError(f"--species: several species that were seen are called {wanted.species}", ", ".join(names))
    return replace(wanted, species=species[0]) if species else wanted


def _write_csv(visits: Iterable[Visit]) -> None:
    table = csv.DictWriter(sys.stdout, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for visit in visits:
        table.writerow({key: formula_free(value) for key, value in visit.to_json().items()})


def formula_free(value: object) -> object:
    """A cell that no spreadsheet computes: what comes from outside may begin like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _print_lines(visits: Iterable[Visit], zone: ZoneInfo) -> None:
    lines = visit_lines(visits, zone)
    first = next(lines, None)
    if first is None:
        err.print("no visits match")
    else:
        for line in chain((first,), lines):
            out.print(line, soft_wrap=True)


def genera_of(family: str) -> tuple[frozenset[str], str]:
    """The genera of a family, and its scientific name.

    Raises:
        ConfigError: no family has this name.
    """
    labels = [label for label in bundled_taxonomy().all if (label.family or "").casefold() == family.casefold()]
    if not labels:
        families = sorted({label.family for label in bundled_taxonomy().all if label.family})
        near = [one for one in families if one.casefold().startswith(family.casefold()[:4])]
        hint = f"did you mean {' or '.join(near[:3])}?" if near else "write its scientific name, such as Paridae"
        raise ConfigError(f"--family: no family is called {family}", hint)
    return frozenset(label.genus for label in labels if label.genus), labels[0].family or ""


def run_show(config: Config, text: str, *, as_json: bool) -> int:
    """Show all that is stored of one visit, with the paths of its pictures and of its clip."""
    zone = config.station.zone
    with StoreReader.open_existing(config.home) as store:
        visit = store.visits.named(text)
        moments = store.visits.moments(visit.visit_id)
        review = {visit_id: (verdict, name) for visit_id, verdict, name in store.visits.reviews()}.get(visit.visit_id)
    clip = config.home / visit.clip if visit.clip else None
    if as_json:
        pictures = [
            {
                "at": rfc3339(one.at),
                "picture": str(one.crop) if one.crop else None,
                "quality": round(one.quality, 3),
                "bird_evidence": None if one.bird_evidence is None else round(one.bird_evidence, 2),
                "top": [[name, round(p, 4)] for name, p in one.top],
            }
            for one in moments
        ]
        extra = {"pictures": pictures, "clip": str(clip) if clip else None, "reviewed": review is not None}
        sys.stdout.write(json.dumps(visit.to_json() | extra, ensure_ascii=False, indent=2) + "\n")
        return 0
    bird, sure = best_guess(visit.verdict)
    scientific = f" ({visit.verdict.scientific_name})" if visit.verdict.scientific_name else ""
    _say("visit", visit.visit_id)
    _say("bird", f"{bird}{scientific}, {sure:.0%}, {visit.verdict.state.value}")
    if review is not None:
        _say("reviewed", f"{review[0]}{f', {review[1]}' if review[1] else ''}")
    _say("camera", visit.camera)
    _say("from", visit.start.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z"))
    if visit.end is not None:
        until = visit.end.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")
        _say("to", f"{until} ({(visit.end - visit.start).total_seconds():.1f} s)")
    else:
        _say("to", "still there")
    _say("birds", f"{visit.count_max} at once, at most")
    if visit.media is not None and visit.start_s is not None:
        _say("recording", f"{visit.media}, from {visit.start_s:.1f} s")
    for name, p in visit.verdict.top:
        _say("probable", f"{p:6.1%}  {name}")
    for reason in visit.verdict.reasons:
        _say("because", reason)
    _say("model", visit.model)
    for one in sorted(moments, key=lambda moment: moment.sort_key, reverse=True):
        removed = f"{one.at.astimezone(zone):%Y-%m-%d %H:%M:%S}: was removed to keep the limits"
        _say("picture", str(one.crop) if one.crop else removed)
    if clip is not None:
        _say("clip", f"{clip}{' (ends before the visit does)' if visit.clip_cut else ''}")
    return 0


def _say(what: str, text: str) -> None:
    out.print(f"[dim]{what:<10}[/] {shown(text)}", soft_wrap=True)


def run_delete(config: Config, texts: Sequence[str], *, sure: bool) -> int:
    """Delete visits with their pictures and clips; who was told of them is told that they are retracted.

    Raises:
        StoreError: there is no such visit, or the bird is still there; those before it are deleted.
    """
    now = datetime.now(UTC)
    zone, unkept = config.station.zone, config.without_pictures
    with Store.open(config.home, zone=zone, without_pictures=unkept, existing=True) as store:
        visits = list({visit.visit_id: visit for visit in map(store.visits.named, texts)}.values())
        for line in visit_lines(visits, config.station.zone):
            out.print(line, soft_wrap=True)
        if not sure:
            err.print(f"nothing is deleted yet: add --yes to delete {counted(len(visits), 'visit')} for good")
            return 1
        writer = store.writer(build_composer(config))
        for visit in visits:
            writer.delete(visit.visit_id, now)
    out.print(f"deleted {counted(len(visits), 'visit')}")
    return 0


def run_effort(config: Config, since: datetime, *, as_json: bool) -> int:
    """Show for how long each camera was watched on each day: without it, no bird and no camera look the same."""
    zone, now = config.station.zone, datetime.now(UTC)
    with StoreReader.open_existing(config.home) as store:
        spans = [span for span in store.effort.spans(since) if span.state in WATCHED]
    days: dict[date, dict[str, timedelta]] = defaultdict(lambda: defaultdict(timedelta))
    for span in spans:
        for day, lasted in _by_day(max(since, span.start), min(now, span.end), zone):
            days[day][span.camera] += lasted
    cameras = sorted({span.camera for span in spans})
    if as_json:
        for day, hours in sorted(days.items()):
            by_camera = {camera: round(lasted.total_seconds() / 3600, 2) for camera, lasted in sorted(hours.items())}
            sys.stdout.write(json.dumps({"day": day.isoformat(), "hours": by_camera}) + "\n")
        return 0
    if not days:
        err.print("no camera was watched since then")
        return 0
    widths = [max(len("23 h 59 min"), len(camera)) for camera in cameras]
    heads = "  ".join(shown(camera.rjust(width)) for camera, width in zip(cameras, widths, strict=True))
    out.print(f"[dim]{'day':<10}  {heads}[/]", soft_wrap=True)
    for day, hours in sorted(days.items()):
        cells = (_hours(hours.get(camera)).rjust(width) for camera, width in zip(cameras, widths, strict=True))
        out.print(f"{day.isoformat()}  {'  '.join(cells)}", soft_wrap=True)
    return 0


def _by_day(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[tuple[date, timedelta]]:
    """How long something lasted on each local date."""
    day = start.astimezone(zone).date()
    while start < end:
        _, midnight = day_bounds(day, zone)
        yield day, min(end, midnight) - start
        start, day = midnight, day + timedelta(days=1)


def _hours(lasted: timedelta | None) -> str:
    if lasted is None:
        return "-"
    minutes = round(lasted.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
