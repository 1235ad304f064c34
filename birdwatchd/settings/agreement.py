"""Find what alert rules name and the rest of the configuration lacks: cameras, zones, channels, a place on earth."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from birdwatchd.settings.alerts import AlertSettings
from birdwatchd.settings.base import SLUG

__all__ = ["Disagreement", "Problem", "disagreements"]

Problem = tuple[tuple[str, ...], str]  # where in the file, and what is wrong there
BROKER = "mqtt"  # a channel may not be called so: it is what the log of alerts calls the broker


class Disagreement(ValueError):
    """Parts of a configuration do not fit together; `problems` says where and why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{'.'.join(where)} {text}" for where, text in problems))
        self.problems = tuple(problems)


def disagreements(
    alerts: Sequence[AlertSettings], channels: Collection[str], zones: Mapping[str, frozenset[str]], *, placed: bool
) -> list[Problem]:
    """All that does not fit.

    Args:
        channels: their names.
        zones: of each camera, the names of its zones.
        placed: the station has latitude and longitude.
    """
    problems: list[Problem] = []
    for name in channels:
        if not SLUG.fullmatch(name) or name == BROKER:
            problems.append(
                (("channels", name), f"is not a name for a channel; use a-z, 0-9, _ and -, and not {BROKER}")
            )
    names: set[str] = set()
    for number, alert in enumerate(alerts):
        if alert.name in names:
            twice = f"'{alert.name}' is given to two rules; name each its own"
            problems.append((("alerts", str(number), "name"), twice))
        names.add(alert.name)
        for key, text in _of_rule(alert, channels, zones, placed=placed):
            problems.append((("alerts", str(number), key), text))
    return problems


def _of_rule(
    alert: AlertSettings, channels: Collection[str], zones: Mapping[str, frozenset[str]], *, placed: bool
) -> list[tuple[str, str]]:
    mine = [zones[camera] for camera in alert.cameras if camera in zones] if alert.cameras else list(zones.values())
    there = {"cameras": set(zones), "to": set(channels), "zones": set().union(*mine)}
    problems = []
    for key, known in there.items():
        for name in getattr(alert, key):
            if name not in known:
                there_is = ", ".join(sorted(known)) or "none"
                problems.append((key, f"has the unknown name {name}; configured: {there_is}"))
    for key in ("hours", "quiet"):
        if not placed and any(window.by_sun for window in getattr(alert, key)):
            remedy = "set station.latitude and station.longitude"
            problems.append((key, f"goes by the sun, but the position of the station is not set; {remedy}"))
    return problems
