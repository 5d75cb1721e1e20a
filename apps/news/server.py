"""News over HTTP and WebSocket, with aiohttp. What is published at one address can be heard at four:

    POST /say          publish each line of the body
    GET  /poll         polling: the news so far
    GET  /long-poll    long polling: the same, but the answer waits until there is some
    GET  /events       Server-Sent Events: an answer that never ends
    GET  /websocket    WebSocket: hear the news, and publish what you send

`?after=3` leaves out the first three pieces of news; `?channel=sport` has news of its own. `/echo` returns
what it gets, by POST or over a WebSocket. All news stays in memory while the server runs.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary, WeakSet

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from apps.origins import why_not
from apps.signals import stopped_by_signals

LONG_POLL_SECONDS = 30
"""How long a long poll waits before it is answered with nothing."""

SERVER = "Python/3 aiohttp/3"
"""How aiohttp names itself, without its exact version, so that each answer has the same number of bytes."""

LONGEST_LINE = 65_536
"""Bytes of a header: a browser sends the cookies of all ports of a machine to each of them."""

MOST_CHANNELS = 100
"""How many channels there can be; anyone who asks for another is refused."""

MOST_NEWS = 1000
"""How many pieces of news a channel keeps; older ones are forgotten."""

MOST_CHARACTERS = 4 * 2**20
"""How long the news that a channel keeps is together, at most."""

LARGEST_MESSAGE = 65_536
"""Bytes of a WebSocket message with news; one that is larger ends its connection with 1009."""

LARGEST_ECHO = 4 * 2**20
"""Bytes of a WebSocket message that is sent back."""

HEAD_SECONDS, BODY_SECONDS, PATIENCE = 10.0, 10.0, 30.0
"""How long a client may take for the head of its first request, for a body, and to read something."""

LOOK_PAUSE = 1.0
"""Seconds from one look at all connections to the next."""

FAREWELL_SECONDS = 1.0
"""How long clients may take to answer a goodbye."""


class Channel:
    """News of one kind, oldest first."""

    def __init__(self) -> None:
        self._news: collections.deque[str] = collections.deque()
        self._published = self._characters = 0
        self._more = asyncio.Event()

    def publish(self, text: str) -> None:
        """Publish each line of `text` as a piece of news, and wake everybody who waits for one."""
        lines = text.splitlines()
        self._news.extend(lines)
        self._published += len(lines)
        self._characters += sum(map(len, lines))
        while len(self._news) > MOST_NEWS or self._characters > MOST_CHARACTERS:
            self._characters -= len(self._news.popleft())
        self._more.set()
        self._more = asyncio.Event()

    def news(self, seen: int) -> list[str]:
        """The news after the first `seen` pieces, as far as it is kept."""
        forgotten = self._published - len(self._news)
        return list(itertools.islice(self._news, max(0, seen - forgotten), None))

    async def after(self, seen: int) -> list[str]:
        """The same, but waits until there is some."""
        while self._published <= seen:
            await self._more.wait()
        return self.news(seen)

    async def follow(self, seen: int) -> AsyncIterator[str]:
        """Each piece of news after the first `seen`, and then each new one as it is published."""
        while True:
            news = await self.after(seen)
            seen = self._published
            for text in news:
                yield text


CHANNELS: web.AppKey[dict[str, Channel]] = web.AppKey("channels")
OPEN: web.AppKey[WeakSet[web.WebSocketResponse]] = web.AppKey("open")
ASKED: web.AppKey[WeakSet[asyncio.BaseTransport]] = web.AppKey("asked")


def channel_of(request: web.Request) -> Channel:
    """The channel that a request asks for."""
    channels, name = request.app[CHANNELS], request.query.get("channel", "news")
    if name not in channels and len(channels) >= MOST_CHANNELS:
        raise web.HTTPServiceUnavailable(
            text=f"There are {MOST_CHANNELS} channels already: take one of them."
        )
    return channels.setdefault(name, Channel())


def seen_by(request: web.Request) -> int:
    """How many pieces of news the client has already seen."""
    after = request.query.get("after", "0")
    if not (after.isascii() and after.isdecimal() and len(after) <= 18):
        raise web.HTTPBadRequest(
            text="`after` is the number of pieces of news you have seen, such as after=3."
        )
    return int(after)


async def poll(request: web.Request) -> web.Response:
    """Polling: answer at once, with nothing if there is no news."""
    return web.Response(text="\n".join(channel_of(request).news(seen_by(request))))


async def long_poll(request: web.Request) -> web.Response:
    """Long polling: answer as soon as there is news."""
    try:
        async with asyncio.timeout(LONG_POLL_SECONDS):
            news = await channel_of(request).after(seen_by(request))
    except TimeoutError:
        news = []
    return web.Response(text="\n".join(news))


async def server_sent_events(request: web.Request) -> web.StreamResponse:
    """Server-Sent Events: begin one answer, and add to it whenever there is news."""
    follow = channel_of(request).follow(seen_by(request))
    response = web.StreamResponse()
    response.headers["Content-Type"] = "text/event-stream"
    response.headers["Cache-Control"] = "no-cache"
    await response.prepare(request)
    async for text in follow:
        await response.write(f"data: {text}\n\n".encode())
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    """WebSocket: send each piece of news as a message, and publish what the client sends."""
    channel, seen = channel_of(request), seen_by(request)
    connection = web.WebSocketResponse(compress=False, max_msg_size=LARGEST_MESSAGE)
    await connection.prepare(request)
    sending = asyncio.create_task(send_news(connection, channel, seen))
    try:
        async for message in connection:
            if message.type is WSMsgType.TEXT:
                channel.publish(message.data)
            await asyncio.sleep(0)  # a burst of messages doesn't keep everybody else waiting
    finally:
        sending.cancel()
    return connection


async def send_news(connection: web.WebSocketResponse, channel: Channel, seen: int) -> None:
    """Send news over a WebSocket until it is closed."""
    with contextlib.suppress(ConnectionResetError):
        async for text in channel.follow(seen):
            await connection.send_str(text)


async def body_of(request: web.Request) -> str:
    """The body of a request, in UTF-8 whatever it says: other codes can hold what can't be sent on."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return (await request.read()).decode()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body didn't come in {BODY_SECONDS:.0f} s\n") from None
    except UnicodeDecodeError:
        raise web.HTTPBadRequest(text="the body isn't UTF-8\n") from None


async def say(request: web.Request) -> web.Response:
    """Publish each line of the body."""
    channel_of(request).publish(await body_of(request))
    return web.Response(status=204)


async def echo(request: web.Request) -> web.Response:
    """Return the body."""
    return web.Response(text=await body_of(request))


async def echo_websocket(request: web.Request) -> web.WebSocketResponse:
    """Return each message."""
    connection = web.WebSocketResponse(compress=False, max_msg_size=LARGEST_ECHO)
    await connection.prepare(request)
    async for message in connection:
        if message.type is WSMsgType.TEXT:
            await connection.send_str(message.data)
    return connection


async def index(request: web.Request) -> web.Response:
    """Say what can be asked for."""
    return web.Response(text=__doc__)


async def name_the_server(request: web.Request, response: web.StreamResponse) -> None:
    """Say in each answer what answers, and keep the WebSockets, for the goodbye."""
    response.headers["Server"] = SERVER
    if isinstance(response, web.WebSocketResponse):
        request.app[OPEN].add(response)


@web.middleware
async def from_here(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer no page from elsewhere: every page can send requests to any server."""
    if request.transport:
        request.app[ASKED].add(request.transport)
    if why := why_not(request.headers.getall("Origin", []), request.headers.getall("Host", [])):
        raise web.HTTPForbidden(text=f"{why}\n")
    try:
        return await handler(request)
    except ConnectionResetError:  # it has gone before it was answered
        return web.Response()


def make_app() -> web.Application:
    """The application, for `aiohttp.web`."""
    app = web.Application(middlewares=[from_here])
    app[CHANNELS], app[OPEN], app[ASKED] = {}, WeakSet(), WeakSet()
    app.on_shutdown.append(say_goodbye)
    app.on_response_prepare.append(name_the_server)
    app.add_routes(
        [
            web.get("/", index),
            web.post("/say", say),
            web.get("/poll", poll),
            web.get("/long-poll", long_poll, allow_head=False),  # HEAD would wait for an answer as well
            web.get("/events", server_sent_events, allow_head=False),
            web.get("/websocket", websocket, allow_head=False),
            web.post("/echo", echo),
            web.get("/echo", echo_websocket, allow_head=False),
        ]
    )
    return app


async def say_goodbye(app: web.Application) -> None:
    """Tell those with a WebSocket that the server ends; who doesn't listen is not waited for."""
    goodbyes = [
        asyncio.create_task(one.close(code=WSCloseCode.GOING_AWAY, message=b"the server is going down"))
        for one in app[OPEN]
    ]
    if goodbyes:
        _, late = await asyncio.wait(goodbyes, timeout=FAREWELL_SECONDS)
        for task in late:
            task.cancel()


async def cut_off_the_silent(runner: web.AppRunner) -> None:
    """Cut off who asks for nothing, and who has stopped reading; aiohttp would wait for them forever."""
    asked, since = runner.app[ASKED], WeakKeyDictionary[asyncio.BaseTransport, tuple[object, float]]()
    while True:
        await asyncio.sleep(LOOK_PAUSE)
        now = time.monotonic()
        for connection in runner.server.connections if runner.server else ():
            if not isinstance(transport := connection.transport, asyncio.Transport):
                continue  # it has just gone
            waiting, has_asked = transport.get_write_buffer_size(), transport in asked
            before, at = since.get(transport, (None, now))
            if before != (waiting, has_asked):
                since[transport] = (waiting, has_asked), now
            elif (waiting and now - at > PATIENCE) or (not has_asked and now - at > HEAD_SECONDS):
                transport.abort()


def worth_a_line(record: logging.LogRecord) -> bool:
    """Leave out that a request is no HTTP: anybody can send one, and as many as they like."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def serve(host: str, port: int) -> None:
    """Serve until cancelled or told to by a signal, and print the address once the server can be reached.

    Source: https://docs.aiohttp.org/en/stable/web_advanced.html#application-runners
    """
    log = logging.getLogger("news")
    log.addFilter(worth_a_line)
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)  # a line for each odd handshake
    stop = stopped_by_signals()
    runner = web.AppRunner(
        make_app(),
        access_log=None,
        logger=log,
        handler_cancellation=True,
        shutdown_timeout=0.2,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
    )
    await runner.setup()
    looking = asyncio.create_task(cut_off_the_silent(runner))
    try:
        await web.TCPSite(runner, host, port, backlog=512).start()
        print(f"News at http://{host}:{runner.addresses[0][1]}", flush=True)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, looking], return_when=asyncio.FIRST_COMPLETED)
    finally:
        looking.cancel()
        await runner.cleanup()
