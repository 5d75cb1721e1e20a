"""A member of the chat who lives alongside a page: always there to receive, while the page comes and goes.

A page's script runs for some milliseconds, whenever something is clicked or drawn; a connection wants to be
served all the time. So the clients of all pages of the process share one event loop, on a thread of its own.
A page asks what has come (`drain`) and hands over what was typed (`send`). Nothing in here knows Streamlit.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import secrets
import threading
import time
from collections.abc import Generator
from typing import Literal, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import process_exception
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI

from apps.chat.resume import FINAL_CODES, Outbox, Seen, SnapshotNeeded, pauses
from apps.chat.room import Event

EVENTS_KEPT = 1_000
"""How many events wait for the page at most; then the oldest is dropped, and counted."""
MESSAGES_KEPT = 20
"""How many messages wait for the connection at most; then `send` refuses."""
LARGEST_EVENT = 4 * 2**20
"""In bytes: a `welcome` with 50 messages of 4,096 emoji, escaped as JSON allows, has 2.4 MB."""
TIME_TO_CLOSE = 0.8
"""In seconds: how long the server may take to answer the goodbye."""
LONGEST_WAIT = 30.0
"""In seconds: how long a server that is going down can have us wait."""
TYPING_LASTS = 3.0
"""In seconds: how long somebody counts as typing."""
FORGOTTEN_AFTER = 150.0
"""In seconds: when a client leaves that no page drains. A hidden tab still draws about once a minute."""


class CannotSend(Exception):
    """The message was not taken; the text says why, to the person who wrote it."""


class State(NamedTuple):
    """What a client is doing: a word for the program and a sentence for the person."""

    name: Literal["connecting", "open", "reconnecting", "refused", "closed"]
    text: str


class ChatClient:
    """One member of one room, from now until `close`. Any thread may call its methods; none of them waits.

        ann = ChatClient("ws://127.0.0.1:8000/ws?name=Ann&room=lobby")
        ann.send("hi")
        print(ann.state.text, ann.members, ann.drain())

    A lost connection is made again, after a pause that grows up to 4 seconds, or as long as the server asked
    for. Messages that are sent meanwhile wait, at most 20, until there is a connection again.

    Where the server knows sessions (`sessions.py`), the client goes on where it was: what it has missed comes
    now, what it has said is heard once, and nothing comes twice. If it was away for too long, an event
    `missed` says so, and a `welcome` follows. With another server, what was on its way when the line broke is
    lost or comes twice.

    Args:
        url: the server's address, with name and room in its query.
        forgotten_after: leave when nobody has called `drain` for so many seconds.
    """

    def __init__(self, url: str, *, forgotten_after: float = FORGOTTEN_AFTER) -> None:
        self.dropped = 0
        """How many events were dropped since the beginning because nobody fetched them in time."""
        self.name = ""
        """What the server calls us; empty before its first `welcome`."""
        self.refused_with: int | None = None
        """The HTTP status with which the server has refused us for good."""
        self._url = url
        self._events: collections.deque[tuple[float, Event]] = collections.deque()
        self._outbox = Outbox(MESSAGES_KEPT)
        self._seen = Seen()
        self._ids: collections.deque[str] = collections.deque(maxlen=EVENTS_KEPT)
        self._headers = {"Chat-Session": secrets.token_urlsafe(16)}
        self._acknowledges = False
        self._asked_to_wait = 0.0
        self._members: dict[str, None] = {}
        self._typing: dict[str, float] = {}
        self._lock = threading.Lock()
        self._state = State("connecting", "Connecting …")
        self._next_try = 0.0
        self._why = ""
        self._forgotten_after = forgotten_after
        self._loop = shared_loop()
        self._drained_at = self._loop.time()
        self._welcomed = asyncio.Event()
        self._written = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watcher: asyncio.TimerHandle | None = None
        self._loop.call_soon_threadsafe(self._begin)

    @property
    def state(self) -> State:
        """What the client is doing now."""
        name, text = self._state
        seconds = max(0, round(self._next_try - time.monotonic()))
        return State(name, f"{text} Next try in {seconds} s." if name == "reconnecting" else text)

    @property
    def members(self) -> list[str]:
        """The people in the room, in the order they came; while the connection is lost, the last known."""
        with self._lock:
            return list(self._members)

    @property
    def typing(self) -> list[str]:
        """The people who have typed in the last 3 seconds."""
        with self._lock:
            return [who for who, at in self._typing.items() if at > time.monotonic() - TYPING_LASTS]

    @property
    def waiting(self) -> int:
        """How many messages wait for the connection, or for the server's word that it has them."""
        return len(self._outbox)

    def send(self, text: str) -> None:
        """Say something to the room, now or as soon as there is a connection.

        Raises:
            CannotSend: there won't be a connection, or too much waits for one.
            UnicodeEncodeError: the text holds half a surrogate pair, which UTF-8 can't encode.
        """
        text.encode()
        with self._lock:
            if self._state.name in ("refused", "closed"):
                raise CannotSend(f"Not sent. {self._state.text}")
            if not self._outbox.add(text):
                raise CannotSend(f"Not sent: {MESSAGES_KEPT} messages already wait for the connection.")
        self._loop.call_soon_threadsafe(self._written.set)

    def drain(self) -> list[tuple[float, Event]]:
        """Fetch the events since the last call, oldest first, each with its time in seconds since 1970."""
        self._drained_at = self._loop.time()
        with self._lock:
            events = list(self._events)
            self._events.clear()
        return events

    def close(self, after: float = 0) -> None:
        """Leave the room. Returns at once; within a second all is closed, whatever the server does.

        Args:
            after: leave so many seconds later, and only if nobody calls `drain` until then.
        """
        unless_after = after and self._loop.time()
        self._loop.call_soon_threadsafe(self._loop.call_later, after, self._leave, unless_after)

    # From here on everything runs on the loop's thread.

    def _leave(self, unless_drained_after: float) -> None:
        if not unless_drained_after or self._drained_at <= unless_drained_after:
            self._end("You have left.")

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._live())
        self._watch()

    def _end(self, why: str) -> None:
        assert self._task is not None
        if not self._task.done() and self._state.name != "closed":
            self._state = State("closed", why)
            self._task.cancel()

    def _watch(self) -> None:
        left = self._drained_at + self._forgotten_after - self._loop.time()
        if left <= 0:
            self._end("Nobody has looked at this page for a while, so you have left.")
        else:
            self._watcher = self._loop.call_later(left, self._watch)

    async def _live(self) -> None:
        waits = self._pauses()
        try:
            async for connection in connect(
                self._url,
                proxy=None,
                close_timeout=TIME_TO_CLOSE,
                max_size=LARGEST_EVENT,
                additional_headers=self._headers,
                process_exception=self._is_final,
                reconnect_delays=self._pauses,
            ):
                await self._talk(connection)
                self._why = closed_because(connection, self._why)
                if connection.close_code in FINAL_CODES:
                    self._state = State("refused", f"The server has ended it: {self._why}.")
                    return
                if self._state.name == "open":
                    waits = self._pauses()
                await asyncio.sleep(next(waits))
        except Exception as error:
            if isinstance(error, InvalidStatus):
                self.refused_with = error.response.status_code
            self._state = State("refused", f"Given up: {in_words(error)}.")
        finally:
            if self._watcher is not None:
                self._watcher.cancel()

    def _is_final(self, error: Exception) -> Exception | None:
        self._why = in_words(error)
        return process_exception(error)

    def _pauses(self) -> Generator[float]:
        """How long to wait before each attempt; says so in `state`."""
        for pause in pauses():
            pause, self._asked_to_wait = max(pause, self._asked_to_wait), 0.0
            self._next_try = time.monotonic() + pause
            self._state = State("reconnecting", f"Reconnecting: {self._why}.")
            yield pause

    async def _talk(self, connection: ClientConnection) -> None:
        """Receive, and send what waits, until the connection is closed."""
        self._why = ""
        self._acknowledges = False
        self._welcomed.clear()
        writer = self._loop.create_task(self._write(connection))
        try:
            with contextlib.suppress(ConnectionClosed, SnapshotNeeded):
                async for message in connection:
                    self._came(json.loads(message))
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(connection.close(), TIME_TO_CLOSE)
            raise
        finally:
            self._headers["Chat-Seen"] = f"{self._seen.epoch or '-'} {self._seen.number}"
            writer.cancel()
            connection.transport.abort()

    async def _write(self, connection: ClientConnection) -> None:
        await self._welcomed.wait()
        sent = 0
        with contextlib.suppress(ConnectionClosed):
            while await self._written.wait():
                self._written.clear()
                while said := self._unsent(sent):
                    sent, text = said
                    if self._acknowledges:
                        await connection.send(f"{sent} {text}")
                    else:
                        await connection.send(text)
                        self._acknowledged(sent)

    def _unsent(self, sent: int) -> tuple[int, str] | None:
        with self._lock:
            return self._outbox.after(sent)

    def _acknowledged(self, number: int) -> None:
        with self._lock:
            self._outbox.acknowledged(number)

    def _came(self, event: Event) -> None:
        """Take an event: one about the session, or one for the page that hasn't come before."""
        if event["type"] == "session":
            self._goes_on(event)
        elif event["type"] == "ack":
            self._acknowledged(event["n"])
        elif self._is_new(event):
            self._take(event)

    def _goes_on(self, event: Event) -> None:
        """The server knows sessions, and says where it goes on."""
        self._acknowledges = True
        self._acknowledged(event["heard"])
        if event["missed"]:
            self._take({"type": "missed", "text": event["missed"]})
        elif event["epoch"] == self._seen.epoch:
            self._opened()
        self._seen = Seen(event["epoch"], event["after"])

    def _is_new(self, event: Event) -> bool:
        """Whether an event hasn't come before: by its number, and in another epoch by its id."""
        try:
            new = "n" not in event or self._seen.is_new(event["n"])
        except SnapshotNeeded:
            self._seen = Seen()
            raise
        return new and self._is_first(event)

    def _is_first(self, event: Event) -> bool:
        """Whether no event with the same id has come before, by itself or in a `welcome`'s history."""
        if (id := event.get("id")) in self._ids:
            return False
        if id:
            self._ids.append(id)
        return True

    def _opened(self) -> None:
        self._state = State("open", f"Connected as {self.name}.")
        self._welcomed.set()
        self._written.set()

    def _take(self, event: Event) -> None:
        with self._lock:
            match event["type"]:
                case "welcome":
                    self.name = event["name"]
                    self._members = dict.fromkeys(event["members"])
                    event["history"] = [said for said in event["history"] if self._is_first(said)]
                    self._opened()
                case "joined":
                    self._members[event["who"]] = None
                case "left":
                    self._members.pop(event["who"], None)
                case "typing":
                    self._typing[event["who"]] = time.monotonic()
                    return
                case "said" | "told":
                    self._typing.pop(event["who"], None)
                case "bye":
                    self._why = event["text"]
                    self._asked_to_wait = min(event.get("after", 0.0), LONGEST_WAIT)
            if len(self._events) == EVENTS_KEPT:
                self._events.popleft()
                self.dropped += 1
            self._events.append((time.time(), event))


def closed_because(connection: ClientConnection, said: str) -> str:
    """Why the connection was closed: what the server said before (`bye`), its reason, or the close code."""
    return said or connection.close_reason or f"the connection was closed (code {connection.close_code})"


def in_words(error: Exception) -> str:
    """Why there is no connection."""
    if isinstance(error, InvalidStatus):
        return f"the server refuses with HTTP status {error.response.status_code}"
    if isinstance(error, InvalidURI):
        return "the address of the server is no WebSocket address"
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    if isinstance(error, OSError):
        return "the server can't be reached"
    return f"{type(error).__name__}: {error}"


_shared_loop: asyncio.AbstractEventLoop | None = None
_shared_lock = threading.Lock()


def shared_loop() -> asyncio.AbstractEventLoop:
    """The loop that all clients of this process live on; it runs until the process ends."""
    global _shared_loop
    with _shared_lock:
        if _shared_loop is None:
            _shared_loop = asyncio.new_event_loop()
            threading.Thread(target=_shared_loop.run_forever, name="chat clients", daemon=True).start()
        return _shared_loop
