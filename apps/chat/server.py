"""A chat that lasts, on FastAPI. Start it from the folder above `apps`:

    python -m apps.chat.server

(`uvicorn apps.chat.server:app` with limits that only uvicorn's options can set; it takes the others, too) and
connect to `ws://127.0.0.1:8000/ws?name=Ann&room=lobby`. Plain text is said to the room, `/to Bob psst`
goes to Bob alone, `/typing` tells the others that you write. The server sends JSON objects, whose "type" is
`welcome`, `joined`, `left`, `typing`, `said`, `told`, `error`, or `bye` before it hangs up.

What is said to whom is in `room.py`, who may come in is in `access.py`, what a stranger can cost in
`limits.py`, and how a client gets its place again after a lost connection in `sessions.py`. Here is the way
there: a queue for each client, so that nobody waits for somebody else's connection; and an end with a word to
everybody.

Environment variables: CHAT_TOKEN (then `?token=` must equal it), CHAT_ORIGINS (pages from other hosts that
may connect, as `https://a.example, https://b.example`), and CHAT_BUS, which makes several processes one chat:

    python -m apps.bus redis
    CHAT_BUS=redis://127.0.0.1:6379 python -m apps.chat.server --workers 2
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import threading
from collections.abc import AsyncIterator
from types import FrameType
from typing import Annotated
from weakref import WeakSet

from fastapi import (
    Depends,
    FastAPI,
    HTTPException,
    Request,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from apps.chat import limits
from apps.chat.access import address, objection, origins
from apps.chat.names import same_name
from apps.chat.room import POLICY, RESTART, SERVER, TEXT_CHARACTERS, Member, Refused, Room, Rooms, as_text
from apps.chat.sessions import Return, Session, Sessions
from apps.chat.shared import SharedRoom, SharedRooms

OUTBOX_MESSAGES = 1000
OUTBOX_BYTES = 256 * 1024
FAREWELL_SECONDS = 1.0  # for a client to take its last messages
PAUSE_SECONDS = 0.01  # between a client's messages while somebody lags behind
STALLED_SECONDS = 20.0  # for a client to take one message
BODY_BYTES = 16 * TEXT_CHARACTERS  # JSON may write a character in 12 bytes
BODY_SECONDS = 5.0  # for a client to send it
RETURNS_PER_SECOND = 100  # after a restart
CLOSE_SECONDS = 1.0  # for uvicorn to close connections politely
LEAVING = {1000, 1001}  # RFC 6455 §7.4.1
GOING_DOWN = "the server is going down: connect again in a moment"


class Client(Member):
    """A member with a connection: a bounded queue of what it shall get, and a task that sends it.

    Args:
        websocket: the connection, which has been accepted.
        name: the name it asked for.
        room: the room that it is about to join.
    """

    def __init__(self, websocket: WebSocket, name: str, room: Room | SharedRoom) -> None:
        super().__init__(name)
        self.websocket, self.room = websocket, room
        self.closing: tuple[int, str] | None = None
        self._outbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._bytes = 0
        self.session: Session | None = None
        self._writer = asyncio.create_task(self._write())
        self._writer.add_done_callback(lambda _: self.gone())  # who can't be told anything is gone

    @property
    def present(self) -> bool:
        """Whether it is still there, and so worth listening to."""
        return not self.closing and not self._writer.done()

    def put(self, text: str) -> bool:
        """Queue a message, without waiting. Returns False when the queue is full."""
        size = len(text.encode())
        if self._outbox.qsize() >= OUTBOX_MESSAGES or self._bytes + size > OUTBOX_BYTES:
            return False
        self._bytes += size
        self._outbox.put_nowait(text)
        return True

    def lags(self) -> bool:
        """Whether its queue is more than half full."""
        return self._outbox.qsize() * 2 > OUTBOX_MESSAGES or self._bytes * 2 > OUTBOX_BYTES

    def close(self, code: int, why: str, **more: float) -> None:
        """Say `bye` after what is queued, and close; whoever doesn't take that in time is cut off."""
        if not self.closing:
            self.closing = code, why
            self._outbox.put_nowait(as_text({"type": "bye", "text": why, **more}))
            self._outbox.put_nowait(None)
            self._cut_later()

    def hear(self, text: str | None) -> None:
        """Hear a message of the peer, or of the session that it has taken up."""
        if self.session:
            self.session.hear(text)
        else:
            self.room.hear(self, text)

    def gone(self, *, for_good: bool = False) -> None:
        """Leave the room; a session is left only `for_good`, and may be taken up again until then."""
        if self.session:
            self.session.detach(self, for_good=for_good)
        else:
            self.room.leave(self)

    def cut(self) -> None:
        """Free the connection now."""
        self.websocket.scope["cut"]()

    def end(self) -> None:
        """Stop sending: the peer has left."""
        self._writer.cancel()
        self._cut_later()

    async def sent(self) -> None:
        """Wait until everything has been sent, or the peer has left."""
        await asyncio.wait([self._writer])

    async def _write(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):  # it has gone
            while (text := await self._outbox.get()) is not None:
                self._bytes -= len(text.encode())
                async with asyncio.timeout(STALLED_SECONDS):
                    await self.websocket.send_text(text)
            assert self.closing
            await self.websocket.close(*self.closing)

    def _cut_later(self) -> None:
        """Free the connection: a polite close waits until the peer has read everything."""
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self.websocket.scope["cut"])


class ConnectionManager:
    """Brings connections into their rooms and out again, without ever waiting for a client."""

    def __init__(self) -> None:
        self.rooms: Rooms | SharedRooms = Rooms()
        self.sessions = Sessions()
        self.clients: set[Client] = set()
        self.transports: WeakSet[asyncio.Transport] = WeakSet()
        self.going_down = False

    async def connect(self, websocket: WebSocket, name: str, room_name: str) -> Client:
        """Accept a connection and let it into its room.

        Raises:
            WebSocketException: there is no place for it; it has been sent `bye` with the reason.
        """
        await websocket.accept()
        try:
            if self.going_down:
                raise Refused(RESTART, GOING_DOWN)
            seen = Return.read(websocket.headers)
            known = self.sessions.get((seen.key, same_name(room_name))) if seen else None
            room = known.room if known else self.rooms.find(name, room_name)
        except Refused as refused:
            await websocket.send_text(as_text({"type": "bye", "text": refused.reason}))
            raise WebSocketException(refused.code, refused.reason) from None
        client = Client(websocket, name, room)
        self.clients.add(client)
        if seen:
            client.session = self.sessions.enter(client, name, room, seen)
        else:
            room.join(client)
        return client

    def disconnect(self, client: Client, code: int) -> None:
        """Take a client out of its room, and stop sending: the peer has left.

        Args:
            client: who has left.
            code: its close code; 1000 and 1001 say that it won't come back.
        """
        self.clients.discard(client)
        client.gone(for_good=code in LEAVING)
        client.end()

    async def pause(self, room: Room | SharedRoom) -> None:
        """Give others their turn, and time when somebody lags: so a flood slows down who sends it."""
        await asyncio.sleep(PAUSE_SECONDS if room.lags() else 0)

    async def close(self) -> None:
        """Say `bye` to everybody; returns when it has been sent, or after FAREWELL_SECONDS.

        Those with a session are told to come back `after` different times, for the next server's sake.
        """
        self.going_down = True
        spread = len(self.clients) / RETURNS_PER_SECOND
        for client in self.clients:
            more = {"after": round(random.uniform(0, spread), 2)} if client.session else {}
            client.close(RESTART, GOING_DOWN, **more)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await asyncio.gather(*(client.sent() for client in self.clients))


manager = ConnectionManager()
log = logging.getLogger("uvicorn.chat")


async def may_connect(websocket: WebSocket) -> None:
    """Refuse a handshake: before `accept()` an exception becomes a bare HTTP 403."""
    if why := objection(websocket):
        log.warning("%s may not connect: %s", address(websocket), why)
        raise WebSocketException(POLICY, why)


async def may_ask(request: Request) -> None:
    """Refuse a request."""
    if why := objection(request):
        log.warning("%s may not ask: %s", address(request), why)
        raise HTTPException(403, why)


class Cuttable:
    """Gives each handler a function that ends its connection without waiting: `scope["cut"]()`.

    ASGI has none: its close waits until the peer has read all that was sent, forever if it doesn't read.
    uvicorn's `receive` is a method of the object with the transport; with other servers, `cut` does nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        transport = getattr(getattr(receive, "__self__", None), "transport", None)
        scope["cut"] = getattr(transport, "abort", lambda: None)
        if transport:
            manager.transports.add(transport)
        await self.app(scope, receive, send)


def say_bye_first(loop: asyncio.AbstractEventLoop) -> None:
    """Have signals end the chat before they reach uvicorn, which closes all connections without a word."""
    servers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    async def leave(number: int) -> None:
        await manager.close()
        signal.raise_signal(number)
        await asyncio.sleep(CLOSE_SECONDS)
        for transport in list(manager.transports):
            transport.abort()  # uvicorn would wait for what this client sends or reads

    def first_time(number: int, frame: FrameType | None) -> None:
        signal.signal(number, servers[signal.Signals(number)])
        asyncio.run_coroutine_threadsafe(leave(number), loop)

    for number in servers:
        signal.signal(number, first_time)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Begin with no rooms, and end with `bye` where the signals are ours to hear: in the main thread."""
    manager.sessions.clear()
    manager.clients.clear()
    manager.transports.clear()
    manager.going_down = False
    origins(os.environ.get("CHAT_ORIGINS", ""))  # complains now about what is no origin
    if threading.current_thread() is threading.main_thread():
        say_bye_first(asyncio.get_running_loop())
    if bus := os.environ.get("CHAT_BUS"):
        async with SharedRooms(bus).open() as manager.rooms:
            yield
    else:
        manager.rooms = Rooms()
        yield


app = FastAPI(title="Chat", lifespan=lifespan)
app.add_middleware(Cuttable)
app.add_middleware(limits.Bounds)


@app.websocket("/ws", dependencies=[Depends(may_connect)])
async def chat(websocket: WebSocket, name: str = "guest", room: str = "lobby") -> None:
    """Welcome a client, do what it says, and see it off."""
    client = await manager.connect(websocket, name, room)
    code = 0
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive" and client.present:
            client.hear(message.get("text"))
            await manager.pause(client.room)
        code = message.get("code", 0)
        if client.closing:
            await client.sent()
    finally:
        manager.disconnect(client, code)


class Notice(BaseModel):
    """What `POST /tell` takes."""

    text: Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS)]
    room: str = "lobby"


async def notice(request: Request) -> Notice:
    """Read a notice, after `may_ask`. (FastAPI reads a body before it asks any dependency.)"""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_BYTES:
                    raise HTTPException(413, f"a notice has at most {BODY_BYTES:,} bytes")
        return Notice.model_validate_json(bytes(body))
    except TimeoutError:
        raise HTTPException(408, f"the notice didn't come in {BODY_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the notice broke off") from None
    except ValidationError as error:  # without what was sent: an answer may not be able to hold it
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise HTTPException(422, faults) from None


BODY = {"requestBody": {"content": {"application/json": {"schema": Notice.model_json_schema()}}}}


@app.post("/tell", dependencies=[Depends(may_ask)], openapi_extra=BODY)
async def tell(notice: Annotated[Notice, Depends(notice)]) -> dict[str, int]:
    """Say something in a room from outside. `async`, for a plain `def` would run in another thread."""
    room = manager.rooms.named(notice.room)
    if room is None:
        raise HTTPException(404, "there is no such room")
    room.say(SERVER, notice.text)
    return {"members": len(room.members)}


@app.get("/health", dependencies=[Depends(may_ask)])
async def health() -> dict[str, list[str]]:
    """Return who is in which room."""
    return {room.name: list(room.members) for room in manager.rooms.values() if room.members}


if __name__ == "__main__":
    limits.main()
