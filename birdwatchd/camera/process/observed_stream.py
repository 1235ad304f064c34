"""Show the frames of one stream to an observer, once, from its beginning to its end: what a scan does, and `tune`.

Both do it here, so that a tuning sheet of a file shows exactly what a scan of it sees.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from functools import partial

from birdwatchd.camera.capture.clock import utc_now
from birdwatchd.camera.capture.decoder import Acceleration
from birdwatchd.camera.capture.frame import DecodedFrame
from birdwatchd.camera.capture.recorded import Zones
from birdwatchd.camera.capture.replay import replay
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.shedding import LoadShedder
from birdwatchd.camera.capture.stream import Stream
from birdwatchd.camera.observer import Observer
from birdwatchd.camera.place import Places
from birdwatchd.camera.sampling import FrameSampler
from birdwatchd.records import Evidence
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["ObservedStream"]


class ObservedStream:
    """A stream with its observer, to be read once.

    Attributes:
        observer: what is known so far of what the stream shows.
        duration_s: length of the picture that the file announces; None until it is open, and where it says none.
        began_at: when the recording began, as far as it tells; None until it is open.
    """

    def __init__(
        self,
        camera: str,
        settings: CameraSettings,
        media: str,
        acceleration: Acceleration | None = None,
        places: Places | None = None,
        zones: Zones | None = None,
    ) -> None:
        """
        Args:
            media: name of the file; evidence then carries seconds from its start.
            places: what is known of the recordings that were watched before.
            acceleration: decodes on a graphics device where that works; on the CPU by default.
            zones: of the times in recordings; UTC by default.
        """
        self._settings, self._acceleration = settings, acceleration
        self._zones = zones or Zones()
        self._ring = Ring(settings.ring_mb * 2**20)
        self._place = None if settings.source.is_live else (places or Places()).recording(settings)
        self.observer = Observer(
            camera, settings, media=media, replay=partial(replay, self._ring), recording=self._place
        )
        self.duration_s: float | None = None
        self.began_at: datetime | None = None
        self._last: DecodedFrame | None = None

    def frames(self) -> Generator[tuple[DecodedFrame, list[Evidence] | None], None, None]:
        """Every frame with the evidence that came of it; with None where the observer was not shown it.

        Raises:
            SourceError: the stream cannot be opened, or broke off.
        """
        shedder = LoadShedder()
        sampler = FrameSampler(self._settings.max_fps, shedder)
        with Stream(
            self._settings.source,
            self._settings,
            utc_now,
            acceleration=self._acceleration,
            shedder=shedder,
            zones=self._zones,
        ) as stream:
            self.duration_s, self.began_at = stream.duration_s, stream.began_at
            for frame in stream.decoded_frames(keep=self._ring.append):
                self._last = frame
                yield frame, self.observer.process(stream.download(frame)) if sampler.takes(frame) else None

    @property
    def new_place(self) -> bool:
        """Whether it is a recording of a place that no earlier recording shows."""
        return self._place is not None and self._place.seen_before is False

    def finish(self) -> list[Evidence]:
        """The last evidence, after all frames: every visit that goes on ends with them."""
        return self.observer.finish(self._last)
