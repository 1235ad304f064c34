"""Read one camera or media file: its packets, and the frames decoded from them, each dated once.

A packet is dated when it comes and its frame takes that date, so that a frame decoded again later is the same one.
libav objects never leave the thread that made them, and a failed stream is never reused: the caller opens a new one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error

from birdwatchd.address import Source
from birdwatchd.camera.capture.clock import FileClock, LiveClock, Playback
from birdwatchd.camera.capture.decoder import Acceleration, configure, frame_size
from birdwatchd.camera.capture.display import Display
from birdwatchd.camera.capture.drift import Backlog, WaitMeter
from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.capture.open import LibavErrors, open_container
from birdwatchd.camera.capture.packet import Codec, Packet, is_annex_b, parameter_sets
from birdwatchd.camera.capture.preview import own_orientation
from birdwatchd.camera.capture.recorded import Zones, recorded_at
from birdwatchd.camera.capture.shedding import LoadShedder
from birdwatchd.errors import SourceUnreachable, SourceUnusable
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Stream"]

# Streams that carry no time of their own: libav invents 25 frames a second for them, whatever really comes.
_WITHOUT_TIME = {"mpjpeg", "mjpeg", "h264", "hevc", "image2pipe", "jpeg_pipe", "png_pipe"}
_SNAPSHOTS = {"jpeg_pipe", "png_pipe"}  # answers that are one picture, after which the camera is asked again
POLL_S = 0.25  # between two of them: with fewer than four a second most short visits are missed
KEY_FRAME_S = 120.0  # how long the first key frame of a live stream may take: some cameras send one a minute
WITHOUT_ZONES = Zones()
_LENGTH_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)$")  # as Matroska has one of each of its streams
MAX_BAD_PACKETS = 200  # in a row that cannot be decoded before the stream is given up; about 10 s at 20 fps


def ignore(packet: Packet) -> None:
    """What `frames` does with packets when they need not be kept."""


class Stream:
    """One opening of a source. Use as a context manager; read packets or frames; never reuse after an error."""

    def __init__(
        self,
        source: Source,
        settings: CameraSettings,
        clock: Callable[[], datetime],
        *,
        playback: Playback | None = None,
        acceleration: Acceleration | None = None,
        shedder: LoadShedder | None = None,
        wait: Callable[[float], object] = time.sleep,
        zones: Zones = WITHOUT_ZONES,
    ) -> None:
        """Open the source.

        Args:
            clock: gives the current UTC time (live streams stamp packets with it).
            playback: a file gives each packet when it is due, dated as if a camera sent it now.
            acceleration: decodes on a graphics device where that works; on the CPU by default.
            shedder: drops packets that are far too late; without it every one is decoded.
            wait: sleeps for some seconds, or less if there is a reason to stop.
            zones: of the times in recordings.

        Raises:
            SourceUnreachable, SourceRefused, SourceUnusable: see their classes.
        """
        self._zones = zones
        self._source, self._clock = source, clock
        self._playback = playback if not source.is_live else None
        self._live_clock = LiveClock()
        self._shedder = shedder
        if shedder is not None:
            shedder.reopen()
        self._wait, self._asked_s = wait, time.monotonic()
        self._poll_s = POLL_S if settings.poll_s == "auto" else settings.poll_s
        self._begun = not source.is_live  # whether a key frame has come
        self._container, self._stream = _open_video(source, settings)
        self._context = self._stream.codec_context
        self._file_clock = FileClock(self._recorded_at())
        rate = self._stream.average_rate or self._stream.guessed_rate or 15
        self._frame_s = 1.0 / min(max(float(rate), 1.0), 240.0)
        self._reading = LibavErrors(source, opening=False)
        self._bad_in_row = 0
        self._read_timeout_s = settings.read_timeout_s
        formats = set(self._container.format.name.split(","))
        self._keeps_time = not (source.is_live and formats & _WITHOUT_TIME)
        self._first: datetime | None = None
        self._backlog, self._wait_meter = Backlog(), WaitMeter()
        self._waited = False  # for the newest packet
        self._read_at, self._late_s = clock(), 0.0  # when it was read, and how long it lay here before
        self._due_s = 0.0  # of the newest packet of a file that plays a camera
        base = self._stream.time_base
        self._time_base = Fraction(base.numerator, base.denominator)
        self._settings = settings
        own = own_orientation(source, settings, self._container)
        self.codec = _codec_of(self._context, Display.of(settings, self._stream.sample_aspect_ratio, own))
        self._device = acceleration.begin(self.codec) if acceleration else None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def began_at(self) -> datetime:
        """When a recording began, as far as it tells."""
        return self._file_clock.at(0.0)

    @property
    def duration_s(self) -> float | None:
        """Length of the picture that the file announces, None for live streams and files that announce none."""
        return _announced_s(self._container, self._stream)

    def packets(self) -> Iterator[Packet]:
        """Give packets, not decoded, until the end of a file, or until the stream breaks.

        Raises:
            SourceUnreachable: nothing came within the read time-out, or the stream ended (live sources).
            SourceUnusable: the file cannot be read further.
        """
        for av_packet in self._demuxed():
            if av_packet.size:
                yield self._packet(av_packet)

    def frames(self, keep: Callable[[Packet], None] = ignore) -> Iterator[Frame]:
        """Give frames until the end of a file, or until the stream breaks.

        Args:
            keep: is given every packet before it is decoded.

        Raises:
            SourceUnreachable: nothing came within the read time-out, or the stream ended (live sources).
            SourceUnusable: too many packets in a row could not be decoded (files).
        """
        for decoded in self.decoded_frames(keep):
            yield self.download(decoded)

    def decoded_frames(self, keep: Callable[[Packet], None] = ignore) -> Iterator[DecodedFrame]:
        """As `frames`, for callers that do not look at every one: `download` those that are looked at."""
        frame_at_s = time.monotonic()
        packet: Packet | None = None
        for av_packet in self._demuxed():
            if av_packet.size:
                packet = self._packet(av_packet)
                keep(packet)
                if self._shedder and self._shedder.drops_packet(packet.is_key, self._lag_s(), time.monotonic()):
                    frame_at_s = time.monotonic()
                    continue
            for decoded in self._decode(av_packet, packet):
                yield decoded
                frame_at_s = time.monotonic()
            begun, self._begun = self._begun, self._begun or (packet is not None and packet.is_key)
            frame_at_s = time.monotonic() if self._begun and not begun else frame_at_s
            self._check_silence(time.monotonic() - frame_at_s)

    def download(self, decoded: DecodedFrame) -> Frame:
        """The frame in system memory, of one that was just given.

        Raises:
            SourceUnusable: its pixel format is not supported.
        """
        with self._reading:
            return decoded.download()

    def _check_silence(self, silent_s: float) -> None:
        """
        Raises:
            SourceUnreachable: packets come, and for too long no picture.
        """
        if not self._source.is_live or silent_s <= (self._read_timeout_s if self._begun else KEY_FRAME_S):
            return
        if self._begun:
            raise SourceUnreachable(f"{self._source}: no picture for {silent_s:.0f} s", "it will be opened again")
        raise SourceUnreachable(
            f"{self._source}: no key frame for {silent_s:.0f} s", "let the camera send one (GOP) every few seconds"
        )

    def _demuxed(self) -> Iterator[Any]:
        """libav's packets until the end; from a snapshot address those of one picture after the other, for ever."""
        snapshots = self._source.kind == "http" and _SNAPSHOTS & set(self._container.format.name.split(","))
        while snapshots:
            yield from (av_packet for av_packet in self._demuxed_once() if av_packet.size)
            self._container.close()
            self._ask_again(time.monotonic() + self._read_timeout_s)
        yield from self._demuxed_once()
        if self._source.is_live:
            raise SourceUnreachable(f"{self._source}: the stream ended", "it will be opened again")

    def _ask_again(self, until_s: float) -> None:
        """Open a snapshot address for the next picture; a camera that is busy is asked until then (monotonic seconds).

        Raises:
            SourceError: it gives none for so long, or refuses.
        """
        while True:
            self._wait(max(0.0, self._asked_s + self._poll_s - time.monotonic()))
            self._asked_s = time.monotonic()
            try:
                self._container, self._stream = _open_video(self._source, self._settings)
                return
            except (SourceUnreachable, SourceUnusable):  # cameras say "device busy" in a web page, or with a 503
                if time.monotonic() > until_s:
                    raise

    def _demuxed_once(self) -> Iterator[Any]:
        """libav's packets; at the end of a file an empty one, which gets out what the decoder still holds."""
        demuxed = self._container.demux(self._stream)
        while True:
            self._wait_meter.start()
            start_s = time.monotonic()
            with self._reading:
                av_packet = next(demuxed, None)
            self._waited = self._wait_meter.waited(time.monotonic() - start_s)
            if av_packet is None:
                return
            # An empty packet in the middle (AVI: "as before") would end the decoder.
            if av_packet.size or av_packet.dts is None:
                yield av_packet

    def _packet(self, av_packet: Any) -> Packet:
        decode_s = self._seconds(av_packet.dts)
        shown_s = self._seconds(av_packet.pts) if av_packet.pts is not None else decode_s
        media_s, at = self._dated(shown_s if self._keeps_time else None, decode_s)
        data, is_key = bytes(av_packet), av_packet.is_keyframe
        if is_key:
            self._update_codec(av_packet, data)
        duration = av_packet.duration or 0
        read_at = self._read_at if self._source.is_live else None
        return Packet(
            data, av_packet.pts, av_packet.dts, self._time_base, duration, is_key, media_s, at, self.codec, read_at
        )

    def _seconds(self, stamp: int | None) -> float | None:
        return None if stamp is None else stamp * self._time_base.numerator / self._time_base.denominator

    def _dated(self, stamp_s: float | None, decode_s: float | None) -> tuple[float, datetime]:
        """Media seconds and wall time of a packet, given when it is to be shown and to be decoded, in seconds."""
        if self._source.is_live:
            at = self._dated_live(stamp_s, decode_s)
            self._first = self._first or at
            return (at - self._first).total_seconds() if stamp_s is None else stamp_s, at
        seconds = self._file_clock.seconds(stamp_s, self._frame_s, decode_s)
        if self._playback is None:
            return seconds, self._file_clock.at(seconds)
        self._playback.wait_for(seconds)
        self._due_s = max(self._due_s, seconds)
        return seconds, self._playback.at(seconds)

    def _dated_live(self, stamp_s: float | None, decode_s: float | None) -> datetime:
        now, clock = self._clock(), self._live_clock
        pace_s = None if stamp_s is None else decode_s if decode_s is not None else stamp_s
        self._read_at = now
        self._late_s = self._backlog.late_s(pace_s, now.timestamp(), waited=self._waited, drift=clock.drift)
        return clock.at(stamp_s, now, decode_s, self._late_s)

    def _update_codec(self, av_packet: Any, data: bytes) -> None:
        """Notice at a key frame that the size or the parameters of the codec have changed."""
        extradata = self.codec.extradata
        if is_annex_b(self.codec.name, extradata):
            extradata = parameter_sets(self.codec.name, data) or extradata
        if av_packet.has_sidedata("new_extradata"):
            extradata = bytes(av_packet.get_sidedata("new_extradata"))
        if extradata == self.codec.extradata:
            return
        changed = replace(self.codec, extradata=extradata)
        size = frame_size(changed, data)
        if size is not None:
            display = Display.of(self._settings, size[2], changed.display.own)
            changed = replace(changed, width=size[0], height=size[1], display=display)
        self.codec = changed

    def _decode(self, av_packet: Any, packet: Packet | None) -> list[DecodedFrame]:
        """The frames of a packet; none for a damaged one, an error for too many damaged ones in a row."""
        if packet is None:
            return []
        with self._reading:
            if av_packet.size:
                av_packet.opaque = (packet.media_s, packet.at)
            on_cpu = self._context.decode
            try:
                device = self._device if self._begun or packet.is_key else None  # which is given up without pictures
                av_frames = device.decode(av_packet, on_cpu) if device else on_cpu(av_packet)
            except av.error.InvalidDataError:
                self._bad_in_row += self._begun  # what comes before the first key frame cannot be decoded
                if self._bad_in_row > MAX_BAD_PACKETS:
                    raise SourceUnusable(f"{self._source}: cannot be decoded", "check the codec") from None
                return []
        if av_frames:
            self._bad_in_row = 0
        return [self._dated_frame(av_frame, packet) for av_frame in av_frames]

    def _dated_frame(self, av_frame: Any, packet: Packet) -> DecodedFrame:
        # A decoder that drops what came with the packet holds no frames back: its date is that of the last packet.
        media_s, at = av_frame.opaque or (packet.media_s, packet.at)
        if not self._source.is_live and self._playback is None:
            media_s = self._file_clock.never_back(media_s)
            return DecodedFrame(av_frame, self._file_clock.at(media_s), media_s, 0.0, self.codec.display)
        return DecodedFrame(av_frame, at, media_s, self._lag_s(), self.codec.display)

    def _lag_s(self) -> float:
        """How long the newest packet has lain here, whatever its timestamp says; 0 for recordings."""
        if self._source.is_live:
            return self._late_s + (self._clock() - self._read_at).total_seconds()
        return max(0.0, self._playback.late_s(self._due_s)) if self._playback is not None else 0.0

    def _recorded_at(self) -> datetime:
        if self._source.kind != "file":
            return self._clock()
        length = timedelta(microseconds=self._container.duration or 0)
        return recorded_at(self._container.metadata, Path(self._source.location), length, self._zones)


def _open_video(source: Source, settings: CameraSettings) -> tuple[Any, Any]:
    """libav's container and its first video stream, whose decoder is configured."""
    with LibavErrors(source, opening=True):
        container = open_container(source, settings)
    stream = container.streams.video[0] if container.streams.video else None
    if stream is not None and stream.codec_context is not None:
        configure(stream.codec_context)
        return container, stream
    container.close()
    if stream is None:
        raise SourceUnusable(f"{source}: has no video stream", "is it a sound recording?")
    raise SourceUnusable(f"{source}: is coded in a way that has no decoder", "this codec is not supported")


def _announced_s(container: Any, stream: Any) -> float | None:
    """Seconds of video that a file announces; None where it announces nothing.

    Its sound may go on for longer, so the video's own length counts where it is known. Of an AVI that was cut off libav
    gives the length that is left; what its header announced is the number of frames.
    """
    rate = stream.average_rate
    if container.format.name == "avi" and stream.frames and rate:
        return float(stream.frames / rate)
    lengths = [container.duration / 1e6] if container.duration else []
    if stream.duration:
        lengths.append(float(stream.duration * stream.time_base))
    if (tagged := _LENGTH_TAG.match(stream.metadata.get("DURATION", ""))) is not None:
        lengths.append(3600 * int(tagged[1]) + 60 * int(tagged[2]) + float(tagged[3]))
    return min(lengths, default=None)  # what was trimmed away is still counted by one of them


def _codec_of(context: Any, display: Display) -> Codec:
    """A stream's parameters as the container gives them."""
    name, extradata = context.codec.canonical_name, context.extradata or b""
    if is_annex_b(name, extradata):
        extradata = parameter_sets(name, extradata) or extradata  # written as those in its packets, to be compared
    return Codec(
        name=name,
        decoder=context.codec.name,
        extradata=extradata,
        width=context.width,
        height=context.height,
        pix_fmt=context.pix_fmt or "",
        color_range=int(context.color_range),
        colorspace=int(context.colorspace),
        reorder=context.reorder_depth,
        display=display,
    )
