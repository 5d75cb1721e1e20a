"""Real peers for the reader's code: clients for a handler, and a server for a client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from helpers.checks.patience import in_time
from helpers.checks.verdict import NotYet, shown
from helpers.sockets import make_narrow

ANSWER_WITHIN = 1.2
"""How long the reader's code may take for an answer, in seconds."""

SEND_IT = (
    "send the answer to this connection with `await connection.send(...)`, inside the loop that reads; "
    "without that `await` nothing is sent"
)

NO_TURN = "something keeps the loop busy: what runs there, and where does it `await`?"


class Peer:
    """The other end of the reader's handler; says in words what it missed.

    Args:
        connection: an open client connection.

    Attributes:
        heard_before: the message before the last one.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._heard: str | bytes | None = None
        self.heard_before: str | bytes | None = None

    @classmethod
    async def join(cls, url: str, *, narrow: bool = False) -> Self:
        """Connect to the reader's server.

        Args:
            url: the server's address.
            narrow: whether as little as possible fits into the connection when the peer doesn't read.

        Raises:
            NotYet: the server did not answer.
        """
        sock = await _narrow_socket(url) if narrow else None
        try:
            connecting = connect(
                url,
                sock=sock,
                proxy=None,
                compression=None,
                open_timeout=None,
                close_timeout=0.5,
                max_queue=1 if narrow else 16,
            )
            connection = await in_time(connecting, ANSWER_WITHIN)
        except TimeoutError:
            raise NotYet(f"another peer could not connect for {ANSWER_WITHIN:g} s", NO_TURN) from None
        peer = cls(connection)
        _joined.get().append(peer)
        return peer

    async def says(self, message: str | bytes) -> None:
        """Send a message; a connection that the handler has closed is noticed when something is heard."""
        with suppress(ConnectionClosed):
            await self._connection.send(message)

    async def hears(self, when: str, *, within: float = ANSWER_WITHIN, hint: str = SEND_IT) -> str | bytes:
        """The next message.

        Args:
            when: the situation, for the verdict, like "after `hello`".
            within: how long to wait, in seconds.
            hint: which way to look when none comes.

        Raises:
            NotYet: none came, or the connection was closed.
        """
        try:
            message = await in_time(self._connection.recv(), within)
            self.heard_before, self._heard = self._heard, message
            return message
        except TimeoutError:
            raise NotYet(f"{when}, nothing came for {within:g} s", hint) from None
        except ConnectionClosed:
            raise NotYet(
                f"{when}, the connection was closed ({self._connection.close_code})",
                "a connection closes when its handler returns: `send` the answer, don't `return` it, "
                "and keep reading with `async for` until the peer leaves",
            ) from None

    async def hears_nothing(self, when: str, *, within: float = 0.2) -> None:
        """Make sure that no message comes.

        Raises:
            NotYet: one came.
        """
        with suppress(TimeoutError, ConnectionClosed):
            message = await asyncio.wait_for(self._connection.recv(), within)
            raise NotYet(f"{when}, one more message came: {shown(message)}", "send it once only")

    async def leaves(self) -> None:
        """Close the connection."""
        await self._connection.close()

    def vanishes(self) -> None:
        """Break the connection off, without a word."""
        self._connection.transport.abort()


async def _narrow_socket(url: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    make_narrow(sock)
    address = urlsplit(url)
    await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
    return sock


_joined: ContextVar[list[Peer]] = ContextVar("peers that joined in this trial")


async def until_all_have_left(scenario: Coroutine[Any, Any, str]) -> str:
    peers: list[Peer] = []
    _joined.set(peers)
    try:
        return await scenario
    finally:
        for peer in peers:
            peer.vanishes()
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """A server of ours, for an exercise in which the reader writes the client; gives its address."""
    async with serve(handler, "127.0.0.1", 0, compression=None, close_timeout=0.5) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
