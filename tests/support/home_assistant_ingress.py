"""Serve Home Assistant's own ingress view; run by the Python in which it is installed: `PORT_OF_THE_PAGE TOKEN`.

The view is that of the component hassio, behind the middleware that Home Assistant puts in front of every view. It asks
a Supervisor, which cannot run here: a second application in this process takes its place, hands on what it is sent with
the path that is below the token, and streams the answer. Prints the port that a browser asks.
"""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import aiohttp  # type: ignore[import-not-found,unused-ignore]
from aiohttp import web  # type: ignore[import-not-found,unused-ignore]
from homeassistant.components.hassio.ingress import HassIOIngress  # type: ignore[import-not-found,unused-ignore]
from homeassistant.components.http.headers import setup_headers  # type: ignore[import-not-found,unused-ignore]
from homeassistant.components.http.security_filter import (  # type: ignore[import-not-found,unused-ignore]
    setup_security_filter,
)

PAGE, TOKEN = int(sys.argv[1]), sys.argv[2]
OF_ONE_HOP = {"content-length", "content-encoding", "transfer-encoding", "connection"}


async def supervisor(request: web.Request) -> web.StreamResponse:
    """Hand a request on to the page, and its answer back as it comes."""
    sent = [(name, value) for name, value in request.headers.items() if name.lower() not in OF_ONE_HOP]
    url = f"http://127.0.0.1:{PAGE}/{request.match_info['path']}"
    async with (
        aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(None)) as session,
        session.request(
            request.method, url, headers=sent, params=request.query, data=await request.read(), allow_redirects=False
        ) as found,
    ):
        headers = [(name, value) for name, value in found.headers.items() if name.lower() not in OF_ONE_HOP]
        if "content-length" in found.headers:
            return web.Response(status=found.status, headers=headers, body=await found.read())
        answer = web.StreamResponse(status=found.status, headers=headers)
        await answer.prepare(request)
        async for data in found.content.iter_any():
            await answer.write(data)
        return answer


async def main() -> None:
    """Serve until stdin ends."""
    below = web.Application()
    below.router.add_route("*", f"/ingress/{TOKEN}/{{path:.*}}", supervisor)
    inner = await _served(below)
    async with aiohttp.ClientSession() as session:
        core = web.Application()
        setup_headers(core, True)
        setup_security_filter(core)
        HassIOIngress(f"127.0.0.1:{inner}", session).register(SimpleNamespace(is_stopping=False), core, core.router)
        sys.stdout.write(f"{await _served(core)}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


async def _served(app: web.Application) -> int:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1).start()
    port: int = runner.addresses[0][1]
    return port


if __name__ == "__main__":
    asyncio.run(main())
