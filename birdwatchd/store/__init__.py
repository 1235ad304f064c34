"""Keep visits: schema, migrations, the one writer, queries."""

from birdwatchd.store.alerting import Alerting, Decide, Fired, Outcome
from birdwatchd.store.board import Board
from birdwatchd.store.embeddings import VisitEmbeddings
from birdwatchd.store.outbox import OutboxRow
from birdwatchd.store.queries import Catalogue, EffortSpan, StoredMoment
from birdwatchd.store.recording import Recording
from birdwatchd.store.reviewing import Opinion, Review
from birdwatchd.store.revision import MomentRow
from birdwatchd.store.telling import Day, Standing, Telling
from birdwatchd.store.writer import Compose, Recorded, Store

__all__ = [
    "Alerting",
    "Board",
    "Catalogue",
    "Compose",
    "Day",
    "Decide",
    "EffortSpan",
    "Fired",
    "MomentRow",
    "Opinion",
    "OutboxRow",
    "Outcome",
    "Recorded",
    "Recording",
    "Review",
    "Standing",
    "Store",
    "StoredMoment",
    "Telling",
    "VisitEmbeddings",
]
