"""Run the page's web server on a socket until the stop."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Sequence
from functools import partial

import uvicorn

from birdwatchd.flow import Stop
from birdwatchd.settings.config import Config
from birdwatchd.web.access.login import Login
from birdwatchd.web.access.patience import BoundedProtocol, Crowd
from birdwatchd.web.app import build_app

__all__ = ["serve"]

MOST_CONNECTIONS = 300  # at once; of these 200 may be open pages that wait for news
MOST_HEADER_BYTES = 16_384
STOP_S = 2.0
POLL_S = 0.2


def serve(config: Config, listeners: Sequence[socket.socket], stop: Stop) -> None:
    """Serve the page of a home until the stop.

    Args:
        listeners: the page's own socket, and that for Home Assistant's ingress (`birdwatchd.stages.page_process`).

    Raises:
        ConfigError: the password file cannot be used.
    """
    login = Login.of(config.web)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    crowd = Crowd(config.web.trusted_proxies, config.web.ingress_peers if config.web.ingress else ())
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(config, login, stop),
            http=partial(BoundedProtocol, crowd=crowd),  # type: ignore[arg-type]  # called as a class would be
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=1,
        )
    )
    # Not in the main thread: there uvicorn would take the signals, which are the program's.
    thread = threading.Thread(target=server.run, kwargs={"sockets": list(listeners)}, name="page server", daemon=True)
    thread.start()
    while thread.is_alive() and not stop.wait(POLL_S):
        pass
    server.should_exit = True
    thread.join(STOP_S)
