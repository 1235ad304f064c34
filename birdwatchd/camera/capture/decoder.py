"""Make decoders apart from any stream: for packets that were kept, and on a graphics device where there is one.

`decode: auto` tries NVIDIA's decoder, then VA-API, each only where its device exists, so that it costs nothing
elsewhere. A device that fails to open, or fails within its first pictures, is given up for the CPU and said so once;
the packets it had are decoded again, so that no picture is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import av
import av.error
from av.codec.hwaccel import HWAccel, hwdevices_available

from birdwatchd.camera.capture.frame import DecodedFrame, Frame
from birdwatchd.camera.capture.packet import Codec, Packet
from birdwatchd.errors import SourceUnusable

__all__ = ["MAX_PIXELS", "Acceleration", "DeviceDecoder", "PacketDecoder", "devices_here", "devices_to_try", "size_of"]

MAX_PIXELS = 40_000_000  # of one picture; 8K has 33 million
PROVEN = 8  # pictures after which a device is trusted with this stream
PATIENCE = 60  # packets within which it must have given that many
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
    context.thread_count = 1
    context.thread_type = "NONE"
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.copy_opaque = True
    return context


def _raw_packet(data: bytes) -> Any:
    """libav's packet of these bytes: a copy, because decoders read a little beyond the end of what they are given."""
    raw = av.Packet(len(data))
    raw.update(data)
    return raw


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
        raw = _raw_packet(packet.data)
        raw.pts, raw.dts, raw.time_base = packet.pts, packet.dts, packet.time_base
        raw.is_keyframe = packet.is_key
        raw.opaque = (packet.media_s, packet.at)
        return self._frames(raw, packet)

    def rest(self, last: Packet) -> list[Frame]:
        """The frames still held back after the last packet; ends the decoder."""
        return self._frames(None, last)

    def _frames(self, raw: Any, packet: Packet) -> list[Frame]:
        try:
            on_cpu = self._context.decode
            decoded = self._device.decode(raw, on_cpu) if self._device and raw is not None else on_cpu(raw)
        except av.error.FFmpegError:  # the live decoder met the same packet and counted it
            return []
        frames = []
        for av_frame in decoded:
            media_s, at = av_frame.opaque or (packet.media_s, packet.at)
            frames.append(DecodedFrame(av_frame, at, media_s, 0.0).download())
        return frames


def size_of(codec: Codec, data: bytes) -> tuple[int, int] | None:
    """Width and height of the picture in a key frame's packet, found by decoding it; None if it is damaged."""
    context = open_decoder(codec)
    try:
        pictures = context.decode(_raw_packet(data)) or context.decode(None)
    except av.error.FFmpegError:
        return None
    return (pictures[0].width, pictures[0].height) if pictures else None


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

    def __init__(self, devices: Sequence[str], say: Callable[[str], None]) -> None:
        """
        Args:
            devices: to try, in order.
            say: is told, in one line, what failed and what decodes instead.
        """
        self._devices, self._say = list(devices), say
        self._failures: list[str] = []

    def begin(self, codec: Codec) -> DeviceDecoder | None:
        """A decoder on the first device that opens, None where the CPU has to do it."""
        tried = bool(self._devices)
        while self._devices:
            device = self._devices[0]
            try:
                context = open_decoder(codec, HWAccel(device, allow_software_fallback=False, is_hw_owned=True))
            except av.error.FFmpegError as error:
                self._fail(device, _words(error))
                continue
            if context.is_hwaccel:
                self._tell(f"with {device}")
                return DeviceDecoder(context, partial(self._give_up, device))
            self._fail(device, f"it does not know {codec.name}")
        if tried:
            self._tell("on the CPU")
        return None

    def _give_up(self, device: str, why: str) -> None:
        self._fail(device, why)
        self._tell("on the CPU")

    def _fail(self, device: str, why: str) -> None:
        self._devices.remove(device)
        self._failures.append(f"{device} failed ({why})")

    def _tell(self, what: str) -> None:
        """Say what decodes, if something else failed; nothing if all went as it should."""
        if self._failures:
            self._say(f"decodes {what}: {', '.join(self._failures)}")
            self._failures.clear()


class DeviceDecoder:
    """One stream's decoder on a graphics device, on probation for its first pictures."""

    def __init__(self, context: Any, failed: Callable[[str], None]) -> None:
        self._context, self._failed = context, failed
        self._given = 0
        self._held: list[Any] = []
        self._proven = False

    def decode(self, raw: Any, on_cpu: Decode) -> list[Any]:
        """The pictures that a packet brings out, still on the device; from the CPU once the device has failed.

        Args:
            on_cpu: decodes a packet on the CPU; used from the stream's first packet on, or not at all.
        """
        if self._context is None:
            return on_cpu(raw)
        if not self._proven:
            self._held.append(raw)
        try:
            pictures: list[Any] = self._context.decode(raw)
        except av.error.FFmpegError as error:
            if self._proven:
                raise
            return self._fall_back(_words(error), on_cpu)
        self._given += len(pictures)
        if self._given >= PROVEN:
            self._proven = True
            self._held.clear()
        elif len(self._held) > PATIENCE:
            return pictures + self._fall_back("it gives no pictures", on_cpu)
        return pictures

    def _fall_back(self, why: str, on_cpu: Decode) -> list[Any]:
        self._failed(why)
        self._context = None
        pictures: list[Any] = []
        for raw in self._held:
            try:
                pictures += on_cpu(raw)
            except av.error.InvalidDataError:
                continue  # damaged for the CPU as well; the stream counts damage from here on
        self._held.clear()
        return pictures[self._given :]


def _words(error: av.error.FFmpegError) -> str:
    return str(error.strerror or type(error).__name__)
