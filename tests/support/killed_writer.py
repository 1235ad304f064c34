"""Write visits in a loop until killed: three revisions each, published at the first and third, an alert at the second.

Run by path.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from birdwatchd.records import Box, Crop, Message, Moment, Phase, Rank, State, Verdict, Visit, new_visit_id
from birdwatchd.store import AlertContext, Fired, MomentRow, NewsContext, Outcome, Store


def compose(context: NewsContext) -> Sequence[Message]:
    """One event and a state."""
    visit = context.stored.visit
    event = Message(f"b/s/{visit.camera}/visit", b"{}", key=f"{visit.visit_id}:{visit.revision}")
    return [event, Message(f"b/s/{visit.camera}/last", b"x" * 3000, retain=True, coalesce=True)]


def decide(asked: AlertContext) -> Sequence[Outcome]:
    """One rule that fires once."""
    visit = asked.stored.visit
    if visit.revision < 2 or asked.fired:
        return ()
    fired = Fired("r", "confirmed", "passer domesticus", "House sparrow", Phase.PROVISIONAL, True, ("phone",))
    return [Outcome(fired, (Message("alert", b"{}", key=f"{visit.visit_id}:{visit.revision}", channel="phone"),))]


def main(home: Path) -> None:
    """Write for ever."""
    store = Store.open(home, zone=ZoneInfo("UTC"))
    verdict = Verdict(
        State.CONFIRMED, Rank.SPECIES, "House sparrow", "Passer domesticus", 0.9, (("House sparrow", 0.9),)
    )
    print("ready", flush=True)
    for number in range(1_000_000):
        start = datetime.now(UTC)
        visit_id, box = new_visit_id(start), Box(0, 0, 0.1, 0.1)
        for revision in (1, 2, 3):
            end = start + timedelta(seconds=3) if revision == 3 else None
            visit = Visit(visit_id, f"cam{number % 3}", revision, start, end, verdict, revision, 1, box, "demo@1")
            crop = Crop(b"\xff" * 20_000, 64, 64)
            moments = [
                MomentRow(Moment(2 * revision + i, start, box, 0.5, crop), np.ones(64, np.float32), ()) for i in (0, 1)
            ]
            store.writer(compose, decide).record(visit, moments, start)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
