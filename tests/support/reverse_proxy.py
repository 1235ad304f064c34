"""A reverse proxy on a real socket, which has a server under a path, as nginx, Caddy and Traefik do."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

__all__ = ["reverse_proxy"]


@contextmanager
def reverse_proxy(port: int, prefix: str, *, strips: bool, sets: Mapping[str, str]) -> Iterator[int]:
    """Serve what a port of this machine serves under a path of another port, as long as the block runs; gives that.

    What is not below the path is answered with 418: whoever asks for it has lost the path.

    Args:
        strips: takes the path away from what it hands on.
        sets: headers in the place of what the browser sent under that name.
    """
    replaced = {name.lower() for name in sets} | {"connection"}

    class Hop(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            first = self.rfile.readline().decode("latin-1").rstrip()
            if not first:
                return  # nothing was asked
            method, path, version = first.split(" ")
            lines = list(iter(lambda: self.rfile.readline().decode("latin-1").rstrip(), ""))
            if path != prefix and not path.startswith(f"{prefix}/"):
                self.wfile.write(b"HTTP/1.1 418 Outside\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            path = (path.removeprefix(prefix) or "/") if strips else path
            kept = [line for line in lines if line.partition(":")[0].lower() not in replaced]
            length = sum(int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length"))
            added = [f"{name}: {value}" for name, value in sets.items()]
            head = "\r\n".join([f"{method} {path} {version}", *kept, *added, "Connection: close", "", ""])
            with socket.create_connection(("127.0.0.1", port), timeout=10) as inner, suppress(OSError):
                inner.sendall(head.encode("latin-1") + self.rfile.read(length))
                while some := inner.recv(65536):
                    self.wfile.write(some)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False  # a stream of news ends with the server behind

    with Server(("127.0.0.1", 0), Hop) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(5)
