"""Keep visits: schema, migrations, the one writer, queries."""

from birdwatchd.store.alert_log import AlertContext, Decide, Fired, Outcome
from birdwatchd.store.camera_state import CameraSummary, EffortSpan, day_bounds
from birdwatchd.store.embeddings import Embeddings, VisitEmbeddings
from birdwatchd.store.examples import Examples, VisitExample
from birdwatchd.store.news import Compose, Day, NewsContext, StoredVisit
from birdwatchd.store.outbox import Outbox, OutboxRow
from birdwatchd.store.reader import StoredMoment, Visits
from birdwatchd.store.reviews import Review, ReviewVerdict
from birdwatchd.store.revision import MomentRow, Recorded
from birdwatchd.store.scans import Recording
from birdwatchd.store.store import Store, StoreReader
from birdwatchd.store.writer import Writer

__all__ = [
    "AlertContext",
    "CameraSummary",
    "Compose",
    "Day",
    "Decide",
    "EffortSpan",
    "Embeddings",
    "Examples",
    "Fired",
    "MomentRow",
    "NewsContext",
    "Outbox",
    "OutboxRow",
    "Outcome",
    "Recorded",
    "Recording",
    "Review",
    "ReviewVerdict",
    "Store",
    "StoreReader",
    "StoredMoment",
    "StoredVisit",
    "VisitEmbeddings",
    "VisitExample",
    "Visits",
    "Writer",
    "day_bounds",
]
