"""When a recording began, as far as it tells: by its container, with the zone that its camera's clock had.

Containers say it in three ways: with an offset (QuickTime's creation date), as UTC (MP4, Matroska), and as the time on
the camera's clock without a zone (AVI). Many cameras write the time on their clock as if it was UTC: no file shows it,
so somebody has to say it (`scan --zone`). Without any time the file's own counts, which is that of its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

__all__ = ["Zones", "recorded_at"]

NEVER_SET = 1990  # cameras without a clock write 1904 or 1970: they know no time
NO_CLOCK = 2200  # from here on a date is damaged, or a joke
_WITH_OFFSET = ("com.apple.quicktime.creationdate",)
_TIMES = ("creation_time", "date")


@dataclass(frozen=True, slots=True)
class Zones:
    """Zones of times in recordings.

    Attributes:
        station: of times that stand without a zone.
        written: of all times that stand without an offset of their own, also of those that are said to be UTC; None
            where these are believed.
    """

    station: tzinfo = UTC
    written: tzinfo | None = None

    @classmethod
    def named(cls, station: str = "", written: str = "") -> Zones:
        """Zones by their names; empty ones are UTC, and none."""
        return cls(ZoneInfo(station) if station else UTC, ZoneInfo(written) if written else None)


def recorded_at(metadata: Mapping[str, str], path: Path, length: timedelta, zones: Zones) -> datetime:
    """When a recording began.

    Args:
        metadata: of its container, by libav's names.
        length: of its picture.
    """
    for key in (*_WITH_OFFSET, *_TIMES):
        try:
            at = datetime.fromisoformat(metadata.get(key, "").strip())
        except ValueError:
            continue
        if not NEVER_SET < at.year < NO_CLOCK or len(metadata[key].strip()) < len("2026-05-01T08:30"):
            continue
        if at.tzinfo is not None and (key in _WITH_OFFSET or zones.written is None):
            return at.astimezone(UTC)
        zone = zones.written or zones.station
        return at.replace(tzinfo=zone).astimezone(UTC)
    ended = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    try:
        return ended - length
    except OverflowError:  # of a damaged file, which says that it is longer than there have been years
        return ended
