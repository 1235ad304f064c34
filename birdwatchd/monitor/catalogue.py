"""Say what each number means that the daemon counts or measures: its kind, its labels and one sentence of help.

The names are those of `birdwatchd.metrics.Metrics`; over HTTP each gets the prefix `birdwatchd_`. A counter only grows,
and its name ends in `_total`. The page on metrics has every name that is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CATALOGUE", "PREFIX", "Meaning"]

PREFIX = "birdwatchd_"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one number means; `help` is one line of text."""

    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


def _counter(text: str, *labels: str) -> Meaning:
    return Meaning("counter", text, labels)


def _gauge(text: str, *labels: str) -> Meaning:
    return Meaning("gauge", text, labels)


CATALOGUE = {
    "build_info": _gauge("Always 1; the label is the version of birdwatchd.", "version"),
    "model_info": _gauge("Always 1; the labels are the loaded model and the device it runs on.", "model", "device"),
    "ready": _gauge("1 when the model is loaded and every enabled camera gave a picture since the start, else 0."),
    "beat_age_seconds": _gauge("Seconds since every stage was last found alive."),
    "uptime_seconds": _gauge("Seconds since the daemon started."),
    "camera_state": _gauge("1 for the state that the camera is in, 0 for the others.", "camera", "state"),
    "camera_last_frame_age_seconds": _gauge("Seconds since a frame came, also before the start.", "camera"),
    "camera_last_motion_age_seconds": _gauge("Seconds since something moved that could be a bird.", "camera"),
    "camera_last_visit_age_seconds": _gauge("Seconds since a bird was seen; 0 while one is there.", "camera"),
    "camera_fps": _gauge("Frames per second that arrive.", "camera"),
    "camera_lag_seconds": _gauge("How far the newest frame is behind the present.", "camera"),
    "camera_blind": _gauge("1 while birds can hardly be seen though pictures come, else 0.", "camera"),
    "camera_ring_seconds": _gauge("How far back the compressed video in memory reaches.", "camera"),
    "camera_ring_bytes": _gauge("Size of the compressed video in memory.", "camera"),
    "camera_memory_bytes": _gauge("Resident memory of the camera's process.", "camera"),
    "camera_restarts_total": _counter("Times the camera's process ended and was started again.", "camera"),
    "frames_total": _counter("Frames that arrived.", "camera"),
    "frames_skipped_total": _counter("Frames that were too late to be analysed.", "camera"),
    "evidence_total": _counter("Reports about visits from the camera's process.", "camera"),
    "evidence_wait_seconds_total": _counter(
        "Seconds that reports about visits waited because there were more than birds make.", "camera"
    ),
    "camera_reports_dropped_total": _counter(
        "Reports of a camera's state that were left out because they came too often.", "camera"
    ),
    "visits_cut_short_total": _counter("Visits that ended because the camera's process died.", "camera"),
    "clips_cut_total": _counter("Clips that end before their visit does: the disk was too slow, or full.", "camera"),
    "crops_waiting": _gauge("Crops that wait for the classifier; at most 64 per camera.", "camera"),
    "crops_classified_total": _counter("Crops that the network classified."),
    "second_looks_total": _counter("Second looks among them, brighter or wider."),
    "crops_dropped_total": _counter(
        "Crops that were given up: the lane was full, or the daemon was stopping.", "camera", "reason"
    ),
    "crops_undecodable_total": _counter("Crops that could not be read."),
    "crops_spoilt_total": _counter("Crops for which the network gave no number."),
    "classify_seconds_total": _counter("Seconds spent in the network."),
    "record_queue_length": _gauge("Batches that wait for the database; at most 4."),
    "record_wait_seconds_total": _counter("Seconds that the classifier waited for the database."),
    "visit_revisions_total": _counter("Changes of visits that were stored.", "camera"),
    "visits_withdrawn_total": _counter(
        "Visits that were none: they neither moved like an animal nor got a name.", "camera"
    ),
    "store_retries_total": _counter("Tries to write to a database that was busy or full."),
    "publish_store_retries_total": _counter("Tries of the outbox to use a database that was busy or full."),
    "outbox_depth": _gauge("MQTT messages that wait for the broker."),
    "outbox_oldest_seconds": _gauge("Age of the oldest MQTT message that waits."),
    "mqtt_connected": _gauge("1 while connected to the broker, else 0."),
    "mqtt_connects_total": _counter("Connections to the broker that were made."),
    "mqtt_delivered_total": _counter("Messages that the broker acknowledged."),
    "mqtt_dropped_total": _counter("Messages that the broker will never take (too large)."),
    "mqtt_commands_total": _counter("Commands over MQTT that were carried out.", "command"),
    "mqtt_commands_ignored_total": _counter("Commands over MQTT that were not allowed or not understood."),
    "channel_outbox_depth": _gauge("Notifications that wait.", "channel"),
    "channel_outbox_oldest_seconds": _gauge("Age of the oldest notification that waits.", "channel"),
    "channel_failing": _gauge("1 while a channel cannot be reached or refuses messages, else 0.", "channel"),
    "channel_sent_total": _counter("Notifications that were sent.", "channel"),
    "channel_failures_total": _counter("Tries to send a notification that failed.", "channel"),
    "channel_dropped_total": _counter(
        "Notifications that were given up: too old, or refused for good.", "channel", "reason"
    ),
    "home_bytes": _gauge("Size of database, crops and clips, when retention last looked."),
    "retention_clips_deleted_total": _counter("Clips that retention deleted."),
    "retention_pictures_deleted_total": _counter("Crops that retention deleted."),
    "retention_visits_deleted_total": _counter("Visits that retention deleted."),
    "retention_bytes_deleted_total": _counter("Size of what retention deleted."),
    "disk_free_bytes": _gauge("Free space on the disk of the home."),
    "disk_size_bytes": _gauge("Size of the disk of the home."),
    "database_bytes": _gauge("Size of the database with its write-ahead log."),
    "last_backup_age_seconds": _gauge("Seconds since the home was last backed up; missing if it never was."),
}
