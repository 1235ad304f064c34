"""Record a video clip of each visit: from some seconds before the bird came to some seconds after it left.

The clips of one camera are written by a thread of their own, because a disk may take seconds and the next frame does
not wait. It reads the camera's ring, which is the queue between the two: bounded in bytes, and a disk that is slower
than the ring is long costs the rest of the clip, never memory. A visit longer than the ring is written while it lasts.
Whatever goes wrong with a clip, its visit goes on without one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from birdwatchd.camera.capture.packet import Packet
from birdwatchd.camera.capture.ring import Ring
from birdwatchd.camera.clips.mp4 import PLAYABLE, ClipFile
from birdwatchd.disk import DiskRoom
from birdwatchd.errors import StoreError
from birdwatchd.records import Evidence, clip_part, clip_path

__all__ = ["ClipRecorder", "ClipSettings", "FinishedClip", "VisitClips"]

POLL_S = 0.5  # between looks at the ring
SILENT_S = 3.0  # how long the packets after a visit's end are waited for
MAX_OPEN = 8  # clips being written; more birds than that are in the same frames


@dataclass(frozen=True, slots=True)
class FinishedClip:
    """A clip that is in its place.

    Attributes:
        path: relative to home; None if there will be no clip of this visit.
        cut: it ends before the visit does: too long, the stream broke off, or the disk was too slow.
    """

    visit_id: str
    path: str | None
    cut: bool


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """How much of a visit a clip shows."""

    pre_roll_s: float
    post_roll_s: float
    max_s: float


@dataclass(slots=True)
class _OpenClip:
    """A clip that is being written. The thread that writes owns all but `end`."""

    visit_id: str
    path: str
    ring: Ring
    cursor: int
    end: datetime | None = None
    file: ClipFile | None = None

    @property
    def cut(self) -> bool:
        """Whether it ends before its visit, as far as that is known."""
        return self.end is None or self.file is None or self.file.end is None or self.file.end < self.end


class ClipRecorder:
    """Records the clips of one camera. `run` in a thread of its own; all else from any."""

    def __init__(
        self,
        camera: str,
        settings: ClipSettings,
        home: Path,
        ring: Ring,
        clock: Callable[[], datetime],
        notify: Callable[[str], None],
        *,
        fallback: Ring | None = None,
    ) -> None:
        """
        Args:
            home: clips lie below it as `birdwatchd.records.clip_path` says.
            clock: wall time, UTC.
            notify: gets one line on why there are no clips, for each, and one when there are again.
            fallback: of a smaller stream, for clips that begin while the other ring has nothing.
        """
        self._fallback = fallback
        self._camera, self._settings, self._home, self._ring = camera, settings, home, ring
        self._clock, self._notify = clock, notify
        self._failing = False  # as was notified
        self._open: dict[str, _OpenClip] = {}
        self._finished: list[FinishedClip] = []
        self._closing = False
        self._writing = threading.Lock()
        self._changed = threading.Condition()  # guards the clips above, and that recording ends

    def begin(self, visit_id: str, start: datetime) -> None:
        """Begin a clip with the key frame at or before `pre_roll_s` before `start`."""
        since = start - timedelta(seconds=self._settings.pre_roll_s)
        ring = self._fallback if self._fallback is not None and self._ring.newest is None else self._ring
        clip = _OpenClip(visit_id, clip_path(self._camera, visit_id), ring, ring.cursor(since))
        with self._changed:
            if len(self._open) < MAX_OPEN:
                self._open[visit_id] = clip
            else:
                self._finished.append(FinishedClip(visit_id, None, cut=True))
            self._changed.notify_all()

    def end(self, visit_id: str, end: datetime) -> None:
        """Let the clip go on until `post_roll_s` after `end`."""
        with self._changed:
            clip = self._open.get(visit_id)
            if clip is not None:
                clip.end = end

    def finished(self) -> list[FinishedClip]:
        """What came to its end since the last time."""
        with self._changed:
            finished, self._finished = self._finished, []
        return finished

    def run(self) -> None:
        """Write until `close`."""
        while not self._closing:
            self.run_once()
            with self._changed:
                if not self._closing:
                    self._changed.wait(POLL_S if self._open else None)

    def run_once(self) -> None:
        """Write what came since the last time."""
        with self._writing:
            for clip in self._now_open():
                self._write_new(clip)

    def close(self) -> None:
        """Complete every clip with what there is, now, and end `run`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        with self._writing:
            for clip in self._now_open():
                self._write_new(clip)
                if clip.visit_id in self._open:
                    self._finish(clip)

    def _now_open(self) -> list[_OpenClip]:
        with self._changed:
            return list(self._open.values())

    def _write_new(self, clip: _OpenClip) -> None:
        until = clip.end + timedelta(seconds=self._settings.post_roll_s) if clip.end is not None else None
        new = clip.ring.after(clip.cursor)
        clip.cursor = new.cursor
        if clip.file is not None and not (new.contiguous and self._has_room()):
            self._finish(clip)
            return
        try:
            for packet in new.packets:
                if until is not None and packet.at - timedelta(seconds=packet.reorder_delay_s) > until:
                    self._finish(clip)
                    return
                if not self._add(clip, packet):
                    return
        except StoreError as error:
            self._give_up(clip, f"no clips: {error}")
            return
        if until is not None and self._clock() > until + timedelta(seconds=SILENT_S):
            self._finish(clip)

    def _add(self, clip: _OpenClip, packet: Packet) -> bool:
        """Write a packet; False when the clip is over with it."""
        if packet.codec.name not in PLAYABLE:
            name = packet.codec.name
            self._give_up(clip, f"no clips: browsers do not play {name}; let the camera send H.264 or H.265")
            return False
        if clip.file is None:
            if not self._has_room():
                self._give_up(clip, "no clips: the disk is nearly full, its last room is for visits; free some space")
                return False
            clip.file = ClipFile(self._home / clip_part(clip.path), self._home / clip.path, packet.codec)
        clip.file.add(packet)
        if clip.file.seconds < self._settings.max_s:
            return True
        self._finish(clip)
        return False

    def _has_room(self) -> bool:
        try:
            return DiskRoom.at(self._home).for_clips
        except OSError:  # no such folder yet; what is wrong with it is said when the clip is begun
            return True

    def _finish(self, clip: _OpenClip) -> None:
        if clip.file is None:  # nothing came that could be shown
            self._discard(clip)
            return
        try:
            clip.file.finish()
        except StoreError as error:
            clip.file = None
            self._give_up(clip, f"no clips: {error}")
            return
        self._close(clip, FinishedClip(clip.visit_id, clip.path, clip.cut))
        if self._failing:
            self._failing = False
            self._notify("clips are recorded again")

    def _give_up(self, clip: _OpenClip, why: str) -> None:
        self._failing = True
        self._notify(why.replace(clip_part(clip.path), "media"))  # the same reason is the same line for every clip
        self._discard(clip)

    def _discard(self, clip: _OpenClip) -> None:
        if clip.file is not None:
            clip.file.discard()
        self._close(clip, FinishedClip(clip.visit_id, None, cut=True))

    def _close(self, clip: _OpenClip, finished: FinishedClip) -> None:
        with self._changed:
            self._open.pop(clip.visit_id, None)
            self._finished.append(finished)


class VisitClips:
    """Begin and end the clips of the visits that evidence is about, and make revisions of those whose clip is whole."""

    def __init__(self, clips: ClipRecorder) -> None:
        self._clips = clips
        self._last: dict[str, Evidence] = {}  # visits whose clip is not done, with their newest revision
        self._done: dict[str, FinishedClip] = {}

    def follow(self, item: Evidence) -> None:
        """A revision of a visit goes out."""
        if item.visit_id not in self._last:
            self._clips.begin(item.visit_id, item.start)
        self._last[item.visit_id] = replace(item, moments=())
        if item.end is not None:
            self._clips.end(item.visit_id, item.end)

    def take_revisions(self) -> list[Evidence]:
        """One more revision of each visit that is over and whose clip became whole: the same, with its clip."""
        self._done |= {clip.visit_id: clip for clip in self._clips.finished()}
        revisions = []
        for clip in list(self._done.values()):
            last = self._last.get(clip.visit_id)
            if last is not None and last.end is None:
                continue  # a clip may be full before the bird leaves; its revision comes after the end
            del self._done[clip.visit_id]
            if last is None:
                continue
            del self._last[clip.visit_id]
            if clip.path is not None:
                revisions.append(replace(last, revision=last.revision + 1, clip=clip.path, clip_cut=clip.cut))
        return revisions
