"""A TCP proxy in front of a broker that cuts connections where it hurts: in the middle of a PUBACK."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

PUBACK = 0x40


class WireCutter:
    """Forwards to a broker; with `chance`, a chunk with a PUBACK is cut in two and the rest is lost, `left` times."""

    def __init__(self, broker_port: int, seed: int) -> None:
        self.broker_port, self.chance, self.cuts, self.left = broker_port, 0.0, 0, 1000
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self.broker_port), 2)
            except OSError:  # the broker is away
                client.close()
                continue
            broker.settimeout(None)
            for one, other, to_client in ((client, broker, False), (broker, client, True)):
                threading.Thread(target=self._pump, args=(one, other, to_client), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, to_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                at = data.find(PUBACK) if to_client else -1
                if at >= 0 and self.left and self._random.random() < self.chance:
                    self.cuts, self.left = self.cuts + 1, self.left - 1
                    target.sendall(data[: at + self._random.randint(0, 3)])
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
