"""The way from a camera to the process that decodes it: it leads to the camera's host, and nowhere else."""

from __future__ import annotations

import errno
import hashlib
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from birdwatchd.address import Source
from birdwatchd.camera.process import relay
from birdwatchd.camera.process.supervisor import probe_camera
from birdwatchd.records import CameraState, CameraStatus
from birdwatchd.settings.cameras import CameraSettings
from tests.support.hostile import attacking

Answer = Callable[[str], bytes]


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that answers each request line with these bytes; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with suppress(OSError):
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                data = b""
                while b"\r\n\r\n" not in data:
                    got = connection.recv(4096)
                    if not got:
                        return
                    data += got
                connection.sendall(answer(data.decode("latin-1")))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.close()


def motion_jpeg(request: str) -> bytes:
    """A second of a grey picture, as web cameras send it."""
    _, jpeg = cv2.imencode(".jpg", np.full((96, 128, 3), 120, np.uint8))
    part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (jpeg.size, jpeg.tobytes())
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\nConnection: close\r\n\r\n"
    return head + part * 15


def probe(address: str, **fields: object) -> CameraStatus:
    settings = CameraSettings.model_validate({"source": address, "open_timeout_s": 8.0, "read_timeout_s": 8.0} | fields)
    return probe_camera("cam", settings)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a camera signs for itself: nobody's authority, and the name of no host; key and certificate in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    command = ["openssl", "req", "-x509", *key, "-out", "cert.pem", "-subj", "/CN=IPCamera", "-days", "2"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def fingerprint(certificate: Path) -> str:
    pem = certificate.read_text().partition("-----BEGIN CERTIFICATE")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[1] + pem[2])).hexdigest()


def test_a_web_camera_is_asked_for_what_its_address_says() -> None:
    """Some cameras look at the host that they are asked for; the password is proved for the path, not for the relay."""
    asked = []

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    def answer(request: str) -> bytes:
        asked.append(request)
        given = dict(re.findall(r'(\w+)="([^"]*)"', request.partition("Digest ")[2]))
        proof = md5(f"{md5('me:cam:pass/word')}:1234:{md5('GET:/video?channel=1')}")
        if given.get("response") != proof or given["uri"] != "/video?channel=1":
            ask = b'WWW-Authenticate: Digest realm="cam", nonce="1234"\r\n'
            return b"HTTP/1.1 401 Unauthorized\r\n" + ask + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        return motion_jpeg(request)

    with serving(answer) as port:
        assert probe(f"http://me:pass%2Fword@127.0.0.1:{port}/video?channel=1").state is CameraState.ONLINE
        wrong = probe(f"http://me:guess@127.0.0.1:{port}/video?channel=1")
    assert wrong.refused
    head = asked[0].lower()
    assert head.startswith("get /video?channel=1 http/1.1\r\n")
    assert f"host: 127.0.0.1:{port}\r\n" in head
    assert "proxy" not in head


def test_a_redirect_within_the_camera_is_followed() -> None:
    """Web cameras send their visitors from / to /video."""

    def answer(request: str) -> bytes:
        if request.startswith("GET /main "):
            return b"HTTP/1.1 302 Found\r\nLocation: /video\r\nContent-Length: 0\r\n\r\n"
        return motion_jpeg(request)

    with serving(answer) as port:
        assert probe(f"http://127.0.0.1:{port}/main").state is CameraState.ONLINE


@pytest.mark.parametrize("attack", ["http_redirects_elsewhere", "hls_segments_elsewhere", "rtsp_redirects_elsewhere"])
def test_nothing_leads_to_another_host(attack: str) -> None:
    """A camera must not make the station ask the router, or another camera, for something."""
    with attacking(attack) as camera:
        status = probe(camera.url)
        assert camera.asked
        assert camera.elsewhere.visits == 0
    assert status.state is CameraState.OFFLINE
    assert "it leads to another" in status.detail
    assert "which is not followed" in status.detail


def test_a_playlist_of_the_camera_is_played(tmp_path: Path) -> None:
    """HLS asks for many files, all through the same relay."""
    with av.open(str(tmp_path / "a.ts"), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), number * 5, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    segment = (tmp_path / "a.ts").read_bytes()

    def answer(request: str) -> bytes:
        if ".m3u8" in request.partition("\r\n")[0]:
            lines = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n" + "#EXTINF:3,\na.ts\n" * 3 + "#EXT-X-ENDLIST\n"
            kind, body = b"application/vnd.apple.mpegurl", lines.encode()
        else:
            kind, body = b"video/mp2t", segment
        return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body

    with serving(answer) as port:
        assert probe(f"http://127.0.0.1:{port}/live/main.m3u8").state is CameraState.ONLINE


def test_a_self_signed_certificate_works_by_default_and_its_fingerprint_is_said(
    tls: ssl.SSLContext, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nearly every camera has one; its owner is told how to make sure that it is this one."""
    with caplog.at_level("INFO"), serving(motion_jpeg, tls) as port:
        assert probe(f"https://127.0.0.1:{port}/main").state is CameraState.ONLINE
    assert f"set tls: fingerprint and tls_fingerprint: {fingerprint(certificate)}" in caplog.text


def test_only_the_certificate_with_the_fingerprint_is_accepted(tls: ssl.SSLContext, certificate: Path) -> None:
    """Written as openssl prints it, in capitals and with colons."""
    digits = fingerprint(certificate).upper()
    right = ":".join(digits[i : i + 2] for i in range(0, 64, 2))
    with serving(motion_jpeg, tls) as port:
        works = probe(f"https://127.0.0.1:{port}/main", tls="fingerprint", tls_fingerprint=right)
        other = probe(f"https://127.0.0.1:{port}/main", tls="fingerprint", tls_fingerprint="0" * 64)
    assert works.state is CameraState.ONLINE
    assert other.state is CameraState.OFFLINE
    assert f"its certificate is another one ({digits.lower()}) than tls_fingerprint says" in other.detail


def test_verify_refuses_a_self_signed_certificate_and_says_how_to_go_on(tls: ssl.SSLContext, certificate: Path) -> None:
    """What was asked for is held; the way out is one line away."""
    with serving(motion_jpeg, tls) as port:
        status = probe(f"https://127.0.0.1:{port}/main", tls="verify")
    assert status.state is CameraState.OFFLINE
    assert "its certificate is not valid (self-signed certificate)" in status.detail.replace(
        "self signed", "self-signed"
    )
    assert f"tls_fingerprint: {fingerprint(certificate)}" in status.detail


def test_rtsps_goes_the_same_way(tls: ssl.SSLContext) -> None:
    """The camera is spoken to under TLS, and what it says arrives."""

    def answer(request: str) -> bytes:
        cseq = next(line for line in request.split("\r\n") if line.startswith("CSeq"))
        return f"RTSP/1.0 404 Not Found\r\n{cseq}\r\n\r\n".encode()

    with serving(answer, tls) as port:
        off = probe(f"rtsps://127.0.0.1:{port}/main")
        verify = probe(f"rtsps://127.0.0.1:{port}/main", tls="verify")
    assert "refused (Server returned 404 Not Found)" in off.detail
    assert off.refused
    assert "its certificate is not valid" in verify.detail


def test_a_camera_that_is_off_is_named_as_such() -> None:
    """The process that decodes reaches only the relay; why the camera does not answer is known there."""
    status = probe("rtsp://127.0.0.1:9/main")
    assert status.detail == (
        "rtsp://127.0.0.1:9/main: cannot be opened (Connection refused);"
        " is it on, and on the network, and is port 9 the right one?"
    )
    status = probe("http://no-such-host.invalid/main")
    assert "http://no-such-host.invalid/main: cannot be found (" in status.detail


def test_a_relayed_source_prints_as_it_is_written() -> None:
    """What a person reads names the camera, not a port of this machine."""
    source = Source("rtsps://me:secret@cam.example/main").through(4711)
    assert str(source) == "rtsps://cam.example/main"
    assert source == Source("rtsps://me:secret@cam.example/main")
    assert source.endpoint == ("cam.example", 322, True)


class FullOnce:
    """A listening socket of a machine that is out of files for a moment."""

    def __init__(self, server: socket.socket) -> None:
        self._server, self._is_full = server, True

    def accept(self) -> Any:
        if self._is_full:
            self._is_full = False
            raise OSError(errno.EMFILE, "Too many open files")
        return self._server.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


def test_a_moment_without_files_does_not_make_it_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The camera would be off until its process is started again."""
    made = socket.create_server
    with made(("127.0.0.1", 0)) as camera:
        camera.settimeout(10)
        monkeypatch.setattr(socket, "create_server", lambda *given, **named: FullOnce(made(*given, **named)))
        url = f"http://127.0.0.1:{camera.getsockname()[1]}/main"
        source = Source(url)
        between = relay.Relay("nut", source, CameraSettings(source=source))
        try:
            with socket.create_connection(("127.0.0.1", between.port), 10) as asked:
                asked.sendall(f"GET {url} HTTP/1.0\r\n\r\n".encode())
                far, _ = camera.accept()
                far.close()
        finally:
            between.close()


def test_the_packets_of_a_picture_are_carried_together() -> None:
    """Each one alone woke two processes: 340 times a second for a camera of 4 Mbit/s, and now some 45 times."""
    packets, carried = [bytes([number]) * 1400 for number in range(100)], list[int]()
    near, decoder = socket.socketpair()
    camera, far = socket.socketpair()
    received = bytearray()

    def decode() -> None:
        while data := decoder.recv(1 << 20):
            received.extend(data)

    with decoder, camera, far:
        reading = threading.Thread(target=decode)
        reading.start()
        thread = threading.Thread(target=relay._shuttle, args=(near, far, lambda data: carried.append(len(data))))
        thread.start()
        for packet in packets:
            camera.sendall(packet)
            time.sleep(0.0003)
        camera.close()
        thread.join(10)
        near.close()
        reading.join(10)
    assert received == b"".join(packets)
    assert len(carried) < 40


def test_packets_under_tls_are_not_gathered(tls: ssl.SSLContext) -> None:
    """Each is a record, and a read gives one record: a wait before each was 2 Mbit/s of a camera that sends more."""
    packet, number = b"x" * 1400, 1000
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    near, decoder = socket.socketpair()

    def send(server: socket.socket) -> None:
        with tls.wrap_socket(server.accept()[0], server_side=True) as camera:
            for _ in range(number):
                camera.sendall(packet)

    with socket.create_server(("127.0.0.1", 0)) as server, near, decoder:
        threading.Thread(target=send, args=(server,), daemon=True).start()
        with trusting.wrap_socket(socket.create_connection(server.getsockname(), 10)) as far:
            began_s, received = time.monotonic(), 0
            carrying = threading.Thread(target=relay._shuttle, args=(near, far))
            carrying.start()
            while received < number * len(packet):
                received += len(decoder.recv(1 << 20))
            lasted_s = time.monotonic() - began_s
            carrying.join(10)
    assert lasted_s < number * relay.GATHER_MS / 1000
