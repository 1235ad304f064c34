"""Three birds of the last minutes, for tests of the page: a sure sparrow, an unsure tit, and one without a name."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from PIL import Image

from birdwatchd.records import Rank, State, Verdict, new_visit_id
from birdwatchd.store import Store
from birdwatchd.testing import example_moment, example_visit

__all__ = ["NAMELESS", "NOW", "SURE", "UNSURE", "ZONE", "cards", "fill"]

ZONE = ZoneInfo("Asia/Jerusalem")
NOW = datetime.now(UTC)
SURE, UNSURE, NAMELESS = (new_visit_id(NOW - timedelta(minutes=minutes), 1) for minutes in (1, 2, 3))


def picture(side: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (side, side), "green").save(written, "JPEG")
    return written.getvalue()


def fill(store: Store) -> None:
    """A sure sparrow, a tit that is not sure, and a bird without a name."""
    writer = store.writer()
    moments = [example_moment(0, jpeg=picture(500)), example_moment(1, quality=0.9, jpeg=picture(100))]
    writer.record(example_visit(SURE, start=NOW - timedelta(minutes=1), count_max=2), moments, NOW)
    unsure = example_visit(UNSURE, "Great tit", start=NOW - timedelta(minutes=2))
    verdict = replace(
        unsure.verdict, state=State.UNCERTAIN, score=0.5, reasons=("below the threshold",), raw_top=(("Magpie", 0.6),)
    )
    writer.record(replace(unsure, verdict=verdict), [example_moment(0, jpeg=picture(300))], NOW)
    nobody = example_visit(NAMELESS, start=NOW - timedelta(minutes=3))
    verdict = Verdict(State.UNKNOWN, Rank.BIRD, None, None, 0.2, (("Magpie", 0.3),))
    writer.record(replace(nobody, verdict=verdict), [], NOW)


def cards(text: str) -> list[str]:
    return re.findall(r'class="card" id="v-(\w+)"', text)
