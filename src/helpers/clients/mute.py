"""A client that connects and then never reads."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from helpers.arguments import address
from helpers.clients.raw_client import RawClient, named
from helpers.wire.tap import HasUrl


@asynccontextmanager
async def mute(server: str | HasUrl) -> AsyncIterator[socket.socket]:
    """Connect a client that does the handshake and then never reads, nor answers a ping.

        async with mute(server):
            ann.send("x" * 200_000)

    It lets as little into the connection as it can: some 0.1 MiB, whatever the server's settings. What
    the server sends beyond that stays with the server.

    Args:
        server: a `ws://` address, or a server that has a `url`.

    Yields:
        The socket; who reads from it after all gets the bytes that lie there.

    Raises:
        OSError: nobody listens there, or the server refused it.
    """
    client = await asyncio.to_thread(_connected, named(address(server), "Mute"))
    try:
        yield client.socket
    finally:
        client.socket.close()


def _connected(url: str) -> RawClient:
    client = RawClient(url, narrow=True)
    client.complete()
    return client
