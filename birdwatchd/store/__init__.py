"""Keep visits: schema, migrations, the one writer, queries.

The names below are loaded on first use; see docs/reference/library.md for those that are stable.
"""

from typing import TYPE_CHECKING

from birdwatchd.lazy import lazy_names

if TYPE_CHECKING:
    from birdwatchd.store.alert_log import AlertContext, Decide, Fired, Outcome
    from birdwatchd.store.backup.last_backup import LastBackup
    from birdwatchd.store.backup.make import BackedUp, back_up
    from birdwatchd.store.backup.restore import Restored, restore
    from birdwatchd.store.camera_state import CameraSummary, EffortSpan, day_bounds, hour_bounds
    from birdwatchd.store.embeddings import Embeddings, VisitEmbeddings
    from birdwatchd.store.examples import Examples, VisitExample
    from birdwatchd.store.news import Compose, Day, NewsContext, StoredVisit
    from birdwatchd.store.outbox import Outbox, OutboxRow, ReportedFaults
    from birdwatchd.store.reader import StoredMoment, VisitFilter, Visits
    from birdwatchd.store.reviews import Review, ReviewVerdict
    from birdwatchd.store.revision import MomentRow, Recorded
    from birdwatchd.store.scans import Recording, VisitIds, content_of
    from birdwatchd.store.store import Store, StoreReader
    from birdwatchd.store.timekeeping.shift import Shifted
    from birdwatchd.store.timekeeping.stretches import Clocks, Stretch
    from birdwatchd.store.writer import Writer
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "AlertContext": "alert_log",
            "BackedUp": "backup.make",
            "CameraSummary": "camera_state",
            "Clocks": "timekeeping.stretches",
            "Compose": "news",
            "Day": "news",
            "Decide": "alert_log",
            "EffortSpan": "camera_state",
            "Embeddings": "embeddings",
            "Examples": "examples",
            "Fired": "alert_log",
            "LastBackup": "backup.last_backup",
            "MomentRow": "revision",
            "NewsContext": "news",
            "Outbox": "outbox",
            "OutboxRow": "outbox",
            "Outcome": "alert_log",
            "Recorded": "revision",
            "Recording": "scans",
            "Restored": "backup.restore",
            "Review": "reviews",
            "ReviewVerdict": "reviews",
            "Shifted": "timekeeping.shift",
            "Store": "store",
            "StoreReader": "store",
            "StoredMoment": "reader",
            "StoredVisit": "news",
            "Stretch": "timekeeping.stretches",
            "ReportedFaults": "outbox",
            "VisitEmbeddings": "embeddings",
            "VisitExample": "examples",
            "VisitIds": "scans",
            "VisitFilter": "reader",
            "Visits": "reader",
            "Writer": "writer",
            "back_up": "backup.make",
            "content_of": "scans",
            "day_bounds": "camera_state",
            "hour_bounds": "camera_state",
            "restore": "backup.restore",
        },
    )

__all__ = [
    "AlertContext",
    "BackedUp",
    "CameraSummary",
    "Clocks",
    "Compose",
    "Day",
    "Decide",
    "EffortSpan",
    "Embeddings",
    "Examples",
    "Fired",
    "LastBackup",
    "MomentRow",
    "NewsContext",
    "Outbox",
    "OutboxRow",
    "Outcome",
    "Recorded",
    "Recording",
    "ReportedFaults",
    "Restored",
    "Review",
    "ReviewVerdict",
    "Shifted",
    "Store",
    "StoreReader",
    "StoredMoment",
    "StoredVisit",
    "Stretch",
    "VisitEmbeddings",
    "VisitExample",
    "VisitFilter",
    "VisitIds",
    "Visits",
    "Writer",
    "back_up",
    "content_of",
    "day_bounds",
    "hour_bounds",
    "restore",
]
