"""Clients for a cell: several by name, and one that never reads."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from helpers.experiments.raw_client import RawClient, named
from helpers.wire.tap import HasUrl

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

NAMES = ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jan")


@asynccontextmanager
async def crowd(
    server: str | HasUrl, count: int = 5, **options: Any
) -> AsyncIterator[dict[str, ClientConnection]]:
    """Connect several clients, plain connections of `websockets`, and close them at the end.

        async with crowd(server, 5) as clients:
            await clients["Ann"].send("hi")
            print(await clients["Bob"].recv())

    Args:
        server: a `ws://` address, or a server that has a `url`. Each client adds `name=` to the query.
        count: how many; the first are called Ann, Bob, Cid, Dan and Eve.
        **options: for `websockets.asyncio.client.connect`.

    Raises:
        OSError: nobody listens there.
        InvalidHandshake: the server refused one of them.
    """
    from websockets.asyncio.client import connect

    if count < 1:
        raise ValueError("count must be 1 or more")
    url = _address(server)
    settings = {"proxy": None, "compression": None, "close_timeout": 1, **options}
    async with contextlib.AsyncExitStack() as stack:
        clients: dict[str, ClientConnection] = {}
        for name in (*NAMES, *(f"client {number}" for number in range(len(NAMES) + 1, count + 1)))[:count]:
            clients[name] = await stack.enter_async_context(connect(named(url, name), **settings))
        yield clients


@asynccontextmanager
async def mute(server: str | HasUrl, name: str = "Mute") -> AsyncIterator[socket.socket]:
    """Connect a client that does the handshake and then never reads, nor answers a ping.

        async with mute(server):
            await clients["Ann"].send("x" * 200_000)

    It lets as little into the connection as it can: some 0.1 MiB, whatever the server's settings. What
    the server sends beyond that stays with the server.

    Args:
        server: a `ws://` address, or a server that has a `url`.
        name: what it puts into the query as `name=`.

    Yields:
        The socket; who reads from it after all gets the bytes that lie there.

    Raises:
        OSError: nobody listens there, or the server refused it.
    """
    client = await asyncio.to_thread(_connected, named(_address(server), name))
    try:
        yield client.socket
    finally:
        client.socket.close()


def _connected(url: str) -> RawClient:
    client = RawClient(url, narrow=True)
    client.complete()
    return client


def _address(server: str | HasUrl) -> str:
    return server if isinstance(server, str) else server.url
