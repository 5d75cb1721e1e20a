"""A WebSocket client on the background loop, for any thread to drive."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import logging
import threading
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from helpers.background.loops import BackgroundLoop, hold_shared_loop
from helpers.background.places import in_words
from helpers.widgets.conversation import Conversation, Data, NotConnectedError


class Client(Conversation):
    """One `websockets` client: `connect`, `send`, `received`, `disconnect`, from whatever thread.

        ann = Client("Ann", server.url)
        await ann.connect()
        ann.send("hi")

    Args:
        name: who the client is, for messages and for the other side of the screen.
        url: the server's address.
        changed: is called after every change, on the background thread.
        **options: every other option of `websockets.asyncio.client.connect`.
    """

    def __init__(
        self, name: str, url: str, *, changed: Callable[[], None] = lambda: None, **options: Any
    ) -> None:
        super().__init__(name, changed)
        self.url = url
        self._options = {"proxy": None, "close_timeout": 1, "logger": _silent(), **options}
        self._connection: ClientConnection | None = None
        self.loop: BackgroundLoop | None = None
        self._talk: concurrent.futures.Future[None] | None = None
        self._outbox: collections.deque[Data] = collections.deque()
        self._wake: asyncio.Event | None = None
        self._opener: asyncio.Task[ClientConnection] | None = None
        self._opened: concurrent.futures.Future[None] = concurrent.futures.Future()

    @property
    def connection(self) -> ClientConnection:
        """The connection of the `websockets` library; touch it only from the background loop.

        Raises:
            NotConnectedError: there is none.
        """
        if self._connection is None or self.state != "open":
            raise NotConnectedError(
                f"{self.name} is not connected ({self.state}): press Connect, or await its .connect()"
            )
        return self._connection

    def begin(self, url: str | None = None) -> concurrent.futures.Future[None]:
        """Start to connect, without waiting.

        Args:
            url: another address than the one before.

        Returns:
            A future that is done when the connection is open, or holds a `NotConnectedError`.
        """
        if self.state in ("connecting", "open"):
            return self._opened
        self.url = url or self.url
        self._opened = concurrent.futures.Future()
        self._outbox.clear()
        talk = object()
        self.loop = hold_shared_loop(talk)
        self.enter("connecting")
        self._talk = self.loop.submit(self._converse(talk, self.loop, self._opened))
        return self._opened

    async def connect(self, url: str | None = None) -> None:
        """Connect, and return when the connection is open.

        Args:
            url: another address than the one before.

        Raises:
            NotConnectedError: there is no connection, and why.
        """
        await asyncio.wrap_future(self.begin(url))

    def send(self, data: Data) -> None:
        """Send a message: text, or bytes for a binary one. Returns at once; messages keep their order.

        Raises:
            NotConnectedError: the connection isn't open.
            TypeError: the message is neither text nor bytes.
        """
        if not isinstance(data, str | bytes):
            raise TypeError(f"a message is str or bytes, not {type(data).__name__}")
        self.connection  # noqa: B018 - raises where there is none
        self._outbox.append(data)
        self._nudge()

    def end(self) -> concurrent.futures.Future[None] | None:
        """Start to disconnect, without waiting; returns a future that is done when it is closed."""
        if self.state in ("connecting", "open") and self.loop is not None and self._talk is not None:
            self.enter("closing")
            self.loop.asyncio_loop.call_soon_threadsafe(self._hang_up)
        return self._talk

    async def disconnect(self) -> None:
        """Close the connection with 1000 (normal closure), and return when it is closed."""
        talk = self.end()
        if talk is not None:
            await asyncio.wrap_future(talk)

    def _nudge(self) -> None:
        assert self.loop is not None
        assert self._wake is not None
        if threading.current_thread() is self.loop.thread:
            self._wake.set()
        else:
            self.loop.asyncio_loop.call_soon_threadsafe(self._wake.set)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._closer = asyncio.ensure_future(self._connection.close())
        elif self._opener is not None:
            self._opener.cancel()

    async def _converse(
        self, talk: object, loop: BackgroundLoop, opened: concurrent.futures.Future[None]
    ) -> None:
        url = self.url
        self._wake = asyncio.Event()
        closed = "before it was open"
        try:
            self._opener = asyncio.ensure_future(_open(url, self._options))
            if self.state == "closing":
                self._opener.cancel()
            self._connection = await self._opener
            self.enter("open")
            self.note(f"connected to {url}")
            opened.set_result(None)
            closed = await self._until_closed(self._connection)
        except asyncio.CancelledError:
            if self._opener is None or not self._opener.cancelled():
                raise
        except Exception as error:
            closed = _why_not(error, url)
        finally:
            self._connection = self._opener = None
            self.note(f"closed: {closed}")
            self.loop = None
            self.enter("closed", closed)
            loop.release(talk)
            if not opened.done():
                opened.set_exception(NotConnectedError(f"{self.name} could not connect: {closed}"))

    async def _until_closed(self, connection: ClientConnection) -> str:
        writer = asyncio.ensure_future(self._write(connection))
        try:
            async for message in connection:
                self.came(message)
        except ConnectionClosed:
            pass  # its code and reason are told below
        finally:
            writer.cancel()
            await asyncio.wait([writer])
        reason = f" ({connection.close_reason})" if connection.close_reason else ""
        lost = f"; {len(self._outbox)} messages were not sent" if self._outbox else ""
        return f"{connection.close_code}{reason}{lost}"

    async def _write(self, connection: ClientConnection) -> None:
        assert self._wake is not None
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                data = self._outbox[0]
                await connection.send(data)
                self._outbox.popleft()
                self.sent(data)


async def _open(url: str, options: dict[str, Any]) -> ClientConnection:
    return await connect(url, **options)


def _why_not(error: Exception, url: str) -> str:
    if isinstance(error, InvalidURI):
        return f"{url!r} is not a WebSocket address; one looks like ws://127.0.0.1:8765"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {url}; start the server, or mend the address"
    if isinstance(error, TimeoutError):
        return f"{url} did not answer in time"
    if isinstance(error, InvalidHandshake):
        return f"{url} refused the handshake: {error}"
    return in_words(error)


def _silent() -> logging.Logger:
    """A logger that keeps quiet: what happens is in the log of the conversation."""
    logger = logging.Logger("helpers.widgets", logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    return logger
