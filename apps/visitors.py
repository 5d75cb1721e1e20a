"""Connections to strangers, as every server here wants them; `websockets` leaves these things open.

    async with serving(handler, "127.0.0.1", 8000, process_request=answer) as url:
        ...

- A connection is read a little at a time, so that a burst of tiny frames never keeps the others waiting.
- One that has us answer its pings, or its errors, and doesn't read the answers, is cut off.
- An answer to HEAD has no body (RFC 9110 §9.3.2).
- A header may be as long as the cookies of all ports of a machine: a browser sends them to each of these.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar
from weakref import WeakSet

from websockets import http11
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**16)

READ_BYTES = 4096
"""How much of a connection is read at once: some 700 of the smallest frames."""

FAREWELL_SECONDS = 1.0
"""How long clients may take to answer the goodbye when a server ends."""

# asyncio says so for each frame that is written to a connection that has just broken: hundreds of lines.
logging.getLogger("asyncio").addFilter(lambda record: record.msg != "socket.send() raised exception.")


class Visitor(ServerConnection):
    """A connection that costs little.

    Attributes:
        most_unread: bytes that may wait in its write buffer when it sends something.
        here: all connections of all servers, those without a handshake included.
    """

    most_unread = 2**20
    here: ClassVar[WeakSet[Visitor]] = WeakSet()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read a little at a time."""
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's own transports
        self.here.add(self)

    def data_received(self, data: bytes) -> None:
        """Read on, and look at what that has cost."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > self.most_unread:
            self.transport.abort()


def without_body(connection: ServerConnection, request: Request, response: Response) -> None:
    """Leave the body out where only the head was asked for."""
    if request.method == "HEAD":
        response.body = b""


def wants_websocket(headers: Headers) -> bool:
    """Whether a request asks for a WebSocket; there may be several `Upgrade` headers (RFC 9110 §7.8)."""
    return "websocket" in ", ".join(headers.get_all("Upgrade")).lower()


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[ServerConnection], Awaitable[None]],
    host: str,
    port: int,
    *,
    create_connection: Any = Visitor,
    code: int = 1001,
    reason: str = "the server is going down",
    **options: Any,
) -> AsyncIterator[str]:
    """Serve, in an `async with` block, whose value is the address of the page.

    Args:
        handler: of each WebSocket.
        host: where to listen.
        port: 0 chooses a free one.
        create_connection: `Visitor`, or a class of yours that is one.
        code: what everybody is told when the block ends; those who don't answer soon are cut off.
        reason: the same, in words.
        **options: of `websockets.serve`.
    """
    server = await serve(
        handler,
        host,
        port,
        create_connection=create_connection,
        process_response=without_body,
        close_timeout=FAREWELL_SECONDS,
        **options,
    )
    try:
        scheme = "https" if options.get("ssl") else "http"
        yield "{}://{}:{}".format(scheme, *server.sockets[0].getsockname()[:2])
    finally:
        server.close(code=code, reason=reason)
        closed = asyncio.create_task(server.wait_closed())
        await asyncio.wait([closed], timeout=FAREWELL_SECONDS)
        for visitor in [each for each in Visitor.here if each.server is server]:
            visitor.transport.abort()
        for task in list(server.handler_tasks):
            task.cancel()
        await closed
