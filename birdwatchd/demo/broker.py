"""Run a small MQTT broker inside the process, for the demonstration and for tests without mosquitto.

amqtt (MQTT 3.1.1) on loopback, in a thread with an event loop of its own. Nothing is kept on disk.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any

from birdwatchd.errors import BrokerError, BrokerUnreachable

__all__ = ["DemoBroker"]

START_TIMEOUT_S = 60.0  # on a busy machine it is slow, not broken
STOP_TIMEOUT_S = 3.0


class DemoBroker:
    """A broker on 127.0.0.1 for anyone on this machine; no passwords, no TLS."""

    def __init__(self, port: int = 0) -> None:
        """
        Args:
            port: 0 chooses a free one.
        """
        self._port = port
        self._ready = threading.Event()
        self._failure: BrokerError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Its address, once started."""
        return f"mqtt://127.0.0.1:{self._port}"

    def start(self) -> str:
        """Start it and return its URL.

        Raises:
            BrokerUnreachable: amqtt is missing, the port is taken, or it does not start.
        """
        try:
            from amqtt.broker import Broker
        except ImportError:
            raise BrokerUnreachable(
                "the demo's MQTT broker is not installed", "pip install 'birdwatchd[demo]'"
            ) from None
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._port = self._port or _free_port()
        self._thread = threading.Thread(target=self._serve, args=(Broker,), name="demo broker", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S):
            raise BrokerUnreachable("the demo's MQTT broker does not start", "run the demo again")
        if self._failure:
            raise self._failure
        return self.url

    def stop(self) -> None:
        """Stop it; connections are closed, everything it kept is forgotten."""
        if self._loop and self._ending and self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(STOP_TIMEOUT_S)

    def _serve(self, broker_class: Any) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._run(broker_class))

    async def _run(self, broker_class: Any) -> None:
        from amqtt.errors import AMQTTError

        self._ending = asyncio.Event()
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self._port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        try:
            broker = broker_class(config)
            await broker.start()
        except AMQTTError as error:
            self._failure = BrokerUnreachable(f"the demo's MQTT broker does not start ({error})", "run the demo again")
            return
        finally:
            self._ready.set()
        await self._ending.wait()
        await broker.shutdown()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
