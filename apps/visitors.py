"""Connections to strangers, as every server here wants them; `websockets` leaves these things open.

    serve(handler, host, port, create_connection=Visitor, process_response=without_body, …)

- A connection is read a little at a time, so that a burst of tiny frames never keeps the others waiting.
- One that has us answer its pings, or its errors, and doesn't read the answers, is cut off.
- An answer to HEAD has no body (RFC 9110 §9.3.2).
- A header may be as long as the cookies of all ports of a machine: a browser sends them to each of these.
"""

from __future__ import annotations

import asyncio
import logging

from websockets import http11
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**16)

READ_BYTES = 4096
"""How much of a connection is read at once: some 700 of the smallest frames."""

# asyncio says so for each frame that is written to a connection that has just broken: hundreds of lines.
logging.getLogger("asyncio").addFilter(lambda record: record.msg != "socket.send() raised exception.")


class Visitor(ServerConnection):
    """A connection that costs little.

    Attributes:
        most_unread: bytes that may wait in its write buffer when it sends something.
    """

    most_unread = 2**20

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read a little at a time."""
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]  # of asyncio's own transports

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
