"""A WebSocket client on the background loop, for any thread to drive."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.uri import parse_uri

from helpers.arguments import address
from helpers.background.closed import how_it_ended
from helpers.background.journal import Refusal
from helpers.background.lifetime import Background
from helpers.background.loops import BackgroundLoop, hold_shared_loop
from helpers.clients.conversation import Conversation, Data, NotConnectedError
from helpers.readers_code import in_words
from helpers.sockets import somebody_listens
from helpers.wire.tap import HasUrl

FLUSHED_WITHIN = 1.0
"""How long, in seconds, a disconnect waits until what is to be sent has been sent."""

LONGEST_REASON = 200
"""Characters that are told of what a server says when it refuses."""


class Client(Conversation):
    """One `websockets` client: `connect`, `send`, `received`, `disconnect`, from whatever thread.

        ann = Client("Ann", server.url)
        await ann.connect()
        ann.send("hi")

    Args:
        name: who the client is, for messages and for the other side of the screen.
        url: the server's address.
        changed: is called after every change, on the thread that made it.
        **options: every other option of `websockets.asyncio.client.connect`.
    """

    def __init__(
        self, name: str, url: str | HasUrl, *, changed: Callable[[], None] = lambda: None, **options: Any
    ) -> None:
        super().__init__(name, changed)
        self.url = address(url)
        self._options = {"proxy": None, "close_timeout": 1, "logger": _silent(), **options}
        self._talk: _Talk | None = None

    @property
    def connection(self) -> ClientConnection:
        """The connection of the `websockets` library; touch it only from the background loop.

        Raises:
            NotConnectedError: there is none.
        """
        with self._lock:
            if self._talk is None or self._talk.connection is None or self.state != "open":
                raise self._not_open()
            return self._talk.connection

    @property
    def loop(self) -> BackgroundLoop | None:
        """The background loop, from `begin` until the state is `"closed"`."""
        talk = self._talk
        return talk.loop if talk and self.state != "closed" else None

    def begin(self, url: str | None = None) -> concurrent.futures.Future[None]:
        """Start to connect, without waiting. Connected to another address, it disconnects there first.

        Args:
            url: another address than the one before.

        Returns:
            A future that is done when the connection is open, or holds a `NotConnectedError`.
        """
        with self._lock:
            url = self.url if url is None else url
            if self._talk and self.state in ("connecting", "open"):
                if url == self.url:
                    return self._talk.opened
                self._talk.hang_up()
            self.url = url
            self._talk = talk = _Talk(self, url, self._options, self._talk)
            self._move("connecting")
            talk.start()
        self._changed()
        return talk.opened

    async def connect(self, url: str | None = None) -> None:
        """Connect, and return when the connection is open. Cancelling it gives up.

        Args:
            url: another address than the one before.

        Raises:
            NotConnectedError: there is no connection, and why.
        """
        try:
            await asyncio.wrap_future(self.begin(url))
        except asyncio.CancelledError:
            self.end()
            raise

    def send(self, data: Data) -> None:
        """Send a message: text, or bytes for a binary one. Returns at once; messages keep their order.

        Raises:
            NotConnectedError: the connection isn't open.
            TypeError: the message is neither text nor bytes.
            UnicodeEncodeError: the text can't be encoded as UTF-8, because it holds half a surrogate pair.
        """
        if isinstance(data, str):
            data.encode()
        elif not isinstance(data, bytes):
            raise TypeError(f"a message is str or bytes, not {type(data).__name__}")
        with self._lock:
            if self._talk is None or self.state != "open":
                raise self._not_open()
            self._talk.post(data)

    def end(self) -> concurrent.futures.Future[None] | None:
        """Start to disconnect, without waiting; returns a future that is done when it is closed."""
        with self._lock:
            talk = self._talk
            if talk is None or self.state not in ("connecting", "open"):
                return talk.ended if talk else None
            self._move("closing")
            talk.hang_up()
        self._changed()
        return talk.ended

    async def disconnect(self) -> None:
        """Close the connection with 1000 (normal closure), and return when it is closed.

        What was sent before is sent first, if the server takes it within a second.
        """
        ended = self.end()
        if ended is not None:
            await asyncio.wrap_future(ended)

    def _not_open(self) -> NotConnectedError:
        return NotConnectedError(
            f"{self.name} is not connected ({self.state}): press Connect, or await its .connect()"
        )

    def _is_open(self, talk: _Talk) -> bool:
        with self._lock:
            if self._talk is not talk or self.state != "connecting":
                return False
            self._move("open")
        self.note(f"connected to {talk.url}")
        return True

    def _has_ended(self, talk: _Talk, detail: str) -> None:
        with self._lock:
            if self._talk is talk:
                self._move("closing")  # from here on nothing can be sent
        if left := len(talk.outbox):
            detail += f"; {left:,} message{'s were' if left > 1 else ' was'} not sent"
        self._event(f"closed: {detail}")
        with self._lock:
            if self._talk is talk:
                self._move("closed", detail)
        self._changed()


class _Talk:
    """One connection of a client, from `start` until it is closed; it lives on the background loop.

    Its futures can't be cancelled: whoever waits for one may give up without harm to the others.
    """

    def __init__(self, client: Client, url: str, options: dict[str, Any], before: _Talk | None) -> None:
        self.url = url
        self.loop = hold_shared_loop(self)
        self.connection: ClientConnection | None = None
        self.outbox: collections.deque[Data] = collections.deque()
        self.opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.opened.set_running_or_notify_cancel()
        self.ended.set_running_or_notify_cancel()
        self._client = client
        self._options = options
        self._before = before.ended if before else None
        self._wake = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._opener: asyncio.Task[ClientConnection] | None = None
        self._closer: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.loop.submit(self._converse())

    def post(self, data: Data) -> None:
        self.outbox.append(data)
        self._soon(self._wake.set)

    def hang_up(self) -> None:
        self._soon(self._stop)

    def _soon(self, call: Callable[[], None]) -> None:
        if threading.get_ident() == self.loop.thread.ident:
            call()
        else:
            self.loop.asyncio_loop.call_soon_threadsafe(call)

    def _stop(self) -> None:
        self._hung_up.set()
        self._wake.set()
        if self._opener is not None:
            self._opener.cancel()

    async def _converse(self) -> None:
        detail = "abandoned before it was open"
        try:
            self._opener = asyncio.ensure_future(self._open())
            if self._hung_up.is_set():
                self._opener.cancel()
            self.connection = await self._opener
            if self._client._is_open(self):
                self.opened.set_result(None)
            detail = await self._until_closed(self.connection)
        except asyncio.CancelledError:
            if self._opener is None or not self._opener.cancelled():
                raise
        except Exception as error:
            detail = _why_not(error, self.url)
        finally:
            try:
                self._client._has_ended(self, detail)
            finally:
                self.loop.release(self)
                if not self.opened.done():
                    why = f"{self._client.name} could not connect: {detail}"
                    self.opened.set_exception(NotConnectedError(why))
                self.ended.set_result(None)

    async def _open(self) -> ClientConnection:
        if self._before is not None:
            await asyncio.wait([asyncio.wrap_future(self._before)], timeout=2 * FLUSHED_WITHIN)
            self._before = None
        try:
            parse_uri(self.url)
        except ValueError as error:
            raise InvalidURI(self.url, str(error)) from None
        return await connect(self.url, **self._options)

    async def _until_closed(self, connection: ClientConnection) -> str:
        writer = asyncio.ensure_future(self._write(connection))
        closer = asyncio.ensure_future(self._close_after(writer, connection))
        try:
            with contextlib.suppress(ConnectionClosed):  # its code and reason are told below
                async for message in connection:
                    self._client.came(message)
        finally:
            writer.cancel()
            closer.cancel()
            connection.transport.abort()
            await asyncio.wait([writer, closer])
        return how_it_ended(connection.protocol.close_exc)

    async def _write(self, connection: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while self.outbox or not self._hung_up.is_set():
                await self._wake.wait()
                self._wake.clear()
                while self.outbox:
                    await connection.send(self.outbox[0])
                    self._client.sent(self.outbox.popleft())

    async def _close_after(self, writer: asyncio.Task[None], connection: ClientConnection) -> None:
        await self._hung_up.wait()
        await asyncio.wait([writer], timeout=FLUSHED_WITHIN)
        # Where the peer reads nothing, close() would wait for its turn until the keepalive gives up.
        patience = connection.close_timeout and connection.close_timeout + FLUSHED_WITHIN
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connection.close(), patience)
        connection.transport.abort()


def _why_not(error: Exception, url: str) -> str:
    if isinstance(error, InvalidURI):
        return f"{url!r} is not a WebSocket address; one looks like ws://127.0.0.1:8765"
    # If a name has several addresses, asyncio raises an OSError whose text holds the reason of each.
    refused = f"[Errno {errno.ECONNREFUSED}]"
    if isinstance(error, ConnectionRefusedError) or refused in str(error):
        return _nothing_listens(url)
    if isinstance(error, socket.gaierror):
        return f"there is no host of that name: {url}"
    if isinstance(error, TimeoutError):
        return f"{url} did not answer in time"
    if isinstance(error, InvalidHandshake):
        return f"{url} refused the handshake: {error}{_said_with(error)}"
    return in_words(error)


def why_refused(url: str, since: float) -> str:
    """What the kernel knows of a connection that a browser did not get: the browser isn't told.

    Args:
        url: the server's address as the kernel sees it.
        since: when the browser began to connect, as `time.monotonic` counts.

    Returns:
        Words for it; nothing where nothing is known.
    """
    server = Background.at(url)
    if server is None:
        return "" if somebody_listens(url) else _nothing_listens(url)
    since = since - 1 - server.started_at  # the browser's word may be late
    refusals = [entry for entry in server.log if isinstance(entry.text, Refusal)]
    said = [entry.text for entry in refusals if entry.seconds > since]
    return f"{server.name!r} says: {said[-1]}" if said else ""


def _nothing_listens(url: str) -> str:
    return f"nothing is listening at {url}: start the server, or correct the address"


def _said_with(error: InvalidHandshake) -> str:
    """What the server says apart from the status, from the first line of its answer."""
    body = error.response.body if isinstance(error, InvalidStatus) else b""
    said = next(iter(body.decode("utf-8", "replace").strip().splitlines()), "")
    said = said.removeprefix("Failed to open a WebSocket connection: ")[:LONGEST_REASON]
    return f": {said}" if said else ""


def _silent() -> logging.Logger:
    """A logger that keeps quiet: what happens is in the log of the conversation."""
    logger = logging.Logger("helpers.clients", logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    return logger
