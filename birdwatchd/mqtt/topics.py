"""Name the MQTT topics of a station, all below `<base>/<station>/`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Topics"]


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one station. Camera names are config keys (slugs), never display names."""

    base: str
    station: str

    @property
    def prefix(self) -> str:
        """What every topic begins with."""
        return f"{self.base}/{self.station}/"

    @property
    def status(self) -> str:
        """`online` / `offline` of the whole station, retained; also the last will."""
        return f"{self.base}/{self.station}/status"

    @property
    def alert(self) -> str:
        """Visits that matched an alert rule, not retained."""
        return f"{self.base}/{self.station}/alert"

    @property
    def station_alert(self) -> str:
        """Faults of the station that matched an alert rule, and their ends, not retained."""
        return f"{self.base}/{self.station}/station_alert"

    @property
    def selftest(self) -> str:
        """The message of a self-test, not retained."""
        return f"{self.base}/{self.station}/selftest"

    @property
    def probe(self) -> str:
        """Where `birdwatchd check --probe` tries the broker; nothing stays there."""
        return f"{self.base}/{self.station}/probe"

    def camera_status(self, camera: str) -> str:
        """`online` / `offline` / `disabled`, retained."""
        return self._of(camera, "status")

    def visit(self, camera: str) -> str:
        """One JSON per change of a visit, not retained."""
        return self._of(camera, "visit")

    def last(self, camera: str) -> str:
        """The newest confirmed visit, retained."""
        return self._of(camera, "last")

    def image(self, camera: str) -> str:
        """JPEG of the best crop of `last`, retained."""
        return self._of(camera, "image")

    def today(self, camera: str) -> str:
        """The number of visits of the station's day so far, retained."""
        return self._of(camera, "today")

    def present(self, camera: str) -> str:
        """`ON` while a bird is present, else `OFF`, retained."""
        return self._of(camera, "present")

    def health(self, camera: str) -> str:
        """Frame rate, age of the last frame, reconnects and drops, each minute, retained."""
        return self._of(camera, "health")

    def enabled(self, camera: str) -> str:
        """`ON` / `OFF`: whether the camera is switched on, retained; only where the command `enable` is allowed."""
        return self._of(camera, "enabled")

    def command(self, camera: str, leaf: str) -> str:
        """A command topic: `set/enabled`, `set/confirm`, `set/retract` or `set/species`."""
        return self._of(camera, f"set/{leaf}")

    @property
    def heartbeat(self) -> str:
        """The daily summary, retained."""
        return f"{self.base}/{self.station}/heartbeat"

    @property
    def station_today(self) -> str:
        """The visits of the station's day so far, of all cameras, and its species in all, retained."""
        return f"{self.base}/{self.station}/today"

    @property
    def station_health(self) -> str:
        """The messages that wait for the broker, each minute, retained."""
        return f"{self.base}/{self.station}/health"

    @property
    def storage(self) -> str:
        """Room on the station's disk and what is still kept, retained."""
        return f"{self.base}/{self.station}/storage"

    def _of(self, camera: str, leaf: str) -> str:
        return f"{self.base}/{self.station}/{camera}/{leaf}"
