"""Judge every promise of the demo: kept, broken by the software, or not to be kept because this machine was too slow.

A promise is made for birds of which every frame was looked at. Where one is not kept for another bird, the machine was
too slow, and that is said; only a broken promise ends the demo with status 1.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from birdwatchd.demo.comparison import Comparison, Sighting
from birdwatchd.demo.load import Load
from birdwatchd.records import State

__all__ = ["Check", "Outcome", "judge", "recorded"]

PROMISED_NAMES, PROMISED_LATENCY_S = 0.95, 2.5
CLOCK_SLACK_S = 0.1  # a message may seem this much older than its bird: a frame's time is known to one frame


class Outcome(Enum):
    """What became of a promise."""

    KEPT = "✓"
    BROKEN = "✗"
    TOO_SLOW = "!"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the summary: what became of a promise, in words that agree with the mark."""

    outcome: Outcome
    text: str


def judge(comparison: Comparison, load: Load) -> list[Check]:
    """What became of every promise, and where this machine was too slow."""
    sightings = comparison.sightings
    found = [s for s in sightings if len(s.visits) == 1]
    checks = [_unready(camera, load) for camera in comparison.unready]
    if sightings:
        checks.append(_count(sightings, recorded, "birds are in the database exactly once"))
    elif not comparison.unready:
        checks.append(Check(Outcome.TOO_SLOW, "the demo ended before a bird had come and gone: no promise was tested"))
    if found:
        checks.append(_names(found))
        checks.append(_count(found, _pictured, "recorded birds have float16 embeddings, each with its crop file"))
    if comparison.stored:
        checks.append(_published(comparison, load))
    checks += _latency(sightings, load)
    checks.append(_extra(comparison))
    return [*checks, *_ending(comparison, load), *_slowness(load)]


def recorded(sighting: Sighting) -> Outcome:
    """Whether a bird is in the database as one visit."""
    is_one = len(sighting.visits) == 1 and sighting.visits[0].verdict.state is not State.REJECTED
    return Outcome.KEPT if is_one else _if_slowed(sighting)


def _named(sighting: Sighting) -> Outcome:
    return Outcome.KEPT if sighting.named_right else _if_slowed(sighting)


def _pictured(sighting: Sighting) -> Outcome:
    """A visit may lack pictures where frames were not looked at; those that there are must be whole."""
    if sighting.kept_whole:
        return Outcome.KEPT
    return Outcome.BROKEN if sighting.moments else _if_slowed(sighting)


def _if_slowed(sighting: Sighting) -> Outcome:
    return Outcome.TOO_SLOW if sighting.slowed else Outcome.BROKEN


def _unready(camera: str, load: Load) -> Check:
    if load.fell_behind(camera):
        return Check(Outcome.TOO_SLOW, f"this machine was too slow to get camera {camera} ready: no bird came to it")
    return Check(Outcome.BROKEN, f"camera {camera} could not be watched: no bird came to it")


def _count(sightings: Sequence[Sighting], outcome_of: Callable[[Sighting], Outcome], promise: str) -> Check:
    """A promise about every single bird."""
    outcomes = Counter(outcome_of(sighting) for sighting in sightings)
    return _tally(len(sightings), promise, outcomes[Outcome.BROKEN], outcomes[Outcome.TOO_SLOW])


def _tally(total: int, promise: str, broken: int, slow: int, *, tolerated: float = 0.0) -> Check:
    """One line for a promise made `total` times; up to `tolerated` broken ones do not break it."""
    text = f"{total - broken - slow} of {total} {promise}"
    is_broken = broken > tolerated
    if is_broken:
        text += f"; birdwatchd failed for {broken}"
    if slow:
        text += f"; this machine was too slow for {slow}"
    return Check(Outcome.BROKEN if is_broken else Outcome.TOO_SLOW if slow else Outcome.KEPT, text)


def _names(found: Sequence[Sighting]) -> Check:
    """A share of the names may be wrong."""
    outcomes = Counter(_named(sighting) for sighting in found)
    promise = f"recorded birds have the right species (at least {PROMISED_NAMES:.0%} is promised)"
    tolerated = (1 - PROMISED_NAMES) * len(found)
    return _tally(len(found), promise, outcomes[Outcome.BROKEN], outcomes[Outcome.TOO_SLOW], tolerated=tolerated)


def _published(comparison: Comparison, load: Load) -> Check:
    """Database and MQTT say the same in the end; what a slow machine could not send in time waits in the outbox."""
    slow = comparison.pending if load.is_slow else 0
    broken = comparison.unpublished + comparison.pending - slow
    return _tally(comparison.stored, "visits were published over MQTT as they are in the database", broken, slow)


def _latency(sightings: Sequence[Sighting], load: Load) -> Iterator[Check]:
    """Half of the birds are reported soon after they came, and none before."""
    latencies = [s.latency_s for s in sightings if s.latency_s is not None]
    if not latencies:
        return
    unhindered = [s.latency_s for s in sightings if s.latency_s is not None and not s.slowed]
    if (least := min(unhindered, default=0.0)) < -CLOCK_SLACK_S:
        yield Check(Outcome.BROKEN, f"an MQTT message came {-least:.2f} s before its bird")
    if unhindered and _is_late(unhindered) and not load.is_busy:
        yield Check(Outcome.BROKEN, _latency_text(unhindered))
    elif _is_late(latencies):
        yield Check(Outcome.TOO_SLOW, f"{_latency_text(latencies)}; this machine was too slow")
    else:
        yield Check(Outcome.KEPT, _latency_text(latencies))


def _is_late(latencies_s: Sequence[float]) -> bool:
    return statistics.median(latencies_s) > PROMISED_LATENCY_S


def _latency_text(latencies_s: Sequence[float]) -> str:
    median, count = statistics.median(latencies_s), len(latencies_s)
    of = f"median of {count}, at most {PROMISED_LATENCY_S} s is promised"
    return f"the first MQTT message came {median:.2f} s after the bird's first frame ({of})"


def _extra(comparison: Comparison) -> Check:
    broken, slow = comparison.extra, comparison.slowed_extra
    if not broken + slow:
        return Check(Outcome.KEPT, "no visit was recorded without a bird")
    text = f"{broken + slow} visit{' was' if broken + slow == 1 else 's were'} recorded without a bird"
    if slow:
        text += f"; this machine was too slow for {slow}"
    return Check(Outcome.BROKEN if broken else Outcome.TOO_SLOW, text)


def _ending(comparison: Comparison, load: Load) -> Iterator[Check]:
    """birdwatchd runs to the end and then stops in time."""
    if comparison.failed:
        yield Check(Outcome.BROKEN, "birdwatchd failed while it was running; the log above says where")
    if comparison.late:
        text = f"birdwatchd did not stop in time ({', '.join(comparison.late)})"
        if load.is_busy:
            yield Check(Outcome.TOO_SLOW, f"{text}; this machine was too slow")
        else:
            yield Check(Outcome.BROKEN, text)


def _slowness(load: Load) -> Iterator[Check]:
    """What this machine did not manage, whether a promise suffered from it or not."""
    slow = "this machine was too slow"
    for camera, frames in load.frames.items():
        if lost := frames.not_looked_at():
            text = f"{slow}: {lost} of {frames.due} frames of {camera} were not looked at"
            yield Check(Outcome.TOO_SLOW, text)
    if load.crops_dropped:
        yield Check(Outcome.TOO_SLOW, f"{slow}: {load.crops_dropped} pictures of birds were not classified")
    if load.is_busy:
        share = f"{load.waited:.0%} of the time that it had work to do"
        yield Check(Outcome.TOO_SLOW, f"this machine was busy: birdwatchd waited for a core {share}")
