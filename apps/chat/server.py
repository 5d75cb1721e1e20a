"""A chat that lasts, on FastAPI. Start it from the folder above this one:

    uvicorn apps.chat.server:app

and connect to `ws://127.0.0.1:8000/ws?name=Ann&room=lobby`. Plain text is said to the room, `/to Bob psst`
goes to Bob alone, `/typing` tells the others that you write. The server sends JSON objects, whose "type" is
`welcome`, `joined`, `left`, `typing`, `said`, `told`, `error`, or `bye` before it hangs up.

Environment variables: CHAT_TOKEN (then `?token=` must equal it) and CHAT_ORIGINS (pages from other hosts that
may connect, separated by commas).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import AsyncIterator
from itertools import chain, count
from types import FrameType
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import (
    Depends,
    FastAPI,
    HTTPException,
    Request,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

TEXT_CHARACTERS = 4096
NAME_CHARACTERS = 32
ROOM_MEMBERS = 1000
ROOMS = 100
HISTORY_EVENTS = 50
HISTORY_CHARACTERS = 16_384
OUTBOX_MESSAGES = 1000
OUTBOX_BYTES = 256 * 1024
FAREWELL_SECONDS = 1.0  # for a client to take its last messages
PAUSE_SECONDS = 0.01  # between a client's messages while somebody lags behind

# Close codes: RFC 6455 §7.4.1; 1012 and 1013 are from the registry that it opened.
UNSUPPORTED, POLICY, TOO_BIG, RESTART, TRY_LATER = 1003, 1008, 1009, 1012, 1013

SERVER = "server"  # the name under which `POST /tell` speaks; no client gets it

Event = dict[str, Any]


def as_text(event: Event) -> str:
    """Return the event as it is sent."""
    return json.dumps(event, ensure_ascii=False)


class Client:
    """A member of a room: its connection, a bounded queue of what it shall get, and the task that sends."""

    def __init__(self, websocket: WebSocket, name: str, room: Room) -> None:
        self.websocket, self.name, self.room = websocket, name, room
        self.closing: tuple[int, str] | None = None
        self._outbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._bytes = 0
        self._writer = asyncio.create_task(self._write())

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

    def close(self, code: int, why: str) -> None:
        """Say `bye` after what is queued, and close; whoever doesn't take that in time is cut off."""
        if not self.closing:
            self.closing = code, why
            self._outbox.put_nowait(as_text({"type": "bye", "text": why}))
            self._outbox.put_nowait(None)
            self._cut_later()

    def end(self) -> None:
        """Stop sending: the peer has left."""
        self._writer.cancel()
        self._cut_later()

    async def sent(self) -> None:
        """Wait until everything has been sent, or the peer has left."""
        await asyncio.wait([self._writer])

    async def _write(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it has gone
            while (text := await self._outbox.get()) is not None:
                self._bytes -= len(text.encode())
                await self.websocket.send_text(text)
            assert self.closing
            await self.websocket.close(*self.closing)

    def _cut_later(self) -> None:
        """Free the connection: a polite close waits until the peer has read everything."""
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self.websocket.scope["cut"])


class Room:
    """Who is in a room, by name, and the last that was said there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Client] = {}
        self.history: deque[Event] = deque(maxlen=HISTORY_EVENTS)

    def welcome(self, name: str) -> Event:
        """Return the first event that a member gets."""
        members, history = list(self.members), list(self.history)
        return {"type": "welcome", "name": name, "room": self.name, "members": members, "history": history}

    def remember(self, event: Event) -> None:
        """Add to the history, and forget the oldest where it has become too long."""
        self.history.append(event)
        while sum(len(said["text"]) for said in self.history) > HISTORY_CHARACTERS:
            self.history.popleft()

    def free_name(self, name: str) -> str:
        """Return the name, with a number where it is taken."""
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(name for name in names if name not in self.members and name != SERVER)


class ConnectionManager:
    """Knows who is where, and brings messages to one client or to a room without ever waiting for a client.

    Every client of a room gets the same events in the same order. A client whose queue is full is told to try
    again later (1013) and is out of the room at once; the others don't notice but for its `left`.
    """

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.going_down = False

    async def connect(self, websocket: WebSocket, name: str, room_name: str) -> Client:
        """Accept a connection, welcome it, and tell the room.

        Raises:
            WebSocketException: there is no place for it; it has been sent `bye` with the reason.
        """
        await websocket.accept()
        try:
            room = self._find_place(name, room_name)
        except WebSocketException as refusal:
            await websocket.send_text(as_text({"type": "bye", "text": refusal.reason}))
            raise
        client = Client(websocket, room.free_name(name), room)
        self.broadcast(room, {"type": "joined", "who": client.name})
        room.members[client.name] = client
        self.send(client, room.welcome(client.name))
        return client

    def disconnect(self, client: Client) -> None:
        """Take a client out of its room and tell the others; a second time does nothing."""
        if client.room.members.get(client.name) is client:
            del client.room.members[client.name]
            self.broadcast(client.room, {"type": "left", "who": client.name})

    def send(self, client: Client, event: Event) -> None:
        """Bring an event to one client."""
        if not client.put(as_text(event)):
            self.drop(client, TRY_LATER, "you read too slowly")

    def broadcast(self, room: Room, event: Event, but: Client | None = None) -> None:
        """Bring an event to all in a room, in one order; drop those who can't take it."""
        events = deque([event])
        while events:
            text = as_text(events.popleft())
            for client in list(room.members.values()):
                if client is not but and not client.put(text):
                    del room.members[client.name]
                    client.close(TRY_LATER, "you read too slowly: connect again")
                    events.append({"type": "left", "who": client.name})

    def say(self, room: Room, who: str, text: str) -> None:
        """Say something in a room: everybody there gets it, and so will those who come later."""
        event = {"type": "said", "who": who, "text": text}
        room.remember(event)
        self.broadcast(room, event)

    async def pause(self, room: Room) -> None:
        """Give the writers their turn, and time when somebody lags: so a flood slows down who sends it."""
        lagging = any(member.lags() for member in room.members.values())
        await asyncio.sleep(PAUSE_SECONDS if lagging else 0)

    def drop(self, client: Client, code: int, why: str) -> None:
        """Close a client's connection on our own account."""
        client.close(code, why)
        self.disconnect(client)

    async def close(self) -> None:
        """Say `bye` to everybody; returns when it has been sent, or after FAREWELL_SECONDS."""
        self.going_down = True
        clients = [client for room in self.rooms.values() for client in room.members.values()]
        for client in clients:
            client.close(RESTART, "the server goes down: connect again in a moment")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await asyncio.gather(*(client.sent() for client in clients))

    def _find_place(self, name: str, room_name: str) -> Room:
        if self.going_down:
            raise WebSocketException(RESTART, "the server goes down: connect again in a moment")
        if not all(0 < len(n) <= NAME_CHARACTERS and n.isprintable() for n in (name, room_name)):
            raise WebSocketException(POLICY, f"names have 1 to {NAME_CHARACTERS} printable characters")
        if room_name not in self.rooms and len(self.rooms) == ROOMS:
            empty = next((room for room in self.rooms.values() if not room.members), None)
            if empty is None:
                raise WebSocketException(TRY_LATER, f"all {ROOMS} rooms are in use")
            del self.rooms[empty.name]
        room = self.rooms.setdefault(room_name, Room(room_name))
        if len(room.members) == ROOM_MEMBERS:
            raise WebSocketException(TRY_LATER, f"the room is full: it has {ROOM_MEMBERS:,} members")
        return room


manager = ConnectionManager()


def obey(client: Client, text: str | None) -> None:
    """Do what a client's message asks for; None is a message that isn't text."""
    room = client.room
    if client.closing:
        pass
    elif text is None:
        manager.drop(client, UNSUPPORTED, "send text, not bytes")
    elif len(text) > TEXT_CHARACTERS:
        manager.drop(client, TOO_BIG, f"a message has at most {TEXT_CHARACTERS:,} characters")
    elif text == "/typing":
        manager.broadcast(room, {"type": "typing", "who": client.name}, but=client)
    elif text.startswith("/to "):
        whisper(client, text.removeprefix("/to "))
    elif text.startswith("/"):
        manager.send(client, {"type": "error", "text": "commands are: /to NAME TEXT, /typing"})
    else:
        manager.say(room, client.name, text)


def whisper(client: Client, name_and_text: str) -> None:
    """Tell one member something; the longest name that fits counts, for names may have spaces."""
    names = [name for name in client.room.members if name_and_text.startswith(f"{name} ")]
    if not names:
        manager.send(client, {"type": "error", "text": "write /to NAME TEXT, with the name of a member"})
        return
    name = max(names, key=len)
    event = {"type": "told", "who": client.name, "to": name, "text": name_and_text[len(name) + 1 :]}
    for member in {client, client.room.members[name]}:
        manager.send(member, event)


def objection(connection: HTTPConnection) -> str | None:
    """Why this connection may not have what it asks for; None when it may."""
    token = os.environ.get("CHAT_TOKEN", "")
    if token and not secrets.compare_digest(
        connection.query_params.get("token", "").encode(), token.encode()
    ):
        return "the token is missing or wrong"
    origin = connection.headers.get("origin")
    if origin is not None and not is_ours(origin, connection.headers.get("host", "")):
        return f"pages from {origin} may not connect"
    return None


def is_ours(origin: str, host: str) -> bool:
    """Whether a page of this origin may connect; every page can try (RFC 6455 §10.2)."""
    if origin in os.environ.get("CHAT_ORIGINS", "").split(","):
        return True
    try:
        page = urlsplit(origin)
    except ValueError:
        return False
    return page.hostname in {"localhost", "127.0.0.1", "::1"} or page.netloc == host != ""


async def may_connect(websocket: WebSocket) -> None:
    """Refuse a handshake: before `accept()` an exception becomes a bare HTTP 403."""
    if why := objection(websocket):
        raise WebSocketException(POLICY, why)


async def may_ask(request: Request) -> None:
    """Refuse a request."""
    if why := objection(request):
        raise HTTPException(403, why)


class Cuttable:
    """Gives each WebSocket handler a function that ends its connection without waiting: `scope["cut"]()`.

    ASGI has none: its close waits until the peer has read all that was sent, for ever if it doesn't read.
    uvicorn's `send` is a method of the object with the transport; with other servers, `cut` does nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        scope["cut"] = getattr(transport, "abort", lambda: None)
        await self.app(scope, receive, send)


def say_bye_first(loop: asyncio.AbstractEventLoop) -> None:
    """Have signals end the chat before they reach uvicorn, which closes all connections without a word."""
    servers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    async def leave(number: int) -> None:
        await manager.close()
        signal.raise_signal(number)

    def first_time(number: int, frame: FrameType | None) -> None:
        signal.signal(number, servers[signal.Signals(number)])
        asyncio.run_coroutine_threadsafe(leave(number), loop)

    for number in servers:
        signal.signal(number, first_time)


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Begin with no rooms, and end with `bye` where the signals are ours to hear: in the main thread."""
    manager.rooms.clear()
    manager.going_down = False
    if threading.current_thread() is threading.main_thread():
        say_bye_first(asyncio.get_running_loop())
    yield


app = FastAPI(title="Chat", lifespan=lifespan)
app.add_middleware(Cuttable)


@app.websocket("/ws", dependencies=[Depends(may_connect)])
async def chat(websocket: WebSocket, name: str = "guest", room: str = "lobby") -> None:
    """Welcome a client, do what it says, and see it off."""
    client = await manager.connect(websocket, name, room)
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            obey(client, message.get("text"))
            await manager.pause(client.room)
    finally:
        manager.disconnect(client)
        client.end()


class Notice(BaseModel):
    """What `POST /tell` takes."""

    text: Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS)]
    room: str = "lobby"


@app.post("/tell", dependencies=[Depends(may_ask)])
async def tell(notice: Notice) -> dict[str, int]:
    """Say something in a room from outside. `async`, for a plain `def` would run in another thread."""
    room = manager.rooms.get(notice.room)
    if room is None:
        raise HTTPException(404, "there is no such room")
    manager.say(room, SERVER, notice.text)
    return {"members": len(room.members)}


@app.get("/health", dependencies=[Depends(may_ask)])
async def health() -> dict[str, list[str]]:
    """Return who is in which room."""
    return {room.name: list(room.members) for room in manager.rooms.values() if room.members}
