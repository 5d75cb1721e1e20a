"""The game's server. It decides: clients say what they want to do, and hear what has become of it.

`messages.py` has what is said. Each client gets a snapshot, then what has changed in each tick. One that
can't keep up gets nothing until it has read what it was sent, and then a snapshot again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from apps import visitors
from apps.bucket import Bucket
from apps.game.game import Game, Seat
from apps.game.gate import Gate, Refused
from apps.game.messages import (
    LONGEST_MESSAGE,
    BadRequest,
    Join,
    Move,
    Ping,
    Request,
    Watch,
    changes,
    hello,
    message,
    read_request,
    shared_part,
    state_message,
    view,
)
from apps.game.world import TICKS, Event, Full
from apps.origins import objection
from apps.visitors import FAREWELL_SECONDS, wants_websocket

PERIOD = 1 / TICKS
"""Seconds from one tick to the next."""

MOST_LATE = 1.0
"""Seconds of ticks that are made up for; what is later than that is left out."""

MOST_CLIENTS = 64
"""Players and spectators."""

MESSAGES_PER_SECOND, BURST = 60, 180
"""What a client may send, and how much of it at once; one that sends more is closed."""

MOST_BAD = 20
"""Requests that make no sense, before a client is closed."""

MOST_WAITING = 2**16
"""Bytes that may wait for one client in our program, and as many again in the system."""

PATIENCE = 10
"""A client that has read nothing for so many seconds is cut off."""

HEAD_SECONDS = 10

POLICY, ELSEWHERE, IDLE, BUSY = 1008, 4001, 4002, 1013
"""Close codes: it broke a rule; its player is elsewhere now; it didn't move; there are too many."""

HERE = Path(__file__).parent
FILES = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css")}
FILES |= {f"/{name}.js": (f"{name}.js", "text/javascript") for name in ("page", "world", "draw")}


class Client:
    """A connection: a player's or a spectator's.

    Args:
        connection: its WebSocket.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.seat: Seat | None = None
        self.here = False  # it has said whether it plays or watches
        self.in_step = False
        self.closing: asyncio.Task[None] | None = None
        self._bad = 0
        self._bucket = Bucket(MESSAGES_PER_SECOND, BURST)
        self._kept_up = time.monotonic()
        system = connection.transport.get_extra_info("socket")
        system.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_WAITING)

    def put(self, text: bytes) -> None:
        """Send a message, and wait for nobody: there is a tick to come."""
        broadcast([self.connection], text, text=True)

    def close(self, code: int, why: str) -> None:
        """Tell it why, and close it, without waiting for it."""
        self.put(message("bye", code=code, text=why))
        self.here = False
        self.closing = self.closing or asyncio.create_task(self.connection.close(code, why))
        asyncio.get_running_loop().call_later(2 * FAREWELL_SECONDS, self.connection.transport.abort)

    def is_behind(self, now: float) -> bool:
        """Whether to send it nothing now, because it has yet to read; one that never reads is cut off."""
        waiting = self.connection.transport.get_write_buffer_size()
        if waiting > (MOST_WAITING if self.in_step else 0):
            self.in_step = False
            if now - self._kept_up > PATIENCE:
                self.connection.transport.abort()
            return True
        self._kept_up = now
        return False

    def sends_too_much(self) -> bool:
        """Count a message."""
        return not self._bucket.take()

    def makes_no_sense(self) -> bool:
        """Count a bad request, and say whether that's enough."""
        self._bad += 1
        return self._bad > MOST_BAD


class GameServer:
    """Serves a game, its page, and 20 ticks per second.

        async with GameServer(Game()).serving("127.0.0.1", 0) as url:
            ...

    Args:
        game: what is played.
        code: the join code; without one everybody may come in who reaches the port.

    Attributes:
        longest: how long the longest tick took, since somebody asked for `/figures`, in seconds.
    """

    def __init__(self, game: Game, *, code: str = "") -> None:
        self.game = game
        self.gate = Gate(code)
        self.clients: set[Client] = set()
        self.longest = 0.0
        self._seen = view(game.world)

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve, in an `async with` block, whose value is the address of the page."""
        async with visitors.serving(
            self.handle,
            host,
            port,
            process_request=self.answer,
            open_timeout=HEAD_SECONDS,
            compression=None,  # small messages, and each millisecond counts
            max_size=LONGEST_MESSAGE,
        ) as url:
            self._playing = asyncio.create_task(self.play())
            try:
                yield url
            finally:
                self._playing.cancel()
                await asyncio.wait([self._playing])

    async def ended(self) -> None:
        """Wait until the game ends, which it does when something is wrong with it.

        Raises:
            Exception: what is wrong.
        """
        await asyncio.shield(self._playing)

    def figures(self) -> bytes:
        """Ticks, players, and the longest tick since the last question."""
        longest, self.longest = self.longest, 0.0
        players = len(self.game.world.players)
        return json.dumps(
            {"tick": self.game.world.tick, "players": players, "longest_ms": 1000 * longest}
        ).encode()

    def answer(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """Answer a request for a file, or let a WebSocket's handshake pass if the gate does."""
        if why := objection(request.headers):
            return _response(403, "Forbidden", "text/plain; charset=utf-8", f"{why}\n".encode())
        url = urlsplit("/" + request.path.lstrip("/"))
        if url.path in FILES and not wants_websocket(request.headers):
            name, kind = FILES[url.path]
            return _response(200, "OK", f"{kind}; charset=utf-8", (HERE / name).read_bytes())
        try:
            self.gate.check(parse_qs(url.query).get("code", [""])[0], str(connection.remote_address[0]))
        except Refused as refused:
            return _response(403, "Forbidden", "text/plain; charset=utf-8", f"{refused}\n".encode())
        if wants_websocket(request.headers):
            return None
        if url.path == "/figures":
            return _response(200, "OK", "application/json", self.figures())
        if url.path == "/gate":  # a page can't see why a handshake was refused: it asks here first
            return _response(200, "OK", "text/plain; charset=utf-8", b"come in\n")
        return _response(404, "Not Found", "text/plain; charset=utf-8", b"Here are / and a WebSocket.\n")

    async def handle(self, connection: ServerConnection) -> None:
        """Do what a client asks for."""
        if len(self.clients) >= MOST_CLIENTS:
            await connection.close(BUSY, "too many people are here")
            return
        client = Client(connection)
        self.clients.add(client)
        try:
            async with asyncio.timeout(HEAD_SECONDS) as deadline:
                await connection.send(hello(), text=True)
                async for text in connection:
                    self.hear(client, text)
                    if client.here or client.closing:
                        deadline.reschedule(None)
        except TimeoutError:
            await connection.close(POLICY, "say whether you want to play or watch")
        except ConnectionClosed:
            pass  # it has gone
        finally:
            self.clients.discard(client)
            if client.seat:
                self.game.leave(client.seat)

    def hear(self, client: Client, text: str | bytes) -> None:
        """Do one thing that a client asks for."""
        if client.closing:
            return
        if client.sends_too_much():
            client.close(POLICY, "too many messages")
            return
        try:
            self.take(client, read_request(text))
        except BadRequest as error:
            client.put(message("error", text=str(error)))
            if client.makes_no_sense():
                client.close(POLICY, "too many bad messages")

    def take(self, client: Client, request: Request) -> None:
        """Do what a client asks for.

        Raises:
            BadRequest: it can't be done now.
        """
        if isinstance(request, Ping):
            client.put(message("pong", time=request.time))
        elif isinstance(request, Move):
            if client.seat is None:
                raise BadRequest("you aren't playing: join first")
            self.game.hear(client.seat, request.number, request.wanted)
        elif isinstance(request, Join):
            self.let_play(client, request)
        else:
            assert isinstance(request, Watch)
            if client.seat:
                self.game.give_up(client.seat)
            client.seat, client.here, client.in_step = None, True, False
            client.put(message("watching"))

    def let_play(self, client: Client, request: Join) -> None:
        """Give a client a place.

        Raises:
            BadRequest: there is none, or it has one.
        """
        if client.seat:
            raise BadRequest("you're playing already")
        try:
            seat = self.game.sit(request.name, request.seat)
        except Full as full:
            raise BadRequest(f"{full}: watch, or try again later") from None
        for other in self.clients:
            if other.seat is seat:
                other.seat = None
                other.close(ELSEWHERE, "you're playing in another window now")
        client.seat, client.here, client.in_step = seat, True, False
        client.put(message("welcome", you=seat.player.number, seat=seat.token, ack=seat.ack))

    async def play(self) -> None:
        """Go on, tick after tick. Ticks that are late are made up for, or players would run out of moves."""
        due = time.monotonic()
        while True:
            due += PERIOD
            await asyncio.sleep(due - time.monotonic())
            if time.monotonic() - due > MOST_LATE:  # the machine was asleep
                due = time.monotonic()
            begin = time.perf_counter()
            self.tick()
            self.longest = max(self.longest, time.perf_counter() - begin)

    def tick(self) -> None:
        """Let the game go on, and tell everybody."""
        events, gone = self.game.tick()
        for client in self.clients:
            if client.seat in gone:
                client.seat = None
                client.close(IDLE, "you haven't moved for two minutes")
        seen = view(self.game.world)
        parts: dict[Literal["snapshot", "changes"], bytes] = {}
        now = time.monotonic()
        for client in self.clients:
            if client.here and not client.is_behind(now):
                kind: Literal["snapshot", "changes"] = "changes" if client.in_step else "snapshot"
                client.in_step = True
                if kind not in parts:
                    parts[kind] = self._part(kind, seen, events)
                seat = client.seat
                client.put(
                    state_message(kind, parts[kind], seat.ack if seat else 0, seat.player if seat else None)
                )
        self._seen = seen

    def _part(self, kind: str, seen: dict[str, object], events: list[Event]) -> bytes:
        state = seen if kind == "snapshot" else changes(self._seen, seen)
        return shared_part(self.game.world.tick, state, events)


def _response(status: int, phrase: str, kind: str, body: bytes) -> Response:
    headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return Response(status, phrase, Headers(headers, Connection="close"), body)
