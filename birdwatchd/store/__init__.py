"""Keep visits: schema, migrations, the one writer, queries."""

from birdwatchd.store.alert_log import AlertContext, Decide, Fired, Outcome
from birdwatchd.store.camera_state import Board
from birdwatchd.store.embeddings import VisitEmbeddings
from birdwatchd.store.news import Day, NewsContext, StoredVisit
from birdwatchd.store.outbox import OutboxRow
from birdwatchd.store.reader import Catalogue, EffortSpan, StoredMoment
from birdwatchd.store.reviews import Review, ReviewVerdict
from birdwatchd.store.revision import MomentRow
from birdwatchd.store.scans import Recording
from birdwatchd.store.store import Compose, Recorded, Store

__all__ = [
    "AlertContext",
    "Board",
    "Catalogue",
    "Compose",
    "Day",
    "Decide",
    "EffortSpan",
    "Fired",
    "MomentRow",
    "NewsContext",
    "OutboxRow",
    "Outcome",
    "Recorded",
    "Recording",
    "Review",
    "ReviewVerdict",
    "Store",
    "StoredMoment",
    "StoredVisit",
    "VisitEmbeddings",
]
