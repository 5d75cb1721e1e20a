"""Live prices over WebSocket and Server-Sent Events, and their page, on one port.

`messages.py` has what is said. A client gets each change of the symbols that it follows. One that can't keep
up gets the newest price of each symbol instead, as soon as it has read what it was sent before. Its pongs
show how far it has read.

`GET /events?symbols=ACME,BOLT` sends the same snapshots and changes as Server-Sent Events.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from apps import visitors
from apps.origins import objection
from apps.prices.feed import Market
from apps.prices.follower import Follower
from apps.prices.messages import (
    BadRequest,
    Subscribe,
    Unsubscribe,
    audience_message,
    change_entry,
    changes_message,
    check_symbols,
    error_message,
    hello_message,
    read_request,
    snapshot_message,
)
from apps.signals import stopped_by_signals
from apps.visitors import Visitor, wants_websocket

PERIOD = 0.05
"""Seconds from one message to the next."""

CHECK_SECONDS = 1.0
"""How often a client is asked, with a ping, how far it has read; and how long its pong may take."""

SLOWEST = 20
"""The most periods from one message to the next for a slow client."""

RECOVERS_AFTER = 20
"""After so many pongs in a row that came in time, a slow client gets messages at shorter intervals."""

PATIENCE = 30
"""A client that has read nothing for so many seconds is cut off."""

MOST_WAITING = 2**16
"""Bytes that may wait for one client in our program, and as many again in the system."""

MOST_CLIENTS = 500
HEAD_SECONDS = 10

HERE = Path(__file__).parent
FILES = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript")}
FILES |= {"/page.css": ("page.css", "text/css")}


class Client(Follower):
    """A follower with a connection.

    Args:
        market: what it follows.
        connection: its WebSocket; or its HTTP request, for Server-Sent Events.
        is_stream: whether it gets Server-Sent Events.
    """

    def __init__(self, market: Market, connection: ServerConnection, *, is_stream: bool = False) -> None:
        super().__init__(market)
        self.connection = connection
        self.is_stream = is_stream
        self.audience: bytes | None = None  # what it was told of it
        self._asked = self._kept_up = time.monotonic()
        self._pong: asyncio.Future[float] | None = None
        self._slow = 0  # periods from one message to the next; 0: it gets each change
        self._in_time = 0  # pongs in a row
        system = connection.transport.get_extra_info("socket")
        system.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_WAITING)

    def is_behind(self, now: float) -> bool:
        """Whether to send nothing now: the client is slow and has yet to read, or it isn't its turn.

        A client that never reads is cut off. Called before the market moves, so that a slow one skips
        what is old by then.
        """
        waiting = self.connection.transport.get_write_buffer_size()
        unanswered = self._pong is not None and not self._pong.done()
        if not self._slow and (waiting > MOST_WAITING or (unanswered and now - self._asked > CHECK_SECONDS)):
            self._slow, self._kept_up = 1, now
        if not self._slow:
            return False
        self.fall_behind()
        if waiting or unanswered:
            if now - self._kept_up > PATIENCE:
                self.connection.transport.abort()
            return True
        self._kept_up = now
        return now - self._asked < (self._slow - 0.5) * PERIOD

    def is_to_be_asked(self, now: float) -> bool:
        """Whether to ask how far it has read: after each message if it is slow, else now and then."""
        if self.is_stream or not (self._slow or now - self._asked > CHECK_SECONDS):
            return False
        unanswered = self._pong is not None and not self._pong.done()
        waiting = self.connection.transport.get_write_buffer_size()  # the ping would wait behind it
        return not (unanswered or waiting)

    async def ask(self, now: float) -> None:
        """Ask it, and find out how often it can take a message."""
        if self._slow and self._pong is not None:
            self._in_time = self._in_time + 1 if await self._pong < self._slow * PERIOD else 0
            if not self._in_time:
                self._slow = min(self._slow + 1, SLOWEST)
            elif self._in_time % RECOVERS_AFTER == 0:
                self._slow -= 1
        self._asked, self._pong = now, asyncio.ensure_future(await self.connection.ping())


class Caller(Visitor):
    """A connection that has to say soon what it wants; a stream may then take as long as it likes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give it HEAD_SECONDS."""
        super().connection_made(transport)
        self.loop.call_later(HEAD_SECONDS, self._hurry)

    def _hurry(self) -> None:
        if self.request is None:
            self.transport.abort()


class PriceServer:
    """Serves the prices of a market.

        async with PriceServer(Market(), rate=200).serving("127.0.0.1", 0) as url:
            ...

    Args:
        market: whose prices.
        rate: changes per second.
    """

    def __init__(self, market: Market, *, rate: float) -> None:
        self.market = market
        self.rate = rate
        self.run_id = secrets.token_hex(4)
        self.clients: set[Client] = set()
        self._audience: bytes | None = None  # None when it has changed

    async def run(self, host: str, port: int) -> None:
        """Serve until Ctrl+C or SIGTERM, and print the address."""
        stop = stopped_by_signals()
        async with self.serving(host, port) as url:
            print(f"Prices at {url}", flush=True)
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([stopped, self._publishing], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve, in an `async with` block, whose value is the address of the page."""
        async with visitors.serving(
            self.handle,
            host,
            port,
            process_request=self.answer,
            create_connection=Caller,
            open_timeout=None,  # a stream of events is a handshake that goes on
            compression=None,  # chapter 06 measures what it saves, and what it costs
            max_size=2**16,
        ) as url:
            self._publishing = asyncio.create_task(self.publish())
            try:
                yield url
            finally:
                self._publishing.cancel()
                for client in self.clients:
                    if client.is_stream:
                        client.connection.transport.close()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._publishing  # raises what has ended it before

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request for a file, or with a stream of events; a WebSocket's handshake passes."""
        if why := objection(request.headers):
            return connection.respond(403, f"{why}\n")
        url = urlsplit("/" + request.path.lstrip("/"))
        if url.path == "/events" and request.method == "HEAD":
            return connection.respond(405, "A stream has no head alone.\n")
        if url.path == "/events":
            return await self.stream(connection, parse_qs(url.query).get("symbols", [""])[0])
        if wants_websocket(request.headers):
            return None
        if url.path not in FILES:
            return connection.respond(404, "Here are /, /events?symbols=ACME,BOLT and a WebSocket.\n")
        name, kind = FILES[url.path]
        body = (HERE / name).read_bytes()
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        return Response(200, "OK", Headers(headers, Cache_Control="no-store", Connection="close"), body)

    async def stream(self, connection: ServerConnection, asked: str) -> Response:
        """Send snapshots and changes as Server-Sent Events, as long as the client stays.

        Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
        """
        symbols = asked.split(",") if asked else list(self.market.newest)
        try:
            check_symbols(symbols)
        except BadRequest as error:
            return connection.respond(400, f"{error}\n")
        if len(self.clients) >= MOST_CLIENTS:
            return connection.respond(503, "There are too many clients.\n")
        client = Client(self.market, connection, is_stream=True)
        connection.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
            b"Connection: close\r\n\r\n"
        )
        client.subscribe(symbols)
        self._count(client, here=True)
        try:
            await connection.connection_lost_waiter
        finally:
            self._count(client, here=False)
        return connection.respond(200, "")  # nobody is there to get it

    async def handle(self, connection: ServerConnection) -> None:
        """Do what a client asks for, its requests in turn."""
        if len(self.clients) >= MOST_CLIENTS:
            await connection.close(1013, "too many clients")  # "try again later"
            return
        client = Client(self.market, connection)
        try:
            await connection.send(hello_message(self.run_id), text=True)
            self._count(client, here=True)
            async for message in connection:
                await asyncio.sleep(0)  # a burst of requests doesn't keep everybody else waiting
                try:
                    self.take(client, read_request(message))
                except BadRequest as error:  # waits if the client doesn't read, and so does its next request
                    await connection.send(error_message(error), text=True)
        except ConnectionClosed:
            pass  # it has gone
        finally:
            self._count(client, here=False)

    def _count(self, client: Client, *, here: bool) -> None:
        (self.clients.add if here else self.clients.discard)(client)
        self._audience = None

    def take(self, client: Client, request: Subscribe | Unsubscribe) -> None:
        """Note what a client asks for; it is sent with the next changes."""
        self._audience = None
        if isinstance(request, Unsubscribe):
            client.unsubscribe(request.symbols)
        else:
            client.subscribe(request.symbols, request.after if request.run == self.run_id else None)

    async def publish(self) -> None:
        """Let the market move, and tell the clients, once per period."""
        began, made = time.monotonic(), 0
        while True:
            await asyncio.sleep(PERIOD - (time.monotonic() - began) % PERIOD)
            elapsed = time.monotonic() - began
            if elapsed * self.rate - made > max(self.rate, 1):  # the machine was asleep
                began, made = time.monotonic(), 0
                continue
            opened = time.time() - elapsed
            moments = [
                opened + number / self.rate for number in range(made + 1, int(elapsed * self.rate) + 1)
            ]
            made += len(moments)
            await self.send_all(moments)

    async def send_all(self, moments: list[float]) -> None:
        """Make changes, and send them to whoever isn't behind.

        Args:
            moments: when they are made, in seconds since 1970.
        """
        now = time.monotonic()
        ready = []
        for client in self.clients:
            if not client.is_behind(now):
                ready.append(client)
        changes = [self.market.step(round(moment, 3)) for moment in moments]
        entries = [(change.symbol, change_entry(change, change.number - 1)) for change in changes]
        alike: defaultdict[frozenset[str], list[Client]] = defaultdict(list)
        for client in ready:
            if client.in_step:
                alike[client.symbols].append(client)
            else:
                self.bring_in_step(client)
        for symbols, clients in alike.items():
            if wanted := [entry for symbol, entry in entries if symbol in symbols]:
                send(clients, changes_message(wanted))
        self.tell_the_audience(ready)
        for client in ready:
            if client.is_to_be_asked(now):
                with contextlib.suppress(ConnectionClosed):
                    await client.ask(now)

    def bring_in_step(self, client: Client) -> None:
        """Send what a client lacks."""
        snapshots, late = client.catch_up()
        if snapshots:
            send([client], snapshot_message(snapshots))
        if late:
            send([client], changes_message(change_entry(change, after) for change, after in late))

    def tell_the_audience(self, clients: list[Client]) -> None:
        """Tell how many clients there are, and how many follow each symbol, where that isn't known yet."""
        if self._audience is None:
            symbols = Counter(symbol for client in self.clients for symbol in client.symbols)
            self._audience = audience_message(len(self.clients), symbols)
        uninformed = [client for client in clients if client.audience is not self._audience]
        send([client for client in uninformed if not client.is_stream], self._audience)
        for client in uninformed:
            client.audience = self._audience


def send(clients: list[Client], message: bytes) -> None:
    """Send a message to each of them, and wait for nobody."""
    broadcast([client.connection for client in clients if not client.is_stream], message, text=True)
    for client in clients:
        if client.is_stream and not client.connection.transport.is_closing():
            client.connection.transport.write(b"data: " + message + b"\n\n")
