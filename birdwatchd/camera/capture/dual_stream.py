"""Read both streams of a camera: the small one for motion detection, the main one waits undecoded in its ring.

Each stream has its feed and its back-off. When the small one is lost, the main one is decoded and looked at instead,
from the last frame on that was seen; when the main one is lost, crops come from the small one. Only when both are
lost is the camera offline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from birdwatchd.camera.capture.clock import Playback
from birdwatchd.camera.capture.decoder import Acceleration, PacketDecoder
from birdwatchd.camera.capture.feed import Feed
from birdwatchd.camera.capture.frame import Frame
from birdwatchd.camera.capture.full_frames import OnDemandFrames
from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.capture.shedding import LoadShedder
from birdwatchd.errors import SourceError
from birdwatchd.flow import Stop
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["DualStream"]

GATE_RING_BYTES = 8 * 2**20  # of the small stream: two minutes at 500 kbit/s, for clips while the main one is lost
START_S = 6.0  # how long the small stream may take at first, while the main one is there already
STEADY_S = 3.0  # for how long the small stream must be back before it is looked at again: each change costs learning
WAIT_S = 0.2  # for packets
PAUSE_S = 0.6  # between turns in quiet: nine frames at once cost less than one at a time, because caches stay warm
RESUMED_S = 0.3  # after a switch: behind by less, what was missed meanwhile has been seen
SAME_CLOCK = timedelta(seconds=60)  # frames further back than this were dated by a clock that was set


class DualStream:
    """Both streams of one camera, read by one thread."""

    def __init__(
        self,
        settings: CameraSettings,
        ring: Ring,
        stop: Stop,
        clock: Callable[[], datetime],
        shedder: LoadShedder,
        acceleration: Acceleration | None = None,
        quiet: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            settings: with a `gate_source`.
            ring: for the packets of the main stream.
            clock: wall time, UTC.
            shedder: drops packets that are far too late, and counts them.
            acceleration: decodes the main stream on a graphics device where that works; the small one is not worth it.
            quiet: whether nothing happens, so that frames may be looked at some at a time.
        """
        assert settings.gate_source is not None
        playback = Playback(clock, time.monotonic, stop.wait)
        gate_settings = settings.model_copy(update={"source": settings.gate_source})
        self._quiet = quiet
        feed = partial(Feed, stop=stop, clock=clock, playback=playback, quiet=quiet)
        self.full_feed = feed(settings.source, settings, ring)
        self.gate_feed = feed(settings.gate_source, gate_settings, Ring(GATE_RING_BYTES))
        self._acceleration, self._shedder = acceleration, shedder
        self.full = OnDemandFrames(
            ring, lambda: self._watched is not self.full_feed and self.full_feed.alive, acceleration=acceleration
        )
        self._stop, self._clock = stop, clock
        self._watched: Feed | None = None  # the stream that is looked at
        self._decoder: PacketDecoder | None = None
        self._cursor = 0
        self._seen_until: datetime | None = None
        self._skip_until: datetime | None = None
        self._resuming = False  # after a switch, frames of the past are looked at on purpose
        self._paused_s = 0.0  # before this turn, on purpose
        self._start_s = time.monotonic()
        self._lost: dict[Feed, str] = {}  # streams that are lost, and what is said of it for as long as they are

    @property
    def error(self) -> SourceError | None:
        """Why there are no frames; None while either stream gives some, or may still do."""
        if self.full_feed.alive or self.gate_feed.alive or self.gate_feed.error is None:
            return None
        return self.full_feed.error

    @property
    def receives(self) -> bool:
        """Whether packets of either stream come, decodable or not."""
        return self.full_feed.alive or self.gate_feed.alive

    @property
    def loss(self) -> str:
        """What is lost while the other stream does its work, and why, in one line; empty when both are there."""
        return "; ".join(self._lost.values())

    def frames(self) -> Iterator[Frame | None]:
        """Frames of the stream that is looked at, until the stop or the end of files; None while nothing comes."""
        self._start_s = time.monotonic()
        for started in (self.gate_feed, self.full_feed):
            started.start()
        while not self._stop.is_set():
            feed = self._choose()
            self._notice_losses(feed)
            if feed is None:
                if self.full_feed.ended and self.gate_feed.ended:
                    return
                yield None
                self._stop.wait(WAIT_S)
                continue
            if feed is not self._watched:
                self._switch_to(feed)
            new = feed.ring.after(self._cursor, WAIT_S)
            if not new.packets:
                if feed.ended:
                    return
                yield None
                continue
            if not new.contiguous:
                self._decoder = None
                self._shedder.dropped_packets += max(0, new.cursor - len(new.packets) - self._cursor - 1)  # unread
            self._cursor = new.cursor
            for packet in new.packets:
                yield from self._frames_of(packet)
            self._paused_s = self._pause() if self._quiet() else 0.0

    def _pause(self) -> float:
        """Let packets gather; returns for how long, seconds."""
        start_s = time.monotonic()
        self._stop.wait(PAUSE_S)
        return time.monotonic() - start_s

    def _choose(self) -> Feed | None:
        """Which stream to look at now."""
        gate, full = self.gate_feed, self.full_feed
        if gate.ended_well:
            return gate
        if gate.alive:
            steady = self._watched is not full or gate.alive_s >= STEADY_S or not full.alive
            return gate if steady else full
        untried = gate.error is None and self._watched is None and time.monotonic() - self._start_s < START_S
        if (full.alive or full.ended_well) and not untried:
            return full
        return None

    def _switch_to(self, feed: Feed) -> None:
        """Look at the other stream, from the last frame on that was seen."""
        since = self._seen_until
        self._cursor = feed.ring.cursor(since) if since is not None else 0
        self._watched, self._decoder, self._skip_until = feed, None, since
        self._resuming = since is not None
        self.full.release()

    def _frames_of(self, packet: Packet) -> Iterator[Frame]:
        read_at = packet.read_at or packet.at
        if self._shedder.drops_packet(packet.is_key, self._lag_s(read_at), time.monotonic()):
            return
        if self._decoder is None or packet.codec != self._decoder.codec:
            if not packet.is_key:
                return
            self._decoder = PacketDecoder(packet.codec, self._acceleration if self._watched is self.full_feed else None)
        for frame in self._decoder.decode(packet):
            if self._skip_until is not None and self._skip_until - SAME_CLOCK < frame.at <= self._skip_until:
                continue
            self._skip_until, self._seen_until = None, frame.at
            yield replace(frame, lag_s=self._lag_s(read_at))

    def _lag_s(self, read_at: datetime) -> float:
        """How late a packet is looked at that was read then; those of the past on purpose are not."""
        lag_s = (self._clock() - read_at).total_seconds() - self._paused_s
        if self._resuming and lag_s > RESUMED_S:
            return 0.0
        self._resuming = False
        return max(0.0, lag_s)

    def _notice_losses(self, watched: Feed | None) -> None:
        if watched is None:  # offline as a whole: the camera's state says it
            return
        gate, full = self.gate_feed, self.full_feed
        self._notice(gate, watched is full, "gate_source is lost, motion is looked for in source until it is back")
        opening = full.error is None and time.monotonic() - self._start_s < START_S
        lost = not full.alive and not full.ended_well and not opening
        self._notice(full, lost, "source is lost, crops come from gate_source until it is back")

    def _notice(self, feed: Feed, lost: bool, text: str) -> None:
        if not lost:
            self._lost.pop(feed, None)
        elif feed not in self._lost:
            self._lost[feed] = f"{text}: {feed.error or f'{feed.source}: is silent'}"
