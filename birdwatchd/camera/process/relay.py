"""Carry one camera's stream from the network to the process that decodes it, which reaches nothing else.

A relay listens on a port of this machine and connects to its camera's host only. It speaks TLS where the address asks
for it, so that no certificate and no name is looked at in the process that decodes. RTSP is forwarded byte by byte, and
what a camera sends over UDP is put into the connection (`rtsp_udp.py`). For HTTP it is a proxy (RFC 9112, absolute
form), so that redirects and playlists keep their meaning, and those that lead to another host end here. Runs in the
main process; imports neither libav nor OpenCV.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from urllib.parse import urljoin, urlsplit

from birdwatchd.address import Source
from birdwatchd.camera.process.certificates import CertificateRefused, Certificates
from birdwatchd.camera.process.rtsp_udp import RtspUdpBridge
from birdwatchd.settings.cameras import CameraSettings

__all__ = ["Relay"]

log = logging.getLogger(__name__)
CHUNK = 64 * 1024  # bytes that are held of each direction
ACCEPT_AGAIN_S = 0.5  # after no connection could be taken
GATHER_MS = 5  # for which what comes is held together; a picture takes 30 to come
MAX_REQUEST, MAX_ANSWER = 16 * 1024, 64 * 1024  # of a head
MAX_CONNECTIONS = 16  # at once; a playlist needs two or three
MAX_TEXTS = 16  # different things said of one camera
_REDIRECTS = (b" 301 ", b" 302 ", b" 303 ", b" 307 ", b" 308 ")


class _Refused(Exception):
    """The connection ends here; the text says why, without the address."""


class _Unreachable(_Refused):
    """There is no connection: what the camera process reports as well, so that it need not be said here."""


class Relay:
    """The way to one source. `port` is where it listens."""

    def __init__(self, camera: str, source: Source, settings: CameraSettings) -> None:
        """
        Raises:
            OSError: there is no port to be had.
        """
        self._camera, self.source = camera, source
        self._host, self._home_port, self._tls = source.endpoint
        self._timeout_s, self._transport = settings.open_timeout_s, settings.transport
        self._certificates = Certificates(settings.tls, settings.tls_fingerprint, self._say)
        self._said: set[str] = set()
        self._unreachable = self._refused = ""  # why it was, when last tried
        self._closed = False
        self._free = threading.Semaphore(MAX_CONNECTIONS)
        self._server = socket.create_server(("127.0.0.1", 0), backlog=MAX_CONNECTIONS)
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._listen, name=f"relay {camera}", daemon=True).start()

    def close(self) -> None:
        """Listen no more; connections end with the process that made them."""
        self._closed = True
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.close()

    def explain(self, text: str) -> str:
        """What a camera process says of its source, with the reason that only the relay knows."""
        failure = self._refused or self._unreachable
        return f"{self.source}: {failure}" if failure and text.startswith(str(self.source)) else text

    def forget(self) -> None:
        """Pictures come: what was refused before is not the reason of what comes next."""
        self._refused = ""

    def _listen(self) -> None:
        while not self._closed:
            try:
                near, _ = self._server.accept()
            except OSError as error:
                if not self._closed:
                    self._say(f"no connection can be taken now: {error.strerror}")  # out of files
                    time.sleep(ACCEPT_AGAIN_S)
                continue
            if not self._free.acquire(blocking=False):
                near.close()
                continue
            threading.Thread(target=self._carry, args=(near,), name=f"relay {self._camera}", daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with closing(near):
            try:
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.source.kind == "rtsp":
                    self._carry_rtsp(near)
                else:
                    self._carry_http(near)
            except _Refused as error:
                if isinstance(error, _Unreachable):
                    self._unreachable = str(error)
                else:
                    self._refused = str(error)
                    self._say(self._refused)
                with suppress(OSError):
                    if self.source.kind == "http":
                        near.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                pass  # one of the two is gone; whoever is left notices that the connection ends
            finally:
                self._free.release()

    def _carry_rtsp(self, near: socket.socket) -> None:
        with closing(self._connect(self._home_port, self._tls)) as far:
            if self._transport != "tcp" and not self._tls:  # what is encrypted comes within the connection
                bridge = RtspUdpBridge(near, far, udp=self._transport == "udp", check=_no_redirect, say=self._say)
                try:
                    agreed_on_tcp = bridge.run()
                except ValueError:
                    raise _Refused("its answer is no RTSP; is the port right?") from None
                if not agreed_on_tcp:
                    return
            _shuttle(near, far, _no_redirect)

    def _carry_http(self, near: socket.socket) -> None:
        near.settimeout(self._timeout_s)
        head, rest = _head(near, MAX_REQUEST)
        near.settimeout(None)
        line, _, fields = head.partition(b"\r\n")
        if not head:
            return
        words = line.split(b" ")
        if len(words) != 3:
            raise _Refused("the process that decodes asked for nothing that can be understood")
        port = self._allowed_port(words[1].decode("latin-1"))
        parts = urlsplit(words[1].decode("latin-1"))
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with closing(self._connect(port, self._speaks_tls(port))) as far:
            far.sendall(b" ".join((words[0], path.encode("latin-1"), words[2])) + b"\r\n" + fields + rest)
            answer, rest = _head(far, MAX_ANSWER)
            near.sendall(self._checked_answer(answer, words[1].decode("latin-1")) + rest)
            _shuttle(near, far)

    def _speaks_tls(self, port: int) -> bool:
        return self._tls if port == self._home_port else port == 443

    def _allowed_port(self, url: str) -> int:
        """The port of an address that belongs to this camera.

        Raises:
            _Refused: it is on another host, or another service of this one.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise _Refused("it leads to an address that cannot be read") from None
        if parts.scheme not in ("http", "https"):
            raise _Refused("it leads to an address that is not HTTP")
        if host != self._host:
            raise _Refused(f"it leads to another host ({_plain(host)}), which is not followed; is it your camera?")
        if port not in (self._home_port, 80, 443):
            raise _Refused(f"it leads to another port ({port}), which is not followed; name that port in `source`")
        return port

    def _checked_answer(self, head: bytes, asked: str) -> bytes:
        """The head of an answer; a redirect in it names an address without TLS, which the relay adds again.

        Raises:
            _Refused: it redirects to somewhere else.
        """
        lines = head.split(b"\r\n")
        if not any(code in lines[0][:20] for code in _REDIRECTS):
            return head
        for number, line in enumerate(lines):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"location":
                base = asked.replace("http:", "https:", 1) if self._speaks_tls(urlsplit(asked).port or 80) else asked
                target = urljoin(base, value.strip().decode("latin-1"))
                port = self._allowed_port(target)
                parts = urlsplit(target)
                host = f"[{self._host}]" if ":" in self._host else self._host
                plain = parts._replace(scheme="http", netloc=f"{host}:{port}", fragment="").geturl()
                lines[number] = b"Location: " + plain.encode("latin-1", "replace")
        return b"\r\n".join(lines)

    def _connect(self, port: int, tls: bool) -> socket.socket:
        """A connection to the camera.

        Raises:
            _Refused: there is none, or its certificate is not the one it should be.
        """
        try:
            far = socket.create_connection((self._host, port), self._timeout_s)
        except TimeoutError:
            raise _Unreachable(f"no answer for {self._timeout_s:.0f} s; is it on, and on the network?") from None
        except socket.gaierror as error:
            raise _Unreachable(f"cannot be found ({error.strerror}); check the host in the source address") from None
        except ConnectionRefusedError as error:
            raise _Unreachable(
                f"cannot be opened ({error.strerror}); is it on, and on the network, and is port {port} the right one?"
            ) from None
        except OSError as error:
            raise _Unreachable(f"cannot be opened ({error.strerror}); is it on, and on the network?") from None
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            try:
                far = self._certificates.speak_tls(far, self._host)
            except CertificateRefused as error:
                raise _Refused(str(error)) from None
            except OSError as error:  # ssl.SSLError is one
                far.close()
                raise _Unreachable(f"does not speak TLS ({_reason(error)}); is the port right?") from None
        self._unreachable = ""
        return far

    def _say(self, text: str) -> None:
        """Log something once."""
        if text not in self._said and len(self._said) < MAX_TEXTS:
            self._said.add(text)
            log.info("camera %s: %s: %s", self._camera, self.source, text)


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or type(error).__name__).lower().replace("_", " ")


def _plain(text: str) -> str:
    """What a stranger wrote, as a part of a line."""
    return "".join(c if c.isprintable() else " " for c in text)[:100]


def _head(connection: socket.socket, most: int) -> tuple[bytes, bytes]:
    """What stands before the first empty line, with it, and what has come of the rest.

    An answer that is no HTTP has no head: it is passed on as it comes.

    Raises:
        _Refused: it is longer than that, or never came.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > most:
            raise _Refused("its answer begins with a head that does not end")
        try:
            got = connection.recv(CHUNK)
        except TimeoutError:
            raise _Refused("it takes too long to answer; is it overloaded?") from None
        if not got:
            return b"", data
        data += got
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _no_redirect(data: bytes) -> None:
    """
    Raises:
        _Refused: this is an RTSP answer that leads elsewhere (RFC 7826: 300 to 399).
    """
    if data.startswith((b"RTSP/1.0 3", b"RTSP/2.0 3")):
        raise _Refused("it leads to another address, which is not followed; name that address in `source`")


def _any(data: bytes) -> None:
    """Everything may pass."""


def _shuttle(near: socket.socket, far: socket.socket, check: Callable[[bytes], None] = _any) -> None:
    """Carry bytes both ways until one side ends.

    A camera sends a picture as some ten packets. They are gathered for a moment, so that this process and the one that
    decodes wake up once for all of them: 0.8 instead of 2.2 ms of processor time per Mbit. Not so under TLS: each read
    gives one record there, and a camera that sends each packet as one would come at 2 Mbit/s and no faster.

    Args:
        check: is shown what comes from afar, and may raise `_Refused`.
    """
    poll = select.poll()
    for one in (near, far):
        poll.register(one, select.POLLIN)
    asked = select.poll()
    asked.register(near, select.POLLIN)
    gathers = not isinstance(far, ssl.SSLSocket)
    full = False
    while True:
        ready = {handle for handle, _ in poll.poll()}
        if gathers and ready == {far.fileno()} and not full:
            ready |= {handle for handle, _ in asked.poll(GATHER_MS)}
        if near.fileno() in ready:
            data = near.recv(CHUNK)
            if not data:
                return
            far.sendall(data)
        if far.fileno() in ready:
            data = far.recv(CHUNK)
            full = len(data) == CHUNK  # it comes as fast as it is taken: a recording, a playlist
            while True:
                if not data:
                    return
                check(data)
                near.sendall(data)
                if not (isinstance(far, ssl.SSLSocket) and far.pending()):
                    break
                data = far.recv(CHUNK)
