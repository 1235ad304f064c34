"""A TCP proxy that stands for a long line to the broker: what is said takes its time, and can be lost on its way.

On one machine everything that a process has sent arrives, however it is killed. Where the power fails, it does not.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

EVENT = b"/visit"  # how the topic of a message about a visit ends


class Snare:
    """Lies in wait for the next message about a visit, and lets neither it nor anything after it arrive.

    Or, if `answers`, lets it arrive, but no answer to it.
    """

    def __init__(self, *, answers: bool) -> None:
        self.answers, self.caught = answers, threading.Event()

    def holds(self, data: bytes, *, to_broker: bool) -> bool:
        """Whether this is not to arrive."""
        if to_broker and EVENT in data:
            self.caught.set()
        return self.caught.is_set() and to_broker is not self.answers


@dataclass(slots=True)
class _Line:
    """One connection, by both its ends."""

    client: socket.socket
    broker: socket.socket
    lost: threading.Event = field(default_factory=threading.Event)
    snare: Snare | None = None

    def carry(self, source: socket.socket, target: socket.socket, delay_s: float) -> None:
        """Forward one direction, each piece when it is due, and the end as well."""
        under_way: queue.Queue[tuple[float, bytes]] = queue.Queue()
        threading.Thread(target=self._deliver, args=(under_way, target), daemon=True).start()
        data = b"?"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            if self.snare is None or not self.snare.holds(data, to_broker=target is self.broker):
                under_way.put((time.monotonic() + delay_s, data))

    def _deliver(self, under_way: queue.Queue[tuple[float, bytes]], target: socket.socket) -> None:
        with suppress(OSError):
            while not self.lost.is_set():
                due, data = under_way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if self.lost.is_set():
                    return
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)

    def lose(self) -> None:
        """Let nothing arrive any more; the broker notices."""
        self.lost.set()
        with suppress(OSError):
            self.broker.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.lose()
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)
        for side in (self.broker, self.client):
            side.close()


class SlowWire:
    """Leads to a broker on this machine."""

    def __init__(self, broker_port: int, delay_s: float) -> None:
        """
        Args:
            delay_s: in each direction.
        """
        self._broker_port, self._delay_s = broker_port, delay_s
        self._lines: list[_Line] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._port}"

    def lay(self, snare: Snare) -> Snare:
        """Let a snare lie on the newest connection."""
        self._lines[-1].snare = snare
        return snare

    def lose(self) -> None:
        """Forget what is under way, and end all connections. Kill the client at once: it must not notice."""
        for line in self._lines:
            line.lose()

    def close(self) -> None:
        self._listener.close()
        for line in self._lines:
            line.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker_port), 10)
                broker.settimeout(None)
                line = _Line(client, broker)
                self._lines.append(line)
                for source, target in ((client, broker), (broker, client)):
                    threading.Thread(target=line.carry, args=(source, target, self._delay_s), daemon=True).start()
