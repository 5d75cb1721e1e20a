"""The server that speaks all the ways: an aiohttp application, run in a child process.

    python -m helpers.experiments.news_app PORT

A channel is a list of events with a name. Polling, long polling, Server-Sent Events and WebSocket push
all give out the same lists, and `POST /echo` and the WebSocket `/echo` give back what they get.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from aiohttp import WSMsgType, web

from helpers.experiments.http_headers import SERVER
from helpers.experiments.plan import NUMBER, STAMP

LONG_POLL_SECONDS = 30
"""How long a long poll is held when nothing happens."""


class Channel:
    """Events, oldest first, and who waits for more of them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._more = asyncio.Event()

    def publish(self, event: str) -> None:
        self.events.append(event)
        self._more.set()
        self._more = asyncio.Event()

    async def after(self, seen: int) -> list[str]:
        """The events after the first `seen`; waits until there are some."""
        while len(self.events) <= seen:
            await self._more.wait()
        return self.events[seen:]


CHANNELS: web.AppKey[dict[str, Channel]] = web.AppKey("channels")
TASKS: web.AppKey[set[asyncio.Task[None]]] = web.AppKey("tasks")


def event_text(number: int, size: int) -> str:
    """An event: its number, the moment (`time.perf_counter`, which is system-wide), and x up to the size."""
    return f"{number:0{NUMBER}d} {time.perf_counter():0{STAMP}.6f} ".ljust(size, "x")


async def echo(request: web.Request) -> web.Response:
    return _answer(await request.text())


async def echo_messages(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    async for message in websocket:
        if message.type is WSMsgType.TEXT:
            await websocket.send_str(message.data)
    return websocket


async def say(request: web.Request) -> web.Response:
    _channel(request).publish(await request.text())
    return web.Response(status=204, headers={"Server": SERVER})


async def poll(request: web.Request) -> web.Response:
    return _answer("\n".join(_channel(request).events[_after(request) :]))


async def long_poll(request: web.Request) -> web.Response:
    try:
        async with asyncio.timeout(LONG_POLL_SECONDS):
            events = await _channel(request).after(_after(request))
    except TimeoutError:
        events = []
    return _answer("\n".join(events))


async def stream(request: web.Request) -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Server": SERVER}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    channel, seen = _channel(request), _after(request)
    while True:
        for event in await channel.after(seen):
            await response.write(f"data: {event}\n\n".encode())
            seen += 1


async def push(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    sending = asyncio.create_task(_send_events(websocket, _channel(request), _after(request)))
    async for _ in websocket:  # until the client closes
        pass
    sending.cancel()
    return websocket


async def _send_events(websocket: web.WebSocketResponse, channel: Channel, seen: int) -> None:
    while True:
        for event in await channel.after(seen):
            await websocket.send_str(event)
            seen += 1


async def publish(request: web.Request) -> web.Response:
    """Publish events from now on: JSON with `moments` (seconds from now) and `size` (bytes of each)."""
    plan = await request.json()
    task = asyncio.create_task(_publish(_channel(request), plan["moments"], plan["size"]))
    request.app[TASKS].add(task)
    task.add_done_callback(request.app[TASKS].discard)
    return web.Response(status=202)


async def _publish(channel: Channel, moments: list[float], size: int) -> None:
    begin = time.perf_counter()
    for number, moment in enumerate(moments):
        await asyncio.sleep(max(0.0, begin + moment - time.perf_counter()))
        channel.publish(event_text(number, size))


def _channel(request: web.Request) -> Channel:
    return request.app[CHANNELS].setdefault(request.query.get("channel", "news"), Channel())


def _after(request: web.Request) -> int:
    return int(request.query.get("after", 0))


def _answer(text: str) -> web.Response:
    return web.Response(text=text, headers={"Server": SERVER})


def make_app() -> web.Application:
    """The application, for `aiohttp.web`."""
    app = web.Application(client_max_size=16 << 20)
    app[CHANNELS] = {}
    app[TASKS] = set()
    app.add_routes(
        [
            web.post("/echo", echo),
            web.get("/echo", echo_messages),
            web.post("/say", say),
            web.get("/poll", poll),
            web.get("/long-poll", long_poll),
            web.get("/events", stream),
            web.get("/push", push),
            web.post("/publish", publish),
        ]
    )
    return app


async def serve(host: str, port: int) -> None:
    """Serve until cancelled; says `ready` when it listens."""
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    runner = web.AppRunner(make_app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=512).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve("127.0.0.1", int(sys.argv[1])))
