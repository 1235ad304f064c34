"""A TCP line to a camera or a broker that can be cut, so that connections end, or fall silent, so that they do not."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

__all__ = ["Line"]


class Line:
    """Leads from a free local port to another local port, until it is cut or falls silent."""

    def __init__(self, port: int) -> None:
        """
        Args:
            port: where it leads to.
        """
        self._to = port
        self._is_up, self._flows = True, threading.Event()
        self._flows.set()
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections; new ones end at once."""
        with self._lock:
            self._is_up = False
        self._end_all()

    def silence(self) -> None:
        """Let nothing arrive any more; who waits is not told."""
        self._flows.clear()

    def mend(self) -> None:
        """Be as before; what was under way in silence arrives now."""
        with self._lock:
            self._is_up = True
        self._flows.set()

    def close(self) -> None:
        """End it for good."""
        self._listener.close()
        self.mend()
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._flows.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._to), 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            is_up = self._is_up
            if is_up:
                self._ends += (client, server)
        if not is_up:
            client.close()
            server.close()
            return
        other_way = threading.Thread(target=self._carry, args=(server, client), daemon=True)
        other_way.start()
        self._carry(client, server)
        other_way.join()
        with self._lock:
            self._ends = [end for end in self._ends if end not in (client, server)]
        client.close()
        server.close()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
