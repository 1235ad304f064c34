"""An RTSP camera with the manners of real ones: how it stamps, when it begins, which transport it knows."""

from __future__ import annotations

import base64
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

MTU = 1200
START_CODE = b"\x00\x00\x00\x01"


@lru_cache
def drawn_units(
    frames: int, size: tuple[int, int], gop: int, fps: int, aspect: int = 1
) -> tuple[tuple[bytes, ...], ...]:
    """The NAL units of each picture of a drawn H.264 stream: a bright bar that wanders from left to right."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.framerate, encoder.sample_aspect_ratio = fps, Fraction(aspect)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": f"keyint={gop}:scenecut=0:slices=1"}
    units = []
    for number in range(frames):
        picture = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
        picture[: size[1]] = 90
        picture[: size[1], 4 * number % size[0] : 4 * number % size[0] + 8] = 220
        units += [bytes(packet) for packet in encoder.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p"))]
    return tuple(tuple(split_units(data)) for data in units)


def split_units(data: bytes) -> Iterator[bytes]:
    """The parts of an Annex B packet without their start codes."""
    for part in data.replace(START_CODE, b"\x00\x00\x01").split(b"\x00\x00\x01"):
        if part:
            yield part


@dataclass
class RtspCamera:
    """Serves drawn pictures at `url` until `close`; each client gets them from `first` on, again and again.

    Attributes:
        stamped_fps, sent_fps: pictures a second as their timestamps say, and as they are sent; 0 stamps all alike.
        first: number of the picture with which a client begins; the key frames are those divisible by `gop`.
        tells_parameters: whether SDP has the parameter sets, as most cameras do.
        transports: what SETUP accepts: `tcp`, `udp`.
        refusal: the answer to others.
        aspect: width of a pixel by its height.
        names_ports: whether the answer to SETUP names the ports from which packets come.
        swaps: of so many packets over UDP the network swaps two that follow each other; 0 for none.
        loses: of so many packets over UDP the network loses one; 0 for none.
    """

    stamped_fps: float = 25.0
    sent_fps: float = 25.0
    first: int = 0
    frames: int = 100
    gop: int = 10
    size: tuple[int, int] = (160, 96)
    tells_parameters: bool = True
    transports: tuple[str, ...] = ("tcp", "udp")
    refusal: str = "461 Unsupported transport"
    names_ports: bool = True
    aspect: int = 1
    swaps: int = 0
    loses: int = 0

    def __post_init__(self) -> None:
        self.units = drawn_units(self.frames, self.size, self.gop, 25, self.aspect)
        self.asked: list[str] = []
        self.closed = False
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.server.getsockname()[1]}/main"

    def __enter__(self) -> RtspCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self) -> None:
        while not self.closed:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        session = _Session(client, self.swaps, self.loses)
        with closing(client), suppress(OSError, ValueError):
            while request := _request(client):
                words, fields = request
                self.asked.append(f"{words[0]} {fields.get('transport', '')}".strip())
                self._answer(session, words, fields)
        session.over = True

    def _answer(self, session: _Session, words: list[str], fields: dict[str, str]) -> None:
        status, extra, body = "200 OK", "", ""
        if words[0] == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif words[0] == "DESCRIBE":
            body = self._sdp()
            extra = f"Content-Type: application/sdp\r\nContent-Base: {self.url}/\r\n"
        elif words[0] == "SETUP":
            transport = session.set_up(fields["transport"], self.transports)
            transport = transport if self.names_ports else transport.partition(";server_port")[0]
            status, extra = ("200 OK", f"Transport: {transport}\r\n") if transport else (self.refusal, "")
        head = f"RTSP/1.0 {status}\r\nCSeq: {fields['cseq']}\r\nSession: 1234\r\n{extra}Content-Length: {len(body)}\r\n"
        session.client.sendall(f"{head}\r\n{body}".encode())
        if words[0] == "PLAY":
            threading.Thread(target=self._play, args=(session,), daemon=True).start()

    def _sdp(self) -> str:
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=drawn", "t=0 0", "m=video 0 RTP/AVP 96", "c=IN IP4 0.0.0.0"]
        lines += ["a=rtpmap:96 H264/90000", "a=control:track1"]
        sets = ",".join(base64.b64encode(unit).decode() for unit in self.units[0] if unit[0] & 31 in (7, 8))
        known = f";sprop-parameter-sets={sets}" if self.tells_parameters else ""
        return "\r\n".join([*lines, f"a=fmtp:96 packetization-mode=1{known}", ""])

    def _play(self, session: _Session) -> None:
        began_s, number = time.monotonic(), self.first
        with suppress(OSError):
            while not (self.closed or session.over):
                sent = number - self.first
                time.sleep(max(0.0, began_s + sent / self.sent_fps - time.monotonic()))
                stamp = round(sent / self.stamped_fps * 90_000) if self.stamped_fps else 0
                session.send(self.units[number % len(self.units)], stamp)
                number += 1


class _Session:
    """What one client has set up."""

    def __init__(self, client: socket.socket, swaps: int = 0, loses: int = 0) -> None:
        self.client, self.over = client, False
        self.swaps, self.loses = swaps, loses
        self.sent, self.waits = 0, b""
        self.udp: socket.socket | None = None
        self.sequence = random.randrange(1000)

    def set_up(self, wanted: str, transports: tuple[str, ...]) -> str:
        """The transport that is agreed on; empty where there is none."""
        if "TCP" in wanted:
            return "RTP/AVP/TCP;unicast;interleaved=0-1" if "tcp" in transports else ""
        if "udp" not in transports:
            return ""
        ports = wanted.partition("client_port=")[2].partition(";")[0]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.connect(("127.0.0.1", int(ports.split("-")[0])))
        own = self.udp.getsockname()[1]
        return f"RTP/AVP;unicast;client_port={ports};server_port={own}-{own + 1}"

    def send(self, units: tuple[bytes, ...], stamp: int) -> None:
        parts = [part for unit in units for part in _payloads(unit)]
        for place, payload in enumerate(parts):
            self.sequence = (self.sequence + 1) & 0xFFFF
            marker = 0x80 if place == len(parts) - 1 else 0
            packet = struct.pack(">BBHII", 0x80, marker | 96, self.sequence, stamp & 0xFFFFFFFF, 7) + payload
            if self.udp is not None:
                self._send_over_network(packet)
            else:
                self.client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)

    def _send_over_network(self, packet: bytes) -> None:
        assert self.udp is not None
        self.sent += 1
        if self.loses and self.sent % self.loses == 0:
            return
        if self.swaps and self.sent % self.swaps == 0 and not self.waits:
            self.waits = packet
            return
        self.udp.send(packet)
        if self.waits:
            self.udp.send(self.waits)
            self.waits = b""


def _payloads(unit: bytes) -> Iterator[bytes]:
    """A NAL unit whole, or cut as RFC 6184 says (FU-A)."""
    if len(unit) <= MTU:
        yield unit
        return
    head, body = unit[0], unit[1:]
    for at in range(0, len(body), MTU):
        bits = (0x80 if at == 0 else 0) | (0x40 if at + MTU >= len(body) else 0)
        yield bytes((head & 0xE0 | 28, bits | head & 31)) + body[at : at + MTU]


def _request(client: socket.socket) -> tuple[list[str], dict[str, str]] | None:
    """The next request: its first line in words, and its fields; what stands between (RTCP) is passed over."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            return None
        data += byte
        if data[:1] == b"$" and len(data) == 4:
            left = struct.unpack(">H", data[2:])[0]
            while left:
                left -= len(client.recv(left))
            data = b""
    lines = data.decode().split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return lines[0].split(" "), {name.strip().lower(): value.strip() for name, _, value in pairs}
