"""Cameras that attack whoever watches them: servers on a loopback port that flood, stall, redirect and lie.

`ATTACKS` has one function for each; it is given a fresh connection and talks until the other side has had enough.
`python -m tests.support.hostile NAME` serves one in a process of its own and prints its address.
"""

from __future__ import annotations

import gzip
import random
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

__all__ = ["ATTACKS", "Hostile", "attacking", "mp4_of_one_table"]

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP {number}\r\n"
    "a=rtpmap:{number} {codec}/90000\r\na=control:track1\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"
JPEG_START = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
CHUNK = 64 * 1024


class Hostile:
    """One hostile camera. `url` is its address; `asked` the request lines that it got."""

    def __init__(self, attack: str) -> None:
        self.attack, self.asked = attack, list[str]()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._server.getsockname()[1])
        self.elsewhere = Elsewhere()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        if self.attack.startswith("rtsp"):
            return f"rtsp://127.0.0.1:{self.port}/main"
        return f"http://127.0.0.1:{self.port}/{'main.m3u8' if 'hls' in self.attack else 'main'}"

    def close(self) -> None:
        self._server.close()
        self.elsewhere.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(60)
            ATTACKS[self.attack](self, connection)


class Elsewhere:
    """A server on another host (127.0.0.2), of which a camera has no business to speak; `visits` counts who came."""

    def __init__(self) -> None:
        self.visits = 0
        self._server = socket.create_server(("127.0.0.2", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.visits += 1
            connection.close()


def _read_head(connection: socket.socket) -> list[str]:
    """The lines of a request's head; none when the other side is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(4096)
        if not got:
            raise ConnectionResetError
        data += got
    return data.decode("latin-1").split("\r\n")


def _asked(camera: Hostile, connection: socket.socket) -> str:
    """Read a request; returns its path."""
    line = _read_head(connection)[0]
    camera.asked.append(line)
    return line.split(" ")[1]


def _flood(connection: socket.socket, chunk: bytes) -> None:
    while True:
        connection.sendall(chunk)


# HTTP


def http_part_of_2_gb(camera: Hostile, connection: socket.socket) -> None:
    """Motion JPEG whose first picture says that it has two billion bytes, and sends them."""
    _asked(camera, connection)
    connection.sendall(OK % b"multipart/x-mixed-replace; boundary=b")
    connection.sendall(b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 2000000000\r\n\r\n" + JPEG_START)
    _flood(connection, bytes(CHUNK))


def http_part_without_end(camera: Hostile, connection: socket.socket) -> None:
    """Motion JPEG whose first picture has no length, and no boundary ever comes."""
    _asked(camera, connection)
    connection.sendall(OK % b"multipart/x-mixed-replace; boundary=b")
    connection.sendall(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG_START)
    _flood(connection, bytes(CHUNK))


def http_head_without_end(camera: Hostile, connection: socket.socket) -> None:
    """An answer whose head never ends."""
    _asked(camera, connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    _flood(connection, b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(60)))


def http_line_without_end(camera: Hostile, connection: socket.socket) -> None:
    """An answer whose first line never ends."""
    _asked(camera, connection)
    connection.sendall(b"HTTP/1.1 200 ")
    _flood(connection, b"a" * CHUNK)


def http_gzip_bomb(camera: Hostile, connection: socket.socket) -> None:
    """A picture that is compressed a thousandfold."""
    _asked(camera, connection)
    head = (OK % b"video/mp4").replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    connection.sendall(head + gzip.compress(b"\x00\x00\x00\x18ftypmp42" + bytes(12)))
    packer = zlib.compressobj(wbits=31)
    while True:
        connection.sendall(packer.compress(bytes(2**22)))


def http_trickle(camera: Hostile, connection: socket.socket) -> None:
    """One byte a second, for ever: no single wait is long."""
    _asked(camera, connection)
    connection.sendall(OK % b"video/mp2t")
    while True:
        connection.sendall(b"\x47")
        time.sleep(1.0)


def http_many_streams(camera: Hostile, connection: socket.socket) -> None:
    """A transport stream in which a new program of many streams begins all the time."""
    _asked(camera, connection)
    connection.sendall(OK % b"video/mp2t")
    chance, number = random.Random(1), 0
    while True:
        number += 1
        connection.sendall(_pat(number) + _pmt(number) + b"".join(_ts(pid, chance) for pid in range(256, 512, 8)))


def http_streams_come_later(camera: Hostile, connection: socket.socket) -> None:
    """A transport stream of one video stream, to which others come after it was opened."""
    _asked(camera, connection)
    connection.sendall(OK % b"video/mp2t")
    chance = random.Random(2)
    for number in range(1, 100_000):
        pids = [256] if number < 400 else list(range(256, 256 + min(40, number - 398)))
        connection.sendall(_pat(number) + _pmt(number, pids) + b"".join(_ts(pid, chance) for pid in pids))


def http_mp4_of_one_table(camera: Hostile, connection: socket.socket) -> None:
    """A recording whose table of samples has 200 million entries."""
    _asked(camera, connection)
    connection.sendall(OK % b"video/mp4")
    connection.sendall(mp4_of_one_table())
    _flood(connection, b"\x00\x00\x10\x00" * (CHUNK // 4))


def mp4_of_one_table() -> bytes:
    """The beginning of it, up to the table."""
    table = struct.pack(">I4sIII", 20 + 4 * 200_000_000, b"stsz", 0, 0, 200_000_000)
    size = 20 + 4 * 200_000_000
    for name in (b"stbl", b"minf"):
        size += 8
        table = struct.pack(">I4s", size, name) + table
    hdlr = struct.pack(">I4sII4s12xB", 33, b"hdlr", 0, 0, b"vide", 0)
    size += 8 + len(hdlr)
    table = struct.pack(">I4s", size, b"mdia") + hdlr + table
    for name in (b"trak", b"moov"):
        size += 8
        table = struct.pack(">I4s", size, name) + table
    return b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + table


def _crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def _section(pid: int, table: int, number: int, version: int, body: bytes) -> bytes:
    head = struct.pack(">BHHBBB", table, 0xB000 | (len(body) + 9), number, 0xC1 | (version % 32) << 1, 0, 0)
    section = head + body
    section += struct.pack(">I", _crc(section))
    return (struct.pack(">BHB", 0x47, 0x4000 | pid, 0x10 | version % 16) + b"\x00" + section).ljust(188, b"\xff")


def _pat(version: int) -> bytes:
    return _section(0, 0, 1, version, struct.pack(">HH", 1, 0xE000 | 32))


def _pmt(version: int, pids: list[int] | None = None) -> bytes:
    chosen = pids or [256 + (version * 30 + i) % 4000 for i in range(30)]
    streams = b"".join(struct.pack(">BHH", 0x1B, 0xE000 | pid, 0xF000) for pid in chosen[:32])
    return _section(32, 2, 1, version, struct.pack(">HH", 0xE000 | 256, 0xF000) + streams)


def _ts(pid: int, chance: random.Random) -> bytes:
    pes = b"\x00\x00\x01\xe0\x00\x00\x80\x80\x05\x21\x00\x01\x00\x01" + b"\x00\x00\x01\x09\xf0"
    return (struct.pack(">BHB", 0x47, 0x4000 | pid & 0x1FFF, 0x10) + pes + chance.randbytes(188))[:188]


# HLS


def hls_nests_itself(camera: Hostile, connection: socket.socket) -> None:
    """A master playlist of a thousand variants, each of which is again such a master."""
    _asked(camera, connection)
    lines = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH={i + 1}\n/{random.random()}.m3u8\n" for i in range(1000))
    connection.sendall(OK % b"application/vnd.apple.mpegurl" + b"#EXTM3U\n" + lines.encode())


def hls_playlist_without_end(camera: Hostile, connection: socket.socket) -> None:
    """A playlist to which segments are added for ever."""
    _asked(camera, connection)
    connection.sendall(OK % b"application/vnd.apple.mpegurl" + b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n")
    _flood(connection, b"".join(b"#EXTINF:1,\n/%d%s.ts\n" % (i, b"a" * 200) for i in range(300)))


def hls_segments_elsewhere(camera: Hostile, connection: socket.socket) -> None:
    """A playlist whose segments lie on another host of the viewer's network."""
    _asked(camera, connection)
    place = f"http://127.0.0.2:{camera.elsewhere.port}/admin.ts?reboot=1"
    lines = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n" + f"#EXTINF:1,\n{place}\n" * 5
    connection.sendall(OK % b"application/vnd.apple.mpegurl" + lines.encode())


# HTTP that leads elsewhere


def http_redirects_elsewhere(camera: Hostile, connection: socket.socket) -> None:
    """A redirect to another host of the viewer's network."""
    _asked(camera, connection)
    place = f"http://127.0.0.2:{camera.elsewhere.port}/admin.ts?reboot=1"
    connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())


def http_redirects_for_ever(camera: Hostile, connection: socket.socket) -> None:
    """Each address redirects to the next one of the same host."""
    _asked(camera, connection)
    connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: /{random.random()}\r\nContent-Length: 0\r\n\r\n".encode())


# RTSP


def _rtsp(camera: Hostile, connection: socket.socket, codec: str, number: int = 96) -> None:
    """Answer until PLAY."""
    sdp = SDP.format(codec=codec, number=number).encode()
    while True:
        lines = _read_head(connection)
        camera.asked.append(lines[0])
        method = lines[0].split(" ")[0]
        cseq = next(line for line in lines if line.lower().startswith("cseq"))
        extra, body = "", b""
        if method == "DESCRIBE":
            body, extra = sdp, f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n"
        elif method == "SETUP":
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        elif method == "PLAY":
            extra = "Session: 1\r\n"
        elif method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n"
        connection.sendall(f"RTSP/1.0 200 OK\r\n{cseq}\r\n{extra}\r\n".encode() + body)
        if method == "PLAY":
            return


def _rtp(sequence: int, stamp: int, payload: bytes, number: int = 96, marker: bool = False) -> bytes:
    head = struct.pack(">BBHII", 0x80, number | marker << 7, sequence & 0xFFFF, stamp & 0xFFFFFFFF, 1)
    return b"$\x00" + struct.pack(">H", len(head) + len(payload)) + head + payload


def rtsp_junk(camera: Hostile, connection: socket.socket) -> None:
    """H.265 of chance, all of one picture: well-formed packets of what is no video, as fast as they can be sent."""
    _rtsp(camera, connection, "H265")
    chance = random.Random(3)
    payloads = [b"\x62\x01\x13" + chance.randbytes(16_000) for _ in range(20)]
    for sequence in count(1, len(payloads)):
        connection.sendall(b"".join(_rtp(sequence + i, 1000, payload) for i, payload in enumerate(payloads)))


def rtsp_fragments_without_end(camera: Hostile, connection: socket.socket) -> None:
    """H.264 whose first picture is sent in fragments of which none is the last."""
    _rtsp(camera, connection, "H264")
    connection.sendall(_rtp(0, 1000, b"\x7c\x85" + bytes(16_000)))
    payload = b"\x7c\x05" + bytes(16_000)
    for sequence in count(1, 20):
        connection.sendall(b"".join(_rtp(sequence + i, 1000, payload) for i in range(20)))


def rtsp_jpeg_without_end(camera: Hostile, connection: socket.socket) -> None:
    """Motion JPEG over RTP whose first picture never ends."""
    _rtsp(camera, connection, "JPEG", 26)
    tables = struct.pack(">BBH", 0, 0, 128) + bytes(range(1, 129))
    sequence, offset = 0, 0
    while True:
        packets = []
        for _ in range(40):
            sequence += 1
            head = struct.pack(">IBBBB", offset & 0xFFFFFF, 1, 255, 40, 30)
            payload = head + (tables if offset == 0 else b"") + bytes(1300)
            packets.append(_rtp(sequence, 1000, payload, 26))
            offset += 1300
        connection.sendall(b"".join(packets))


def rtsp_sdp_without_end(camera: Hostile, connection: socket.socket) -> None:
    """A description of two gigabytes."""
    for _ in range(2):
        lines = _read_head(connection)
        camera.asked.append(lines[0])
        cseq = next(line for line in lines if line.lower().startswith("cseq"))
        if lines[0].startswith("DESCRIBE"):
            length = "Content-Type: application/sdp\r\nContent-Length: 2000000000\r\n"
            connection.sendall(f"RTSP/1.0 200 OK\r\n{cseq}\r\n{length}\r\n".encode())
            _flood(connection, b"a=x:" + b"y" * (CHUNK - 6) + b"\r\n")
        connection.sendall(f"RTSP/1.0 200 OK\r\n{cseq}\r\nPublic: DESCRIBE\r\n\r\n".encode())


def rtsp_redirects_elsewhere(camera: Hostile, connection: socket.socket) -> None:
    """A redirect to another host of the viewer's network."""
    while True:
        lines = _read_head(connection)
        camera.asked.append(lines[0])
        cseq = next(line for line in lines if line.lower().startswith("cseq"))
        place = f"rtsp://127.0.0.2:{camera.elsewhere.port}/main"
        connection.sendall(f"RTSP/1.0 302 Moved\r\n{cseq}\r\nLocation: {place}\r\n\r\n".encode())


def rtsp_silence(camera: Hostile, connection: socket.socket) -> None:
    """Everything is well until PLAY; then nothing comes."""
    _rtsp(camera, connection, "H264")
    connection.recv(1)


Attack = Callable[[Hostile, socket.socket], None]
ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        rtsp_junk,
        rtsp_fragments_without_end,
        rtsp_jpeg_without_end,
        rtsp_sdp_without_end,
        rtsp_redirects_elsewhere,
        rtsp_silence,
        http_part_of_2_gb,
        http_part_without_end,
        http_head_without_end,
        http_line_without_end,
        http_gzip_bomb,
        http_trickle,
        http_many_streams,
        http_streams_come_later,
        http_mp4_of_one_table,
        http_redirects_elsewhere,
        http_redirects_for_ever,
        hls_nests_itself,
        hls_playlist_without_end,
        hls_segments_elsewhere,
    )
}


@contextmanager
def attacking(name: str) -> Iterator[Hostile]:
    """One that is there until the end of the block."""
    camera = Hostile(name)
    try:
        yield camera
    finally:
        camera.close()


def main() -> None:
    """Serve one, print its address, end with stdin; then print how often another host was visited."""
    with attacking(sys.argv[1]) as camera:
        print(camera.url, flush=True)
        sys.stdin.read()
        print(camera.elsewhere.visits, flush=True)


if __name__ == "__main__":
    main()
