"""Say where the daemon's own state can be read: `/healthz`, `/readyz` and Prometheus metrics over HTTP."""

from __future__ import annotations

from birdwatchd.settings.base import Listening

__all__ = ["MetricsSettings"]


class MetricsSettings(Listening):
    """Where metrics are served: `bind` is ADDRESS:PORT, or a port of this machine; empty or false for nowhere."""
