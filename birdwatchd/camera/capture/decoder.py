"""Decode packets, on a graphics device where there is one: what is needed apart from any open stream.

`decode: auto` tries NVIDIA's decoder, then VA-API, each only where its device exists, so that it costs nothing
elsewhere. A device that fails to open, or within its first frames, is given up for the CPU with one notice; the packets
it had are decoded again, so that no frame is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import av
import av.error
from av.codec.hwaccel import HWAccel, hwdevices_available

from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.capture.open import error_text
from birdwatchd.camera.capture.packet import Codec, Packet
from birdwatchd.errors import SourceUnusable

__all__ = [
    "Acceleration",
    "DeviceDecoder",
    "PacketDecoder",
    "configure",
    "devices_here",
    "devices_to_try",
    "frame_size",
]

MAX_PIXELS = 40_000_000  # of one frame; 8K has 33 million
PROVEN_FRAMES = 8  # after which a device is trusted with this stream
PROBATION_PACKETS = 60  # within which it must have given that many frames
_PREFERENCE = ("cuda", "vaapi")


def open_decoder(codec: Codec, accelerator: Any = None) -> Any:
    """A fresh libav decoder that knows what the container knew, for one thread.

    Args:
        accelerator: PyAV's HWAccel; None decodes on the CPU.

    Raises:
        SourceUnusable: this build of libav has no such decoder.
        av.error.FFmpegError: the device cannot be opened.
    """
    try:
        context = av.CodecContext.create(codec.decoder, "r", accelerator)
    except ValueError:
        raise SourceUnusable(f"{codec.name}: has no decoder", "this codec is not supported") from None
    context.extradata = codec.extradata or None
    context.width, context.height = codec.width, codec.height
    if codec.pix_fmt and accelerator is None:
        context.pix_fmt = codec.pix_fmt
    context.color_range, context.colorspace = codec.color_range, codec.colorspace
    context.reorder_depth = codec.reorder
    configure(context)
    return context


def configure(context: Any) -> None:
    """Set what all our decoders have in common on a libav decoder that is not open yet."""
    context.thread_count = 1  # one core per camera, and no frames held back
    context.thread_type = "NONE"
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.copy_opaque = True  # a frame brings the date of its packet


def _av_packet(data: bytes) -> Any:
    """libav's packet of these bytes: a copy, because decoders read a little beyond the end of what they are given."""
    av_packet = av.Packet(len(data))
    av_packet.update(data)
    return av_packet


class PacketDecoder:
    """Decode kept packets. Belongs to the thread that made it."""

    def __init__(self, codec: Codec, acceleration: Acceleration | None = None) -> None:
        """
        Args:
            acceleration: decodes on a graphics device where that works; on the CPU by default.

        Raises:
            SourceUnusable: there is no decoder for it.
        """
        self.codec = codec
        self._context = open_decoder(codec)
        self._device = acceleration.begin(codec) if acceleration is not None else None

    def decode(self, packet: Packet) -> list[Frame]:
        """The frames that this packet brings out, dated as when they were decoded first; none if it is damaged."""
        av_packet = _av_packet(packet.data)
        av_packet.pts, av_packet.dts, av_packet.time_base = packet.pts, packet.dts, packet.time_base
        av_packet.is_keyframe = packet.is_key
        av_packet.opaque = (packet.media_s, packet.at)
        return self._frames(av_packet, packet)

    def flush(self, last: Packet) -> list[Frame]:
        """The frames still held back after the last packet; ends the decoder."""
        return self._frames(None, last)

    def _frames(self, av_packet: Any, packet: Packet) -> list[Frame]:
        try:
            on_cpu = self._context.decode
            device = self._device if av_packet is not None else None
            decoded = device.decode(av_packet, on_cpu) if device else on_cpu(av_packet)
        except av.error.FFmpegError:  # the live decoder met the same packet and counted it
            return []
        frames = []
        for av_frame in decoded:
            media_s, at = av_frame.opaque or (packet.media_s, packet.at)
            frames.append(DecodedFrame(av_frame, at, media_s, 0.0, self.codec.display).download())
        return frames


def frame_size(codec: Codec, data: bytes) -> tuple[int, int, Fraction | None] | None:
    """(width, height, aspect of a pixel) of the frame of a key frame, by decoding it; None if it is damaged."""
    context = open_decoder(codec)
    try:
        av_frames = context.decode(_av_packet(data)) or context.decode(None)
    except av.error.FFmpegError:
        return None
    return (av_frames[0].width, av_frames[0].height, context.sample_aspect_ratio) if av_frames else None


Decode = Callable[[Any], list[Any]]


def devices_here() -> frozenset[str]:
    """The kinds of devices that this machine has and this build of libav can use."""
    found = set()
    if any(Path("/dev").glob("nvidia[0-9]*")):
        found.add("cuda")
    if any(Path("/dev/dri").glob("renderD*")):
        found.add("vaapi")
    return frozenset(found & set(hwdevices_available()))


def devices_to_try(wanted: Literal["auto", "cpu", "cuda", "vaapi"], devices: Collection[str]) -> tuple[str, ...]:
    """Which devices to try before the CPU, in order; a device named by the configuration is tried whatever is there."""
    if wanted == "cpu":
        return ()
    if wanted == "auto":
        return tuple(device for device in _PREFERENCE if device in devices)
    return (wanted,)


class Acceleration:
    """The devices that one camera's decoding may still use; what failed once is not tried again by this process."""

    def __init__(self, devices: Sequence[str], notify: Callable[[str], None]) -> None:
        """
        Args:
            devices: to try, in order.
            notify: gets one line on what failed and what decodes instead.
        """
        self._devices, self._notify = list(devices), notify
        self._failures: list[str] = []

    def begin(self, codec: Codec) -> DeviceDecoder | None:
        """A decoder on the first device that opens, None where the CPU has to do it."""
        tried = bool(self._devices)
        while self._devices:
            device = self._devices[0]
            try:
                context = open_decoder(codec, HWAccel(device, allow_software_fallback=False, is_hw_owned=True))
            except av.error.FFmpegError as error:
                self._fail(device, error_text(error))
                continue
            if context.is_hwaccel:
                self._announce(f"with {device}")
                return DeviceDecoder(context, partial(self._give_up, device))
            self._fail(device, f"it does not know {codec.name}")
        if tried:
            self._announce("on the CPU")
        return None

    def _give_up(self, device: str, why: str) -> None:
        self._fail(device, why)
        self._announce("on the CPU")

    def _fail(self, device: str, why: str) -> None:
        self._devices.remove(device)
        self._failures.append(f"{device} failed ({why})")

    def _announce(self, what: str) -> None:
        """Notify of what decodes if something else failed, else say nothing."""
        if self._failures:
            self._notify(f"decodes {what}: {', '.join(self._failures)}")
            self._failures.clear()


class DeviceDecoder:
    """One stream's decoder on a graphics device, on probation for its first frames."""

    def __init__(self, context: Any, failed: Callable[[str], None]) -> None:
        self._context, self._failed = context, failed
        self._given = 0
        self._held: list[Any] = []
        self._proven = False

    def decode(self, av_packet: Any, on_cpu: Decode) -> list[Any]:
        """PyAV's frames that a packet brings out, still on the device; from the CPU once the device has failed.

        Args:
            on_cpu: decodes a packet on the CPU; used from the stream's first packet on, or not at all.
        """
        if self._context is None:
            return on_cpu(av_packet)
        if not self._proven:
            self._held.append(av_packet)
        try:
            av_frames: list[Any] = self._context.decode(av_packet)
        except av.error.FFmpegError as error:
            if self._proven:
                raise
            return self._fall_back(error_text(error), on_cpu)
        self._given += len(av_frames)
        if self._given >= PROVEN_FRAMES:
            self._proven = True
            self._held.clear()
        elif len(self._held) > PROBATION_PACKETS:
            return av_frames + self._fall_back("it gives no pictures", on_cpu)
        return av_frames

    def _fall_back(self, why: str, on_cpu: Decode) -> list[Any]:
        self._failed(why)
        self._context = None
        av_frames: list[Any] = []
        for av_packet in self._held:
            try:
                av_frames += on_cpu(av_packet)
            except av.error.InvalidDataError:
                continue  # damaged for the CPU as well; the stream counts damage from here on
        self._held.clear()
        return av_frames[self._given :]
