"""Put the monitoring server together: which page answers what."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from birdwatchd.metrics import Metrics
from birdwatchd.monitor.exposition import Exposition
from birdwatchd.monitor.server import Answer, MonitorServer, Page
from birdwatchd.monitor.vitals import Vitals
from birdwatchd.settings.metrics import MetricsSettings

__all__ = ["build_monitor"]

KEPT_S = 1.0  # the text is written at most so often, however often it is asked for


def build_monitor(
    settings: MetricsSettings,
    metrics: Metrics,
    vitals: Vitals,
    database: Path,
    pids: Callable[[], Mapping[str, int]] = dict,
    backup_age_s: Callable[[], float | None] = lambda: None,
) -> MonitorServer:
    """The server of one daemon, not started yet.

    Args:
        database: its file, which need not exist yet.
        pids: the process of each camera that has one.
        backup_age_s: seconds since the last backup; None where there was none.
    """
    exposition = Exposition(metrics, vitals, database, pids, backup_age_s)
    kept: dict[str, tuple[float, Answer]] = {}

    def show_metrics(accept: str) -> Answer:
        now_s = time.monotonic()
        form = "openmetrics" if "openmetrics" in accept else "text"
        if form not in kept or now_s - kept[form][0] > KEPT_S:
            text, content_type = exposition.render(accept)
            kept[form] = now_s, Answer(HTTPStatus.OK, text, content_type)
        return kept[form][1]

    def healthz(accept: str) -> Answer:
        del accept
        return _says([vitals.unhealthy()] if vitals.unhealthy() else [])

    def readyz(accept: str) -> Answer:
        del accept
        return _says(vitals.not_ready())

    pages: dict[str, Page] = {"/healthz": healthz, "/readyz": readyz, "/metrics": show_metrics}
    return MonitorServer(settings.host, settings.port, pages)


def _says(problems: list[str]) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return Answer(status, ("\n".join(problems or ["ok"]) + "\n").encode())
